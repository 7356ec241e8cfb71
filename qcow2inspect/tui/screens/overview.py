"""The first screen: the verdict in words, the facts, what is special, the findings, and what to do next."""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget

from qcow2inspect.format.header import CryptMethod
from qcow2inspect.source.protection import protection_words
from qcow2inspect.tui.commands import key_of
from qcow2inspect.tui.knowledge import KnowledgeGrew
from qcow2inspect.tui.messages import ChainChanged, EdgeReached
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.widgets.crumbs import tally
from qcow2inspect.tui.widgets.findings import FindingsList
from qcow2inspect.tui.widgets.paint import line_width
from qcow2inspect.tui.widgets.textpane import TextPane
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.style import Style
    from textual.app import ComposeResult
    from textual.geometry import Size
    from textual.message import Message

    from qcow2inspect.dossier import State
    from qcow2inspect.tui.dialogs.explain import Topic
    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["Box", "OverviewScreen"]

_STATE_CELLS = 15
_VERDICTS = {
    "CANNOT BE READ": ("bad", "no"),
    "DAMAGED": ("bad", "no"),
    "READ THE WARNINGS": ("warn", "warning"),
    "CHECKING": ("dim", "more"),
}
_STATE_ROLES = {
    "corrupt": "invalid",
    "dirty": "warning",
    "snapshots": "snapshot",
    "overlay": "note",
    "data file": "note",
}


class Box(TextPane, can_focus=False):
    """A box that is as high as its text.

    Args:
        look: colours and glyphs.
        title: what the border says.
        composer: gives the lines for a width.
        id: Textual id.
    """

    def __init__(
        self,
        look: Look,
        title: str,
        composer: Callable[[Box, int], Iterator[Line]],
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(look, id=id)
        self.border_title = title
        self._composer = composer

    def compose_lines(self, width: int) -> Iterator[Line]:
        """The lines for a width."""
        return self._composer(self, width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as the text needs."""
        del container, viewport
        return len(list(self.compose_lines(max(10, width - 1))))

    def renew(self) -> None:
        """The text has changed, and perhaps its height."""
        self.recompose_lines()
        self.refresh(layout=True)


class OverviewScreen(BaseScreen):
    """What an examiner reads first."""

    SCOPE = "overview"
    AUTO_FOCUS = "#findings"

    def compose_body(self) -> ComposeResult:
        """Boxes: two columns where there is room."""
        with VerticalScroll(id="page", can_focus=False):
            with Vertical(id="left"):
                yield Box(self.look, "Verdict", self._verdict, id="verdict")
                yield FindingsList(self.look, id="findings")
                yield Box(self.look, "What is special", self._states, id="states")
            with Vertical(id="right"):
                yield Box(self.look, "Facts", self._facts, id="facts")
                yield Box(self.look, "Next steps", self._next, id="next")

    def on_mount(self) -> None:
        """Show what the header tells."""
        super().on_mount()
        self.query_one(FindingsList).border_title = "Findings"
        page = self.query_one("#page")
        for size in ("virtual_size", "scroll_y"):
            self.watch(page, size, self._hint, init=False)
        self._renew()

    @property
    def here(self) -> Location:
        """The overview is one place."""
        from qcow2inspect.tui.location import Location

        return Location(mode="overview")

    def explained(self) -> Topic | None:
        """The findings under the cursor."""
        from qcow2inspect.tui.dialogs.explain import Topic

        chosen = self.query_one(FindingsList).chosen
        return Topic.findings(chosen) if chosen else None

    def news(self, message: Message) -> None:
        """More is known."""
        super().news(message)
        grew = isinstance(message, KnowledgeGrew) and message.knowledge is not None
        if grew or isinstance(message, ChainChanged):
            self._renew()

    def _renew(self) -> None:
        knowledge = self.session.knowledge
        self.query_one(FindingsList).show(knowledge.findings, complete=knowledge.surveyed)
        for box in self.query(Box):
            box.renew()
        self.crumbs.show([(self.session.tree.root.name, "")], knowledge.findings)
        self._hint()

    def _hint(self) -> None:
        """Say if there is more below."""
        page = self.query_one("#page")
        hidden = page.max_scroll_y - page.scroll_offset.y
        image = self.session.image
        facts = [f"{human_size(image.source.size)} file", f"{human_size(image.header.size)} disk"]
        more = f"{self.look.glyphs['down']} more below ({key_of('list.page_down')})"
        self.status.show_facts([more, *facts] if hidden > 0 else facts)

    def on_edge_reached(self, message: EdgeReached) -> None:
        """Scroll the page, or bring the chosen finding into sight."""
        message.stop()
        page, findings = self.query_one("#page"), self.query_one(FindingsList)
        if message.rows:
            page.scroll_relative(y=message.rows, animate=False)
        else:
            _bring_into_sight(page, findings, findings.rows_of_cursor)

    def on_resize(self) -> None:
        """What is below depends on the size."""
        self.call_after_refresh(self._hint)

    # -- boxes ------------------------------------------------------------------------------------------------

    def _verdict(self, box: Box, width: int) -> Iterator[Line]:
        knowledge, style, glyphs = self.session.knowledge, self.look.style, self.look.glyphs
        role, sign = _VERDICTS.get(knowledge.dossier.verdict, ("good", "yes"))
        so_far = "" if knowledge.surveyed else "  by the header; the tables are being read"
        line: Line = [(f" {glyphs[sign]} {knowledge.dossier.verdict}", style(role)), ("   ", style("text"))]
        yield [*line, *tally(knowledge.findings, self.look), (so_far, style("dim"))]
        for sentence in knowledge.dossier.summary:
            yield from box.paragraph(sentence, width)
        flags = list(self._flags())
        if flags:
            yield [("   ", style("text")), *flags]

    def _flags(self) -> Iterator[tuple[str, Style]]:
        """What the image is, at a glance: the states that are on."""
        for state in self.session.states:
            if state.on:
                sign, role = self._sign_of(state)
                yield f"{sign} {state.name}   ", self.look.style(role)

    def _sign_of(self, state: State) -> tuple[str, str]:
        """Glyph and role of a state."""
        glyphs = self.look.glyphs
        if state.on is None:
            return glyphs["unknown"], "unknown"
        if not state.on:
            return glyphs["yes" if state.name == "corrupt" else "dot"], "dim"
        role = _STATE_ROLES.get(state.name, state.name)
        return glyphs[role] if glyphs.has(role) else glyphs["note"], role

    def _facts(self, box: Box, width: int) -> Iterator[Line]:
        dossier = self.session.knowledge.dossier
        evidence = protection_words(self.session.image.source)
        rows = [*dossier.facts, ("not checked", "; ".join(dossier.not_checked))]
        rows += [("evidence", evidence)] if evidence else []
        widest = max((cell_len(label) for label, _ in rows), default=0)
        for label, value in rows:
            yield from box.row(label, value, width, label_cells=min(widest, width // 2))

    def _states(self, box: Box, width: int) -> Iterator[Line]:
        half, states = width // 2, self.session.states
        in_columns = all(cell_len(state.shown) + _STATE_CELLS <= half for state in states)
        rows = [list(self._state(box, state, half if in_columns else width)) for state in states]
        if in_columns:
            middle = (len(rows) + 1) // 2
            nothing: list[Line] = [[]]
            for left, right in zip_longest(rows[:middle], rows[middle:], fillvalue=nothing):
                gap = " " * max(0, half - line_width(left[0]))
                yield [*left[0], (gap, self.look.style("text")), *right[0]]
        else:
            yield from chain.from_iterable(rows)
        yield from self._counts(width)

    def _state(self, box: Box, state: State, width: int) -> Iterator[Line]:
        sign, role = self._sign_of(state)
        words = state.shown if state.on is not None else "not checked yet"
        return box.row(state.name, words, width, role, sign=sign, label_cells=11)

    def _counts(self, width: int) -> Iterator[Line]:
        counts, style, glyphs = self.session.knowledge.dossier.counts, self.look.style, self.look.glyphs
        if not counts:
            return
        total = max(1, sum(counts.values()))
        cluster = self.session.image.geometry.cluster_size
        yield [(" guest clusters", style("title"))]
        for word, count in counts.items():
            if not count:
                continue
            room = max(0, width - 54)
            bar = glyphs["bar"] * max(1 if count else 0, room * count // total)
            yield [
                (f"  {glyphs[word]} ", style(word)),
                (f"{word:<12}", style("text")),
                (f"{count:>14,} ", style("text")),
                (f"{human_size(count * cluster):>10} ", style("dim")),
                (f"{100 * count / total:5.1f} % ", style("dim")),
                (bar, style(word)),
            ]

    def _behind(self) -> Iterator[tuple[str, str]]:
        """What can be opened and unlocked."""
        image = self.session.image
        if image.header.crypt_method is not CryptMethod.NONE:
            yield "passphrase", "unlock the guest data with its passphrase"
        if image.header.backing_file_offset or image.has_data_file:
            yield "open_files", "see and open the files that the image names"
        if image.header.nb_snapshots:
            yield "states", "look at a snapshot"

    def _key(self, command: str) -> str:
        """The key of a command, as a sign if it has one."""
        key = key_of(command)
        return self.look.glyphs["enter"] if key == "Enter" else key

    def _next(self, box: Box, width: int) -> Iterator[Line]:
        size = human_size(self.session.image.header.size)
        rows = (
            ("evidence", "look at the bytes of the chosen finding"),
            ("explore", "explore the structure with a hex view"),
            ("goto", "go to an offset or a structure"),
            ("guest", "see the disk as the guest does"),
            *self._behind(),
            ("export", f"export the raw disk ({size})"),
            ("report", "write the report"),
            ("help", "all keys"),
            ("quit", "quit; a summary stays in the terminal"),
        )
        cells = max(5, *(cell_len(self._key(command)) for command, _ in rows))
        for command, text in rows:
            yield from box.row(self._key(command), text, width, label_role="key", label_cells=cells)


def _bring_into_sight(page: Widget, widget: Widget, rows: range) -> None:
    """Scroll ``page`` so that these rows of ``widget`` are in sight."""
    if not rows:
        return
    top = widget.virtual_region.y + widget.gutter.top + rows.start
    parent = widget.parent
    if isinstance(parent, Widget) and parent is not page:
        top += parent.virtual_region.y
    height = page.content_size.height
    scrolled = page.scroll_offset.y
    if top < scrolled:
        page.scroll_to(y=max(0, top - 1), animate=False)
    elif top + len(rows) > scrolled + height:
        page.scroll_to(y=top + len(rows) + 1 - height, animate=False)
