"""The cluster map of the image file or of the guest disk, the cell under the cursor in words, and the legend."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import work
from textual.containers import Container

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui import describe, supply
from qcow2inspect.tui.clustermap import Entropy, GuestCount, GuestUse, named_units
from qcow2inspect.tui.commands import bindings, key_of
from qcow2inspect.tui.entropy import CLUSTERS_OF_A_CELL, MEANINGS, SAMPLE, EntropyMap
from qcow2inspect.tui.hostmap import Colouring
from qcow2inspect.tui.knowledge import KnowledgeGrew
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import CellChosen, ChainChanged, FollowAsked, JumpAsked
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.tasks import mapping
from qcow2inspect.tui.tasks.running import Progressed, TaskFailed, TaskProgress
from qcow2inspect.tui.widgets.mapgrid import MapGrid
from qcow2inspect.tui.widgets.textpane import TextPane
from qcow2inspect.units import GuestOffset, HostOffset, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.app import ComposeResult
    from textual.message import Message

    from qcow2inspect.findings import Finding
    from qcow2inspect.tui.clustermap import ClusterMap, Kind
    from qcow2inspect.tui.entropy import Spot
    from qcow2inspect.tui.location import GuestState
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.mapping import MapMade, Sampled
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["CellPane", "MapScreen"]

_NAMED = 26
_PAINT = 0.3


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
        yield self.rule(f"the whole {'disk' if made.is_guest else 'file'} by {made.told}", width)
        for words in _notes(made):
            yield from self.paragraph(words, width, "dim")
        for owner, count in made.counts().items():
            yield from self._count(owner, count, made, width)
        if self.grid.bad:
            words = f" {counted(len(self.grid.bad), 'cluster')} with evidence of damage"
            yield [(f" {self.look.glyphs['no']}", self.look.style("bad")), (words, self.look.style("text"))]

    def _cell(self, made: ClusterMap, width: int) -> Iterator[Line]:
        units = self.grid.units
        first, last = units.start * made.clusters, units.stop * made.clusters - 1
        start, end = units.start * made.unit, min(units.stop * made.unit, made.end)
        name = f"cluster {first:,}" + (f"‥{last:,}" if last > first else "")
        yield [(f" {self.look.glyphs.text(name)}", self.look.style("title"))]
        yield from self.row(
            "guest" if made.is_guest else "host", f"{start:#x}‥{end - 1:#x}  {human_size(end - start)}", width
        )
        named = sum(1 for unit in self.grid.bad if unit in units)
        if named:
            words = f"{counted(named, 'cluster')} with evidence of damage"
            yield from self.row("finding", words, width, "bad", sign=self.look.glyphs["no"])
        for number, (owner, count) in enumerate(made.counts(units.start, units.stop).items()):
            words = f"{owner.word}" + (f" {count * made.clusters:,}" if last > first else "")
            sign = self.look.glyphs[owner.role]
            yield from self.row("" if number else "holds", words, width, owner.role, sign=sign)
        if made.is_guest:
            yield self._enter(f" goes to guest {made.worst_unit(units.start, units.stop) * made.unit:#x}")
        else:
            yield from self._node(made, units, width)

    def _enter(self, words: str) -> Line:
        return [(f" {self.look.glyphs['enter']}", self.look.style("key")), (words, self.look.style("dim"))]

    def _node(self, made: ClusterMap, units: range, width: int) -> Iterator[Line]:
        offset = HostOffset(made.worst_unit(units.start, units.stop) * made.unit)
        node = self.session.locate(offset)
        if node is None:
            return
        yield from self.row("begins", describe.title(node), width)
        for label, value, role in describe.facts(self.session, node):
            if label in ("guest", "refcount"):
                yield from self.row(label, value, width, role)
        yield self._enter(f" explores {offset}")

    def _count(self, owner: Kind, count: int, made: ClusterMap, width: int) -> Iterator[Line]:
        size = human_size(count * made.unit)
        line: Line = [
            (f" {self.look.glyphs[owner.role]} ", self.look.style(owner.role)),
            (f"{owner.word:<15}", self.look.style("text")),
            (f"{count * made.clusters:>11,} ", self.look.style("text")),
        ]
        meaning = MEANINGS.get(owner) if isinstance(owner, Entropy) else None
        yield [*line, (f"{size:>10}", self.look.style("dim"))] if width >= 42 and made.kinds is not Entropy else line
        if meaning is not None:
            yield from self.paragraph(meaning, width, "dim")


def _notes(made: ClusterMap) -> Iterator[str]:
    """What must be known to read the colours."""
    if isinstance(made, EntropyMap):
        yield (
            f"a sample: {made.sampled:,} of {len(made):,} looked at, {CLUSTERS_OF_A_CELL} of a cell at most, "
            f"{human_size(SAMPLE)} of each, as stored: neither inflated nor decrypted; the highest of a cell counts"
        )
    elif made.kinds is GuestCount:
        yield "refcount, in this image, of the host cluster that holds it"
    elif made.kinds is GuestUse:
        yield "states of this image that need the host cluster that holds it"


class MapScreen(BaseScreen):
    """The image file, or the guest disk, at a glance."""

    BINDINGS = bindings("map")
    SCOPE = "map"
    AUTO_FOCUS = "#grid"
    FOCUS_SCOPES = {"grid": ("grid",)}

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.grid = MapGrid(look, id="grid")
        self.cell = CellPane(session, self.grid, look, id="cell")
        self.colouring = Colouring.TYPE
        self._state: GuestState | None = None
        self._wanted = 0
        self._host: HostOffset | None = None
        self._progress: TaskProgress | None = None
        self._sampling: TaskProgress | None = None
        self._spot: Spot | None = None
        self._painted = 0.0

    def compose_body(self) -> ComposeResult:
        """The map, and the cell in words."""
        with Container(id="halves"):
            yield self.grid
            yield self.cell

    def on_mount(self) -> None:
        """Make the map."""
        super().on_mount()
        self.grid.border_title = "Map of the image file"
        self._wanted = self.session.here.offset
        self._begin()
        self.arrive(self.session.here)

    def on_screen_resume(self) -> None:
        """In front again: another state may be looked at by now."""
        if self._state is not None and self._state != self.session.state:
            self._turn(self.session.state, self.here.guest or 0)

    def on_unmount(self) -> None:
        """Nobody wants it any more."""
        if self._progress is not None:
            self._progress.stop()
        self._stop_sampling()

    def _begin(self) -> None:
        """Make the map that is wanted, and no other any more."""
        self.on_unmount()
        self._progress = TaskProgress("map", self.post_message)
        self._make(self._progress)

    def _turn(self, state: GuestState | None, offset: int, host: HostOffset | None = None) -> None:
        """To the map of the guest disk in a state, or of the file (None): to an offset, or what lies at ``host``."""
        self._state, self._wanted, self._host = state, offset, host
        self.grid.clear("making the map")
        self._begin()
        self._describe()

    @work(thread=True, exclusive=True, group="map", exit_on_error=False)
    def _make(self, progress: TaskProgress) -> None:
        if self._state is not None:
            mapping.guest_map(self.session, (self.colouring, self._host), progress, self.post_message)
        else:
            mapping.host_map(self.session, self.colouring, progress, self.post_message)

    def on_map_made(self, message: MapMade) -> None:
        """Show it, if it is still wanted."""
        message.stop()
        if message.by is not self._progress:
            return
        if self.grid.map is None:
            self.grid.at = (self._wanted if message.at is None else message.at) // message.map.unit
        self.grid.show(message.map, self._bad(message.map))
        self._spot = None
        self._describe()

    # -- samples ----------------------------------------------------------------------------------------------

    def _look_at_samples(self) -> None:
        """Read samples of what came into sight, if the colours show the entropy."""
        made = self.grid.map
        if not isinstance(made, EntropyMap) or self._spot == self.grid.spot:
            return
        self._stop_sampling()
        self._spot = self.grid.spot
        self._sampling = TaskProgress("entropy", self.post_message)
        self._sample(self._spot, self._sampling)

    @work(thread=True, exclusive=True, group="entropy", exit_on_error=False)
    def _sample(self, spot: Spot, progress: TaskProgress) -> None:
        made = self.grid.map  # no argument of the task, which is remembered when it is over
        if isinstance(made, EntropyMap) and progress is self._sampling:
            mapping.sample_entropy(self.session, made, spot, progress, self.post_message)

    def _stop_sampling(self) -> None:
        if self._sampling is not None:
            self._sampling.stop()
            self._sampling = None

    def on_progressed(self, message: Progressed) -> None:
        """More samples were read; painting all of them takes longer than reading a few more."""
        message.stop()
        if message.task != "entropy" or self._sampling is None or time.monotonic() - self._painted < _PAINT:
            return
        part = 100 * message.done // message.total if message.total else 0
        self.status.say(f"{message.what}   {part} %   {key_of('map.stop')} stops", "dim")
        self._paint_samples()

    def on_sampled(self, message: Sampled) -> None:
        """All samples were read."""
        message.stop()
        if message.by is self._sampling:
            self._sampling = None
            self.status.say("")
            self._paint_samples()

    def _paint_samples(self) -> None:
        self._painted = time.monotonic()
        self.grid.refresh()
        self.cell.recompose_lines()

    def action_stop(self) -> None:
        """Read no more samples; what was read stays."""
        if self._sampling is not None:
            self._stop_sampling()
            self._paint_samples()
            self.status.say("sampling stopped: what is not sampled has the colour of nothing", "warn")

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why there is none."""
        message.stop()
        if message.task == "entropy" and message.error is not None:
            self.status.say(str(message.error), "bad")
        elif message.error is not None:
            self.grid.waiting = f"no map: {message.error}"
            self.grid.refresh()
            self.status.say(str(message.error), "bad")

    def _bad(self, made: ClusterMap) -> frozenset[int]:
        """The units in which the evidence of errors lies."""
        return named_units(made, self._findings)

    def news(self, message: Message) -> None:
        """More findings, perhaps."""
        super().news(message)
        if isinstance(message, ChainChanged) and self._state is not None:
            self._turn(self.session.state, self.here.guest or 0)
        elif isinstance(message, KnowledgeGrew) and self.grid.map is not None:
            self.grid.show(self.grid.map, self._bad(self.grid.map))
            self._describe()

    # -- the one place ----------------------------------------------------------------------------------------

    @property
    def here(self) -> Location:
        """Where the cursor is."""
        offset = self._wanted if self.grid.map is None else self.grid.at * self.grid.map.unit
        if self._state is not None:
            return Location(mode="map", guest=GuestOffset(offset), state=self._state)
        return Location(HostOffset(offset), mode="map")

    def arrive(self, there: Location) -> None:
        """Put the cursor on an offset of the image file or of the guest."""
        offset, state = (there.offset, None) if there.guest is None else (there.guest, there.state)
        if state is not None:
            self.session.state = state
        self._wanted = offset
        if state != self._state:
            self._turn(state, offset)
        elif self.grid.map is not None:
            self.grid.place(offset // self.grid.map.unit)
        self._describe()

    def _describe(self) -> None:
        self._look_at_samples()
        made = self.grid.map
        self.cell.border_title = self.framed("Under the cursor")
        self.cell.recompose_lines()
        if made is None:
            return
        offset, file = HostOffset(self.grid.units.start * made.unit), "disk" if made.is_guest else "file"
        scale = f"{counted(self.grid.per_cell * made.clusters, 'cluster')} in a cell"
        name = f"{-(-made.end * made.clusters // made.unit):,} clusters, {scale}"
        title = "Map of the guest disk" if made.is_guest else "Map of the image file"
        self.grid.border_title = f"{title} {self.look.glyphs['dot']} {name}"
        where = f"{'guest' if made.is_guest else 'host'} {offset}"
        self.crumbs.show([(self.session.tree.root.name, "0"), *self._crumbs(made, where)], self._findings)
        self.status.show_facts([where, scale, f"{human_size(made.end)} {file}"])

    @property
    def _findings(self) -> Sequence[Finding]:
        return self.session.knowledge.findings

    def _crumbs(self, made: ClusterMap, where: str) -> list[tuple[str, str]]:
        """What is shown, and where; a place of the file has an address."""
        if self._state is not None:
            return [(f"map of {self._state.title} by {made.told}", ""), (where, "")]
        return [(f"map by {made.told}", ""), (where, where.partition(" ")[2])]

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
        """Explore the worst cluster of the cell, or go to its guest bytes."""
        made, units = self.grid.map, self.grid.units
        if made is None or not units:
            return
        named = min((unit for unit in self.grid.bad if unit in units), default=None)
        unit = made.worst_unit(units.start, units.stop) if named is None else named
        there = Location(HostOffset(unit * made.unit))
        if self._state is not None:
            there = Location(mode="guest", guest=GuestOffset(unit * made.unit), state=self._state)
        self.post_message(JumpAsked(there))

    def action_order(self) -> None:
        """The guest disk in guest order, or the image file; the cursor stays on the same bytes if it can be told."""
        here = self.here
        if self._state is not None:
            self._turn(None, self._host_of(here))
        else:
            self._turn(self.session.state, 0, here.offset)

    def _host_of(self, here: Location) -> int:
        """Host offset of what is under the cursor of the guest map, or of the entry that maps it; 0 for none."""
        guest = here.guest or GuestOffset(0)
        try:
            there = supply.host_location(self.session, guest, self.session.view().lookup(guest))
        except (Qcow2InspectError, ValueError, IndexError):
            return 0
        return there.offset if isinstance(there, Location) else 0

    def action_colours(self) -> None:
        """Let the colours tell something else."""
        self.colouring, self._host = self.colouring.next, None
        self.status.say(f"the colours show the {self.colouring.value}", "note")
        self._begin()

    def action_next_pane(self) -> None:
        """To the other pane."""
        (self.cell if self.focused is self.grid and self.cell.display else self.grid).focus()
