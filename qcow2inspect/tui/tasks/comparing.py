"""The work behind Compare. Each function runs in a thread, posts messages, and stops when it is told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.tui.tasks.running import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.contrast import FieldPair
    from qcow2inspect.image.gate import OpenGate
    from qcow2inspect.image.parts import Part
    from qcow2inspect.tui.comparison import Comparison, Side
    from qcow2inspect.tui.tasks.running import TaskProgress

__all__ = ["ComparisonGrew", "OtherOpened", "Tabled", "compare", "open_other", "tabulate"]

_INTERVAL = 0.1
_MOST_ROWS = 1 << 16


class OtherOpened(Message):
    """Another file was opened, to be compared with.

    Attributes:
        chain: the file, and what is behind it.
    """

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain = chain


class ComparisonGrew(Message):
    """More is known about where two disks differ."""

    def can_replace(self, message: Message) -> bool:
        """One look shows all that is known."""
        return isinstance(message, ComparisonGrew)


class Tabled(Message):
    """What differs in the mappings or the fields of two disks.

    Attributes:
        level: ``mapping`` or ``fields``.
        rows: ranges that are mapped differently, or all fields of both.
        more: how many rows were left out.
    """

    def __init__(self, level: str, rows: Sequence[Part] | Sequence[FieldPair], more: int) -> None:
        super().__init__()
        self.level = level
        self.rows = rows
        self.more = more


def open_other(
    path: str, gate: OpenGate | None, post: Callable[[Message], object], assumed: Assumptions | None = None
) -> None:
    """Open another file, to be compared with; the gate allows what it allows for the first.

    Args:
        path: the file.
        gate: what may be opened behind it.
        post: takes the result.
        assumed: what is taken to stand in its metadata; a file that is no image is a raw disk if that is nothing.
    """

    def work() -> Message:
        from qcow2inspect.image.follow import open_chain

        return OtherOpened(open_chain(path, gate, assumed) if assumed else open_chain(path, gate, maybe_raw=True))

    guarded("open", post, work)


def compare(comparison: Comparison, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Compare two disks from the first byte to the last."""

    def work() -> Message:
        from qcow2inspect.image.compare import compare as compare_views

        told = 0.0
        a, b = comparison.sides
        for part in compare_views(a.view, b.view, progress, watch=comparison.see):
            comparison.take(part)
            now = time.monotonic()
            if now - told >= _INTERVAL:
                told = now
                post(ComparisonGrew())
        comparison.is_done = True
        return ComparisonGrew()

    guarded("compare", post, work)


def tabulate(comparison: Comparison, level: str, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Compare the mappings or the fields of two disks."""
    guarded("compare", post, lambda: _tabled(comparison, level, progress))


def _tabled(comparison: Comparison, level: str, progress: TaskProgress) -> Message:
    from qcow2inspect.image import contrast
    from qcow2inspect.image.parts import Relation

    a, b = comparison.sides
    if level == "fields":
        return Tabled(level, contrast.compare_fields(_fields(comparison, a), _fields(comparison, b)), 0)
    rows: list[Part] = []
    more = 0
    for part in contrast.compare_mappings(a.view, b.view, progress):
        if part.relation is Relation.SAME:
            continue
        if len(rows) < _MOST_ROWS:
            rows.append(part)
        else:
            more += 1
    return Tabled(level, rows, more)


def _fields(comparison: Comparison, side: Side) -> dict[str, str]:
    """What a state has of its own for states of one image; the header of each of two images."""
    from qcow2inspect.image.contrast import header_fields, state_fields

    if comparison.is_one_image and side.state.kind != "layer":
        return state_fields(side.chain, side.state.index if side.state.prefix else None)
    index = side.state.index if side.state.kind == "layer" else 0
    image = side.chain.layers[index].image
    return header_fields(image) if image is not None else {"format": "raw disk"}
