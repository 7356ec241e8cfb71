"""Two disks side by side: their bytes, their mappings, their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import work
from textual.containers import Container

from qcow2inspect.image.compare import next_difference
from qcow2inspect.image.parts import Part, Relation
from qcow2inspect.tui import nearby
from qcow2inspect.tui.commands import bindings, key_of
from qcow2inspect.tui.comparison import origin_words
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import ChainChanged, FollowAsked, GuestChosen, JumpAsked
from qcow2inspect.tui.screens.walk import WalkScreen
from qcow2inspect.tui.tasks import comparing, searching
from qcow2inspect.tui.tasks.comparing import ComparisonGrew
from qcow2inspect.tui.tasks.running import Progressed, TaskProgress
from qcow2inspect.tui.widgets.comparepane import ComparePane, pair_up
from qcow2inspect.tui.widgets.difflist import DiffList
from qcow2inspect.tui.widgets.diffmap import DiffMap
from qcow2inspect.tui.widgets.guestpane import role_of
from qcow2inspect.tui.widgets.textpane import TextPane
from qcow2inspect.units import GuestOffset, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.app import ComposeResult
    from textual.message import Message

    from qcow2inspect.image.view import View
    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.comparison import Comparison, Side
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.comparing import Tabled
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["CompareScreen", "OriginPane"]

_LEVELS = ("bytes", "mapping", "fields")
_LISTS = {"bytes": "Differences", "mapping": "Ranges that are mapped differently", "fields": "Fields"}
_NOTHING = "Nothing is compared yet."
_HOW = "chooses two states of this image, or another image or raw disk to compare it with."


class OriginPane(TextPane, can_focus=False):
    """What is known about the place under the cursor, and where both sides have it."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._rows: list[tuple[str, str, str, str]] = []

    def show(self, *rows: tuple[str, str, str, str]) -> None:
        """Show rows: label, text, role, glyph name."""
        if list(rows) != self._rows:
            self._rows = list(rows)
            self.recompose_lines()

    def compose_lines(self, width: int) -> Iterator[Line]:
        """A line or more for each row."""
        for label, text, role, sign in self._rows:
            glyph = self.look.glyphs[sign] if sign else ""
            yield from self.row(label, text, width, role, sign=glyph, label_role="title", label_cells=2)


class CompareScreen(WalkScreen):
    """Two disks, one place."""

    BINDINGS = bindings("compare")
    SCOPE = "compare"
    AUTO_FOCUS = "#side-a"
    FOCUS_SCOPES = {"side-a": ("hex",), "side-b": ("hex",)}

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.map = DiffMap(look, id="difference")
        self.left = ComparePane(look, id="side-a")
        self.right = ComparePane(look, id="side-b")
        self.list = DiffList(look, id="differences")
        self.origins = OriginPane(look, id="origins")
        self.level = "bytes"
        self.only = False
        self._shown: Comparison | None = None
        self._tables: dict[str, Tabled] = {}
        self._tabling = TaskProgress("compare", self.post_message)
        pair_up(self.left, self.right)

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
        return Location(mode="compare", guest=GuestOffset(self.left.at), state=self.session.state)

    @property
    def busy(self) -> bool:
        """True while bytes that are in sight are being read."""
        return any(pane.reader.busy for pane in self.panes)

    def arrive(self, there: Location) -> None:
        """Show a place."""
        self._take_sides()
        if there.guest is not None:
            self._show_bytes()
            self._go(int(there.guest))
        self._describe()
        self.status.say(there.title, "note")

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

    def _go(self, offset: int) -> None:
        for pane in self.panes:
            pane.show(offset)
        self.right.scroll_top(self.left.top)

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
        if self.list.display and not isinstance(item, Part):
            self.origins.show(*self._field_rows())
        else:
            self.origins.show(*self._rows(comparison, item if isinstance(item, Part) else None))
        self.status.show_facts(list(self._facts(comparison)))

    def _crumbs(self, comparison: Comparison | None) -> list[tuple[str, str]]:
        titles = [
            f"{letter} {side.title}" for letter, side in zip("AB", comparison.sides if comparison else (), strict=False)
        ]
        return [(word, "") for word in ("compare", *titles, *([f"guest {self.left.guest}"] if comparison else []))]

    def _rows(self, comparison: Comparison, part: Part | None) -> Iterator[tuple[str, str, str, str]]:
        """What can be said about the place, and where each side has it."""
        at = part.guest.start if self.list.display and part is not None else self.left.guest
        yield self._verdict(comparison, part, at)
        for letter, side, pane in zip("AB", comparison.sides, self.panes, strict=True):
            extent = pane.reader.extent(at)
            if self.list.display and part is not None:
                extent = part.a if letter == "A" else part.b
            words = f"{side.title}: {origin_words(side, extent, at)}"
            yield (letter, words, "text", role_of(extent) if extent is not None else "")

    def _verdict(self, comparison: Comparison, part: Part | None, at: GuestOffset) -> tuple[str, str, str, str]:
        if part is None:
            if self.list.display or at >= comparison.known:
                return (
                    "",
                    f"guest {at}: not compared yet" if not self.list.display else self.list.empty,
                    "dim",
                    "more",
                )
            return ("", f"guest {at}: no difference here", "good", "yes")
        where = f"guest {part.guest.start}‥{part.guest.end - 1:#x}, {human_size(part.guest.size)}"
        if part.error is not None:
            return ("", f"{where}: cannot be compared: {part.error.what}", "bad", "unknown")
        if self.level == "mapping":
            return ("", f"{where}: mapped differently", "warn", "unlike")
        number = f", difference {comparison.index_of(part) + 1:,} of {len(comparison.parts):,}"
        return (
            "",
            f"{where}: {counted(part.differing, 'byte')} differ{'s' * (part.differing == 1)}{number}",
            "warn",
            "unlike",
        )

    def _field_rows(self) -> Iterator[tuple[str, str, str, str]]:
        item = self.list.current
        if item is None or isinstance(item, Part):
            yield ("", self.list.empty, "dim", "")
            return
        yield ("", item.name, "text" if item.is_same else "warn", "yes" if item.is_same else "unlike")
        yield ("A", item.a or "no such field", "text", "")
        yield ("B", item.b or "no such field", "text", "")

    def _facts(self, comparison: Comparison) -> Iterator[str]:
        sums, sign = comparison.sums, self.look.glyphs["unlike"]
        if comparison.trouble:
            yield comparison.trouble
        elif not comparison.is_done:
            yield f"comparing {100 * comparison.reached // max(1, comparison.size)} %"
        yield f"{sign} {human_size(sums.differing)} in {counted(sums.ranges, 'range')}"
        if sums.unreadable:
            yield f"? {human_size(sums.unreadable)} unreadable"
        if sums.missing:
            yield f"~ {human_size(sums.missing)} missing"
        yield f"= {human_size(sums.by_tables)} by tables"
        yield f"= {human_size(sums.by_bytes)} by bytes"

    def _name_panes(self) -> None:
        comparison, dot = self.session.comparison, self.look.glyphs["dot"]
        for letter, pane, side in zip("AB", self.panes, comparison.sides if comparison else (None, None), strict=True):
            pane.border_title = self.framed(f"{letter} {dot} {self.look.glyphs.text(side.title)}" if side else letter)
        size = f" {dot} {human_size(comparison.size)} guest" if comparison else ""
        self.map.border_title = f"Difference map{size}"
        self.list.border_title = self.framed(
            {"bytes": "Differences", "mapping": "Mapping", "fields": "Fields"}[self.level]
        )
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
            self._go(int(item.guest.start))
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

    # -- actions ----------------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        """To the guest view, or from a list to the bytes."""
        side, item = self.side, self.list.current
        if side is None:
            cast("InspectApp", self.app).action_compare()
        elif self.list.display:
            if isinstance(item, Part):
                cast("InspectApp", self.app).jump(self.place_at(int(item.guest.start), 0, ""))
        elif not side.is_ours:
            self.status.say(f"{side.name} is another file: open it by itself to look into it")
        else:
            self.post_message(JumpAsked(Location(mode="guest", guest=self.active.guest, state=side.state)))

    def action_swap(self) -> None:
        """A is B, B is A."""
        if self.session.comparison is not None:
            cast("InspectApp", self.app).begin_comparison(self.session.comparison.swapped())

    def action_stop(self) -> None:
        """Stop the search, or the comparison."""
        if self._searching is not None:
            super().action_stop()
        else:
            self._tabling.stop()
            cast("InspectApp", self.app).stop_comparison()

    def action_next_pane(self) -> None:
        """To the other pane."""
        if not self.list.display:
            (self.left if self.focused is self.right else self.right).focus()

    # -- next and previous ------------------------------------------------------------------------------------

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

    def stand(self) -> Callable[[], None]:
        """Bytes are shown when something is found; then the list again."""
        level, only, back = self.level, self.only, super().stand()

        def restore() -> None:
            back()
            if (level, only) != (self.level, self.only):
                self.level, self.only = level, only
                self._show_level()

        return restore

    def place_at(self, offset: int, size: int, title: str) -> Location:
        """The location of guest bytes."""
        return Location(size=size, title=title, mode="compare", guest=GuestOffset(offset), state=self.session.state)

    def action_prefix(self, step: int) -> None:
        """Wait for what to go to."""
        comparison, sign = self.session.comparison, "]" if step > 0 else "["
        way = "next" if step > 0 else "previous"
        count = f"{len(comparison.parts):,}" if comparison is not None else ""
        choices = {"d": (f"{way} difference", count), "c": (f"{way} cluster", ""), "m": (f"{way} mark", "")}
        self._wait_for_key(f"{sign} {way}", choices, lambda key: self._go_on(key, step))

    def _go_on(self, key: str, step: int) -> None:
        comparison = self.session.comparison
        if comparison is None:
            return
        if key == "c":
            cluster = self.session.image.geometry.cluster_size
            offset = nearby.next_cluster(self.left.at, cluster, comparison.size, step)
            self._arrive_nearby(key, step, None if offset is None else self.place_at(offset, 0, ""))
        elif key == "m":
            self._arrive_nearby(key, step, nearby.next_mark(self.session, self.here, step))
        else:
            self._find_difference(comparison, step)

    def _find_difference(self, comparison: Comparison, step: int) -> None:
        try:
            self._arrive_difference(comparison.near(self.left.at, step), step)
        except LookupError:
            self.status.say(f"looking for a difference   {key_of('compare.stop')} stops", "dim")
            self._searching = TaskProgress("search", self.post_message)
            self._search_difference(comparison, self.left.at, step, self._searching)

    def _arrive_difference(self, part: Part | None, step: int) -> None:
        if part is None:
            self.status.say(f"there is no {'next' if step > 0 else 'previous'} difference")
        else:
            cast("InspectApp", self.app).jump(self.place_at(int(part.guest.start), 0, ""))

    @work(thread=True, exclusive=True, group="find", exit_on_error=False)
    def _search_difference(self, comparison: Comparison, at: int, step: int, progress: TaskProgress) -> None:
        def look() -> Location | None:
            part = next_difference(comparison.a.view, comparison.b.view, at, step, progress)
            return self.place_at(int(part.guest.start), 0, "") if part is not None else None

        searching.place(look, "d", step, self.post_message)

    def on_resize(self) -> None:
        """Names fit the frames."""
        self._name_panes()
