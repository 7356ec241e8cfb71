"""Exports: what is asked for, the checks before, and the work in three stages. No widgets here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.export.choices import Choices, OnError, Sparse
from qcow2inspect.progress import Cancelled
from qcow2inspect.tui.casework import Done, log_done
from qcow2inspect.tui.jobs import Job, JobChanged, JobState
from qcow2inspect.tui.states import base_name
from qcow2inspect.tui.tasks.running import TaskProgress, guarded, step_back
from qcow2inspect.units import GuestOffset, GuestRange, exact_size, human_size, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qcow2inspect.case import Kept
    from qcow2inspect.export.raw import ExportResult, Preflight
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.view import View
    from qcow2inspect.progress import Progress
    from qcow2inspect.tui.location import GuestState
    from qcow2inspect.tui.session import Session

__all__ = [
    "STAGES",
    "ExportJob",
    "ExportProgress",
    "Order",
    "Preflighted",
    "Stage",
    "carry_out",
    "command_of",
    "parse_range",
    "preflight",
]

STAGES = {"Exporting": "copy", "Verifying": "verify", "Comparing": "compare"}
"""First word of what an export does -> the stage that it is."""

_IO = 74
_PROGRAM = "qcow2inspect"


class Preflighted(Message):
    """The checks before an export are done."""

    def __init__(self, order: Order, result: Preflight) -> None:
        super().__init__()
        self.order = order
        self.result = result


@dataclass(frozen=True, slots=True)
class Order:
    """What shall be exported, and how.

    Attributes:
        state: which bytes of the guest.
        target: path of the raw file.
        choices: how to export.
        compares: read the image again at the end, and compare it with what was written.
        absent_as_zero: zeros in place of data whose file is not there.
        lenient: read on where QEMU refuses the image for what guest data does not depend on.
        mapped: only what the tables map, and a list of where it belongs.
        address: where bytes of the image file begin that are wanted instead of those of the guest; empty for none.
        size: how many of them.
        chain: whose bytes, if not those of the image that was opened first.
    """

    state: GuestState
    target: str
    choices: Choices = field(default_factory=Choices)
    compares: bool = False
    absent_as_zero: bool = False
    lenient: bool = False
    mapped: bool = False
    address: str = ""
    size: int = 0
    chain: Chain | None = field(default=None, compare=False)

    def bytes_of(self, chain: Chain, progress: Progress | None = None) -> tuple[View, Choices]:
        """The bytes, and how to export them: a range of the disk is a part of what is mapped, not of the pieces."""
        view = self.view(chain)
        if not self.mapped:
            return view, self.choices
        from qcow2inspect.export.mapped import MappedView

        return MappedView(view, self.choices.within, progress), replace(self.choices, within=None)

    def view(self, chain: Chain) -> View:
        """The bytes of the disk, or of the image file."""
        chain = self.chain or chain
        if self.address:
            from qcow2inspect.image.address import bytes_at
            from qcow2inspect.image.tree import Tree

            return bytes_at(Tree(chain.qcow2), self.address, self.size)
        return self.state.view(chain, absent_as_zero=self.absent_as_zero, lenient=self.lenient)

    @property
    def title(self) -> str:
        """What is exported, in words."""
        if self.address:
            return f"export of {exact_size(self.size)} at {self.address}"
        what = "raw disk" if self.state.kind == "active" else self.state.title
        what += f" of {base_name(self.chain.layers[0])}" if self.chain is not None else ""
        what = what if self.choices.within is None else f"a part of {what}"
        return f"export of what is mapped of {what}" if self.mapped else f"export of {what}"

    @property
    def stages(self) -> list[str]:
        """What will be done, in order."""
        return ["copy", *(["verify"] if self.choices.verify else []), *(["compare"] if self.compares else [])]

    def command(self, chain: Chain, opening: Sequence[str] = ()) -> tuple[str, ...]:
        """The command line that does the same.

        Args:
            chain: the image and what is behind it.
            opening: options that open them; see :attr:`~qcow2inspect.tui.session.Session.opening`.
        """
        choices, state = self.choices, self.state
        if chain.layers[0].image is None:
            return self._plain_command(chain.layers[0].name)
        words = [_PROGRAM, "export", chain.layers[0].name, self.target]
        if state.kind in ("snapshot", "vm-state"):
            words += ["--snapshot", os.fsdecode(chain.qcow2.snapshots[state.index].id)]
        words += ["--vm-state"] if state.kind == "vm-state" else []
        words += ["--residue", state.residue] if state.kind == "residue" else []
        words += ["--layer", str(state.index)] if state.kind == "layer" else []
        if choices.within is not None:
            words += ["--range", f"{int(choices.within.start)}:{int(choices.within.end)}"]
        words += ["--on-error", choices.on_error.value] if choices.on_error is not OnError.FAIL else []
        words += ["--sparse", choices.sparse.value] if choices.sparse is not Sparse.MAP else []
        words += ["--format", "mapped"] if self.mapped else []
        words += ["--at", self.address, "-n", str(self.size)] if self.address else []
        words += ["--split", str(choices.split)] if choices.split else []
        words += ["--hash", ",".join(choices.hashes)] if choices.hashes else []
        flags = {"--verify": choices.verify, "--force": choices.force, "--resume": choices.resume}
        flags |= {"--lenient": self.lenient, "--preallocate": choices.preallocate}
        words += [flag for flag, wanted in flags.items() if wanted]
        return (*words, *(["--missing", "zero"] if self.absent_as_zero else []), *opening)

    def _plain_command(self, source: str) -> tuple[str, ...]:
        """What copies bytes of a raw disk; ``dd`` of GNU replaces no file with ``conv=excl``."""
        within = self.choices.within
        part = [f"skip={int(within.start)}", f"count={within.size}", "iflag=skip_bytes,count_bytes"] if within else []
        return ("dd", f"if={source}", f"of={self.target}", *part, "conv=excl")


def command_of(session: Session, order: Order) -> tuple[str, ...]:
    """The command line that does the same as an order, with what has to be said to open the image."""
    chain = order.chain or session.chain
    image = chain.layers[0].image
    return order.command(chain, session.opening_of(image.assumed) if image is not None else ())


def parse_range(text: str, size: int) -> GuestRange | None:
    """The guest range that a person means: nothing for all, ``1MiB:3MiB``, or ``1MiB+512`` for start and size.

    Raises:
        ValueError: it is no range of the disk.
    """
    text = text.strip()
    if not text:
        return None
    low, plus, amount = text.partition("+")
    low, colon, high = (low, "", "") if plus else text.partition(":")
    if not (plus or colon):
        raise ValueError("write START:END or START+SIZE, for example 1MiB:3MiB; nothing for the whole disk")
    start = parse_size(low) if low.strip() else 0
    end = start + parse_size(amount) if plus else parse_size(high) if high.strip() else size
    if not start < end <= size:
        raise ValueError(f"{text} is no range of a disk of {exact_size(size)}")
    return GuestRange(GuestOffset(start), GuestOffset(end))


# -- progress ---------------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """How far one stage is.

    Attributes:
        name: ``copy``, ``verify`` or ``compare``.
        done: bytes that are done.
        total: bytes in all; 0 before the stage has begun.
        seconds: how long it has taken.
        is_over: True once it is done.
    """

    name: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    is_over: bool = False


class ExportProgress(TaskProgress):
    """Progress that remembers how far each stage is.

    Args:
        stages: names of the stages, in order.
        post: takes a message from any thread.
    """

    def __init__(self, stages: list[str], post: Callable[[Message], object]) -> None:
        super().__init__("export", post)
        self.stages = [Stage(name) for name in stages]
        self.current: Stage | None = None

    def begin(self, what: str, total: int | None) -> None:
        """A step starts; some are stages of their own."""
        name = STAGES.get(what.partition(" ")[0])
        found = next((stage for stage in self.stages if stage.name == name), None)
        if found is not None:
            self.finish()
            self.current, found.total = found, total or 0
        else:
            self.finish()  # what comes now is none of its time, also where holes were found that nobody knew of
        super().begin(what, total)

    def advance(self, amount: int) -> None:
        """More is done; see :class:`~qcow2inspect.tui.tasks.running.TaskProgress`."""
        super().advance(amount)
        if self.current is not None and not self.current.is_over:
            self.current.done, self.current.seconds = self.done, self.seconds

    def finish(self) -> None:
        """The stage is done, whatever it was told before."""
        if self.current is not None:
            self.current.done, self.current.is_over = self.current.total, True


@dataclass
class ExportJob(Job):
    """One export.

    Attributes:
        order: what is asked for.
        keeps: False if what is unfinished shall be removed when the export is stopped.
        notes: what a person must know about the bytes, once it is done.
        hashes: name -> hash of the bytes.
        beside: names of the files that tell of the output.
        size: bytes of the output, once they are known.
    """

    order: Order | None = None
    keeps: bool = True
    notes: tuple[str, ...] = ()
    hashes: dict[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    size: int = 0

    @property
    def stages(self) -> list[Stage]:
        """How far it is."""
        return self.progress.stages if isinstance(self.progress, ExportProgress) else []

    @property
    def told(self) -> str:
        """What was done, and what came of it; the target is named once."""
        is_named = self.order is not None and self.order.target in self.outcome
        return f"{self.order.title if self.order is not None and is_named else self.title}: {self.outcome}"

    @property
    def summary(self) -> list[str]:
        """What stays in the terminal: also the hashes, and what becomes of an export that is not over."""
        if self.state.is_over:
            return [self.told, *(f"{name:<8} {value}" for name, value in self.hashes.items())]
        if self.state is JobState.WAITING:
            return [f"{self.title}: not begun"]
        kept = "what is unfinished is kept and can be continued" if self.keeps else "nothing is left behind"
        return [f"{self.title}: stopped; {kept}"]

    @property
    def percent(self) -> int:
        """How much of all stages is done."""
        stages = self.stages
        parts = [1.0 if stage.is_over else stage.done / stage.total if stage.total else 0.0 for stage in stages]
        return int(100 * sum(parts) / max(1, len(parts)))

    @property
    def stage_words(self) -> str:
        """The stage that it is in, and how much of it is done."""
        stage = self.progress.current if isinstance(self.progress, ExportProgress) else None
        if stage is None:
            return "waiting" if self.state is JobState.WAITING else "planning"
        return f"{stage.name} {100 * stage.done // stage.total if stage.total else 100} %"


# -- the work ---------------------------------------------------------------------------------------------------


def preflight(chain: Chain, order: Order, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Check whether an order could be carried out."""

    def work() -> Message:
        from qcow2inspect.export import raw

        view, choices = order.bytes_of(chain, progress)
        flight = raw.preflight(view, order.target, choices=choices, progress=progress)
        return Preflighted(order, flight)

    guarded("preflight", post, work)


def carry_out(session: Session, job: ExportJob, post: Callable[[Message], object]) -> None:
    """Carry out an order: copy, verify, compare; say how it ended, also in the log of the case if one is kept."""
    order = job.order
    if order is None:
        return
    from qcow2inspect.source.landlock import write_within

    post(JobChanged(job))
    places = [os.path.dirname(order.target) or ".", *([session.case.folder] if session.case is not None else [])]
    try:
        write_within(places, lambda: _write(session, job, order))
    finally:
        job.end(JobState.FAILED, "it broke off")  # unless it has ended as it should
        post(JobChanged(job))


def _write(session: Session, job: ExportJob, order: Order) -> None:
    step_back()
    chain = session.chain
    command = command_of(session, order)
    done = Done(command[command[0] == _PROGRAM :], order.target, None)
    try:
        if session.case is not None:
            name = (order.chain or chain).layers[0].name
            done = replace(done, image=session.case.evidence(name, job.progress))
        result = _copied(chain, job, order, command)
        trouble = _compared(chain, job, order) if order.compares else ""
        done = replace(done, outputs=_kept(session, job, result), outcome=trouble)
        state, words = _settled(job, result, trouble)
    except Cancelled:
        state, words = JobState.CANCELLED, _left(job, order)
        done = replace(done, code=None, outcome=words)
    except (Qcow2InspectError, OSError, ValueError) as error:
        _left(job, order)
        state, words = JobState.FAILED, str(error)
        done = replace(done, code=getattr(error, "exit_code", _IO), outcome=words)
    try:
        log_done(session, done)
    except Qcow2InspectError as error:
        state, words = JobState.FAILED, f"{words}; NOT LOGGED in the case: {error}"
    job.end(state, words)


def _copied(chain: Chain, job: ExportJob, order: Order, command: tuple[str, ...]) -> ExportResult:
    from qcow2inspect.export.raw import export

    view, choices = order.bytes_of(chain, job.progress)
    job.size = choices.within.size if choices.within else view.size
    return export(view, order.target, choices, progress=job.progress, command=command)


def _kept(session: Session, job: ExportJob, result: ExportResult) -> tuple[Kept, ...]:
    """The files that appeared, for the log of the case; a hash that is known is not computed again."""
    if session.case is None:
        return ()
    from qcow2inspect.case.folder import Kept, kept_files

    whole = result.files[:1] == (result.path,) and "sha256" in result.hashes
    known = [Kept(result.path, result.size, result.hashes["sha256"])] if whole else []
    try:
        return (*known, *kept_files(result.files[len(known) :], progress=job.progress))
    except Cancelled:  # the files are complete all the same
        return tuple(Kept(path, 0, "") for path in result.files)


def _compared(chain: Chain, job: ExportJob, order: Order) -> str:
    """What differs between the image and what was written; empty if nothing does."""
    from qcow2inspect.image.compare import compare
    from qcow2inspect.image.parts import Sums
    from qcow2inspect.image.view import RawDisk, Window
    from qcow2inspect.source.file import FileSource

    view, choices = order.bytes_of(chain)
    within = choices.within
    part: View = Window(view, within, "the range") if within is not None else view
    sums = Sums()
    try:
        with FileSource(order.target) as source:
            for found in compare(part, RawDisk(source), job.progress):
                sums.add(found)
    except Cancelled:
        return "it was not compared with the image to the end"
    return f"{exact_size(sums.differing)} are not as in the image, from {sums.first} on" if sums.ranges else ""


def _settled(job: ExportJob, result: ExportResult, trouble: str) -> tuple[JobState, str]:
    """How it ended, and what was written."""
    from qcow2inspect.export.names import sidecars

    if isinstance(job.progress, ExportProgress):
        job.progress.finish()
    job.notes, job.hashes = result.warnings, result.hashes
    job.beside = tuple(os.path.basename(name) for name in sidecars(result.path) if name in result.files)
    words = f"{result.path}: {exact_size(result.size)}, {human_size(result.written)} written"
    return (JobState.FAILED, f"{words}; but {trouble}") if trouble else (JobState.DONE, words)


def _left(job: ExportJob, order: Order) -> str:
    """What is left of an export that ended too early, in words; removes it if nobody wants it."""
    from qcow2inspect.export.leftovers import discard, leftovers

    if not job.keeps:
        discard(order.target, job.size, order.choices.split)
    names = leftovers(order.target, job.size, order.choices.split)
    if not names:
        return "cancelled; nothing is left behind"
    more = f" and {len(names) - 2} more are" if len(names) > 2 else " is"
    return f"cancelled; {names[0]}{more} kept and can be continued"
