"""What ``qemu-img check`` of QEMU 7.2 says about an image: its counters, its statistics, its exit code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["EXIT_CLEAN", "EXIT_CORRUPT", "EXIT_FAILED", "EXIT_LEAKS", "EXIT_UNKNOWN_FORMAT", "QemuCheck"]

EXIT_CLEAN = 0
EXIT_FAILED = 1
"""The check could not be finished."""
EXIT_CORRUPT = 2
EXIT_LEAKS = 3
EXIT_UNKNOWN_FORMAT = 63
"""The file is in a format that has no check."""


@dataclass
class QemuCheck:
    """The verdict of ``qemu-img check``.

    Attributes:
        failed: why QEMU ends without a verdict; empty if it comes to one.
        corruptions: number of corruptions for each kind of message.
        leaks: leaked clusters.
        check_errors: things that could not be checked.
        image_end: end of the last host cluster in use.
        total_clusters: guest clusters of the disk.
        allocated_clusters: guest clusters with a host cluster or a compressed stream.
        fragmented_clusters: those that do not follow the one before.
        compressed_clusters: those that are compressed.
    """

    failed: str = ""
    corruptions: Counter[str] = field(default_factory=Counter)
    leaks: int = 0
    check_errors: int = 0
    image_end: int = 0
    total_clusters: int = 0
    allocated_clusters: int = 0
    fragmented_clusters: int = 0
    compressed_clusters: int = 0

    @property
    def corruption_count(self) -> int:
        """All corruptions."""
        return self.corruptions.total()

    @property
    def exit_code(self) -> int:
        """What ``qemu-img check`` returns."""
        if self.failed or self.check_errors:
            return EXIT_FAILED
        if self.corruption_count:
            return EXIT_CORRUPT
        return EXIT_LEAKS if self.leaks else EXIT_CLEAN
