"""Work that takes its time. Each function runs in a thread, posts messages, and stops when it is told to."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.progress import Cancelled
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.messages import (
    Explained,
    Followed,
    GuestFound,
    Knowledge,
    KnowledgeGrew,
    MapMade,
    MappedFound,
    Placed,
    Progressed,
    ReportPreviewed,
    ReportWritten,
    ResiduesFound,
    Resolved,
    Sampled,
    Searched,
    StripMade,
    TaskFailed,
    Unlocked,
)
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual.message import Message

    from qcow2inspect.image.chain import Chain, Layer
    from qcow2inspect.image.gate import OpenGate
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.tree import Tree
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.tui.clustermap import ClusterMap
    from qcow2inspect.tui.entropy import EntropyMap, Spot
    from qcow2inspect.tui.hostmap import Colouring
    from qcow2inspect.tui.pattern import Pattern
    from qcow2inspect.tui.reporting import Reporter, ReportOrder
    from qcow2inspect.tui.session import Session

__all__ = [
    "ShortProgress",
    "TaskProgress",
    "explain",
    "find_guest",
    "find_residues",
    "follow",
    "guarded",
    "guest_map",
    "guest_strip",
    "host_map",
    "host_strip",
    "index",
    "judge_again",
    "look_at_header",
    "look_up",
    "mapped",
    "place",
    "preview_report",
    "sample_entropy",
    "search",
    "step_back",
    "survey",
    "unlock",
    "unlock_with_file",
    "write_report",
]

_INTERVAL = 0.1
_PATIENCE = 0.05
_NICE = 5


class TaskProgress:
    """A :class:`~qcow2inspect.progress.Progress` that posts at most ten messages a second.

    Attributes:
        what: what is being done.
        done: units of it that are done.
        total: units in all; None if unknown.

    Args:
        task: name of the task.
        post: takes a message from any thread.
    """

    total: int | None

    def __init__(self, task: str, post: Callable[[Message], object]) -> None:
        self._task = task
        self._post = post
        self._stop = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self.what, self.done, self.total = "", 0, None
        self._began = self._told = 0.0

    @property
    def stopped(self) -> bool:
        """True once the user asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the task to stop; it does at its next step."""
        self._stop.set()

    @property
    def paused(self) -> bool:
        """True while the user lets the task wait."""
        return not self._go.is_set()

    def pause(self, wait: bool) -> None:
        """Let the task wait at its next step, or go on."""
        (self._go.clear if wait else self._go.set)()

    @property
    def seconds(self) -> float:
        """Time since the step began, without the time that the task had to wait."""
        return time.monotonic() - self._began if self._began else 0.0

    def begin(self, what: str, total: int | None) -> None:
        """A step of ``total`` units starts."""
        self.what, self.done, self.total = what, 0, total
        self._began = time.monotonic()
        self._tell(self._began)
        self.advance(0)

    def advance(self, amount: int) -> None:
        """``amount`` more units are done.

        Raises:
            Cancelled: the user asked to stop.
        """
        if not self._go.is_set():
            self._wait()
        if self._stop.is_set():
            raise Cancelled
        self.done += amount
        now = time.monotonic()
        if now - self._told >= _INTERVAL:
            self._tell(now)

    def _wait(self) -> None:
        """Wait until the user lets the task go on, or stops it; the time does not count."""
        since = time.monotonic()
        self._tell(since)
        while not (self._go.wait(_PATIENCE) or self._stop.is_set()):
            pass
        self._began += time.monotonic() - since

    def _tell(self, now: float) -> None:
        self._told = now
        self._post(Progressed(self._task, self.what, self.done, self.total, now - self._began))


class ShortProgress(TaskProgress):
    """Progress of a task that may take a short while only.

    Attributes:
        gave_up: True if that was not enough.

    Args:
        task: name of the task.
        post: takes a message from any thread.
        seconds: the while.
    """

    def __init__(self, task: str, post: Callable[[Message], object], seconds: float) -> None:
        super().__init__(task, post)
        self._deadline = time.monotonic() + seconds
        self.gave_up = False

    def advance(self, amount: int) -> None:
        """More is done; see :class:`TaskProgress`."""
        if not self.stopped and time.monotonic() > self._deadline:
            self.gave_up = True
            self.stop()
        super().advance(amount)


def step_back() -> None:
    """Let the thread that paints go first: on Linux each thread, with those that it starts, has its own priority."""
    if sys.platform == "linux" and threading.current_thread() is not threading.main_thread():
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def guarded(task: str, post: Callable[[Message], object], work: Callable[[], Message]) -> None:
    """Post what ``work`` gives, or that it failed."""
    step_back()
    try:
        post(work())
    except Cancelled:
        post(TaskFailed(task, None))
    except (Qcow2InspectError, OSError, ValueError) as error:
        post(TaskFailed(task, error))


def index(tree: Tree, post: Callable[[Message], object]) -> None:
    """Prepare what names any byte of the file, so that the first look at a table does not wait for it."""

    def work() -> Message:
        _ = tree.top
        tree.locate(HostOffset(tree.image.geometry.cluster_size))
        return KnowledgeGrew(None)

    guarded("index", post, work)


def look_at_header(image: Image, post: Callable[[Message], object]) -> None:
    """Say what the header alone tells."""

    def work() -> Message:
        from qcow2inspect.dossier import compile_dossier
        from qcow2inspect.rules import examine_header

        findings = examine_header(image)
        return KnowledgeGrew(Knowledge(compile_dossier(image, None, findings), findings))

    guarded("header", post, work)


def survey(image: Image, chain: Chain | None, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Look at the whole image and say what is found, in it and in the files behind it that were opened."""

    def work() -> Message:
        from qcow2inspect.survey.survey import take_survey

        started = time.monotonic()
        taken = take_survey(image, progress, chain)
        return KnowledgeGrew(replace(_judged(taken), seconds=time.monotonic() - started))

    guarded("survey", post, work)


def judge_again(knowledge: Knowledge, chain: Chain, post: Callable[[Message], object]) -> None:
    """Say what is found now that other files are behind the image than when its tables were read."""

    def work() -> Message:
        taken = copy(knowledge.survey)
        assert taken is not None
        taken.chain = chain
        return KnowledgeGrew(replace(_judged(taken), seconds=knowledge.seconds))

    guarded("survey", post, work)


def _judged(taken: Survey) -> Knowledge:
    from qcow2inspect.dossier import compile_dossier
    from qcow2inspect.rules import examine

    findings = examine(taken)
    return Knowledge(compile_dossier(taken.image, taken, findings), findings, surveyed=True, survey=taken)


def look_up(session: Session, text: str, here: Location, post: Callable[[Message], object]) -> None:
    """Find out where an address leads."""
    from qcow2inspect.tui.places import parse_place

    try:
        post(Resolved(text, parse_place(session, text, here), ""))
    except (ValueError, Qcow2InspectError) as error:
        post(Resolved(text, None, str(error)))


def _written(task: str, places: Sequence[str], post: Callable[[Message], object], work: Callable[[], Message]) -> None:
    """Like :func:`guarded`, for a task that writes: to these places and nowhere else."""
    from qcow2inspect.source.landlock import write_within

    guarded(task, post, lambda: write_within(places, work))


def preview_report(
    reporter: Reporter, order: ReportOrder, progress: TaskProgress, post: Callable[[Message], object]
) -> None:
    """Make the first lines of a report."""
    guarded("report", post, lambda: ReportPreviewed(order, *reporter.preview(order, progress)))


def write_report(
    reporter: Reporter, order: ReportOrder, progress: TaskProgress, post: Callable[[Message], object]
) -> None:
    """Write a report."""
    _written("report", reporter.places(order), post, lambda: ReportWritten(reporter.write(order, progress)))


# -- files and keys ---------------------------------------------------------------------------------------------


def follow(image: Image, gate: OpenGate, keys: Chain | None, post: Callable[[Message], object]) -> None:
    """Open the files that an image names, as far as the gate allows.

    Args:
        image: the image.
        gate: what may be opened.
        keys: the chain so far; what was unlocked in it stays unlocked.
        post: takes the result.
    """

    def work() -> Message:
        from qcow2inspect.image.follow import chain_of

        chain = chain_of(image, gate)
        for layer in chain.layers:
            _keep_key(layer, keys.layers if keys else ())
        return Followed(chain)

    guarded("follow", post, work)


def _keep_key(layer: Layer, before: Iterable[Layer]) -> None:
    for old in before:
        same = old.source is layer.source or (old.source.identity and old.source.identity == layer.source.identity)
        if same and not isinstance(old.cipher, Qcow2InspectError):
            layer.cipher = old.cipher


def unlock(chain: Chain, passphrase: bytes, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Try a passphrase on every layer that is locked, or whose key cannot be verified."""

    def work() -> Message:
        from qcow2inspect.tui.states import is_locked, unverified

        results: list[tuple[int, Qcow2InspectError | None]] = []
        for index, layer in enumerate(chain.layers):
            if is_locked(layer) or unverified(layer):
                results.append((index, _unlocked(layer, passphrase, progress)))
        return Unlocked(results)

    guarded("unlock", post, work)


def unlock_with_file(chain: Chain, data: bytes, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Try the bytes of a passphrase file as they are, as QEMU does; then without the line end that editors add."""
    from qcow2inspect.tui.states import is_locked

    bare = data.removesuffix(b"\n").removesuffix(b"\r")
    tried: list[Message] = []
    unlock(chain, data, progress, tried.append)
    if bare != data and any(is_locked(layer) for layer in chain.layers):
        unlock(chain, bare, progress, tried.append)
    post(tried[-1])


def _unlocked(layer: Layer, passphrase: bytes, progress: TaskProgress) -> Qcow2InspectError | None:
    """Why a layer stays locked; None if it does not."""
    try:
        layer.unlock(passphrase, progress)
    except Qcow2InspectError as error:
        return error
    return None


# -- from host to guest -----------------------------------------------------------------------------------------


def find_guest(
    chain: Chain, offset: HostOffset, is_stopped: Callable[[], bool], post: Callable[[Message], object]
) -> None:
    """Look for the guest byte that lies at a host offset: in the active state, then in the snapshots."""

    def work() -> Message:
        from qcow2inspect.tui.states import states_of

        for state in states_of(chain):
            if state.kind in ("active", "snapshot"):
                guest = _guest_at(state.view(chain).extents(), offset, is_stopped)
                if guest is not None:
                    return GuestFound(Location(offset, mode="guest", guest=guest, state=state))
        return GuestFound(None)

    guarded("find", post, work)


def find_residues(session: Session, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Look for all bytes of the image file that no guest sees; every compressed cluster is inflated for it."""

    def work() -> Message:
        from qcow2inspect.survey.deep import look_deep
        from qcow2inspect.survey.survey import take_survey
        from qcow2inspect.tui.states import residue_states

        survey = session.knowledge.survey or take_survey(session.image, progress)
        return ResiduesFound(tuple(residue_states(look_deep(survey, progress).residues)))

    guarded("residues", post, work)


def _guest_at(extents: Iterable[Extent], offset: HostOffset, is_stopped: Callable[[], bool]) -> GuestOffset | None:
    for number, extent in enumerate(extents):
        if number % 256 == 0 and is_stopped():
            raise Cancelled
        if extent.layer == 0 and extent.host is not None and offset in extent.host:
            inside = 0 if extent.kind.word == "compressed" else offset - extent.host.start
            return GuestOffset(extent.guest.start + inside)
    return None


# -- looking around ---------------------------------------------------------------------------------------------


def host_map(session: Session, colouring: Colouring, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Make the map of the host clusters."""

    def work() -> Message:
        from qcow2inspect.tui.entropy import make_entropy_map
        from qcow2inspect.tui.hostmap import Colouring

        image = session.image
        if colouring is not Colouring.ENTROPY:
            return MapMade(session.host_map(progress, colouring), progress)
        session.forget_map()
        return MapMade(make_entropy_map(image.end, image.geometry.cluster_size, is_guest=False), progress)

    guarded("map", post, work)


def guest_map(
    session: Session,
    wanted: tuple[Colouring, HostOffset | None],
    progress: TaskProgress,
    post: Callable[[Message], object],
) -> None:
    """Make the map of the guest clusters of the state that is looked at, and find there what lies on the host.

    Args:
        session: the image.
        wanted: what the map shall tell, and the host offset.
        progress: may ask to stop.
        post: takes the result.
    """
    colouring, host = wanted

    def work() -> Message:
        from qcow2inspect.image.windows import extents_of

        session.forget_map()
        view = session.view()
        made = _guest_map(session, view, colouring, progress)
        if host is None:
            return MapMade(made, progress)
        extents = extents_of(view, GuestRange.at(0, view.size), progress)
        return MapMade(made, progress, _guest_at(extents, host, lambda: progress.stopped))

    guarded("map", post, work)


def _guest_map(session: Session, view: View, colouring: Colouring, progress: TaskProgress) -> ClusterMap:
    from qcow2inspect.tui.entropy import make_entropy_map
    from qcow2inspect.tui.guestmap import make_guest_map
    from qcow2inspect.tui.hostmap import Colouring

    size = session.image.geometry.cluster_size
    if colouring is Colouring.ENTROPY:
        return make_entropy_map(view.size, size, is_guest=True)
    if colouring is Colouring.TYPE:
        return make_guest_map(view, size, progress)
    counted = session.host_map(progress, colouring, keep=False)
    elsewhere = session.image.has_data_file or (session.state.kind == "layer" and session.state.index > 0)
    return make_guest_map(view, size, progress, counted=counted, elsewhere=elsewhere)


def sample_entropy(
    session: Session, made: EntropyMap, spot: Spot, progress: TaskProgress, post: Callable[[Message], object]
) -> None:
    """Look at stored bytes of the cells in sight."""

    def work() -> Message:
        from qcow2inspect.tui.entropy import sample, stored_for_guest, stored_on_host

        if made.is_guest:
            stored = stored_for_guest(session, session.view(), made)
        else:
            stored = stored_on_host(session, made)
        sample(made, spot, stored, progress)
        return Sampled(progress)

    guarded("entropy", post, work)


def host_strip(session: Session, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Sum up the map of the image file for the strip; the map itself is not kept."""

    def work() -> Message:
        from qcow2inspect.tui.clustermap import named_units
        from qcow2inspect.tui.hostmap import make_host_map
        from qcow2inspect.tui.strip import strip_of

        survey = session.knowledge.survey
        if survey is None:
            return StripMade(None, progress)
        made = make_host_map(survey, progress)
        return StripMade(strip_of(made, named_units(made, session.knowledge.findings)), progress)

    guarded("strip", post, work)


def guest_strip(session: Session, view: View, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """The same for the guest bytes of a state."""

    def work() -> Message:
        from qcow2inspect.tui.guestmap import make_guest_map
        from qcow2inspect.tui.strip import strip_of

        return StripMade(strip_of(make_guest_map(view, session.image.geometry.cluster_size, progress), ()), progress)

    guarded("strip", post, work)


def place(look: Callable[[], Location | None], key: str, step: int, post: Callable[[Message], object]) -> None:
    """Look for the next or previous place of a kind."""
    guarded("find", post, lambda: Placed(look(), key, step))


def explain(session: Session, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Find out how much of the file has a known purpose."""
    owners = session.owners
    if owners is not None:
        guarded("explain", post, lambda: Explained(owners.unexplained(progress=progress)))


def mapped(session: Session, offset: HostOffset, post: Callable[[Message], object]) -> None:
    """Find the entries that lead to a host byte."""
    owners = session.owners
    if owners is not None:
        guarded("mapped", post, lambda: MappedFound(offset, owners.mapped(offset)))


def search(
    view: View, pattern: Pattern, way: tuple[int, int], progress: TaskProgress, post: Callable[[Message], object]
) -> None:
    """Look for a pattern: from the byte after the cursor to the end, then from the start; or backwards.

    Args:
        view: the bytes.
        pattern: what to look for.
        way: offset of the cursor, and 1 or -1.
        progress: may ask to stop.
        post: takes the result.
    """

    def work() -> Message:
        from qcow2inspect.tui.search import find

        at, step = way
        parts = [(at + 1, view.size), (0, at + 1)] if step > 0 else [(0, at), (at, view.size)]
        unread = 0
        for number, (start, end) in enumerate(parts):
            hit = find(view, pattern, start, end, backward=step < 0, progress=progress)
            unread += hit.unread
            if hit.offset is not None:
                return Searched(pattern, hit.offset, step, wrapped=bool(number), unread=unread)
        return Searched(pattern, None, step, wrapped=False, unread=unread)

    guarded("search", post, work)
