"""Several hashes of one view in one pass: bytes are read and inflated in threads, each hash has its own thread."""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead
from qcow2inspect.export.choices import HASHES, OnError, Sparse
from qcow2inspect.export.hashes import Hashes
from qcow2inspect.export.load import Loader
from qcow2inspect.export.steps import extents_of, steps, with_zeros
from qcow2inspect.progress import Silent
from qcow2inspect.source.file import FileSource
from qcow2inspect.units import GuestRange
from qcow2inspect.workers import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qcow2inspect.export.load import Loaded
    from qcow2inspect.export.steps import Step
    from qcow2inspect.image.view import View
    from qcow2inspect.progress import Progress

__all__ = ["CONTAINER", "CONTENT", "HASHES", "Digest", "Subject", "hash_view"]

CONTAINER = "container file"
"""Scope of a hash: the file as it lies on the disk."""
CONTENT = "guest content"
"""Scope of a hash: the disk as the guest sees it."""

PIECE_HASH = "sha256"
"""The function of the hashes of pieces."""
_ZEROS = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is hashed.

    Attributes:
        scope: :data:`CONTAINER` or :data:`CONTENT`; the two are never mixed.
        what: which file, or which state of the disk.
    """

    scope: str
    what: str


@dataclass(frozen=True, slots=True)
class Digest:
    """The hashes of a subject.

    Attributes:
        subject: what was hashed.
        size: its bytes.
        hashes: name of the function and hexadecimal value.
        piece_size: bytes of a piece; 0 if there are none.
        pieces: SHA-256 of each piece in order, hexadecimal; the last one may be shorter.
    """

    subject: Subject
    size: int
    hashes: Mapping[str, str]
    piece_size: int = 0
    pieces: Sequence[str] = field(default=())


def hash_view(
    view: View, subject: Subject, names: Sequence[str], *, piece_size: int = 0, progress: Progress | None = None
) -> Digest:
    """Hash all bytes of a view.

    Args:
        view: the bytes.
        subject: what to call them.
        names: functions, out of :data:`HASHES`.
        piece_size: hash each piece of so many bytes too; 0 for no pieces.
        progress: told about every step, in bytes; may ask to stop.

    Raises:
        CannotRead, Damaged, NeedsFile, NeedsKey: a byte cannot be read, or a file changed meanwhile; a hash without
            it would be wrong.
        Cancelled: the user asked to stop.
    """
    progress = progress or Silent()
    progress.begin(f"Hashing {subject.scope} {subject.what}", view.size)
    hashes, pieces = Hashes(names, progress), _Pieces(piece_size)
    stop = threading.Event()
    loader = Loader(view, OnError.FAIL, Sparse.MAP, stop)

    def load(step: Step) -> tuple[Step, Loaded]:
        return step, loader.load(step.extents)

    try:
        todo = steps(
            extents_of(view, GuestRange.at(0, view.size), progress),
            is_plain=lambda extent: True,
            copies=False,
            cut_zeros=True,
        )
        with closing(in_order(todo, load, progress, stop)) as results:
            for step, loaded in results:
                _see(step, loaded, hashes, pieces)
                progress.advance(step.end - step.start)
        found = hashes.digests()
    finally:
        hashes.close()
    _require_unchanged(view)
    return Digest(subject, view.size, found, piece_size, tuple(pieces.finish()))


def _require_unchanged(view: View) -> None:
    """Refuse a hash that mixes two states of a file.

    Raises:
        CannotRead: a file changed since it was opened.
    """
    for source in view.sources:
        if isinstance(source, FileSource) and source.changed:
            raise CannotRead(
                f"{source.name} changed while it was hashed (size or time of modification)",
                why="the hash would be of no state that the file ever had",
                hint="hash a copy that nobody writes to",
                exit_code=74,
            )


def _see(step: Step, loaded: Loaded, hashes: Hashes, pieces: _Pieces) -> None:
    """Show the bytes of a step to all hashes; zeros lie between what was loaded."""
    parts = tuple(with_zeros(step, loaded.pieces))
    hashes.update(*parts)
    for part in parts:
        if isinstance(part, int):
            pieces.update_zeros(part)
        else:
            pieces.update(part)


class _Pieces:
    """Hashes of pieces of equal size; a piece of nothing but zeros is hashed once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._done: list[str] = []
        self._hash = hashlib.new(PIECE_HASH)
        self._filled = 0
        self._of_zeros = ""

    def update(self, data: bytes) -> None:
        """The next bytes."""
        view = memoryview(data)
        while self._size and view:
            part = view[: self._size - self._filled]
            self._hash.update(part)
            self._advance(len(part))
            view = view[len(part) :]

    def update_zeros(self, size: int) -> None:
        """``size`` zeros are next."""
        while self._size and size > 0:
            if not self._filled and size >= self._size:
                count = size // self._size
                self._done += [self._zeros()] * count
                size -= count * self._size
                continue
            part = min(size, self._size - self._filled, len(_ZEROS))
            self._hash.update(_ZEROS[:part])
            self._advance(part)
            size -= part

    def finish(self) -> list[str]:
        """The hashes of all pieces, that of the last one too."""
        if self._filled:
            self._done.append(self._hash.hexdigest())
        return self._done

    def _advance(self, size: int) -> None:
        self._filled += size
        if self._filled == self._size:
            self._done.append(self._hash.hexdigest())
            self._hash, self._filled = hashlib.new(PIECE_HASH), 0

    def _zeros(self) -> str:
        if not self._of_zeros:
            whole = hashlib.new(PIECE_HASH)
            for at in range(0, self._size, len(_ZEROS)):
                whole.update(_ZEROS[: self._size - at])
            self._of_zeros = whole.hexdigest()
        return self._of_zeros
