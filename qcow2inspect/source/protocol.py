"""What an image needs from whatever holds its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.units import HostRange

__all__ = ["Source", "read_padded"]


class Source(Protocol):
    """Bytes that can be read at any place by any thread. There is no shared position and no way to write."""

    @property
    def name(self) -> str:
        """What a person calls it: a path."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    @property
    def allocated(self) -> int:
        """Bytes that the file system really stores; smaller than :attr:`size` if the file has holes."""

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode, which tell whether two names mean one file; None for bytes without a file."""

    def read_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end, none past it.

        Raises:
            CannotRead: the read failed.
        """

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        """The parts of ``within`` that may hold something other than zeros, in order, holes left out."""


def read_padded(source: Source, offset: int, size: int) -> bytes:
    """``size`` bytes from ``offset`` on; bytes past the end of the source are zero, as QEMU reads them.

    Raises:
        CannotRead: the read failed.
    """
    return source.read_at(offset, size).ljust(size, b"\0")
