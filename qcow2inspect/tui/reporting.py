"""Reports from the interface: the same parts and formats as those of the command line, which could write them too."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.dossier.wishes import SECTIONS, Wishes, report_time
from qcow2inspect.tui.notes import marks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.dossier.gist import Dossier
    from qcow2inspect.dossier.section import Report
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.progress import Progress
    from qcow2inspect.tui.session import Session

__all__ = ["ReportOrder", "Reporter"]

_PREVIEW = 2000
_AS_TEXT = {"html": "text"}
"""Formats whose source is not what a reader sees -> what shows it instead."""


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """What shall be written.

    Attributes:
        target: path of the file.
        format: name of the format.
        sections: keys of the parts.
        redact: hide paths and names.
        force: replace an existing file.
        note: the examiner's words; may be empty.
    """

    target: str
    format: str = "text"
    sections: frozenset[str] = field(default_factory=lambda: frozenset(SECTIONS))
    redact: bool = False
    force: bool = False
    note: str = ""


class Reporter:
    """Makes the reports of a session; it looks through all the rules once for each chain of files.

    Args:
        session: the image.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._known: tuple[Chain, Chain, Dossier] | None = None
        self._time = report_time()

    def words(self, order: ReportOrder) -> list[str]:
        """The command line that writes the same report."""
        words = ["report", self.session.image.name, "--format", order.format, "-o", order.target]
        missing = [key for key in SECTIONS if key not in order.sections]
        if missing and len(missing) <= len(SECTIONS) // 2:
            words += ["--without", ",".join(missing)]
        elif missing:
            words += ["--sections", ",".join(key for key in SECTIONS if key in order.sections)]
        words += ["--redact"] if order.redact else []
        words += [word for note in self._notes(order) for word in ("--note", note)]
        words += [word for address, text in marks_of(self.session) for word in ("--mark", f"{address}={text}")]
        return [*words, *self.session.opening]

    def command(self, order: ReportOrder) -> str:
        """The same for a shell."""
        return shlex.join(["qcow2inspect", *self.words(order)])

    def _notes(self, order: ReportOrder) -> Sequence[str]:
        kept = self.session.case.notes if self.session.case is not None else ()
        return (*kept, *([order.note] if order.note and order.note not in kept else []))

    def compile(self, order: ReportOrder, progress: Progress) -> Report:
        """The report, without any form.

        Raises:
            CannotRead: the image file cannot be read.
            Cancelled: the user asked to stop.
        """
        from qcow2inspect.dossier.report import compile_report, examine_chain

        behind = self.session.chain
        if self._known is None or self._known[0] is not behind:
            chain = self._chain(behind)
            self._known = (behind, chain, examine_chain(chain, progress))
        wishes = Wishes(
            sections=None if order.sections == frozenset(SECTIONS) else order.sections,
            redact=order.redact,
            notes=tuple(self._notes(order)),
            marks=marks_of(self.session),
            command=("qcow2inspect", *self.words(order)),
            time=self._time,
        )
        return compile_report(self._known[1], self._known[2], wishes)

    def _chain(self, behind: Chain) -> Chain:
        """What the rules look at: what was opened or, as on the command line, the image and why nothing else is."""
        from qcow2inspect.image.follow import chain_of
        from qcow2inspect.image.gate import OpenGate

        alone = len(behind.layers) == 1 and self.session.gate is None
        return chain_of(self.session.image, OpenGate()) if alone and not behind.is_encrypted else behind

    def preview(self, order: ReportOrder, progress: Progress) -> tuple[list[str], int]:
        """The first lines of the report, and how many there are."""
        from qcow2inspect.reports import render

        name = _AS_TEXT.get(order.format, order.format)
        lines = render(self.compile(order, progress), name).decode().replace("\f", "").split("\n")
        return lines[:_PREVIEW], len(lines) - (not lines[-1])

    def write(self, order: ReportOrder, progress: Progress) -> str:
        """Write the report, and log it where a case is kept; the path.

        Raises:
            CannotExport: the file must not or cannot be written.
        """
        from qcow2inspect.reports import write_report

        report = self.compile(order, progress)
        evidence = tuple(self.session.chain.evidence)
        write_report(report, order.target, name=order.format, force=order.force, evidence=evidence)
        if self.session.case is not None:
            self._log(order, report, progress)
        return order.target

    def _log(self, order: ReportOrder, report: Report, progress: Progress) -> None:
        from dataclasses import replace

        from qcow2inspect.case.folder import fingerprint_of, kept_files
        from qcow2inspect.reports import render
        from qcow2inspect.tui.casework import Done, log_done

        case = self.session.case
        assert case is not None
        case.remember([order.note] if order.note else (), marks_of(self.session))
        body = fingerprint_of(render(replace(report, provenance=None), order.format))
        image = case.evidence(self.session.image.name, progress)
        outputs = kept_files([order.target], {order.target: body}, progress=progress)
        log_done(self.session, Done(self.words(order), order.target, image, tuple(outputs), seconds=int(self._time)))

    def places(self, order: ReportOrder) -> list[str]:
        """Folders that writing the report needs."""
        case = [self.session.case.folder] if self.session.case is not None else []
        return [os.path.dirname(order.target) or ".", *case]
