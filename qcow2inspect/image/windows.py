"""The extents of a view, asked for in windows: a person who stops does not wait, and damage stays where it is.

A table that cannot be read makes the bytes it maps unreadable and no others.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.guest import GuestDisk
from qcow2inspect.image.view import Extent
from qcow2inspect.units import GuestOffset, GuestRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.image.view import View
    from qcow2inspect.progress import Progress

__all__ = ["coarse_extents", "extents_of"]

_FIRST_WINDOW = 1 << 30
_LARGEST_GRAIN = 1 << 26
_PATIENCE = 0.03


def extents_of(view: View, within: GuestRange, progress: Progress) -> Iterator[Extent]:
    """The extents of a part of a view; what cannot even be looked up is an extent that says why.

    The view is asked for windows that take some milliseconds each, so that a person who stops does not wait.

    Raises:
        Cancelled: the user asked to stop.
    """
    grain, ends = _grain(view), view.ends if isinstance(view, GuestDisk) else None
    at, size = int(within.start), max(_FIRST_WINDOW, grain)
    while at < within.end:
        progress.advance(0)
        end = min((at + size) // grain * grain, int(within.end))
        began = time.monotonic()
        yield from _window(view, GuestRange(GuestOffset(at), GuestOffset(end)), grain, ends)
        at = end
        size = size * 2 if time.monotonic() - began < _PATIENCE else max(grain, size // 2)


def coarse_extents(view: View, within: GuestRange, progress: Progress) -> Iterator[Extent]:
    """As :func:`extents_of`, for whoever asks which bytes have which fate; garbage in tables makes few extents.

    Raises:
        Cancelled: the user asked to stop.
    """
    from qcow2inspect.image.disk import Disk

    return extents_of(view.coarse() if isinstance(view, Disk) else view, within, progress)


def _grain(view: View) -> int:
    """Guest bytes of the L2 table that maps the fewest, of all layers."""
    from qcow2inspect.image.disk import Disk

    spans, below = [_LARGEST_GRAIN], view
    while isinstance(below, Disk):
        spans.append(below.image.geometry.l2_span)
        behind = below.support.backing
        if behind is None or isinstance(behind, Qcow2InspectError):
            break
        below = behind
    return min(spans)


def _window(view: View, window: GuestRange, grain: int, ends: Sequence[int] | None) -> Iterator[Extent]:
    """The extents of a window; in halves if a table in it cannot be read; ``ends`` are those of the files, by layer."""
    waiting = [window]
    while waiting:
        part = waiting.pop()
        done = int(part.start)
        try:
            for extent in view.extents(part):
                done = extent.end
                if ends is not None and extent.host_end > ends[extent.layer]:
                    yield from _until_end(view, extent)
                else:
                    yield extent
        except Qcow2InspectError as error:
            first, last = done // grain, -(-part.end // grain)
            if last - first == 1:
                yield Extent(done, int(part.end), ClusterType.INVALID, error=error)
                continue
            middle = GuestOffset((first + last) // 2 * grain)
            waiting += [GuestRange(middle, part.end), GuestRange(GuestOffset(done), middle)]


def _until_end(view: View, extent: Extent) -> Iterator[Extent]:
    """An extent, in two if the file that holds it ends inside: the second part is not there."""
    files = view.files_of(extent.layer) if isinstance(view, GuestDisk) else None
    if files is None or extent.kind is not ClusterType.NORMAL or extent.past_end:
        yield extent
        return
    size = files.data.size
    end = size if view.plain_source(extent) else size // SECTOR * SECTOR  # a key opens whole sectors
    if extent.host_end <= end or extent.host_start >= size:
        yield extent
        return
    middle = extent.start + max(0, end - extent.host_start)
    if middle > extent.start:
        yield extent.cut(extent.start, middle)
    yield extent.cut(middle, extent.end)._replace(past_end=True)
