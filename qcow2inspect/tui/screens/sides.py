"""What the Compare screen does with the one of its two sides that keys act on: walk, mark, copy, write, assume."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from qcow2inspect.tui import nearby
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import JumpAsked
from qcow2inspect.tui.screens.walk import WalkScreen
from qcow2inspect.tui.widgets.comparepane import ComparePane, pair_up
from qcow2inspect.units import GuestOffset, GuestRange

if TYPE_CHECKING:
    from qcow2inspect.image.parts import Part
    from qcow2inspect.image.view import View
    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.comparison import Side
    from qcow2inspect.tui.copying import Copied
    from qcow2inspect.tui.exporting import Order
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.bytespane import BytesPane

__all__ = ["SidesScreen"]


class SidesScreen(WalkScreen):
    """Two panes of bytes at one place; keys act on the one with the focus."""

    NEARBY = "dcm"

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.left = ComparePane(look, id="side-a")
        self.right = ComparePane(look, id="side-b")
        pair_up(self.left, self.right)

    # -- what subclasses say ----------------------------------------------------------------------------------

    @property
    def is_listing(self) -> bool:
        """True while a list is shown in place of the bytes."""
        return False

    @property
    def listed(self) -> Part | None:
        """The range under the cursor of that list."""
        return None

    # -- the one place ----------------------------------------------------------------------------------------

    @property
    def panes(self) -> tuple[ComparePane, ComparePane]:
        """A and B."""
        return (self.left, self.right)

    @property
    def active(self) -> ComparePane:
        """The pane that keys act on."""
        return self.right if self.focused is self.right else self.left

    @property
    def side(self) -> Side | None:
        """The disk that keys act on."""
        comparison = self.session.comparison
        if comparison is None:
            return None
        return comparison.b if self.active is self.right else comparison.a

    @property
    def here(self) -> Location:
        """Where the cursor is."""
        return self.place_at(self.left.at, 0, "")

    @property
    def busy(self) -> bool:
        """True while bytes that are in sight are being read."""
        return any(pane.reader.busy for pane in self.panes)

    @property
    def pane(self) -> BytesPane | None:
        """The bytes of the side that keys act on, while they are shown."""
        return None if self.is_listing or self.side is None else self.active

    @property
    def bytes_view(self) -> View | None:
        """The bytes of the active pane."""
        return self.active.view

    @property
    def bytes_at(self) -> int:
        """Guest offset of the cursor."""
        return self.left.at

    @property
    def bytes_name(self) -> str:
        """What is searched."""
        return f"the guest bytes, {self.side.title}" if self.side else "nothing"

    def place_at(self, offset: int, size: int, title: str) -> Location:
        """The location of guest bytes."""
        guest = GuestOffset(offset)
        state = self.side.place(guest).state if self.side is not None else self.session.state
        return Location(size=size, title=title, mode="compare", guest=guest, state=state)

    def place_of_difference(self, offset: int) -> Location:
        """Here."""
        return self.place_at(offset, 0, "")

    def go_to_byte(self, there: Location) -> None:
        """Show a place on both sides; go to the one that the place is on, if it is on one."""
        comparison, guest = self.session.comparison, there.guest or GuestOffset(0)
        side = comparison.side_at(there) if comparison is not None else None
        if comparison is not None and side is not None and not self.is_listing:
            self.panes[comparison.sides.index(side)].focus()
        for pane in self.panes:
            marked = GuestRange.at(guest, there.size or 0) if pane is self.active else GuestRange.at(0, 0)
            pane.show(int(guest), marked=marked)
        self.right.scroll_top(self.left.top)

    def action_next_pane(self) -> None:
        """To the other pane."""
        if not self.is_listing:
            (self.left if self.focused is self.right else self.right).focus()

    # -- travel -----------------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        """To the guest view, or from a list to the bytes."""
        side, app = self.side, cast("InspectApp", self.app)
        if side is None:
            app.action_compare()
        elif self.is_listing:
            if self.listed is not None:
                app.jump(self.place_at(int(self.listed.guest.start), 0, ""))
        elif not side.is_ours:
            self.status.say(f"{side.name} is another file: open it by itself to look into it")
        else:
            self.post_message(JumpAsked(side.place(self.active.guest)))

    def action_swap(self) -> None:
        """A is B, B is A."""
        if self.session.comparison is not None:
            cast("InspectApp", self.app).begin_comparison(self.session.comparison.swapped())

    def action_stop(self) -> None:
        """Stop the search, or the comparison."""
        if self._searching is not None:
            super().action_stop()
        else:
            cast("InspectApp", self.app).stop_comparison()

    @property
    def guest_at(self) -> int:
        """Guest offset from which on differences are looked for."""
        return self.left.at

    def find_nearby(self, key: str, step: int) -> Location | None:
        """The next or previous cluster, or mark of the side that keys act on."""
        comparison, side = self.session.comparison, self.side
        if comparison is None or side is None:
            return None
        if key == "m":
            return self._beside(nearby.next_mark(self.session, side.place(self.left.guest), step))
        cluster = self.session.image.geometry.cluster_size
        offset = nearby.next_cluster(self.left.at, cluster, comparison.size, step)
        return self.place_at(offset, 0, "") if offset is not None else None

    # -- notes and marks --------------------------------------------------------------------------------------

    @property
    def noted(self) -> Location | None:
        """The byte under the cursor of the side that keys act on."""
        return self.side.place(self.left.guest) if self.side is not None else None

    def to_mark(self, mark: Location) -> None:
        """A mark on one of the sides is shown here; others are where they belong."""
        self.post_message(JumpAsked(self._beside(mark) or mark))

    def _beside(self, place: Location | None) -> Location | None:
        """A place of a side as this screen shows it; others stay as they are."""
        comparison = self.session.comparison
        if place is None or comparison is None or comparison.side_at(place) is None:
            return place
        return replace(place, mode="compare")

    # -- copy, write, assume ----------------------------------------------------------------------------------

    def copied(self, data: bytes, part: range) -> Copied:
        """What is copied of the side that keys act on."""
        from qcow2inspect.tui.copying import Copied

        side = self.side
        assert side is not None  # else there are no bytes
        there = Location(mode="guest", guest=GuestOffset(part.start), state=side.state)
        ident = self.ident_of(side.state) if side.is_ours else ""
        return Copied(data, there, side.chain.layers[0].name, ident, is_raw=side.is_raw)

    def order(self, target: str) -> Order | None:
        """Bytes of the side that keys act on: the selection, else the difference here, else what is in sight."""
        from qcow2inspect.export.choices import Choices
        from qcow2inspect.tui.exporting import Order

        side, part = self.side, self._written()
        if side is None or not part:
            return None
        within = GuestRange(GuestOffset(part.start), GuestOffset(part.stop))
        choices = Choices(hashes=("sha256",), verify=True, within=within)
        return Order(side.state, target, choices, chain=None if side.is_ours else side.chain)

    def _written(self) -> range:
        comparison, side, pane = self.session.comparison, self.side, self.active
        if comparison is None or side is None:
            return range(0)
        found = self.listed if self.is_listing else comparison.part_at(self.left.at)
        if not self.is_listing and (pane.chosen or pane.marked):
            part = pane.chosen or pane.marked
        elif found is not None:
            part = range(found.guest.start, found.guest.end)
        else:
            part = range(pane.top * pane.per_row, (pane.top + pane.height) * pane.per_row)
        return range(part.start, min(part.stop, side.view.size))

    def assume(self) -> bool:
        """Ask what to assume of the file that keys act on, if it is another."""
        side = self.side
        if side is None or side.is_ours:
            return False
        cast("InspectApp", self.app).assume_of(side)
        return True

    @property
    def assumed_words(self) -> list[str]:
        """What is assumed of the other files, too."""
        comparison = self.session.comparison
        others = [side for side in comparison.sides if not side.is_ours] if comparison is not None else []
        found = [f"ASSUMED of {side.name}: {side.assumed.shown}" for side in others if side.assumed]
        return [*super().assumed_words, *found]
