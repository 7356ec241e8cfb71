"""Mapped-only output: what the tables map and nothing else, one piece behind the other, and where each belongs.

The pieces are the guest ranges that have bytes of their own (clusters that are stored, plain or compressed, in any
layer, and those that should be and cannot be read) in the order of the disk. What reads as zeros because of the tables
is left out. ``OUT.pieces`` says for every piece where it starts in the output, where on the disk, and how long it is;
and which ranges of the disk no piece holds although they are not known to be zeros: what lies in a file that is not
there, and what is doubtful.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from qcow2inspect._version import __version__
from qcow2inspect.image.view import Extent, clipped
from qcow2inspect.image.windows import coarse_extents
from qcow2inspect.progress import Silent
from qcow2inspect.units import GuestOffset, GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qcow2inspect.export.beside import Beside
    from qcow2inspect.export.choices import Choices
    from qcow2inspect.export.load import Trouble
    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.view import View
    from qcow2inspect.output import Output
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source

__all__ = ["MappedView", "part_of_disk", "write_pieces"]

_ROWS = 1 << 12


class MappedView:
    """The mapped parts of another view, as one without gaps.

    Attributes:
        whole: the other view.
        within: the part of it that counts; None for all of it.
        absent: bytes of the disk that no piece holds because the file that does is not there.
        first_absent: the first extent of them, with its place on the disk.

    Args:
        whole: the other view.
        within: the part of it that counts; all of it by default.
        progress: may ask to stop.

    Raises:
        Cancelled: the user asked to stop.
    """

    def __init__(self, whole: View, within: GuestRange | None = None, progress: Progress | None = None) -> None:
        self.whole, self.within = whole, within
        self.name = f"{whole.name} (what is mapped)"
        self._guest, self._start = array("Q"), array("Q")
        self._not_there = array("Q")
        self._within = clipped(within, whole.size)
        self.size = self.absent = 0
        self.first_absent: Extent | None = None
        end = -1
        for extent in coarse_extents(whole, self._within, progress or Silent()):
            if extent.reads_as_zero and not extent.past_end:
                if extent.absent:
                    self._leave_out(extent)
                continue
            if extent.start != end:
                self._guest.append(extent.start)
                self._start.append(self.size)
            self.size += extent.size
            end = extent.end

    def _leave_out(self, extent: Extent) -> None:
        self.absent += extent.size
        self.first_absent = self.first_absent or extent
        if self._not_there and self._not_there[-1] == extent.start:
            self._not_there[-1] = extent.end
        else:
            self._not_there.extend((extent.start, extent.end))

    def left_out(self) -> Iterator[GuestRange]:
        """The ranges of :attr:`absent`, in order, neighbours joined."""
        for index in range(0, len(self._not_there), 2):
            yield GuestRange(GuestOffset(self._not_there[index]), GuestOffset(self._not_there[index + 1]))

    @property
    def sources(self) -> tuple[Source, ...]:
        """Those of the other view."""
        return self.whole.sources

    @property
    def assumed(self) -> Assumptions:
        """That of the other view, without the doubts, which count bytes of the disk."""
        from qcow2inspect.image.assumed import Assumptions

        return Assumptions(tuple(replace(one, doubt=None) for one in self.whole.assumed.all))

    def pieces(self, within: GuestRange | None = None) -> Iterator[tuple[GuestRange, GuestOffset]]:
        """Parts of ``within`` that lie in one piece: their bytes of the output, and where the first is on the disk."""
        part = clipped(within, self.size)
        at = int(part.start)
        while at < part.end:
            index = bisect_right(self._start, at) - 1
            stop = self._start[index + 1] if index + 1 < len(self._start) else self.size
            end = min(stop, int(part.end))
            yield GuestRange.at(at, end - at), GuestOffset(self._guest[index] + at - self._start[index])
            at = end

    def disk_offset(self, offset: int) -> GuestOffset:
        """Where a byte of the output belongs on the disk."""
        return next(iter(self.pieces(GuestRange.at(offset, 1))))[1]

    def parts_of(self, guest: GuestRange) -> Iterator[tuple[GuestRange, GuestRange]]:
        """The bytes of the output that belong to a range of the disk, and which part of the range each is."""
        for index in range(max(0, bisect_right(self._guest, int(guest.start)) - 1), len(self._guest)):
            start, first = self._guest[index], self._start[index]
            if start >= guest.end:
                return
            stop = self._start[index + 1] if index + 1 < len(self._start) else self.size
            part = guest.clip(start, start + stop - first)
            if part:
                yield GuestRange.at(first + int(part.start) - start, part.size), part

    def gaps_in(self, ranges: Iterable[GuestRange]) -> Iterator[GuestRange]:
        """The bytes of ranges of the disk, as far as they count, that no piece holds."""
        for guest in ranges:
            inside = guest.clip(int(self._within.start), int(self._within.end))
            at = inside.start
            for _, part in self.parts_of(inside):
                if part.start > at:
                    yield GuestRange(at, part.start)
                at = part.end
            if at < inside.end:
                yield GuestRange(at, inside.end)

    def begins_piece(self, offset: int) -> bool:
        """True if a piece begins at a byte of the output."""
        index = bisect_right(self._start, offset) - 1
        return index >= 0 and self._start[index] == offset

    def split(self, trouble: Trouble) -> Iterator[Trouble]:
        """A trouble cut at the borders of pieces."""
        for part, _ in self.pieces(trouble.guest):
            host = trouble.host
            if host is not None and host.size == trouble.guest.size:
                host = HostRange.at(host.start + (part.start - trouble.guest.start), part.size)
            yield replace(trouble, guest=part, host=host)

    # -- a view -------------------------------------------------------------------------------------------------------

    def _on_disk(self, extent: Extent) -> Extent:
        return extent.moved(int(self.disk_offset(extent.start)))

    def read_extent(self, extent: Extent) -> bytes:
        """The bytes of an extent."""
        return self.whole.read_extent(self._on_disk(extent))

    def plain_source(self, extent: Extent) -> Source | None:
        """The file that holds the bytes as they are."""
        return self.whole.plain_source(self._on_disk(extent))

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end."""
        pieces = self.pieces(GuestRange.at(offset, size))
        return b"".join(self.whole.read_at(guest, part.size) for part, guest in pieces)

    def lookup(self, guest: GuestOffset) -> Extent:
        """The extent at ``guest``."""
        if not 0 <= guest < self.size:
            raise IndexError(guest)
        return next(self.extents(GuestRange(guest, GuestOffset(self.size))))

    def extents(self, within: GuestRange | None = None) -> Iterator[Extent]:
        """The extents of all pieces."""
        for part, start in self.pieces(within):
            for extent in coarse_extents(self.whole, GuestRange.at(start, part.size), Silent()):
                yield extent.moved(int(part.start) + extent.start - start)


def part_of_disk(view: View, choices: Choices) -> GuestRange | None:
    """The part of the disk that is exported; None for all of it."""
    return view.within if isinstance(view, MappedView) else choices.within


def write_pieces(beside: Beside, path: str, view: MappedView, doubtful: Sequence[GuestRange] = ()) -> None:
    """Write the list of pieces to ``path``.

    Args:
        beside: makes the file.
        path: its name.
        view: the pieces.
        doubtful: what no piece holds and is not known to be zeros.

    Raises:
        CannotExport: it cannot be written.
    """
    output = beside.open(path)
    rest = "reads as zeros, or is named at the end" if view.absent or doubtful else "reads as zeros"
    rows = [
        f"# Pieces of a mapped-only export. Created by qcow2inspect {__version__}\n",
        f"# disk 0x{view.whole.size:X}: what no piece covers {rest}\n",
        "#   output        disk        size\n",
    ]
    at = 0
    for part, guest in view.pieces():
        rows.append(f"0x{int(part.start):08X}  0x{int(guest):08X}  0x{part.size:08X}\n")
        if len(rows) >= _ROWS:
            at += _append(output, at, rows)
    at += _append(output, at, rows)
    named = chain((("not there", part) for part in view.left_out()), (("doubtful ", part) for part in doubtful))
    for why, part in named:
        rows.append(f"# {why}   0x{int(part.start):08X}  0x{part.size:08X}\n")
        if len(rows) >= _ROWS:
            at += _append(output, at, rows)
    _append(output, at, rows)


def _append(output: Output, at: int, rows: list[str]) -> int:
    data = "".join(rows).encode()
    rows.clear()
    output.write_at(at, data)
    return len(data)
