"""The cluster map of the host file, the cell under the cursor in words, and the legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.containers import Container

from qcow2inspect.tui import describe, tasks
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.hostmap import Colouring
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import CellChosen, FollowAsked, JumpAsked, KnowledgeGrew, MapMade, TaskFailed
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.widgets.mapgrid import MapGrid
from qcow2inspect.tui.widgets.textpane import TextPane
from qcow2inspect.units import HostOffset, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult
    from textual.message import Message

    from qcow2inspect.tui.clustermap import ClusterMap, Kind
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["CellPane", "MapScreen"]

_MOST_BAD = 100_000
_NAMED = 26


class CellPane(TextPane):
    """The cell under the cursor, and the legend with counts.

    Args:
        session: the image.
        grid: the map.
        look: colours and glyphs.
        id: Textual id.
    """

    def __init__(self, session: Session, grid: MapGrid, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self.session = session
        self.grid = grid

    def compose_lines(self, width: int) -> Iterator[Line]:
        """Where, what, how many; then all kinds."""
        made = self.grid.map
        if made is None or not len(made):
            return
        yield from self._cell(made, width)
        yield self.rule(f"the whole file by {made.told}", width)
        for owner, count in made.counts().items():
            yield self._count(owner, count, made, width)
        if self.grid.bad:
            words = f" {counted(len(self.grid.bad), 'cluster')} with evidence of damage"
            yield [(f" {self.look.glyphs['no']}", self.look.style("bad")), (words, self.look.style("text"))]

    def _cell(self, made: ClusterMap, width: int) -> Iterator[Line]:
        units = self.grid.units
        first, last = units.start * made.clusters, units.stop * made.clusters - 1
        start, end = units.start * made.unit, min(units.stop * made.unit, made.end)
        name = f"cluster {first:,}" + (f"‥{last:,}" if last > first else "")
        yield [(f" {self.look.glyphs.text(name)}", self.look.style("title"))]
        yield from self.row("host", f"{start:#x}‥{end - 1:#x}  {human_size(end - start)}", width)
        named = sum(1 for unit in self.grid.bad if unit in units)
        if named:
            words = f"{counted(named, 'cluster')} with evidence of damage"
            yield from self.row("finding", words, width, "bad", sign=self.look.glyphs["no"])
        for number, (owner, count) in enumerate(made.counts(units.start, units.stop).items()):
            words = f"{owner.word}" + (f" {count * made.clusters:,}" if last > first else "")
            sign = self.look.glyphs[owner.role]
            yield from self.row("" if number else "holds", words, width, owner.role, sign=sign)
        yield from self._node(made, units, width)

    def _node(self, made: ClusterMap, units: range, width: int) -> Iterator[Line]:
        offset = HostOffset(made.worst_unit(units.start, units.stop) * made.unit)
        node = self.session.locate(offset)
        if node is None:
            return
        yield from self.row("begins", describe.title(node), width)
        for label, value, role in describe.facts(self.session, node):
            if label in ("guest", "refcount"):
                yield from self.row(label, value, width, role)
        key = self.look.glyphs["enter"]
        yield [(f" {key}", self.look.style("key")), (f" explores {offset}", self.look.style("dim"))]

    def _count(self, owner: Kind, count: int, made: ClusterMap, width: int) -> Line:
        size = human_size(count * made.unit)
        line: Line = [
            (f" {self.look.glyphs[owner.role]} ", self.look.style(owner.role)),
            (f"{owner.word:<15}", self.look.style("text")),
            (f"{count * made.clusters:>11,} ", self.look.style("text")),
        ]
        return [*line, (f"{size:>10}", self.look.style("dim"))] if width >= 42 else line


class MapScreen(BaseScreen):
    """The host file at a glance."""

    BINDINGS = bindings("map")
    SCOPE = "map"
    AUTO_FOCUS = "#grid"
    FOCUS_SCOPES = {"grid": ("grid",)}

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.grid = MapGrid(look, id="grid")
        self.cell = CellPane(session, self.grid, look, id="cell")
        self.colouring = Colouring.TYPE
        self._progress: tasks.TaskProgress | None = None

    def compose_body(self) -> ComposeResult:
        """The map, and the cell in words."""
        with Container(id="halves"):
            yield self.grid
            yield self.cell

    def on_mount(self) -> None:
        """Make the map."""
        super().on_mount()
        self.grid.border_title = "Map of the image file"
        self.arrive(self.session.here)
        self._begin()

    def on_unmount(self) -> None:
        """Nobody wants it any more."""
        if self._progress is not None:
            self._progress.stop()

    def _begin(self) -> None:
        """Make the map that is wanted, and no other any more."""
        self.on_unmount()
        self._progress = tasks.TaskProgress("map", self.post_message)
        self._make(self._progress, self.colouring)

    @work(thread=True, exclusive=True, group="map", exit_on_error=False)
    def _make(self, progress: tasks.TaskProgress, colouring: Colouring) -> None:
        tasks.host_map(self.session, colouring, progress, self.post_message)

    def on_map_made(self, message: MapMade) -> None:
        """Show it, if it is still wanted."""
        message.stop()
        if message.by is not self._progress:
            return
        if self.grid.map is None:
            offset = self.session.here.offset if self.session.here.mode == "map" else HostOffset(0)
            self.grid.at = offset // message.map.unit
        self.grid.show(message.map, self._bad(message.map))
        self._describe()

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why there is none."""
        message.stop()
        if message.error is not None:
            self.status.say(str(message.error), "bad")

    def _bad(self, made: ClusterMap) -> frozenset[int]:
        """The units in which the evidence of errors lies."""
        heavy = (finding for finding in self.session.knowledge.findings if finding.severity.is_bad)
        units = {evidence.where.start // made.unit for finding in heavy for evidence in finding.evidence}
        return frozenset(sorted(units)[:_MOST_BAD])

    def news(self, message: Message) -> None:
        """More findings, perhaps."""
        super().news(message)
        if isinstance(message, KnowledgeGrew) and self.grid.map is not None:
            self.grid.show(self.grid.map, self._bad(self.grid.map))
            self._describe()

    # -- the one place ----------------------------------------------------------------------------------------

    @property
    def here(self) -> Location:
        """Where the cursor is."""
        unit = self.grid.map.unit if self.grid.map is not None else 1
        return Location(HostOffset(self.grid.at * unit), mode="map")

    def arrive(self, there: Location) -> None:
        """Put the cursor on a host offset."""
        if self.grid.map is not None:
            self.grid.place(there.offset // self.grid.map.unit)
        self._describe()

    def _describe(self) -> None:
        made = self.grid.map
        self.cell.border_title = self.framed("Under the cursor")
        self.cell.recompose_lines()
        if made is None:
            return
        offset = HostOffset(self.grid.units.start * made.unit)
        crumbs = [(self.session.tree.root.name, "0"), (f"map by {made.told}", ""), (f"host {offset}", f"{offset}")]
        self.crumbs.show(crumbs, self.session.knowledge.findings)
        scale = f"{counted(self.grid.per_cell * made.clusters, 'cluster')} in a cell"
        name = f"{self.session.image.geometry.host_clusters(made.end):,} clusters, {scale}"
        self.grid.border_title = f"Map of the image file {self.look.glyphs['dot']} {name}"
        self.status.show_facts([f"host {offset}", scale, f"{human_size(made.end)} file"])

    def on_cell_chosen(self, message: CellChosen) -> None:
        """The cursor moved."""
        message.stop()
        self.status.say("")
        self._describe()

    # -- actions ----------------------------------------------------------------------------------------------

    def on_follow_asked(self, message: FollowAsked) -> None:
        """A double click."""
        message.stop()
        self.action_follow()

    def action_follow(self) -> None:
        """Explore the worst cluster of the cell."""
        made, units = self.grid.map, self.grid.units
        if made is None or not units:
            return
        named = min((unit for unit in self.grid.bad if unit in units), default=None)
        unit = made.worst_unit(units.start, units.stop) if named is None else named
        self.post_message(JumpAsked(Location(HostOffset(unit * made.unit))))

    def action_colours(self) -> None:
        """Let the colours tell something else."""
        self.colouring = self.colouring.next
        self.status.say(f"the colours show the {self.colouring.value}", "note")
        self._begin()

    def action_next_pane(self) -> None:
        """To the other pane."""
        (self.cell if self.focused is self.grid and self.cell.display else self.grid).focus()
