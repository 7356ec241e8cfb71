"""What is shown when a file cannot be inspected: what happened, why it matters, what to do, and its first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import VerticalScroll
from textual.screen import Screen

from qcow2inspect.errors import Damaged, NotQcow2, Qcow2InspectError, Unsupported
from qcow2inspect.layout.structure import visible
from qcow2inspect.tui.commands import key_of, of_scopes
from qcow2inspect.tui.screens.overview import Box
from qcow2inspect.tui.widgets.crumbs import Crumbs
from qcow2inspect.tui.widgets.status import KeyBar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["OFFER", "FailureScreen", "can_assume", "first_bytes"]

OFFER = "opens it as if other values stood in its header and tables"
"""What the key does that asks for assumptions."""
_SHOWN = 256


def can_assume(error: Qcow2InspectError) -> bool:
    """True if other values in the header may help: the file is there and can be read, and is none as it stands."""
    return isinstance(error, (Damaged, NotQcow2, Unsupported))


def first_bytes(path: str) -> bytes:
    """The first bytes of the file at ``path``; none if it cannot be read."""
    from qcow2inspect.source.file import FileSource

    try:
        with FileSource(path) as source:
            return source.read_at(0, _SHOWN)
    except Qcow2InspectError:
        return b""


class FailureScreen(Screen[None]):
    """A readable end.

    Args:
        path: the file.
        error: why it cannot be inspected.
        look: colours and glyphs.
    """

    def __init__(self, path: str, error: Qcow2InspectError, look: Look) -> None:
        super().__init__()
        self.path = path
        self.error = error
        self.look = look
        self.data = first_bytes(path)
        self.crumbs = Crumbs(look)
        self.keys = KeyBar(look)

    def compose(self) -> ComposeResult:
        """What, why, what next; then the bytes."""
        yield self.crumbs
        with VerticalScroll(id="page"):
            yield Box(self.look, "This file cannot be inspected", self._words, id="failure")
            if self.data:
                yield Box(self.look, "Its first bytes", self._bytes, id="bytes")
        yield self.keys

    def on_mount(self) -> None:
        """Name the file."""
        self.crumbs.show([(visible(self.path), "")], None)
        self.keys.show([command for command in of_scopes("app") if command.id in self._ids])

    @property
    def _ids(self) -> tuple[str, ...]:
        return ("assume", "quit", "help") if can_assume(self.error) else ("quit", "help")

    def _words(self, box: Box, width: int) -> Iterator[Line]:
        yield from box.row("what", self.error.what, width, "text", sign=self.look.glyphs["no"])
        if self.error.why:
            yield from box.row("why", self.error.why, width)
        if self.error.hint:
            yield from box.row("next", self.error.hint, width, "key")
        if can_assume(self.error):
            words = f"{key_of('assume')} {OFFER}"
            yield from box.row("or", words, width, "key")

    def _bytes(self, box: Box, width: int) -> Iterator[Line]:
        del box
        per_row = 16 if width >= 78 else 8
        style, dot = self.look.style, self.look.glyphs["nonprint"]
        for at in range(0, len(self.data), per_row):
            row = self.data[at : at + per_row]
            text = "".join(chr(byte) if 32 <= byte < 127 else dot for byte in row)
            yield [
                (f" {at:08x}  ", style("dim")),
                (f"{row.hex(' '):<{per_row * 3}} ", style("text")),
                (text, style("dim")),
            ]
