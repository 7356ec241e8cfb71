"""What an export will do, known before a byte is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from qcow2inspect.errors import Damaged, Qcow2InspectError
from qcow2inspect.export.choices import OnError
from qcow2inspect.export.mapped import MappedView
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.windows import coarse_extents
from qcow2inspect.progress import Silent
from qcow2inspect.units import GuestOffset, GuestRange, exact_size, human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress

__all__ = ["Plan", "make_plan"]

_STEP = 1024
_HINT = "nothing was written; --on-error says what shall stand in its place"
_KEPT = 1 << 17
_SECOND = 200 << 20


@dataclass
class Plan:
    """Sums over the extents of a view.

    Attributes:
        size: bytes of the view.
        plain: bytes that are copied as they are.
        compressed: bytes that are inflated.
        past_end: bytes that read as zeros only because the image file ends too early.
        absent: bytes that read as zeros because the file that holds them is not there and the user said so.
        unreadable: bytes that cannot be read.
        first_past_end: the first extent of ``past_end``.
        first_absent: the first extent of ``absent``.
        first_unreadable: the first extent that cannot be read.
        first_encrypted: the first extent of stored bytes that do not lie in the file as they are.
        on_error: what will be done about what cannot be read.
        on_disk: where on the disk a byte of the view lies; not for ``first_absent``, which knows.
    """

    size: int
    plain: int = 0
    compressed: int = 0
    past_end: int = 0
    absent: int = 0
    unreadable: int = 0
    first_absent: Extent | None = None
    first_past_end: Extent | None = None
    first_unreadable: Extent | None = None
    first_encrypted: Extent | None = None
    on_error: OnError = OnError.FAIL
    on_disk: Callable[[int], GuestOffset] = GuestOffset
    _kept: list[Extent] | None = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """About how long it takes; a guess from the bytes."""
        return (self.plain / 4 + self.compressed) / _SECOND

    @property
    def to_write(self) -> int:
        """Bytes that will be written; the rest stays a hole."""
        return self.plain + self.compressed

    @property
    def problem(self) -> Qcow2InspectError | None:
        """Why the view cannot be exported; None if it can."""
        if self.first_unreadable is None or self.on_error is not OnError.FAIL:
            return None
        error = self.first_unreadable.error
        if not isinstance(error, Damaged):
            return self._missing(error)
        amount = f"{exact_size(self.unreadable)} of {human_size(self.size)} cannot be read, first: "
        return Damaged(amount + error.what, why=error.why, hint=_HINT, exit_code=error.exit_code)

    def _missing(self, error: Qcow2InspectError | None) -> Qcow2InspectError | None:
        """The error for data that lies elsewhere or needs a key, with the amount."""
        if error is None or self.first_unreadable is None:
            return error
        what = f"{error.what} ({exact_size(self.unreadable)} of {human_size(self.size)}, from guest offset "
        what += f"{self.on_disk(int(self.first_unreadable.guest.start))} on)"
        return type(error)(what, why=error.why, hint=error.hint, exit_code=error.exit_code)

    @property
    def warnings(self) -> list[str]:
        """What a person must know about the bytes that come out."""
        said = []
        if self.first_unreadable is not None and self.on_error is not OnError.FAIL:
            where = f"from guest offset {self.on_disk(int(self.first_unreadable.guest.start))} on"
            said.append(f"{exact_size(self.unreadable)} cannot be read, {where}: {self.first_unreadable.why_not}")
        if self.first_absent is not None:
            what = f"{exact_size(self.absent)} lie in a file that is not there"
            said.append(f"{what}, from guest offset {self.first_absent.guest.start} on: zeros stand in their place")
        if self.first_past_end is not None:
            what = f"{exact_size(self.past_end)} of guest data or of its L2 tables"
            where = f"from guest offset {self.on_disk(int(self.first_past_end.guest.start))} on"
            said.append(f"the image file ends too early: {what}, {where}, are missing and read as zeros")
        return said

    def add(self, extents: Sequence[Extent]) -> None:
        """Count some more extents, and keep them unless there are too many."""
        if self._kept is not None:
            self._kept += extents
            if len(self._kept) > _KEPT:
                self._kept = None
        for extent in extents:
            if extent.error is not None or extent.past_end or extent.absent:
                self._add_odd(extent)
            if extent.error is not None:
                continue
            if extent.kind is ClusterType.NORMAL:
                self.plain += extent.end - extent.start
            elif extent.kind is ClusterType.COMPRESSED:
                self.compressed += extent.end - extent.start

    def _add_odd(self, extent: Extent) -> None:
        if extent.error is not None:
            self.unreadable += extent.size
            self.first_unreadable = self.first_unreadable or extent
            return
        if extent.past_end:
            self.past_end += extent.size
            self.first_past_end = self.first_past_end or extent
        if extent.absent:
            self.absent += extent.size
            self.first_absent = self.first_absent or extent

    @property
    def is_full(self) -> bool:
        """True if there were too many extents to keep them."""
        return self._kept is None

    def extents(self, view: View, within: GuestRange, progress: Progress) -> Iterable[Extent]:
        """The extents that were counted; asked for again if there were too many to keep."""
        return self._kept if self._kept is not None else coarse_extents(view, within, progress)


def make_plan(
    view: View,
    progress: Progress | None = None,
    *,
    within: GuestRange | None = None,
    on_error: OnError = OnError.FAIL,
) -> Plan:
    """Go through the extents of a view without reading its data.

    Args:
        view: what to export.
        progress: may ask to stop.
        within: the bytes to export; all of them by default.
        on_error: what will be done about what cannot be read.

    Raises:
        Cancelled: the user asked to stop.
    """
    progress = progress or Silent()
    within = GuestRange.at(0, view.size) if within is None else within
    plan = Plan(within.size, on_error=on_error)
    if isinstance(view, MappedView):
        plan.absent, plan.first_absent, plan.on_disk = view.absent, view.first_absent, view.disk_offset
    progress.begin("Planning", None)
    extents, layers = coarse_extents(view, within, progress), set[int]()
    while batch := list(islice(extents, _STEP)):
        plan.add(batch)
        plan.first_encrypted = plan.first_encrypted or _first_encrypted(view, batch, layers)
        progress.advance(0)
    return plan


def _first_encrypted(view: View, extents: Sequence[Extent], layers: set[int]) -> Extent | None:
    """The first extent that must be decrypted; ``layers`` are those that have been looked at: they have one key."""
    for extent in extents:
        if extent.layer not in layers and extent.kind is ClusterType.NORMAL and extent.readable and not extent.past_end:
            layers.add(extent.layer)
            if view.plain_source(extent) is None:
                return extent
    return None
