"""How far the damage of an image reaches into the guest disk: what an export will mark, known from the tables alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import NeedsFile, NeedsKey
from qcow2inspect.export.doubts import find_doubts, with_doubts
from qcow2inspect.export.load import Trouble
from qcow2inspect.image.windows import coarse_extents
from qcow2inspect.progress import Silent
from qcow2inspect.units import GuestRange, bytes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress
    from qcow2inspect.survey.survey import Survey

__all__ = ["Damage", "find_damage"]


@dataclass(frozen=True, slots=True)
class Damage:
    """Guest bytes that are not, or may not be, as the guest had them.

    Attributes:
        size: bytes of the disk.
        lost: ranges that cannot be read, or that the image file ends too early for; in order, apart.
        suspect: ranges that can be read and are doubtful all the same; in order, apart.
        elsewhere: ranges for which a file or a key is missing, which is no damage; in order, apart.
    """

    size: int
    lost: tuple[GuestRange, ...] = ()
    suspect: tuple[GuestRange, ...] = ()
    elsewhere: tuple[GuestRange, ...] = ()

    @property
    def marked(self) -> tuple[GuestRange, ...]:
        """All that an export marks as damaged: lost and suspect, in order, neighbours joined."""
        return tuple(_joined(sorted((*self.lost, *self.suspect), key=lambda part: int(part.start))))

    @property
    def lost_bytes(self) -> int:
        """Bytes that are lost."""
        return bytes_of(self.lost)

    @property
    def suspect_bytes(self) -> int:
        """Bytes that are doubtful."""
        return bytes_of(self.suspect)

    @property
    def intact_bytes(self) -> int:
        """Bytes that nothing speaks against."""
        return self.size - self.lost_bytes - self.suspect_bytes - bytes_of(self.elsewhere)


def find_damage(view: View, survey: Survey, progress: Progress | None = None) -> Damage:
    """What an export of ``view`` with any policy but to fail will mark.

    Streams that turn out to be broken, and a medium that fails, come on top: that is known only after reading.

    Args:
        view: the disk.
        survey: what is known about the tables of the image.
        progress: may ask to stop.

    Raises:
        Cancelled: the user asked to stop.
    """
    progress = progress or Silent()
    progress.begin("Planning", None)
    lost_or_elsewhere: list[Trouble] = []
    for extent in coarse_extents(view, GuestRange.at(0, view.size), progress):
        _note(extent, lost_or_elsewhere)
    doubts = find_doubts(view, survey=survey, progress=progress)
    kinds: dict[str, list[GuestRange]] = {"lost": [], "doubtful": [], "elsewhere": []}
    for trouble in with_doubts(lost_or_elsewhere, doubts):
        kinds[trouble.kind].append(trouble.guest)
    lost, suspect, elsewhere = (tuple(_joined(ranges)) for ranges in kinds.values())
    return Damage(view.size, lost, suspect, elsewhere)


def _note(extent: Extent, troubles: list[Trouble]) -> None:
    """Add what troubles an extent, neighbours of one kind as one."""
    kind = _kind(extent)
    if kind and troubles and troubles[-1].kind == kind and troubles[-1].guest.end == extent.start:
        troubles[-1] = Trouble(GuestRange(troubles[-1].guest.start, extent.guest.end), None, 0, kind, "", "")
    elif kind:
        troubles.append(Trouble(extent.guest, None, 0, kind, "", ""))


def _kind(extent: Extent) -> str:
    """What troubles an extent; empty if nothing does."""
    if extent.absent or isinstance(extent.error, (NeedsFile, NeedsKey)):
        return "elsewhere"
    return "lost" if extent.error is not None or extent.past_end else ""


def _joined(ranges: Iterable[GuestRange]) -> Iterator[GuestRange]:
    """Ranges in order, neighbours joined."""
    last: GuestRange | None = None
    for part in ranges:
        if last is not None and part.start <= last.end:
            last = GuestRange(last.start, max(last.end, part.end))
            continue
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield last
