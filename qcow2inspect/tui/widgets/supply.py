"""Where the guest byte under the cursor comes from, as a pane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui import describe, supply
from qcow2inspect.tui.readings import readings
from qcow2inspect.tui.widgets.guestpane import role_of
from qcow2inspect.tui.widgets.textpane import TextPane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.image.address import Place
    from qcow2inspect.image.view import Extent
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line
    from qcow2inspect.units import GuestOffset

__all__ = ["SupplyPane"]


class SupplyPane(TextPane):
    """File, host range, type, entries and numbers of one guest byte.

    Args:
        session: the image.
        look: colours and glyphs.
        id: Textual id.
    """

    def __init__(self, session: Session, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.session = session
        self._guest: GuestOffset | None = None
        self._extent: Extent | None = None
        self._data = b""
        self._trouble: Qcow2InspectError | ValueError | None = None

    def show(self, guest: GuestOffset, extent: Extent | None, data: bytes) -> None:
        """Show a byte.

        Args:
            guest: its offset.
            extent: where it comes from; None while that is being read.
            data: up to 8 bytes from it on; fewer where they cannot be read.
        """
        self._guest, self._extent, self._data, self._trouble = guest, extent, data, None
        self.recompose_lines()

    def fail(self, error: Qcow2InspectError | ValueError) -> None:
        """There are no guest bytes at all."""
        self._trouble = error
        self.recompose_lines()

    def compose_lines(self, width: int) -> Iterator[Line]:
        """Title, facts, entries, numbers."""
        if self._trouble is not None:
            yield from self._failure(self._trouble, width)
            return
        if self._guest is None:
            return
        yield self._title(self._guest)
        if self._extent is None:
            yield [(" reading", self.look.style("dim"))]
            return
        for label, value, role in supply.facts(self.session, self._guest, self._extent):
            sign = self.look.glyphs[role_of(self._extent)] if label == "type" else ""
            yield from self.row(label, value, width, role, sign=sign)
        yield from self._entries(self._guest, width)
        yield from self._readings(width)

    def _failure(self, error: Qcow2InspectError | ValueError, width: int) -> Iterator[Line]:
        sign = self.look.glyphs["no"]
        yield from self.row("what", getattr(error, "what", str(error)), width, "bad", sign=sign)
        for label, name in (("why", "why"), ("next", "hint")):
            if getattr(error, name, ""):
                yield from self.row(label, getattr(error, name), width)

    def _title(self, guest: GuestOffset) -> Line:
        style = self.look.style
        return [(f" guest byte {guest}", style("title")), (f"  {int(guest):,}", style("dim"))]

    def _entries(self, guest: GuestOffset, width: int) -> Iterator[Line]:
        found = supply.entries(self.session, guest)
        if found.last is None:
            return
        yield self.rule("mapped by", width)
        for place in (found.l1, found.l2):
            if place is not None:
                yield from self._entry(place, width)
        key = self.look.glyphs["enter"]
        yield [(f" {key}", self.look.style("key")), (" goes to this entry", self.look.style("dim"))]

    def _entry(self, place: Place, width: int) -> Iterator[Line]:
        node = place.node
        size = min(8, node.where.size)
        raw = int.from_bytes(self.session.image.read(place.offset, size), "big")
        words = f"{raw:#0{2 + 2 * size}x} at {place.offset}"
        yield from self.row(node.path.rpartition(".")[2] or node.path, words, width, "dim", label_role="text")
        role = node.state if self.look.glyphs.has(node.state) else "text"
        yield from self.row("", describe.shown(node), width, role, sign=self.look.glyphs[role].strip())

    def _readings(self, width: int) -> Iterator[Line]:
        if not self._data:
            return
        yield self.rule("numbers", width)
        for name, value in readings(self._data):
            yield from self.row(name, value, width)
