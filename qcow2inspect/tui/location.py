"""Where the user is, and where they have been."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.units import HostOffset, HostRange

if TYPE_CHECKING:
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.view import View
    from qcow2inspect.units import GuestOffset

__all__ = ["ACTIVE", "GuestState", "History", "Location"]

_REMEMBERED = 1000
_START = HostOffset(0)


@dataclass(frozen=True, slots=True)
class GuestState:
    """Which bytes of the guest are looked at.

    Attributes:
        kind: ``active``, ``snapshot``, ``vm-state``, ``layer``, ``residue`` for bytes that no guest sees, or ``other``
            for another file that is compared with, whose name is the title.
        index: of the snapshot in its table, of the layer in the chain, or of the kind of residue.
        title: for people.
        parts: where residues lie in the image file.
    """

    kind: str = "active"
    index: int = 0
    title: str = "active state"
    parts: tuple[HostRange, ...] = field(default=(), compare=False, repr=False)

    @property
    def prefix(self) -> str:
        """What the addresses of its mapping start with: ``snap[0].``, or nothing for the active state."""
        return f"snap[{self.index}]." if self.kind in ("snapshot", "vm-state") else ""

    @property
    def residue(self) -> str:
        """Name of the kind of residue; empty for what a guest sees or saw."""
        if self.kind != "residue":
            return ""
        from qcow2inspect.survey.residues import KINDS

        return list(KINDS)[self.index]

    def view(self, chain: Chain, *, absent_as_zero: bool = False, lenient: bool = True) -> View:
        """The bytes.

        Args:
            chain: the image and what is behind it.
            absent_as_zero: read zeros where the chain ends too early; the extents say so.
            lenient: read on where QEMU refuses the image for what guest data does not depend on.

        Raises:
            BadAddress: there is no such state.
            Damaged: where the guest data lies cannot be told.
        """
        if self.kind == "residue":
            from qcow2inspect.image.view import HostParts

            image = chain.qcow2
            return HostParts(image.source, self.parts, f"{image.name} ({self.residue})", image.assumed)
        if self.kind == "layer":
            return chain.layer_disk(self.index, lenient=lenient)
        if self.kind == "vm-state":
            return chain.vm_state(self.index, lenient=lenient)
        snapshot = self.index if self.kind == "snapshot" else None
        return chain.disk(snapshot, lenient=lenient, absent_as_zero=absent_as_zero)


ACTIVE = GuestState()


@dataclass(frozen=True, slots=True)
class Location:
    """One place of the image, as one screen shows it.

    Attributes:
        offset: host offset of the cursor.
        path: address expression of the node that the user is looking at; empty for the innermost one there.
        size: bytes from ``offset`` on that are marked, because a finding names them; None for none.
        title: what to tell the user on arrival.
        mode: the screen that shows it: ``overview``, ``explore``, ``map``, ``findings``, ``guest``,
            ``compare`` or ``log``.
        guest: guest offset of the cursor; None if the place is none of the guest.
        state: which bytes ``guest`` counts.
    """

    offset: HostOffset = _START
    path: str = ""
    size: int | None = None
    title: str = ""
    mode: str = "explore"
    guest: GuestOffset | None = None
    state: GuestState = ACTIVE


@dataclass
class History:
    """The way behind and ahead, like that of a web browser."""

    _back: list[Location] = field(default_factory=list)
    _forward: list[Location] = field(default_factory=list)

    def leave(self, here: Location) -> None:
        """Remember ``here`` before a jump; what lay ahead is forgotten."""
        if not self._back or self._back[-1] != here:
            self._back.append(here)
            del self._back[:-_REMEMBERED]
        self._forward.clear()

    def back(self, here: Location) -> Location | None:
        """The place before ``here``; None if this is the first."""
        return self._step(self._back, self._forward, here)

    def forward(self, here: Location) -> Location | None:
        """The place that :meth:`back` left; None if there is none."""
        return self._step(self._forward, self._back, here)

    def _step(self, source: list[Location], other: list[Location], here: Location) -> Location | None:
        while source:
            there = source.pop()
            if there != here:
                other.append(here)
                return there
        return None
