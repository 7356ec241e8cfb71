"""What panes and tasks tell the screens. Tasks run in threads: they post these and touch no widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.dossier import Dossier
    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.export.damage import Damage
    from qcow2inspect.export.raw import Preflight
    from qcow2inspect.findings import Finding
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.contrast import FieldPair
    from qcow2inspect.image.parts import Part
    from qcow2inspect.layout.node import Node
    from qcow2inspect.survey.ownership import Mapped
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.tui.clustermap import ClusterMap
    from qcow2inspect.tui.exporting import Order
    from qcow2inspect.tui.jobs import Job
    from qcow2inspect.tui.location import GuestState, Location
    from qcow2inspect.tui.pattern import Pattern
    from qcow2inspect.tui.reporting import ReportOrder
    from qcow2inspect.tui.strip import Strip
    from qcow2inspect.tui.tasks import TaskProgress
    from qcow2inspect.tui.typed import Deed
    from qcow2inspect.units import GuestOffset, HostOffset

__all__ = [
    "ByteChosen",
    "CellChosen",
    "ChainChanged",
    "ComparisonGrew",
    "DamageFound",
    "EdgeReached",
    "Explained",
    "FollowAsked",
    "Followed",
    "GuestChosen",
    "GuestFound",
    "JobChanged",
    "JumpAsked",
    "Knowledge",
    "KnowledgeGrew",
    "MapMade",
    "MappedFound",
    "NodeChosen",
    "OtherOpened",
    "PathAsked",
    "Placed",
    "Planned",
    "Preflighted",
    "Progressed",
    "ReportPreviewed",
    "ReportWritten",
    "ResiduesFound",
    "Resolved",
    "Sampled",
    "Searched",
    "StripChosen",
    "StripMade",
    "Tabled",
    "TaskFailed",
    "Unlocked",
]


class ByteChosen(Message):
    """The cursor of the hex pane moved to another byte."""

    def __init__(self, offset: HostOffset) -> None:
        super().__init__()
        self.offset = offset


class GuestChosen(Message):
    """The cursor of the guest pane moved to another byte; None if it stays and bytes have come."""

    def __init__(self, offset: GuestOffset | None) -> None:
        super().__init__()
        self.offset = offset


class GuestFound(Message):
    """The guest byte was looked for that lies at a host offset.

    Attributes:
        location: where it is; None if no state of the disk has it.
    """

    def __init__(self, location: Location | None) -> None:
        super().__init__()
        self.location = location


class Placed(Message):
    """The next or previous place of a kind was looked for.

    Attributes:
        location: where it is; None if there is none.
        key: its kind, as a key of :data:`~qcow2inspect.tui.nearby.NEARBY`.
        step: 1 for the next, -1 for the previous.
    """

    def __init__(self, location: Location | None, key: str, step: int) -> None:
        super().__init__()
        self.location = location
        self.key = key
        self.step = step


class Explained(Message):
    """It is known how much of the file has a known purpose.

    Attributes:
        unexplained: bytes that have none.
    """

    def __init__(self, unexplained: int) -> None:
        super().__init__()
        self.unexplained = unexplained


class DamageFound(Message):
    """It is known how far the damage of the image reaches into the disk.

    Attributes:
        damage: what an export will mark.
    """

    def __init__(self, damage: Damage) -> None:
        super().__init__()
        self.damage = damage


class MappedFound(Message):
    """The L2 entries were looked for that lead to a host byte.

    Attributes:
        offset: the host byte.
        mapped: the entries, at most four.
    """

    def __init__(self, offset: HostOffset, mapped: Sequence[Mapped]) -> None:
        super().__init__()
        self.offset = offset
        self.mapped = mapped


class Searched(Message):
    """A search has ended.

    Attributes:
        pattern: what was looked for.
        offset: where it is; None if it is nowhere.
        step: 1 if it was looked for onwards, -1 backwards.
        wrapped: True if it was found beyond the end, where the search began again.
        unread: bytes that could not be searched.
    """

    def __init__(self, pattern: Pattern, offset: int | None, step: int, *, wrapped: bool, unread: int) -> None:
        super().__init__()
        self.pattern = pattern
        self.offset = offset
        self.step = step
        self.wrapped = wrapped
        self.unread = unread


class StripMade(Message):
    """The whole file or disk in one column is there.

    Attributes:
        strip: what to show; None if there is nothing.
        by: the progress of the task that made it.
    """

    def __init__(self, strip: Strip | None, by: TaskProgress) -> None:
        super().__init__()
        self.strip = strip
        self.by = by


class StripChosen(Message):
    """The user clicked a place of the strip.

    Attributes:
        offset: of the first byte of what is worst there.
        word: what that is.
    """

    def __init__(self, offset: int, word: str) -> None:
        super().__init__()
        self.offset = offset
        self.word = word


class NodeChosen(Message):
    """The cursor of the structure tree moved to another node."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def can_replace(self, message: Message) -> bool:
        """The newest choice counts."""
        return isinstance(message, NodeChosen)


class FollowAsked(Message):
    """The user wants to go where the thing under the cursor points to."""


class JumpAsked(Message):
    """The user wants to see a place."""

    def __init__(self, location: Location) -> None:
        super().__init__()
        self.location = location


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known about the image so far; replaced as a whole, never changed.

    Attributes:
        dossier: all that may be said about the image.
        findings: heaviest first.
        surveyed: True once the whole image was looked at.
        seconds: how long that took.
        survey: what was found in the tables; None before they were read.
    """

    dossier: Dossier
    findings: Sequence[Finding]
    surveyed: bool = False
    seconds: float = 0.0
    survey: Survey | None = None


class KnowledgeGrew(Message):
    """A step of the first look is done: the tables are indexed, or the survey is complete.

    Args:
        knowledge: the new state; None if only the index is ready.
    """

    def __init__(self, knowledge: Knowledge | None) -> None:
        super().__init__()
        self.knowledge = knowledge


class PathAsked(Message):
    """The user wants to see what has this address."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class EdgeReached(Message):
    """A list that cannot scroll further wants the page around it to scroll.

    Attributes:
        rows: how far; negative is up.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows


class Planned(Message):
    """It is known what a typed command will do.

    Attributes:
        text: the line.
        deed: what it will do; None if nothing.
        problem: why nothing.
    """

    def __init__(self, text: str, deed: Deed | None, problem: str) -> None:
        super().__init__()
        self.text = text
        self.deed = deed
        self.problem = problem


class Progressed(Message):
    """A task advanced.

    Attributes:
        task: ``survey``, ``export``, ``unlock``, ...
        what: what is being done.
        done: units (bytes in most cases) that are done.
        total: units in all; None if unknown.
        seconds: time since the step began.
    """

    def __init__(self, task: str, what: str, done: int, total: int | None, seconds: float) -> None:
        super().__init__()
        self.task = task
        self.what = what
        self.done = done
        self.total = total
        self.seconds = seconds

    def can_replace(self, message: Message) -> bool:
        """The newest progress of a task makes the older one worthless."""
        return isinstance(message, Progressed) and message.task == self.task


class TaskFailed(Message):
    """A task ended without a result.

    Attributes:
        task: its name.
        error: why; None if the user stopped it.
    """

    def __init__(self, task: str, error: Exception | None) -> None:
        super().__init__()
        self.task = task
        self.error = error


class CellChosen(Message):
    """The cursor of the map moved, or the map was zoomed or scrolled."""

    def can_replace(self, message: Message) -> bool:
        """The newest place counts."""
        return isinstance(message, CellChosen)


class MapMade(Message):
    """A map is there.

    Attributes:
        map: the map.
        by: the progress of the task that made it.
        at: where the cursor belongs; None if the task was not asked, or cannot tell.
    """

    def __init__(self, made: ClusterMap, by: TaskProgress, at: int | None = None) -> None:
        super().__init__()
        self.map = made
        self.by = by
        self.at = at


class Sampled(Message):
    """All cells of a map that are in sight were looked at.

    Attributes:
        by: the progress of the task that did it.
    """

    def __init__(self, by: TaskProgress) -> None:
        super().__init__()
        self.by = by


class ChainChanged(Message):
    """Files were opened, layers unlocked, or another state was chosen: guest bytes may be others now."""


class OtherOpened(Message):
    """Another file was opened, to be compared with.

    Attributes:
        chain: the file, and what is behind it.
    """

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain = chain


class ComparisonGrew(Message):
    """More is known about where two disks differ."""

    def can_replace(self, message: Message) -> bool:
        """One look shows all that is known."""
        return isinstance(message, ComparisonGrew)


class Tabled(Message):
    """What differs in the mappings or the fields of two disks.

    Attributes:
        level: ``mapping`` or ``fields``.
        rows: ranges that are mapped differently, or all fields of both.
        more: how many rows were left out.
    """

    def __init__(self, level: str, rows: Sequence[Part] | Sequence[FieldPair], more: int) -> None:
        super().__init__()
        self.level = level
        self.rows = rows
        self.more = more


class Followed(Message):
    """The files that the image names were looked for.

    Attributes:
        chain: the image with what could be opened.
    """

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain = chain


class Unlocked(Message):
    """A passphrase was tried.

    Attributes:
        results: for each encrypted layer that was tried, its index and why it stays locked, None if it does not.
    """

    def __init__(self, results: Sequence[tuple[int, Qcow2InspectError | None]]) -> None:
        super().__init__()
        self.results = results


class Preflighted(Message):
    """The checks before an export are done."""

    def __init__(self, order: Order, result: Preflight) -> None:
        super().__init__()
        self.order = order
        self.result = result


class JobChanged(Message):
    """A task has begun, or is over."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class ReportPreviewed(Message):
    """What a report will look like.

    Attributes:
        order: what was asked for.
        lines: the first of them.
        count: how many there are.
    """

    def __init__(self, order: ReportOrder, lines: list[str], count: int) -> None:
        super().__init__()
        self.order = order
        self.lines = lines
        self.count = count


class ReportWritten(Message):
    """The report is on disk."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class ResiduesFound(Message):
    """All bytes that no guest sees were looked for.

    Attributes:
        states: one for each kind that there is.
    """

    def __init__(self, states: tuple[GuestState, ...]) -> None:
        super().__init__()
        self.states = states


class Resolved(Message):
    """An address was looked up.

    Attributes:
        text: the address as typed.
        location: where it leads; None if it leads nowhere.
        problem: why not; empty if it does.
    """

    def __init__(self, text: str, location: Location | None, problem: str) -> None:
        super().__init__()
        self.text = text
        self.location = location
        self.problem = problem
