"""The application: one image, two screens, and the tasks behind them."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text
from textual import work
from textual.message import Message

from qcow2inspect.layout.structure import visible
from qcow2inspect.source.file import FileSource
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.location import GuestState, Location
from qcow2inspect.tui.messages import ChainChanged
from qcow2inspect.tui.noting import Noting
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.screens.overview import OverviewScreen
from qcow2inspect.tui.tasks import looking
from qcow2inspect.tui.tasks.running import TaskProgress
from qcow2inspect.units import GuestOffset

if TYPE_CHECKING:
    from textual.screen import Screen

    from qcow2inspect.tui.knowledge import Explained, KnowledgeGrew
    from qcow2inspect.tui.messages import JumpAsked, PathAsked
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.opening import Followed, Unlocked
    from qcow2inspect.tui.tasks.running import Progressed, TaskFailed
    from qcow2inspect.tui.theme import Look

__all__ = ["InspectApp", "summary"]

_LOOK_AGAIN = 2.0


class InspectApp(Noting):
    """The inspector.

    Attributes:
        session: the image and where the user is.
        news: told about everything that happens in the background.

    Args:
        session: an open image.
        look: colours and glyphs; those of the terminal by default.
        passphrase: tried once the files behind the image are open.
    """

    DEFAULT_MODE = "overview"
    BINDINGS = bindings("app")

    def __init__(self, session: Session, look: Look | None = None, *, passphrase: bytes | None = None) -> None:
        super().__init__(session, look)
        self._begun = False
        self._passphrase = passphrase
        self.add_mode("overview", lambda: OverviewScreen(session, self.look))
        self.add_mode("explore", self._explore)
        self.add_mode("map", self._map)
        self.add_mode("findings", self._findings)
        self.add_mode("guest", self._guest)
        self.add_mode("compare", self._compare_screen)
        self.add_mode("log", self._log_screen)
        self._survey = TaskProgress("survey", self.post_message)
        self._explaining = TaskProgress("explain", self.post_message)
        self._unlocking = TaskProgress("unlock", self.post_message)

    def on_mount(self) -> None:
        """First paint, then work."""
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if not gc.isenabled():  # what start-up made stays to the end: no need to look at it ever again
            gc.freeze()
            gc.enable()
        self._take_survey()
        if self.session.gate is not None or self._passphrase is not None:
            self._open_behind()
        self.set_interval(_LOOK_AGAIN, self._look_again)
        self._begun = True

    @property
    def busy(self) -> bool:
        """True while keys wait, or something is done in the background or has not begun."""
        return self.keys_wait or not self._begun or any(not worker.is_finished for worker in self.workers)

    # -- tasks ------------------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="survey", exit_on_error=False)
    def _take_survey(self) -> None:
        looking.look_at_header(self.session.image, self.post_message)
        looking.index(self.session.tree, self.post_message)
        if self.session.case is not None:
            from qcow2inspect.tui.notes import recall

            recall(self.session)
        with self.session.log.running("reading all tables", self._survey, self.post_message) as post:
            looking.survey(self.session.image, self.session.asked_for, self._survey, post)

    @work(thread=True, exclusive=True, group="judge", exit_on_error=False)
    def _judge_again(self) -> None:
        looking.judge_again(self.session.knowledge, self.session.chain, self.post_message)

    def _look_behind(self) -> None:
        """What is found depends on what is behind the image, which may be opened after its tables were read."""
        survey = self.session.knowledge.survey
        if survey is not None and survey.chain is not self.session.asked_for:
            self._judge_again()

    def on_knowledge_grew(self, message: KnowledgeGrew) -> None:
        """Remember it, and tell the screens."""
        if message.knowledge is not None:
            self.session.knowledge = message.knowledge
            self._look_behind()
        self.session.indexed |= message.knowledge is None
        if message.knowledge is not None and message.knowledge.surveyed:
            self._explain()
        self.news.publish(message)

    @work(thread=True, exclusive=True, group="explain", exit_on_error=False)
    def _explain(self) -> None:
        with self.session.log.running("naming every byte", self._explaining, self.post_message) as post:
            looking.explain(self.session, self._explaining, post)

    def on_explained(self, message: Explained) -> None:
        """Remember it, and tell the screens."""
        self.session.unexplained = message.unexplained
        self.news.publish(message)

    def on_progressed(self, message: Progressed) -> None:
        """Tell the screens."""
        self.news.publish(message)

    def on_task_failed(self, message: TaskFailed) -> None:
        """Tell the screens."""
        self.session.indexed |= message.task == "index"
        if message.task == "open":
            self.say(str(message.error), "bad")
        self.news.publish(message)

    @work(thread=True, exclusive=True, group="files", exit_on_error=False)
    def _open_behind(self) -> None:
        """Open what the image names and the command line allowed; try the passphrase that it gave."""
        from qcow2inspect.tui.tasks import opening

        if self.session.gate is not None:
            opening.follow(self.session.image, self.session.gate, None, self._take)
        passphrase, self._passphrase = self._passphrase, None
        if passphrase is not None:
            with self.session.log.running("trying the passphrase", self._unlocking, self.post_message) as post:
                opening.unlock_with_file(self.session.chain, passphrase, self._unlocking, post)

    def _take(self, message: Message) -> None:
        """Called in the thread, so that the passphrase is tried on what was opened."""
        from qcow2inspect.tui.tasks.opening import Followed

        if isinstance(message, Followed):
            self.session.take(message.chain)
        self.post_message(message)

    def on_followed(self, message: Followed) -> None:
        """Files were opened: guest bytes may be others now."""
        self.session.take(message.chain)
        for layer in message.chain.layers[1:]:
            self.session.log.note(f"opened {layer.name}, to be read only")
        self.compare_anew()
        self._look_behind()
        self.news.publish(ChainChanged())
        for layer in message.chain.layers:
            if layer.end is not None:
                self.say(layer.end.what, "warn")

    def on_unlocked(self, message: Unlocked) -> None:
        """Keys are there, or not."""
        self.session.forget_view()
        self.compare_anew()
        self.news.publish(ChainChanged())
        for _, error in message.results:
            if error is not None:
                self.say(error.what, "bad")

    def _look_again(self) -> None:
        """Notice that somebody changes the image, or a file behind it, under our eyes."""
        if not self.session.changed:
            changed = [source for source in self.session.sources if isinstance(source, FileSource) and source.changed]
            if changed:
                first = changed[0]
                is_image = first is self.session.image.source
                self.session.changed = "the image file" if is_image else visible(first.name)
                self.news.publish(Message())

    # -- travel -----------------------------------------------------------------------------------------------

    def _explore(self) -> Screen[None]:
        """Made when it is first wanted: the first paint does not pay for it."""
        from qcow2inspect.tui.screens.explore import ExploreScreen

        return ExploreScreen(self.session, self.look)

    def _map(self) -> Screen[None]:
        from qcow2inspect.tui.screens.map import MapScreen

        return MapScreen(self.session, self.look)

    def _findings(self) -> Screen[None]:
        from qcow2inspect.tui.screens.findings import FindingsScreen

        return FindingsScreen(self.session, self.look)

    def _guest(self) -> Screen[None]:
        from qcow2inspect.tui.screens.guest import GuestScreen

        return GuestScreen(self.session, self.look)

    def _compare_screen(self) -> Screen[None]:
        from qcow2inspect.tui.screens.compare import CompareScreen

        return CompareScreen(self.session, self.look)

    def _log_screen(self) -> Screen[None]:
        from qcow2inspect.tui.screens.log import LogScreen

        return LogScreen(self.session, self.look)

    @property
    def here(self) -> Location:
        """Where the user is."""
        base = self.screen_stack[0]
        return base.here if isinstance(base, BaseScreen) else self.session.here

    def jump(self, there: Location) -> None:
        """Go somewhere, and remember the way back."""
        self.session.history.leave(self.here)
        self._open(there)

    def _open(self, there: Location) -> None:
        self.session.here = there
        self.switch_mode(there.mode)
        screen = self.screen_stack[0]
        if isinstance(screen, BaseScreen) and screen.is_mounted:
            screen.arrive(there)

    def on_jump_asked(self, message: JumpAsked) -> None:
        """A pane wants to go somewhere."""
        self.jump(message.location)

    def on_path_asked(self, message: PathAsked) -> None:
        """A crumb was clicked."""
        place = self.session.place(message.path)
        if place is not None:
            self.jump(Location(place.offset, place.node.path))

    def action_go_back(self) -> None:
        """To the place before."""
        self._travel(self.session.history.back(self.here), "this is where you began")

    def action_go_forward(self) -> None:
        """Forward again."""
        self._travel(self.session.history.forward(self.here), "there is nothing ahead")

    def _travel(self, there: Location | None, nowhere: str) -> None:
        if there is None:
            self.say(nowhere, "dim")
        else:
            self._open(replace(there, title=""))

    def say(self, text: str, role: str) -> None:
        """A notice on whatever screen is in front."""
        base = self.screen_stack[0]
        if isinstance(base, BaseScreen):
            base.status.say(text, role)

    def action_tour(self) -> None:
        """The next place of the tour."""
        from qcow2inspect.tui.tour import next_stop

        there = next_stop(self.session)
        self.jump(there)
        self.call_after_refresh(self.say, there.title, "note")

    def notify_theme(self, words: str) -> None:
        """Say which theme is on."""
        self.say(words, "note")

    # -- actions ----------------------------------------------------------------------------------------------

    def action_mode(self, mode: str) -> None:
        """Another screen; it is where it was left."""
        if mode == "map" and self.current_mode == "explore":
            self.jump(Location(self.here.offset, mode="map"))
        elif mode == "compare" and self.current_mode == "guest":
            self.jump(replace(self.here, mode="compare", size=None, title=""))
        elif mode != self.current_mode:
            self.session.history.leave(self.here)
            self.session.here = Location(mode=mode, state=self.session.state)
            self.switch_mode(mode)

    def action_goto(self) -> None:
        """Ask where to go."""
        from qcow2inspect.tui.dialogs.goto import GotoDialog

        here = self.here
        dialog = GotoDialog(self.session, self.look, replace(here, mode="guest") if here.mode == "compare" else here)
        self.push_screen(dialog, self.go_to)

    def go_to(self, there: Location | None) -> None:
        """To a place that was typed; guest offsets stay in Compare if they were asked for there."""
        if there is not None and there.mode == "guest" and self.current_mode == "compare":
            there = replace(there, mode="compare")
        if there is not None:
            from qcow2inspect.tui.places import text_of

            self.session.log.note(f"goto {text_of(self.session, there)}")
            self.jump(there)

    def action_states(self) -> None:
        """Choose which bytes of the guest to look at."""
        from qcow2inspect.tui.dialogs.states import StatesDialog

        self.push_screen(StatesDialog(self.session, self.look), self.look_at)

    def look_at(self, state: GuestState | None) -> None:
        """Look at other bytes of the guest."""
        if state is not None:
            here = self.here
            guest = here.guest if here.mode in ("guest", "map") else None
            self.jump(Location(mode="guest", guest=guest or GuestOffset(0), state=state))

    def action_open_files(self) -> None:
        """Open what the image names."""
        from qcow2inspect.tui.dialogs.files import FilesDialog

        self.push_screen(FilesDialog(self.session, self.look))

    def action_passphrase(self) -> None:
        """Unlock encrypted layers."""
        from qcow2inspect.tui.dialogs.passphrase import PassphraseDialog

        self.push_screen(PassphraseDialog(self.session, self.look))

    def action_assume(self) -> None:
        """Open the image again, as if other values stood in its metadata."""
        image = self.session.image
        base = self.screen_stack[0]
        if isinstance(base, BaseScreen) and base.assume():
            return
        if self.exports:
            self.say("an export is not done: it reads the image as it is now", "warn")
        else:
            self.ask_assumptions(lambda: nullcontext(image.source), image.assumed, self._open_again)

    def _open_again(self) -> None:
        """Leave, to come back at once."""
        self._stop_tasks()
        self.exit()

    def action_report(self) -> None:
        """Write the report."""
        from qcow2inspect.tui.dialogs.report import ReportDialog

        self.push_screen(ReportDialog(self.session, self.look), self._written)

    def _written(self, what: str | None) -> None:
        if what:
            self.session.done.append(what)
            self.say(what, "good")

    async def action_quit(self) -> None:
        """Leave, whatever lies over the screen."""
        self.action_leave()

    def action_leave(self) -> None:
        """Leave; a summary stays in the terminal."""
        if not self.may_leave():
            return
        self.session.done += [line for job in self.exports for line in job.summary]
        self._stop_tasks()
        self.exit(message=summary(self.session))

    def _stop_tasks(self) -> None:
        self._survey.stop()
        self._explaining.stop()
        self._unlocking.stop()
        self.stop_all()


def summary(session: Session) -> Text:
    """What stays in the terminal after leaving."""
    dossier = session.knowledge.dossier
    name = session.tree.root.name
    lines = [f"{name}: {dossier.verdict}", *dossier.summary, *session.done]
    return Text("\n".join(map(visible, lines)))
