"""What every image is, whatever its version: a file that is opened read-only and given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.image.assumed import NOTHING_ASSUMED
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Self

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.source.protocol import Source

__all__ = ["ImageFile"]


class ImageFile:
    """The file of an image.

    Attributes:
        source: where its bytes come from.
        assumed: what is taken to stand in the header and the tables instead of what does.

    Args:
        source: the bytes of the image.
        assumed: see above.
    """

    def __init__(self, source: Source, assumed: Assumptions = NOTHING_ASSUMED) -> None:
        self.source = source
        self.assumed = assumed
        self._behind: dict[str, FileSource] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str], assumed: Assumptions = NOTHING_ASSUMED) -> Self:
        """Open the image file at ``path`` read-only; the class says what it raises."""
        source = FileSource(path)
        try:
            return cls(source, assumed)
        except BaseException:
            source.close()
            raise

    def close(self) -> None:
        """Give the image file back."""
        if isinstance(self.source, FileSource):
            self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def opened(self, role: str, source: FileSource) -> None:
        """A file that the image names was opened, here or elsewhere.

        Args:
            role: what it is to the image.
            source: the file.
        """
        self._behind[role] = source

    def has_open(self, role: str) -> bool:
        """True if the file that is this to the image is open."""
        return role in self._behind and self._behind[role].is_open

    @property
    def name(self) -> str:
        """What a person calls the image: its path."""
        return self.source.name

    @property
    def end(self) -> HostOffset:
        """Host offset of the end of the file."""
        return HostOffset(self.source.size)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` host bytes of metadata from ``offset`` on; bytes past the end of the file are zero."""
        return self.assumed.over(offset, read_padded(self.source, offset, size))
