"""What the person who exports may choose."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcow2inspect.units import GuestRange

__all__ = ["HASHES", "Choices", "OnError", "Sparse"]

HASHES = ("md5", "sha1", "sha256", "blake2b")
"""Hash functions by the names that hashlib knows."""


class OnError(Enum):
    """What stands in the place of bytes that cannot be read."""

    FAIL = "fail"
    """Nothing: the export stops."""
    ZERO = "zero"
    """Zeros."""
    PATTERN = "pattern"
    """A text that says so, again and again, so that a search finds every place."""
    BEST = "best"
    """What could be inflated before the stream broke, and zeros for the rest."""


class Sparse(Enum):
    """Which zeros become holes of the file."""

    MAP = "map"
    """Those that the tables or the image file's own holes tell of, and compressed clusters that are all zeros."""
    DETECT = "detect"
    """Every 4 KiB of zeros."""
    OFF = "off"
    """None: every byte of the file is allocated."""


@dataclass(frozen=True, slots=True)
class Choices:
    """How to export.

    Attributes:
        force: replace existing files, and start though the disk looks too full.
        sparse: which zeros become holes.
        preallocate: reserve the space of everything that will be written before the first byte is.
        on_error: what to do about bytes that cannot be read.
        hashes: names out of :data:`HASHES`; computed over the exported bytes in order, while they are written.
        verify: read the finished file back and compare its hash with that of the bytes that were written.
        manifest: write a manifest beside the file; implied by ``hashes``, ``verify`` and ``on_error``.
        hash_sources: name the SHA-256 of every file that was read in the manifest.
        within: the bytes of the view to export; all of them for None.
        split: bytes of each part of the output; 0 for one file.
        device: the target may be a block device.
        keep: leave the unfinished file and its journal behind when the export is stopped, or reading or writing
            fails; where the image's own damage stops it, there is nothing to continue.
        resume: continue what an earlier run left behind, or begin where there is nothing; implies ``keep``.
    """

    force: bool = False
    sparse: Sparse = Sparse.MAP
    preallocate: bool = False
    on_error: OnError = OnError.FAIL
    hashes: tuple[str, ...] = ()
    verify: bool = False
    manifest: bool = False
    hash_sources: bool = False
    within: GuestRange | None = None
    split: int = 0
    device: bool = False
    keep: bool = False
    resume: bool = False

    @property
    def wants_manifest(self) -> bool:
        """True if a manifest is written."""
        lists = self.on_error is not OnError.FAIL
        return self.manifest or self.verify or self.hash_sources or bool(self.hashes) or lists

    @property
    def computed(self) -> tuple[str, ...]:
        """The hashes to compute: those asked for, or one to verify with."""
        return self.hashes or (("sha256",) if self.verify else ())
