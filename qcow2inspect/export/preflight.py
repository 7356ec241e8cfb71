"""What is looked at before the first byte is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotExport, Qcow2InspectError
from qcow2inspect.export.choices import Choices, Sparse
from qcow2inspect.export.leftovers import is_begun
from qcow2inspect.export.names import STDOUT, is_device, journal_of, sidecars
from qcow2inspect.export.plan import Plan, make_plan
from qcow2inspect.export.target import check
from qcow2inspect.output import Identity, check_target, free_space
from qcow2inspect.units import GuestRange, human_size

if TYPE_CHECKING:
    from qcow2inspect.image.view import View
    from qcow2inspect.progress import Progress

__all__ = ["Check", "Preflight", "continues", "evidence_of", "is_file", "preflight", "simple", "within_of"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at before an export.

    Attributes:
        ok: True if it is as it should be.
        text: what it is, for a person.
    """

    ok: bool
    text: str


@dataclass
class Preflight:
    """What is known before the first byte is written.

    Attributes:
        target: where the file shall appear.
        plan: what will be done.
        checks: what was looked at.
        problem: why the export cannot start; None if it can.
    """

    target: str
    plan: Plan
    checks: list[Check] = field(default_factory=list)
    problem: Qcow2InspectError | None = None

    @property
    def size(self) -> int:
        """Bytes of the file that will appear."""
        return self.plan.size

    @property
    def bytes_to_write(self) -> int:
        """Bytes that will be written; the rest stays a hole."""
        return self.plan.to_write

    @property
    def warnings(self) -> list[str]:
        """What a person must know about the bytes that come out."""
        return self.plan.warnings

    def _check(self, ok_text: str, problem: Qcow2InspectError | None) -> None:
        self.checks.append(Check(problem is None, problem.what if problem else ok_text))
        self.problem = self.problem or problem


def preflight(
    view: View,
    target: str,
    *,
    force: bool = False,
    sparse: bool = True,
    progress: Progress | None = None,
    choices: Choices | None = None,
) -> Preflight:
    """Look whether ``view`` can be written to ``target``; nothing is written.

    Args:
        view: what to export.
        target: path of the raw file, of a block device, or ``-``.
        force: replace an existing file, and start though the disk looks too full.
        sparse: leave holes where the guest has zeros.
        progress: may ask to stop.
        choices: how to export; instead of ``force`` and ``sparse``.

    Raises:
        CannotRead: the image file cannot be read.
        Cancelled: the user asked to stop.
    """
    choices = choices or simple(force=force, sparse=sparse)
    plan = make_plan(view, progress, within=within_of(view, choices), on_error=choices.on_error)
    flight = Preflight(target, plan)
    problem: Qcow2InspectError | None = None
    try:
        _check_files(view, target, choices)
    except CannotExport as error:
        problem = error
    flight._check("the target is free and is not the evidence", problem)
    amount = f"{human_size(plan.to_write)} to write, disk of {human_size(flight.size)}"
    flight._check(f"every byte can be read: {amount}" if not plan.unreadable else amount, plan.problem)
    if problem is None and is_file(target):
        flight._check(*_room(flight, target, choices))
    return flight


def _room(flight: Preflight, target: str, choices: Choices) -> tuple[str, CannotExport | None]:
    """What there is to say about free space, and whether it is too little."""
    needed = flight.size if choices.sparse is Sparse.OFF else flight.plan.to_write
    free = free_space(target)
    if needed <= free or choices.force or choices.resume:
        return f"{human_size(free)} free", None
    return "", CannotExport(
        f"{target}: {human_size(needed)} are needed, {human_size(free)} are free there",
        hint="choose another place, or say --force to try all the same",
    )


def simple(*, force: bool, sparse: bool) -> Choices:
    """The choices that most need."""
    return Choices(force=force, sparse=Sparse.MAP if sparse else Sparse.OFF)


def within_of(view: View, choices: Choices) -> GuestRange:
    """The bytes of the view that are exported."""
    return choices.within.clip(0, view.size) if choices.within else GuestRange.at(0, view.size)


def is_file(path: str) -> bool:
    """True if the output is a file or parts of one, with other files beside it."""
    return path != STDOUT and not is_device(path)


def _check_files(view: View, path: str, choices: Choices) -> None:
    """See whether the output, and every file beside it, may be written."""
    size, evidence = within_of(view, choices).size, evidence_of(view)
    check(path, size, choices, evidence)
    if not is_file(path):
        return
    ours = continues(path, size, choices)
    for name in sidecars(path):
        check_target(name, force=choices.force or ours, evidence=evidence, ours=ours)
    check_target(journal_of(path), force=choices.force or choices.resume, evidence=evidence, ours=ours)


def continues(path: str, size: int, choices: Choices) -> bool:
    """True if an export is there to be continued: its journal proves that what lies beside it is of that export."""
    return choices.resume and is_begun(path, size, choices.split)


def evidence_of(view: View) -> tuple[Identity, ...]:
    """Files that must never be written, beside those that the whole process knows: those that the view reads."""
    return tuple(source.identity for source in view.sources if source.identity is not None)
