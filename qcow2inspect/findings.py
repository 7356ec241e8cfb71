"""What a check says about an image: observation, place, consequence; never accusation."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from qcow2inspect.units import bytes_of

if TYPE_CHECKING:
    from qcow2inspect.units import GuestRange, HostRange

__all__ = ["Category", "Evidence", "Finding", "Severity"]


class Severity(StrEnum):
    """How much a finding weighs, heaviest first."""

    FATAL = "fatal"
    """The image cannot be interpreted."""
    ERROR = "error"
    """Guest data is wrong, unreadable or at risk."""
    WARNING = "warning"
    """Odd, and able to mislead a reader or a writer."""
    NOTE = "note"
    """Worth knowing when the image is explained to somebody."""
    INFO = "info"
    """A plain fact about how the image is made."""

    @property
    def rank(self) -> int:
        """0 for the heaviest; for sorting."""
        return list(Severity).index(self)

    @property
    def is_bad(self) -> bool:
        """True for what must not be overlooked: fatal, error, warning."""
        return self.rank <= 2


class Category(StrEnum):
    """What kind of concern a finding is."""

    CORRUPTION = "corruption"
    LEAK = "leak"
    FORENSIC = "forensic"
    SECURITY = "security"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The very bytes that prove a finding.

    Attributes:
        where: host bytes, half-open.
        path: address expression of the field (``hdr.l1_size``, ``L1[3].L2[17]``).
        raw: the value as stored, as an unsigned big-endian number.
        shown: the value in words.
    """

    where: HostRange
    path: str
    raw: int
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation of one rule.

    Attributes:
        code: stable id of the catalogue (``QCOW-L2-UNALIGNED``).
        severity: how much it weighs.
        category: what kind of concern it is.
        message: what is observed and what it means for whom reads this image.
        evidence: the bytes that prove it; the first few where there are many.
        guest: guest bytes that are affected; the first few ranges where there are many.
        count: number of places; ``evidence`` may show fewer and ``more`` says how many fewer.
        guest_bytes: guest bytes that are affected in all; those of ``guest`` if left out.
    """

    code: str
    severity: Severity
    category: Category
    message: str
    evidence: tuple[Evidence, ...] = ()
    guest: tuple[GuestRange, ...] = ()
    count: int = field(default=1)
    guest_bytes: int = 0

    def __post_init__(self) -> None:
        """Count the guest bytes, unless the rule did."""
        if not self.guest_bytes:
            object.__setattr__(self, "guest_bytes", bytes_of(self.guest))

    @property
    def brief(self) -> str:
        """The observation alone, for a list: the message up to where it goes into details."""
        bare = self.message
        while bare.endswith(")") and " (" in bare:
            bare = bare[: bare.rindex(" (")]
        ends = [at for mark in (": ", "; ") if (at := bare.find(mark)) > 0]
        return bare[: min(ends)] if ends else bare

    @property
    def weight(self) -> tuple[int, int, int, str]:
        """For sorting: the heaviest first, then what touches most of the disk, then by place."""
        place = int(self.evidence[0].where.start) if self.evidence else 0
        return self.severity.rank, -self.guest_bytes, place, self.code

    @property
    def more(self) -> int:
        """Places that are counted but not shown as evidence."""
        return max(0, self.count - max(1, len(self.evidence)))
