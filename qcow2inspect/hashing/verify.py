"""What differs between a digest that was written down and one that was computed now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.hashing.digest import Digest

__all__ = ["Comparison"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A subject with what was expected and what was found.

    Attributes:
        expected: what the manifest says.
        found: what was computed now.
    """

    expected: Digest
    found: Digest

    @property
    def is_same(self) -> bool:
        """True if nothing differs."""
        return not any(True for _ in self.differences())

    def differences(self) -> Iterator[str]:
        """What differs, in words; nothing if all is the same."""
        expected, found = self.expected, self.found
        if expected.size >= 0 and expected.size != found.size:
            yield f"size is {found.size:,} bytes, expected {expected.size:,}"
        for name, value in expected.hashes.items():
            if found.hashes[name] != value:
                yield f"{name} is {found.hashes[name]}, expected {value}"
        ranges = list(self.ranges())
        if ranges:
            shown = ", ".join(f"{start:#x}..{end:#x}" for start, end in ranges[:8])
            more = f" and {counted(len(ranges) - 8, 'more range')}" if len(ranges) > 8 else ""
            yield f"differs at {shown}{more}"

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges of bytes that hold a difference, as narrow as the pieces are, neighbours joined."""
        size = self.expected.piece_size
        end = max(self.expected.size, self.found.size)
        start: int | None = None
        count = max(len(self.expected.pieces), len(self.found.pieces))
        for index in range(count + 1):
            differs = index < count and _piece(self.expected, index) != _piece(self.found, index)
            if differs and start is None:
                start = index * size
            if not differs and start is not None:
                yield start, min(index * size, end)
                start = None


def _piece(digest: Digest, index: int) -> str | None:
    return digest.pieces[index] if index < len(digest.pieces) else None
