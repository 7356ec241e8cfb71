"""What takes its time in the linear mode: reading the tables, opening files, keys, writing."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress, NeedsKey
from qcow2inspect.tui import lines
from qcow2inspect.tui.harm import DamageFound
from qcow2inspect.tui.knowledge import Explained, KnowledgeGrew
from qcow2inspect.tui.tasks import looking, opening, writing
from qcow2inspect.tui.tasks.opening import Followed, Unlocked
from qcow2inspect.tui.tasks.running import Progressed, TaskFailed, TaskProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from qcow2inspect.tui.exporting import ExportJob, Order
    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.session import Session

__all__ = ["LinearWork"]


class LinearWork:
    """The part of the linear mode that works.

    Attributes:
        session: the image and where the user is.

    Args:
        session: an open image.
        say: takes a line of answer.
    """

    def __init__(self, session: Session, say: Callable[[str], object]) -> None:
        self.session = session
        self._say = say
        self._doing = ""

    @property
    def here(self) -> Location:
        """Where the user is."""
        return self.session.here

    def say(self, text: str) -> None:
        """A line of answer."""
        self._say(lines.spoken(text))

    def note(self, text: str) -> None:
        """A line about what goes on."""
        self.say(f"note: {text}")

    def error(self, text: str) -> None:
        """Why there is no answer, in one line."""
        self.say(f"error: {text}")

    # -- tasks ------------------------------------------------------------------------------------------------

    def progress(self, task: str) -> TaskProgress:
        """Progress that is told in lines."""
        return TaskProgress(task, self.take)

    def post_of(self, work: Callable[[Callable[[Message], object]], object]) -> list[Message]:
        """Let a task work, and give what it posts."""
        found: list[Message] = []

        def post(message: Message) -> None:
            found.append(message)
            self.take(message)

        work(post)
        return found

    def take(self, message: Message) -> None:
        """Remember what a task found out; called in any thread."""
        session = self.session
        match message:
            case Progressed():
                self._tell_step(message)
            case KnowledgeGrew():
                session.knowledge = message.knowledge or session.knowledge
                session.indexed |= message.knowledge is None
            case Explained():
                session.unexplained = message.unexplained
            case DamageFound():
                session.damage = message.damage
            case Followed():
                session.take(message.chain)
            case Unlocked():
                session.forget_view()
            case TaskFailed():
                session.indexed |= message.task == "index"
                self.error(str(message.error) if message.error is not None else f"{message.task} stopped")

    def _tell_step(self, message: Progressed) -> None:
        if message.what and message.what != self._doing:
            self._doing = message.what
            self.note(message.what[0].lower() + message.what[1:])

    def begin(self, passphrase: bytes | None) -> None:
        """Open what may be opened, read the tables, and say the verdict."""
        session = self.session
        if session.gate is not None:
            self._follow()
        if passphrase is not None:
            self._unlock(passphrase)
        looking.look_at_header(session.image, self.take)
        self.know()
        self.say(f"{session.tree.root.name}: {session.knowledge.dossier.verdict}")
        self.note("help lists all words")

    def know(self) -> None:
        """Read all tables, unless that is done."""
        session = self.session
        if session.knowledge.surveyed:
            return
        looking.index(session.tree, self.take)
        with session.log.running("reading all tables", self.progress("survey"), self.take) as post:
            looking.survey(session.image, session.asked_for, self.progress("survey"), post)
        looking.explain(session, self.progress("explain"), self.take)

    # -- files and keys ---------------------------------------------------------------------------------------

    def _follow(self) -> None:
        session = self.session
        if session.gate is None:
            return
        opening.follow(session.image, session.gate, session.asked_for, self.take)
        for layer in session.chain.layers[1:]:
            session.log.note(f"opened {layer.name}, to be read only")
        if session.knowledge.survey is not None:
            looking.judge_again(session.knowledge, session.chain, self.take)

    def _do_files(self, rest: str) -> None:
        from qcow2inspect.image.gate import Follow, OpenGate
        from qcow2inspect.tui import states

        if rest:
            if rest not in ("folder", "any"):
                raise BadAddress("files folder opens files below the folder of the image, files any opens all")
            places = self.session.gate.places if self.session.gate else {}
            self.session.gate = OpenGate(Follow(rest), places)
            self._follow()
        chain = self.session.chain
        for number, layer in enumerate(chain.layers):
            self.say(f"layer {number}: {layer.name}, {states.layer_words(layer)}")
        for wanted in states.wanted(chain):
            self.say(f"{wanted.role} of layer {wanted.layer}: {wanted.named.text}, {states.file_words(wanted.error)}")

    def _do_passphrase(self, _: str) -> None:
        if not self.session.chain.is_encrypted:
            raise BadAddress("nothing is encrypted here")
        self._unlock(_asked())

    def _unlock(self, passphrase: bytes) -> None:
        found = self.post_of(
            lambda post: opening.unlock_with_file(self.session.chain, passphrase, self.progress("unlock"), post)
        )
        for message in found:
            for layer, error in message.results if isinstance(message, Unlocked) else ():
                self.error(error.what) if error is not None else self.say(f"layer {layer}: unlocked")

    # -- writing ----------------------------------------------------------------------------------------------

    def _do_report(self, rest: str) -> None:
        from qcow2inspect.reports import formats
        from qcow2inspect.tui.reporting import Reporter, ReportOrder

        target = os.path.expanduser(rest)
        suffix = os.path.splitext(target)[1]
        name = next((item.name for item in formats().values() if item.suffix and item.suffix == suffix), "text")
        reporter, order = Reporter(self.session), ReportOrder(target, name)
        found = self.post_of(lambda post: writing.write_report(reporter, order, self.progress("report"), post))
        if not any(isinstance(message, TaskFailed) for message in found):
            self._done(f"{target}: report written as {name}")

    def _done(self, words: str) -> None:
        self.session.done.append(words)
        self.session.log.note(words, "good")
        self.say(words)

    def _export(self, order: Order) -> None:
        from qcow2inspect.tui.exporting import ExportJob, ExportProgress, carry_out

        job = ExportJob(order.title, ExportProgress(order.stages, self.take), order=order, keeps=False)
        self.session.log.jobs.append(job)
        _run_stoppable(job, lambda: carry_out(self.session, job, self.take))
        if job.state.value != "done":
            self.session.log.note(f"{job.title}: {job.outcome}", "bad")
            raise BadAddress(job.outcome)
        self._done(job.outcome)
        for words in job.notes:
            self.note(words)
        for name, digest in job.hashes.items():
            self.say(f"{name}: {digest}")


def _run_stoppable(job: ExportJob, work: Callable[[], object]) -> None:
    """Carry out a task to its end; when the user interrupts, ask it to stop and wait until it has cleaned up."""
    thread = threading.Thread(target=work, name="export")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        job.progress.stop()
        thread.join()


def _asked() -> bytes:
    """A passphrase: typed unseen by a person, or the next line of the input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n").encode("utf-8", "surrogateescape")
    import getpass

    try:
        return os.fsencode(getpass.getpass("passphrase: "))
    except EOFError:
        raise NeedsKey("no passphrase was typed") from None
