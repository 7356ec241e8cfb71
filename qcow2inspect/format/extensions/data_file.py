"""The name of the external data file."""

from __future__ import annotations

from qcow2inspect.format.extensions.base import HeaderExtension

__all__ = ["DataFile"]


class DataFile(HeaderExtension):
    """External data file name string. Spec: Header extensions, 0x44415441."""

    MAGIC = 0x44415441
    TITLE = "external data file name"
    DOC = "Name of the file that holds the guest data"

    @property
    def shown(self) -> str:
        """The name."""
        return self.text
