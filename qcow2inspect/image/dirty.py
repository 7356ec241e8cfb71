"""Persistent dirty bitmaps: which guest ranges were written since a bitmap was made or cleared.

Bit k of a bitmap stands for the guest bytes ``[k << granularity_bits, (k + 1) << granularity_bits)``; the least
significant bit of a byte comes first. The bits lie in clusters that the bitmap table names; an entry without a
cluster says whether all its bits are zero or one.

A bitmap that is damaged cannot be read, but that is all: guest data and other bitmaps do not depend on it. (QEMU
refuses the whole image for it.)

Spec: Bitmaps.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from qcow2inspect.errors import Damaged, Qcow2InspectError, Unsupported
from qcow2inspect.format.bitmap import BitmapTableEntry, BitmapType
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.image.table import Table
from qcow2inspect.layout.structure import printable
from qcow2inspect.progress import Silent
from qcow2inspect.units import GuestRange, HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.image.image import Image
    from qcow2inspect.layout.word import Column
    from qcow2inspect.progress import Progress

    Runs = npt.NDArray[np.int64]

__all__ = ["MAX_BITMAP_DATA", "Dirty", "DirtyBitmap"]

MAX_BITMAP_DATA = 512 << 20
"""QEMU refuses a bitmap with more data."""
_BATCH = 1 << 18
_AT = BitmapTableEntry.bitmap_cluster_offset.mask
_ALL_ONES = BitmapTableEntry.all_ones.mask


class Dirty(NamedTuple):
    """How much a bitmap marks as dirty.

    Attributes:
        size: guest bytes.
        ranges: number of ranges, joined where they touch.
    """

    size: int
    ranges: int


class DirtyBitmap:
    """A bitmap of an image, ready to be read.

    Attributes:
        bitmap: its directory entry.

    Args:
        image: the image.
        bitmap: one of :attr:`Image.bitmaps <qcow2inspect.image.image.Image.bitmaps>`.
    """

    def __init__(self, image: Image, bitmap: Bitmap) -> None:
        self.bitmap = bitmap
        self._image = image
        self._entry = bitmap.entry
        self._cluster = image.geometry.cluster_size
        self._size = image.header.size // SECTOR * SECTOR

    # -- what the directory entry says ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name, fit to be shown."""
        return printable(self.bitmap.name)

    @property
    def granularity(self) -> int:
        """Guest bytes that one bit stands for; 0 if that is impossible."""
        return 1 << self._entry.granularity_bits if self._entry.granularity_bits < 64 else 0

    @property
    def kind(self) -> str:
        """Type of the bitmap in words."""
        known = self._entry.type is BitmapType.DIRTY_TRACKING
        return "dirty tracking" if known else f"unknown ({int(self._entry.type)})"

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags that are set, in the specification's words."""
        flags = self._entry.flags
        names = [bits.name for bits in reversed(flags.FIELDS) if flags.raw & bits.mask and not bits.is_reserved]
        return (*names, f"unknown {flags.unknown:#x}") if flags.unknown else tuple(names)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why what the bitmap says may not be true, although it can be read."""
        found, extra = [], self._entry.extra_data_size
        if not self._image.header.autoclear_features.bitmaps:
            found.append("stale: a program that does not know bitmaps has changed the image (autoclear bit 0 is off)")
        if self._entry.flags.in_use:
            found.append("in use: it was not saved correctly, and writes may be missing")
        if len(self.table) * 8 * self._cluster < self.bit_count:
            found.append("its table ends before the disk does: what lies behind counts as clean")
        if self._entry.flags.unknown:
            found.append("flags that the specification does not know are set: QEMU refuses the image")
        if extra:
            found.append(f"{extra:,} bytes of extra data are not understood: QEMU refuses the image")
        return tuple(found)

    @property
    def bit_count(self) -> int:
        """Number of bits that the disk needs; 0 if the granularity is impossible."""
        return -(-self._size // self.granularity) if self.granularity else 0

    @cached_property
    def table(self) -> Table[BitmapTableEntry[int]]:
        """The bitmap table, as far as the disk needs it."""
        needed = -(-self.bit_count // (8 * self._cluster))
        count = min(self._entry.bitmap_table_size, needed)
        return Table(self._entry.bitmap_table_offset, count, BitmapTableEntry, self._image.read)

    # -- what stands in the way -------------------------------------------------------------------------------

    @cached_property
    def error(self) -> Qcow2InspectError | None:
        """Why the bitmap cannot be read; None if it can."""
        return self._unknown() or self._bad_sizes() or self._bad_table()

    def _unknown(self) -> Unsupported | None:
        if self._entry.type is not BitmapType.DIRTY_TRACKING:
            return Unsupported(f"bitmap “{self.name}” is of type {int(self._entry.type)}; 1 (dirty tracking) is known")
        if self._entry.extra_data_size and not self._entry.flags.extra_data_compatible:
            return Unsupported(
                f"bitmap “{self.name}” has {self._entry.extra_data_size:,} bytes of extra data that a reader "
                "must understand"
            )
        return None

    def _bad_sizes(self) -> Damaged | None:
        entry, cluster = self._entry, self._cluster
        stored = entry.bitmap_table_size * cluster
        if not self.granularity:
            return self._damaged(f"granularity_bits is {entry.granularity_bits}; 63 is the largest")
        if not entry.bitmap_table_size:
            return self._damaged("its table has no entries")
        if stored > MAX_BITMAP_DATA:
            return self._damaged(f"it has {stored:,} bytes of data; the limit is {MAX_BITMAP_DATA:,}")
        if not entry.bitmap_table_offset or entry.bitmap_table_offset % cluster:
            return self._damaged(
                f"its table lies at {entry.bitmap_table_offset}, no cluster of the image (of {cluster:,} bytes)"
            )
        if stored * 8 < self.bit_count and not entry.flags.in_use:
            return self._damaged(f"it has {stored * 8:,} bits; the disk needs {self.bit_count:,}")
        return None

    def _bad_table(self) -> Damaged | None:
        import numpy as np

        if self.table.range.end > self._image.end:
            return self._damaged(f"its table at {self.table.range} runs past the end of the file at {self._image.end}")
        column = self.table.column()
        at = column & np.uint64(_AT)
        bad = (column & np.uint64(BitmapTableEntry.RESERVED)) != 0
        bad |= (at != 0) & (column & np.uint64(_ALL_ONES) != 0)
        bad |= at % np.uint64(self._cluster) != 0
        missing = (at != 0) & (at + self._used() > np.uint64(self._image.end))
        wrong = np.flatnonzero(bad | missing)
        if not len(wrong):
            return None
        index = int(wrong[0])
        raw, where = int(column[index]), self.table.where(index)
        past_end = f"points to {HostOffset(raw & _AT)}, past the end of the file"
        trouble = "is none that the specification knows" if bad[index] else past_end
        more = f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        return self._damaged(f"entry {index:,} of its table (host {where.start}, {raw:#018x}) {trouble}{more}")

    def _used(self) -> Column:
        """Bytes of each data cluster that the disk needs: all of them but in the last."""
        import numpy as np

        bytes_needed = -(-self.bit_count // 8)
        starts = np.arange(len(self.table), dtype=np.int64) * self._cluster
        return np.minimum(self._cluster, bytes_needed - starts).astype(np.uint64)

    def _damaged(self, what: str) -> Damaged:
        return Damaged(
            f"bitmap “{self.name}” (directory entry at host {self.bitmap.at}): {what}",
            why="which guest ranges it marks cannot be told",
            hint="guest data and other bitmaps do not depend on it",
        )

    # -- what it marks ----------------------------------------------------------------------------------------

    def dirty_ranges(self, progress: Progress | None = None) -> Iterator[GuestRange]:
        """The guest ranges that are dirty, in order, joined where they touch; read as they are asked for.

        Raises:
            Damaged, Unsupported: the bitmap cannot be read; see :attr:`error`.
            CannotRead: the image file cannot be read.
            Cancelled: the user asked to stop.
        """
        size = self.granularity
        for runs in self._joined(progress or Silent()):
            for start, stop in runs.tolist():
                yield GuestRange.at(start * size, (stop - start) * size).clip(0, self._size)

    def count(self, progress: Progress | None = None) -> Dirty:
        """How much is dirty, without making the ranges one by one; raises what :meth:`dirty_ranges` raises."""
        bits, ranges, last = 0, 0, 0
        for runs in self._joined(progress or Silent()):
            bits += int((runs[:, 1] - runs[:, 0]).sum())
            ranges += len(runs)
            last = int(runs[-1, 1])
        overhang = max(0, last * self.granularity - self._size)
        return Dirty(bits * self.granularity - overhang, ranges)

    def _joined(self, progress: Progress) -> Iterator[Runs]:
        """Runs of one bits as ``[start, stop)``, arrays of shape ``(runs, 2)``, no two of which touch."""
        if self.error is not None:
            raise self.error
        progress.begin(f"Reading bitmap {self.name}", len(self.table) * self._cluster)
        held: Runs | None = None
        for runs in self._runs(progress):
            if held is not None and runs[0, 0] == held[0, 1]:
                runs[0, 0] = held[0, 0]
            elif held is not None:
                yield held
            held = runs[-1:]
            if len(runs) > 1:
                yield runs[:-1]
        if held is not None:
            yield held

    def _runs(self, progress: Progress) -> Iterator[Runs]:
        """Runs of one bits, never empty; a run may go on in the next array."""
        import numpy as np

        per_entry = 8 * self._cluster
        column = self.table.column()
        if not len(column):
            return
        at = column & np.uint64(_AT)
        ones = (column & np.uint64(_ALL_ONES)) != 0
        base = np.where(at != 0, at - np.arange(len(at), dtype=np.uint64) * np.uint64(self._cluster), 0)
        breaks = (base[1:] != base[:-1]) | (ones[1:] != ones[:-1]) | ((at[1:] == 0) != (at[:-1] == 0))
        starts = [0, *(np.flatnonzero(breaks) + 1).tolist()]
        for start, stop in zip(starts, [*starts[1:], len(column)], strict=True):
            first, end = start * per_entry, min(stop * per_entry, self.bit_count)
            if at[start]:
                yield from self._stored(int(at[start]), first, end, progress)
                continue
            progress.advance((stop - start) * self._cluster)
            if ones[start]:
                yield np.array([[first, end]], dtype=np.int64)

    def _stored(self, at: int, first: int, end: int, progress: Progress) -> Iterator[Runs]:
        """Runs of bits ``[first, end)``, which lie at host offset ``at``."""
        import numpy as np

        for offset in range(0, -(-(end - first) // 8), _BATCH):
            size = min(_BATCH, -(-(end - first) // 8) - offset)
            data = np.frombuffer(self._image.read(at + offset, size), dtype=np.uint8)
            progress.advance(size)
            if not data.any():
                continue
            bits = np.unpackbits(data, bitorder="little", count=min(8 * size, end - first - 8 * offset))
            edges = np.flatnonzero(np.diff(bits, prepend=np.uint8(0), append=np.uint8(0)))
            if len(edges):
                yield edges.reshape(-1, 2) + (first + 8 * offset)
