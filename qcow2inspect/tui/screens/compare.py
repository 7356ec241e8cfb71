"""Two disks side by side: their bytes, their mappings, their fields."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from textual import work
from textual.containers import Container

from qcow2inspect.image.parts import Part, Relation
from qcow2inspect.tui import compared
from qcow2inspect.tui.commands import bindings, key_of
from qcow2inspect.tui.messages import ChainChanged, FollowAsked, GuestChosen, JumpAsked
from qcow2inspect.tui.screens.sides import SidesScreen
from qcow2inspect.tui.tasks import comparing
from qcow2inspect.tui.tasks.comparing import ComparisonGrew
from qcow2inspect.tui.tasks.running import Progressed, TaskProgress
from qcow2inspect.tui.widgets.difflist import DiffList
from qcow2inspect.tui.widgets.diffmap import DiffMap
from qcow2inspect.tui.widgets.origins import OriginPane
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.app import ComposeResult
    from textual.message import Message

    from qcow2inspect.tui.commands import Command
    from qcow2inspect.tui.compared import Row
    from qcow2inspect.tui.comparison import Comparison
    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.comparing import Tabled
    from qcow2inspect.tui.theme import Look

__all__ = ["CompareScreen"]

_LEVELS = ("bytes", "mapping", "fields")
_TITLES = {"bytes": "Differences", "mapping": "Mapping", "fields": "Fields"}
_NOTHING = "Nothing is compared yet."
_HOW = "chooses two states of this image, or another image or raw disk to compare it with."
_FIRST = 97
"""Weight of the key that chooses what to compare, while nothing is compared."""


class CompareScreen(SidesScreen):
    """Two disks, one place."""

    BINDINGS = bindings("compare")
    SCOPE = "compare"
    AUTO_FOCUS = "#side-a"
    FOCUS_SCOPES = {"side-a": ("hex",), "side-b": ("hex",)}

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.map = DiffMap(look, id="difference")
        self.list = DiffList(look, id="differences")
        self.origins = OriginPane(look, id="origins")
        self.level = "bytes"
        self.only = False
        self._shown: Comparison | None = None
        self._tables: dict[str, Tabled] = {}
        self._tabling = TaskProgress("compare", self.post_message)

    def compose_body(self) -> ComposeResult:
        """Map, panes or list, origins."""
        yield self.map
        with Container(id="sides"):
            yield self.left
            yield self.right
            yield self.list
        yield self.origins

    def on_mount(self) -> None:
        """Show where the session is."""
        super().on_mount()
        self.list.display = False
        self.arrive(self.session.here)

    def on_unmount(self) -> None:
        """Read no more."""
        self._tabling.stop()
        for pane in self.panes:
            pane.reader.close()

    # -- the one place ----------------------------------------------------------------------------------------

    def arrive(self, there: Location) -> None:
        """Show a place."""
        self._take_sides()
        if there.guest is not None:
            self._show_bytes()
            self.go_to_byte(there)
        self._describe()
        self.status.say(there.title, "note")
        comparison = self.session.comparison
        if there.state.kind == "other" and (comparison is None or comparison.side_at(there) is None):
            self.status.say(f"{there.state.title} is not compared now; {key_of('compare.choose')} opens it", "warn")

    def _take_sides(self) -> None:
        """Show the disks that are compared, if they are others than before."""
        comparison = self.session.comparison
        if comparison is self._shown:
            return
        self._shown = comparison
        self._tables.clear()
        for pane, side in zip(self.panes, comparison.sides if comparison else (), strict=False):
            pane.total = comparison.size if comparison else 0
            pane.on_resize()
            pane.read_from(side.view)
        self._fill_list()
        self._name_panes()
        self.renew_keys()
        self._show_changed()

    def news(self, message: Message) -> None:
        """More is known, or the bytes may be others now."""
        super().news(message)
        if isinstance(message, (ComparisonGrew, ChainChanged)) or (
            isinstance(message, Progressed) and message.task == "compare"
        ):
            self._take_sides()
            if self.level == "bytes":
                self._fill_list()
            self._describe()

    def offered_keys(self) -> list[Command]:
        """As long as nothing is compared, what begins it comes first."""
        found = super().offered_keys()
        if self.session.comparison is not None:
            return found
        first = next((one for one in found if one.id == "compare.choose"), None)
        rest = [one for one in found if one.scope == "app" and one is not first]
        return [*([replace(first, weight=_FIRST)] if first else []), *rest]

    # -- what is said -----------------------------------------------------------------------------------------

    def _describe(self) -> None:
        comparison = self.session.comparison
        self.map.show(comparison, self.left.at)
        self.crumbs.show(self._crumbs(comparison), self.session.knowledge.findings)
        if comparison is None:
            self.origins.show(("", _NOTHING, "strong", ""), ("", f"{key_of('compare.choose')} {_HOW}", "text", ""))
            self.status.show_facts(["nothing to compare yet"])
            return
        item = self.list.current if self.list.display else comparison.part_at(self.left.at)
        if isinstance(item, Part) or (item is None and self.level == "bytes"):
            self.origins.show(*self._rows(comparison, item))
        else:
            rows = compared.field_rows(item) if item is not None else [("", self.list.empty, "dim", "")]
            self.origins.show(*rows)
        self.status.show_facts(list(compared.facts(comparison, self.look.glyphs["unlike"])))

    def _crumbs(self, comparison: Comparison | None) -> list[tuple[str, str]]:
        titles = [
            f"{letter} {side.title}" for letter, side in zip("AB", comparison.sides if comparison else (), strict=False)
        ]
        return [(word, "") for word in ("compare", *titles, *([f"guest {self.left.guest}"] if comparison else []))]

    def _rows(self, comparison: Comparison, item: Part | None) -> Iterator[Row]:
        """What can be said about the place, and where each side has it."""
        listed = self.list.display
        at = item.guest.start if listed and item is not None else self.left.guest
        if item is not None:
            yield compared.range_row(comparison, item, mapped=self.level == "mapping")
        elif listed:
            yield ("", self.list.empty, "dim", "more")
        else:
            yield compared.same_row(comparison, at)
        for letter, side, pane in zip("AB", comparison.sides, self.panes, strict=True):
            extent = pane.reader.extent(at)
            if listed and item is not None:
                extent = item.a if letter == "A" else item.b
            yield compared.origin_row(letter, side, extent, at)

    def _name_panes(self) -> None:
        comparison, dot = self.session.comparison, self.look.glyphs["dot"]
        for letter, pane, side in zip("AB", self.panes, comparison.sides if comparison else (None, None), strict=True):
            pane.border_title = self.framed(f"{letter} {dot} {self.look.glyphs.text(side.title)}" if side else letter)
        size = f" {dot} {human_size(comparison.size)} guest" if comparison else ""
        self.map.border_title = f"Difference map{size}"
        self.list.border_title = self.framed(_TITLES[self.level])
        self.origins.border_title = self.framed("Here")

    # -- what the panes say -----------------------------------------------------------------------------------

    def on_guest_chosen(self, message: GuestChosen) -> None:
        """The cursor of a pane moved, or bytes have come."""
        message.stop()
        if message.offset is None:
            for pane in self.panes:
                pane.refresh()
        else:
            self.status.say("")
            other = self.active.other
            if other is not None:
                other.show(int(message.offset))
        self.call_later(self._describe)

    def on_follow_asked(self, message: FollowAsked) -> None:
        """A double click."""
        message.stop()
        self.action_follow()

    def on_diff_map_chosen(self, message: DiffMap.Chosen) -> None:
        """A click on the map."""
        message.stop()
        self.post_message(JumpAsked(self.place_at(message.offset, 0, "")))

    def on_diff_list_moved(self, message: DiffList.Moved) -> None:
        """Another row of the list."""
        message.stop()
        item = self.list.current
        if isinstance(item, Part):
            self.go_to_byte(self.place_at(int(item.guest.start), 0, ""))
        self._describe()

    # -- levels -----------------------------------------------------------------------------------------------

    def action_level(self) -> None:
        """Bytes, mapping, fields in turn."""
        if self.session.comparison is None:
            return
        self.level = _LEVELS[(_LEVELS.index(self.level) + 1) % len(_LEVELS)]
        self.only = False
        self._show_level()

    def action_only(self) -> None:
        """Only what differs, and back."""
        if self.session.comparison is not None and self.level != "mapping":
            self.only = not self.only
            self._show_level()

    def _show_bytes(self) -> None:
        if self.list.display:
            self.level, self.only = "bytes", False
            self._show_level()

    def _show_level(self) -> None:
        listed = self.level != "bytes" or self.only
        self.list.display = listed
        for pane in self.panes:
            pane.display = not listed
        (self.list if listed else self.left).focus()
        if self.level != "bytes" and self.level not in self._tables and self.session.comparison is not None:
            self._tabling = TaskProgress("compare", self.post_message)
            self._tabulate(self.session.comparison, self.level, self._tabling)
        self._fill_list()
        self._name_panes()
        self._describe()

    @work(thread=True, exclusive=True, group="tabulate", exit_on_error=False)
    def _tabulate(self, comparison: Comparison, level: str, progress: TaskProgress) -> None:
        comparing.tabulate(comparison, level, progress, self.post_message)

    def on_tabled(self, message: Tabled) -> None:
        """Show the rows."""
        message.stop()
        self._tables[message.level] = message
        self._fill_list()
        self._describe()

    def _fill_list(self) -> None:
        comparison, table = self.session.comparison, self._tables.get(self.level)
        if comparison is None:
            return
        if self.level == "bytes":
            more = comparison.sums.ranges - sum(part.relation is Relation.DIFFERENT for part in comparison.parts)
            empty = "no difference" if comparison.is_done else "no difference so far"
            self.list.show(comparison.parts, more, empty)
        elif table is None:
            self.list.show((), 0, "reading the tables")
        elif self.level == "fields" and self.only:
            self.list.show(
                [row for row in table.rows if not isinstance(row, Part) and not row.is_same],
                0,
                "all fields are the same",
            )
        else:
            self.list.show(table.rows, table.more, "all is mapped the same")

    @property
    def listed(self) -> Part | None:
        """The range under the cursor of the list, if one is shown."""
        item = self.list.current if self.list.display else None
        return item if isinstance(item, Part) else None

    @property
    def is_listing(self) -> bool:
        """True while a list is shown in place of the bytes."""
        return bool(self.list.display)

    def action_stop(self) -> None:
        """Stop the search, or the comparison."""
        if self._searching is None:
            self._tabling.stop()
        super().action_stop()

    def stand(self) -> Callable[[], None]:
        """Bytes are shown when something is found; then the list again."""
        level, only, back = self.level, self.only, super().stand()

        def restore() -> None:
            back()
            if (level, only) != (self.level, self.only):
                self.level, self.only = level, only
                self._show_level()

        return restore

    def on_resize(self) -> None:
        """Names fit the frames."""
        self._name_panes()
