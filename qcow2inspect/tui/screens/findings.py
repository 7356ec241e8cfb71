"""All findings, the heaviest first, and the one under the cursor in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.containers import Container
from textual.widgets import Input

from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.harm import DamageFound, find_harm, has_harm
from qcow2inspect.tui.knowledge import KnowledgeGrew
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import ChainChanged, EdgeReached
from qcow2inspect.tui.nearby import place_of
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.tasks.running import Progressed, TaskFailed, TaskProgress
from qcow2inspect.tui.widgets.causes import CauseList
from qcow2inspect.tui.widgets.radius import Radius
from qcow2inspect.tui.widgets.textpane import TextPane
from qcow2inspect.units import counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult
    from textual.message import Message

    from qcow2inspect.findings import Finding
    from qcow2inspect.rules.causes import Cause
    from qcow2inspect.tui.dialogs.explain import Topic
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["FindingPane", "FindingsScreen", "matches"]

_SHOWN = 200


def matches(finding: Finding, words: str) -> bool:
    """True if every word stands in code, severity, kind, message or evidence of a finding."""
    text = f"{finding.code} {finding.severity} {finding.category} {finding.message} "
    text += " ".join(f"{evidence.path} {evidence.where.start}" for evidence in finding.evidence)
    return all(word in text.lower() for word in words.lower().split())


class FindingPane(TextPane):
    """One finding: what, where the proof is, which guest bytes it touches."""

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._finding: Finding | None = None
        self._cause: Cause | None = None

    def show(self, finding: Finding | None, cause: Cause | None = None) -> None:
        """Show a finding, or a group of them; None for none."""
        if finding is not self._finding or cause is not self._cause:
            self._finding, self._cause = finding, cause
            self.recompose_lines()

    def compose_lines(self, width: int) -> Iterator[Line]:
        """Head, message, evidence, guest ranges; of a group, what it is and what is in it."""
        if self._finding is not None:
            yield from self._of_finding(self._finding, width)
        elif self._cause is not None:
            yield from self._of_cause(self._cause, width)

    def _of_cause(self, cause: Cause, width: int) -> Iterator[Line]:
        glyphs, style = self.look.glyphs, self.look.style
        severity = str(cause.severity)
        yield [(f" {glyphs[severity]} {severity} ", style(severity)), (cause.title, style("title"))]
        yield from self.paragraph(cause.why, width)
        yield self.rule(f"{counted(len(cause.findings), 'kind')}, {counted(cause.count, 'place')}", width)
        for finding in cause.findings:
            severity = str(finding.severity)
            yield [(f" {glyphs[severity]} ", style(severity)), (finding.code, style("dim"))]
            yield from self.paragraph(finding.message, width)

    def _of_finding(self, finding: Finding, width: int) -> Iterator[Line]:
        glyphs, style = self.look.glyphs, self.look.style
        severity = str(finding.severity)
        yield [(f" {glyphs[severity]} {severity} ", style(severity)), (finding.code, style("title"))]
        yield from self.row("kind", f"{finding.category}, {finding.count:,} place{'s' * (finding.count != 1)}", width)
        yield from self.row("what", finding.message, width)
        yield from self._evidence(finding, width)
        yield from self._guest(finding, width)

    def _evidence(self, finding: Finding, width: int) -> Iterator[Line]:
        yield self.rule("evidence", width)
        if not finding.evidence:
            yield from self.paragraph("no bytes of their own prove it", width, "dim")
        for evidence in finding.evidence[:_SHOWN]:
            digits = 2 + 2 * min(8, max(1, evidence.where.size))
            words = f"{evidence.path} = {evidence.raw:#0{digits}x}"
            label = f"{evidence.where.start}"
            yield from self.row(label, words, width, "text", label_role="key", label_cells=12)
            if evidence.shown:
                yield from self.row("", evidence.shown, width, "dim", label_cells=12)
        more = finding.more + max(0, len(finding.evidence) - _SHOWN)
        if more:
            yield from self.paragraph(f"and {more:,} more", width, "dim")

    def _guest(self, finding: Finding, width: int) -> Iterator[Line]:
        if not finding.guest:
            return
        yield self.rule("guest bytes that are touched", width)
        for part in finding.guest[:_SHOWN]:
            words = f"‥{part.end - 1:#x}  {human_size(part.size)}"
            yield from self.row(f"{part.start}", words, width, "text", label_role="key", label_cells=12)


class FindingsScreen(BaseScreen):
    """A list to walk through, and what is to be said about each."""

    BINDINGS = bindings("finding-list")
    SCOPE = "finding-list"
    AUTO_FOCUS = "#list"
    FOCUS_SCOPES = {"list": ("findings",)}

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__(session, look)
        self.list = CauseList(look, id="list")
        self.detail = FindingPane(look, id="detail")
        self.radius = Radius(look, id="radius")
        self._progress = TaskProgress("damage", self.post_message)
        self._looked: object = None

    def compose_body(self) -> ComposeResult:
        """Filter, list, detail."""
        yield Input(placeholder="show only findings with these words", id="filter")
        yield self.radius
        with Container(id="halves"):
            yield self.list
            yield self.detail

    def on_mount(self) -> None:
        """Fill it."""
        super().on_mount()
        self.query_one(Input).display = False
        self.radius.border_title = "Blast radius"
        self._fill()
        self._look_how_far()

    def on_unmount(self) -> None:
        """Nobody waits for it any more."""
        self._progress.stop()

    @property
    def here(self) -> Location:
        """The list is one place."""
        return Location(mode="findings")

    @property
    def noted(self) -> Location | None:
        """The bytes that prove the finding under the cursor."""
        finding = self.list.finding or next(iter(self.list.chosen), None)
        return place_of(finding, finding.evidence[0]) if finding is not None and finding.evidence else None

    def _is_here(self, command: str) -> bool:
        return command == "findings"

    def explained(self) -> Topic | None:
        """The findings under the cursor."""
        from qcow2inspect.tui.dialogs.explain import Topic

        chosen = self.list.chosen
        return Topic.findings(chosen) if chosen else None

    def news(self, message: Message) -> None:
        """More is known."""
        super().news(message)
        if isinstance(message, KnowledgeGrew) and message.knowledge is not None:
            self._fill()
        if isinstance(message, ChainChanged | KnowledgeGrew):
            self._look_how_far()

    def _fill(self) -> None:
        knowledge, words = self.session.knowledge, self.query_one(Input).value
        shown = [finding for finding in knowledge.findings if matches(finding, words)]
        self.list.show(shown, complete=knowledge.surveyed, filtered=bool(words))
        count = f"{len(shown)} of {len(knowledge.findings)}" if words else f"{len(shown)}"
        self.list.border_title = f"Findings {self.look.glyphs['dot']} {count}"
        self.status.show_facts([f"not checked: {'; '.join(knowledge.dossier.not_checked) or 'nothing'}"])
        self.crumbs.show([(self.session.tree.root.name, "0"), ("findings", "")], knowledge.findings)
        self.call_after_refresh(self._describe)

    def _describe(self) -> None:
        cause = self.list.cause
        self.detail.border_title = self.framed("Group of findings" if cause else "Finding")
        self.detail.show(self.list.finding, cause)

    def on_edge_reached(self, message: EdgeReached) -> None:
        """The cursor moved, or wants to and cannot."""
        message.stop()
        if abs(message.rows) > 1:
            self.list.scroll_top(self.list.top + message.rows)
        self._describe()

    # -- blast radius -----------------------------------------------------------------------------------------

    def _look_how_far(self) -> None:
        """Find out how far the damage reaches, each time that something else is known; a sound image has none."""
        self.radius.display = has_harm(self.session)
        known = (self.session.knowledge.survey, self.session.chain)
        if not self.radius.display or known == self._looked:
            return
        self._looked = known
        self._progress.stop()
        self._progress = TaskProgress("damage", self.post_message)
        self.radius.show(None, "looking how far the damage reaches into the disk")
        self._find_harm(self._progress)

    @work(thread=True, exclusive=True, group="damage", exit_on_error=False)
    def _find_harm(self, progress: TaskProgress) -> None:
        with self.session.log.running("finding out how far the damage reaches", progress, self.post_message) as post:
            find_harm(self.session, progress, post)

    def on_damage_found(self, message: DamageFound) -> None:
        """Show it."""
        message.stop()
        self.session.damage = message.damage
        self.radius.show(message.damage)

    def on_progressed(self, message: Progressed) -> None:
        """It takes its time; the log says so."""
        message.stop()

    def on_task_failed(self, message: TaskFailed) -> None:
        """Say why it is not known."""
        message.stop()
        self.radius.show(None, str(message.error) if message.error else "how far the damage reaches was not found out")

    # -- filter -----------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Ask which findings to show."""
        box = self.query_one(Input)
        box.display = True
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show those."""
        event.stop()
        self._fill()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the list, which stays as it is."""
        event.stop()
        event.input.display = bool(event.value)
        self.list.focus()

    def action_all(self) -> None:
        """Show all findings again."""
        box = self.query_one(Input)
        box.value = ""
        box.display = False
        self.list.focus()

    def action_next_pane(self) -> None:
        """To the other pane."""
        (self.detail if self.focused is self.list and self.detail.display else self.list).focus()
