"""The name of the backing file's format."""

from __future__ import annotations

from qcow2inspect.format.extensions.base import HeaderExtension

__all__ = ["BackingFormat"]


class BackingFormat(HeaderExtension):
    """Backing file format name string. Spec: Header extensions, 0xe2792aca."""

    MAGIC = 0xE2792ACA
    TITLE = "backing file format name"
    DOC = "Format of the backing file; without it a program has to guess"

    @property
    def shown(self) -> str:
        """The name."""
        return self.text
