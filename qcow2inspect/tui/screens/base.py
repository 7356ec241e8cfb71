"""What Overview and Explore have in common: breadcrumb, banner, status, keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.screen import Screen

from qcow2inspect.tui.base import fit
from qcow2inspect.tui.commands import of_scopes
from qcow2inspect.tui.jobs import JobChanged
from qcow2inspect.tui.knowledge import KnowledgeGrew
from qcow2inspect.tui.messages import ChainChanged
from qcow2inspect.tui.tasks.running import Progressed, TaskFailed
from qcow2inspect.tui.widgets.crumbs import Crumbs
from qcow2inspect.tui.widgets.paint import FRAMED
from qcow2inspect.tui.widgets.status import Banner, KeyBar, StatusBar

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.message import Message

    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.commands import Command
    from qcow2inspect.tui.dialogs.explain import Topic
    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look

__all__ = ["FRAMED", "BaseScreen"]

_CHANGED = "{} was changed by somebody since it was opened: what is shown may mix old and new bytes"


class BaseScreen(Screen[None]):
    """A screen of the inspector.

    Attributes:
        SCOPE: scope of its commands.

    Args:
        session: the image.
        look: colours and glyphs.
    """

    SCOPE: ClassVar[str] = ""
    FOCUS_SCOPES: ClassVar[dict[str, tuple[str, ...]]] = {"findings": ("findings",)}
    """Id of the focused pane -> scopes of its commands that belong in the key bar."""

    def __init__(self, session: Session, look: Look) -> None:
        super().__init__()
        self.session = session
        self.look = look
        self.crumbs = Crumbs(look)
        self.banner = Banner(look)
        self.status = StatusBar(look)
        self.status.heard = session.log.note
        self.keys = KeyBar(look)

    def on_compose(self) -> None:
        """Be laid out once, for the terminal as it is."""
        fit(self)

    def compose(self) -> ComposeResult:
        """Breadcrumb, banner, body, status, keys."""
        yield self.crumbs
        yield self.banner
        yield from self.compose_body()
        yield self.status
        yield self.keys

    def compose_body(self) -> ComposeResult:
        """What lies between breadcrumb and status."""
        yield from ()

    @property
    def here(self) -> Location:
        """Where the user is on this screen."""
        return self.session.here

    def explained(self) -> Topic | None:
        """What is under the cursor, to be explained; None if nothing is."""
        return None

    @property
    def noted(self) -> Location | None:
        """The place at which a note stands that is written now; None for none."""
        return self.here

    def action_note(self) -> None:
        """Write a note at this place."""
        cast("InspectApp", self.app).action_note()

    def arrive(self, there: Location) -> None:
        """Show a place; a screen that is one place has nothing to do."""

    def framed(self, title: str) -> str:
        """A title for a pane: where the frame is a line only, it needs its own blanks."""
        return title if self.size.width >= FRAMED else f" {title} "

    def on_mount(self) -> None:
        """Listen to the news."""
        app = cast("InspectApp", self.app)
        app.news.subscribe(self, self.news)
        self.crumbs.seal(*self.session.badge)
        self._show_changed()
        self._show_survey()
        if app.exports:
            self._show_exports()
        self.renew_keys()

    def on_descendant_focus(self) -> None:
        """Other panes, other keys."""
        self.renew_keys()

    def renew_keys(self) -> None:
        """Offer the keys that work where the focus is."""
        self.keys.show(self.offered_keys())

    def offered_keys(self) -> list[Command]:
        """The commands whose keys work where the focus is."""
        focused = self.focused.id if self.focused else ""
        scopes = self.FOCUS_SCOPES.get(focused or "", ())
        return [command for command in of_scopes("app", self.SCOPE, *scopes) if not self._is_here(command.id)]

    def _is_here(self, command: str) -> bool:
        return command == self.SCOPE

    def news(self, message: Message) -> None:
        """Something happened in the background."""
        if isinstance(message, Progressed) and message.task == "survey":
            part = f" {100 * message.done // message.total} %" if message.total else ""
            self.status.show_work(f"{self.look.glyphs['more']} reading the tables{part}", "dim")
        elif isinstance(message, TaskFailed) and message.task == "survey":
            words = str(message.error) if message.error else "stopped"
            self.status.show_work(f"{self.look.glyphs['no']} survey: {words}", "warn")
        elif isinstance(message, KnowledgeGrew):
            self._show_survey()
        elif isinstance(message, ChainChanged):
            self.crumbs.seal(*self.session.badge)
        elif isinstance(message, JobChanged) or (isinstance(message, Progressed) and message.task == "export"):
            self._show_exports()
        self._show_changed()

    def _show_exports(self) -> None:
        """A gauge for the export that runs in the background."""
        waiting = cast("InspectApp", self.app).exports
        if not waiting:
            self.status.show_work("", "dim")
            self._show_survey()
            return
        job = waiting[0]
        glyphs, percent = self.look.glyphs, job.percent
        bar = glyphs["full"] * (percent // 20) + glyphs["empty"] * (5 - percent // 20)
        more = f", {len(waiting) - 1} more" if len(waiting) > 1 else ""
        word = "paused" if job.progress.paused else job.stage_words
        self.status.show_work(f"export {bar} {word}{more}", "note")

    def _show_survey(self) -> None:
        knowledge = self.session.knowledge
        if knowledge.surveyed:
            self.status.show_work(f"{self.look.glyphs['yes']} all tables read in {knowledge.seconds:.1f} s", "good")

    @property
    def assumed_words(self) -> list[str]:
        """What is assumed of the files that are shown."""
        assumed = self.session.image.assumed.shown
        return [f"ASSUMED {assumed}: what the file holds there is not what is shown"] if assumed else []

    def assume(self) -> bool:
        """Ask what to assume of another file than the image, if that is what keys act on."""
        return False

    def _show_changed(self) -> None:
        changed = self.session.changed
        words = [*([_CHANGED.format(changed)] if changed else []), *self.assumed_words]
        self.banner.show(f"{self.look.glyphs['warning']} {'; '.join(words)}" if words else "")
