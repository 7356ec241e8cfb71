"""A header extension that this specification does not know; writers must preserve it."""

from __future__ import annotations

from qcow2inspect.format.extensions.base import HeaderExtension

__all__ = ["Unknown"]


class Unknown(HeaderExtension):
    """Any kind that no module declares."""

    MAGIC = -1
    TITLE = "unknown"
    DOC = "A header extension of another program; writers must preserve it"

    @property
    def shown(self) -> str:
        """Kind and length."""
        return f"{self.record.magic:#010x}, {len(self.data)} bytes"
