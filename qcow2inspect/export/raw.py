"""The raw disk out of an image: preflight, copy, verification, the files beside it.

The file appears under its name when it is complete. Until then ``OUT.part`` holds the bytes and ``OUT.journal`` says
how far they are; both are enough to continue after a loss of power.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qcow2inspect.errors import CannotExport, Damaged, NeedsFile, NeedsKey, Unsupported
from qcow2inspect.export.beside import Beside
from qcow2inspect.export.choices import Choices, OnError, Sparse
from qcow2inspect.export.doubts import DoubtSearch, doubts_seen, with_doubts
from qcow2inspect.export.hashes import Hashes
from qcow2inspect.export.journal import Checkpoints, Journal, binding
from qcow2inspect.export.leftovers import forget_journal, is_begun
from qcow2inspect.export.mapped import MappedView, write_pieces
from qcow2inspect.export.names import journal_of, json_of, manifest_names, map_of, part_names, pieces_of, sidecars
from qcow2inspect.export.pipeline import Pipeline
from qcow2inspect.export.plan import make_plan
from qcow2inspect.export.preflight import Check, Preflight, evidence_of, is_file, preflight, simple, within_of
from qcow2inspect.export.target import FileTarget, Target, open_target
from qcow2inspect.image.windows import coarse_extents
from qcow2inspect.progress import Silent
from qcow2inspect.source.file import FileSource
from qcow2inspect.unbroken import unbroken
from qcow2inspect.units import GuestOffset, GuestRange, HostRange, bytes_of, exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.export.load import Trouble
    from qcow2inspect.image.view import View
    from qcow2inspect.progress import Progress

__all__ = ["Check", "ExportResult", "Preflight", "export", "export_raw", "preflight"]

_PATIENCE = 0.05
_READ_BACK = 4 << 20
_OF_THE_IMAGE = (Damaged, NeedsFile, NeedsKey, Unsupported)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export did.

    Attributes:
        path: the file that appeared.
        size: its bytes.
        written: bytes that were written; the rest is holes.
        seconds: how long it took.
        warnings: what a person must know about the bytes.
        hashes: name -> hash of the bytes, in hexadecimal.
        files: every file that appeared, the ones beside the output too.
    """

    path: str
    size: int
    written: int
    seconds: float
    warnings: tuple[str, ...]
    hashes: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def export_raw(
    view: View, target: str, *, force: bool = False, sparse: bool = True, progress: Progress | None = None
) -> ExportResult:
    """:func:`export` with the choices that most need."""
    return export(view, target, simple(force=force, sparse=sparse), progress=progress)


def export(
    view: View,
    target: str,
    choices: Choices,
    *,
    progress: Progress | None = None,
    command: tuple[str, ...] = (),
) -> ExportResult:
    """Write the bytes of ``view`` to a raw file that appears when it is complete.

    Args:
        view: what to export.
        target: path of the raw file, of a block device, or ``-`` for standard output.
        choices: how to export.
        progress: told about every piece, in bytes; may ask to stop.
        command: the command line that repeats the export, for the manifest.

    Raises:
        CannotExport: the target must not or cannot be written.
        CannotRead, Damaged, NeedsFile, NeedsKey: a part of the view cannot be read, and the policy is to fail.
        Cancelled: the user asked to stop. As after an error, nothing is left behind unless ``choices.keep`` says so.
    """
    started = time.monotonic()
    progress = progress or Silent()
    flight = preflight(view, target, progress=progress, choices=choices)
    if flight.problem is not None:
        raise flight.problem
    if choices.resume and not is_begun(target, flight.size, choices.split):
        choices = replace(choices, resume=False, keep=True)
        forget_journal(target)
    run = _Run(view, target, choices, flight, progress)
    written, warnings = run.write(command)
    seconds = time.monotonic() - started
    return ExportResult(target, flight.size, written, seconds, tuple(warnings), run.hashes, tuple(run.files))


class _Run:
    """One export from the first byte to the last file."""

    def __init__(self, view: View, path: str, choices: Choices, flight: Preflight, progress: Progress) -> None:
        self._view = view
        self._path = path
        self._choices = choices
        self._flight = flight
        self._progress = progress
        self._evidence = evidence_of(view)
        self._within = within_of(view, choices)
        self._keeps = choices.keep or choices.resume
        self._gaps: list[GuestRange] = []
        self._doubts: list[Trouble] = []
        self.hashes: dict[str, str] = {}
        self.files: list[str] = []

    def write(self, command: tuple[str, ...]) -> tuple[int, list[str]]:
        """Do it; gives the bytes written, and what a person must know."""
        with ExitStack() as stack:
            complete = False
            with unbroken():
                journal = self._open_journal()
                stack.callback(lambda: journal.close(keep=self._keeps and not complete))
            if isinstance(self._view, MappedView):
                journal.is_border = self._view.begins_piece
            with unbroken():
                target = self._open_target()
                stack.callback(target.close)
            stack.push(lambda _kind, error, _trace: self._weigh(target, error))
            if isinstance(target, FileTarget):
                target.set_size(journal.done)
                self._reserve(target)
            search = self._search()
            stack.callback(search.close)
            written = self._copy(target, journal)
            self._unless_cancelled(target.flush)
            self._verify(target)
            warnings = [*self._flight.warnings, *_changed(self._view)]
            beside = stack.enter_context(self._beside(target))
            self._doubts = self._doubts_of(search)
            self._write_sidecars(beside, journal, warnings, command)
            beside.commit()
            self._remove_stale()
            target.commit()
            complete = True
        if is_file(self._path):
            self.files[:0] = part_names(self._path, self._flight.size, self._choices.split)
        return written, warnings

    def _weigh(self, target: Target, error: BaseException | None) -> None:
        """What the image itself stops would be stopped there again: nothing is kept that nobody can continue."""
        if isinstance(error, _OF_THE_IMAGE) and not self._choices.resume:
            self._forget(target)

    def _forget(self, target: Target) -> None:
        self._keeps = False
        if isinstance(target, FileTarget):
            target.keep(wanted=False)

    def _open_target(self) -> Target:
        try:
            return open_target(self._path, self._flight.size, self._choices, self._evidence)
        except CannotExport:
            self._keeps = self._choices.resume  # nothing was begun
            raise

    def _open_journal(self) -> Journal:
        if not is_file(self._path):
            return Journal.passing()
        bound = binding(self._view, self._choices, self._flight.plan.first_encrypted)
        if self._choices.resume:
            return Journal.resumed(journal_of(self._path), bound)
        return Journal.fresh(journal_of(self._path), bound)

    def _beside(self, target: Target) -> Beside:
        resumes, force = self._choices.resume, self._choices.force
        return Beside(self._evidence, lambda: getattr(target, "is_named", False), force=force, ours=resumes)

    def _reserve(self, target: FileTarget) -> None:
        if self._choices.sparse is Sparse.OFF:
            target.allocate(0, self._flight.size)
        elif self._choices.preallocate:
            for extent in self._flight.plan.extents(self._view, self._within, self._progress):
                if not extent.reads_as_zero:
                    target.allocate(extent.guest.start - self._within.start, extent.guest.size)

    def _copy(self, target: Target, journal: Journal) -> int:
        hashes = Hashes(self._choices.computed, self._progress)
        pipeline = Pipeline(self._view, target, self._choices, hashes, self._progress)
        checkpoints = Checkpoints(journal, target.flush) if journal.path else None
        complete = False
        try:
            if journal.done and hashes and isinstance(target, FileTarget):
                self._progress.begin("Hashing what is already there", journal.done)
                self._hash_back(target, hashes, journal.done)
            rest = GuestRange(GuestOffset(self._within.start + journal.done), self._within.end)
            plan = make_plan(self._view, self._progress, within=rest) if journal.done else self._flight.plan
            total = rest.size if pipeline.counts_all else plan.to_write
            self._progress.begin(f"Exporting to {self._path}", total)
            pipeline.run(plan.extents(self._view, rest, self._progress), journal, checkpoints)
            self.hashes = hashes.digests()
            complete = True
        finally:
            hashes.close()
            if checkpoints is not None:
                checkpoints.close(last=self._keeps and not complete)
        return pipeline.written

    def _unless_cancelled(self, work: Any) -> None:
        """Let ``work`` take its time in another thread, and stop waiting when the user asks to."""
        failed: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except CannotExport as error:
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            self._progress.advance(0)
            thread.join(_PATIENCE)
        if failed:
            raise failed[0]

    # -- reading back -----------------------------------------------------------------------------------------

    def _hash_back(self, target: Any, hashes: Hashes, size: int) -> None:
        """Hash the first ``size`` bytes of what was written."""
        for source, origin in target.read_back():
            end = max(0, min(source.size, size - origin))
            done = 0
            for part in source.data_ranges(HostRange.at(0, end)):
                hashes.update_zeros(part.start - done)
                for at in range(part.start, part.end, _READ_BACK):
                    data = source.read_at(at, min(_READ_BACK, part.end - at))
                    hashes.update(data)
                    self._progress.advance(len(data))
                done = int(part.end)
            hashes.update_zeros(end - done)

    def _verify(self, target: Target) -> None:
        if not self._choices.verify:
            return
        name = self._choices.computed[0]
        hashes = Hashes((name,), self._progress)
        self._progress.begin(f"Verifying {self._path}", self._flight.bytes_to_write)
        try:
            self._hash_back(target, hashes, self._flight.size)
            found = hashes.digests()[name]
        finally:
            hashes.close()
        if found != self.hashes[name]:
            self._forget(target)  # who continues would take the wrong bytes for right
            raise CannotExport(
                f"{self._path}: reading back gave {name} {found}, written was {self.hashes[name]}",
                why="the disk did not keep what was written",
                hint="check the disk, and choose another place",
                exit_code=74,
            )

    # -- files beside the output ------------------------------------------------------------------------------

    def _write_sidecars(self, beside: Beside, journal: Journal, warnings: list[str], command: tuple[str, ...]) -> None:
        sums, count = {"unreadable": 0, "past-end": 0, "absent": 0, "doubtful": 0}, 0
        for trouble in self._listed(journal):
            sums[trouble.kind] += trouble.guest.size
            count += 1
        if sums["unreadable"]:
            what = f"{exact_size(sums['unreadable'])} could not be read"
            warnings.append(f"{what}: {_SUBSTITUTE[self._choices.on_error]} in their place")
        if sums["doubtful"]:
            warnings.append(f"{exact_size(sums['doubtful'])} are doubtful and stand as they are stored")
        if self._gaps:
            warnings.append(f"{exact_size(bytes_of(self._gaps))} of the disk that no piece holds are doubtful")
        if not is_file(self._path):
            return
        listed = bool(count) or self._choices.on_error is not OnError.FAIL
        if listed:
            from qcow2inspect.export.errormap import write_error_map

            whole = self._view.disk_offset if isinstance(self._view, MappedView) else int
            ranges, origin = self._listed(journal), int(self._within.start)
            write_error_map(beside, self._path, origin, self._flight.size, ranges, disk_offset=whole)
            self.files += [map_of(self._path), json_of(self._path)]
        if isinstance(self._view, MappedView):
            write_pieces(beside, pieces_of(self._path), self._view, self._gaps)
            self.files.append(pieces_of(self._path))
        if self._choices.wants_manifest:
            from qcow2inspect.export.manifest import write_manifest

            listed_in = os.path.basename(json_of(self._path)) if listed else None
            manifest = self._manifest({"ranges": count, "bytes": sums, "listed_in": listed_in}, warnings, command)
            write_manifest(beside, self._path, manifest)
            self.files += manifest_names(self._path)

    def _listed(self, journal: Journal) -> Iterator[Trouble]:
        """All that is listed, in order; in mapped-only output each range lies in one piece."""
        found = with_doubts(journal.troubles(), self._doubts)
        if not isinstance(self._view, MappedView):
            return found
        view = self._view
        return (part for trouble in found for part in view.split(trouble))

    def _doubts_of(self, search: DoubtSearch) -> list[Trouble]:
        """What is doubtful though it could be read."""
        found = search.result(self._progress)
        if isinstance(self._view, MappedView):
            self._gaps = list(self._view.gaps_in(doubt.guest for doubt in found))
        return list(doubts_seen(self._view, self._within, found))

    def _search(self) -> DoubtSearch:
        """Begin to look for doubts, on the whole disk, while it is copied."""
        plan, view, within = self._flight.plan, self._view, self._within
        whole = view.whole if isinstance(view, MappedView) else view
        everything = GuestRange.at(0, whole.size)
        known = whole is view and within == everything and not plan.is_full
        return DoubtSearch(whole, partial(plan.extents if known else coarse_extents, whole, everything))

    def _manifest(self, substituted: dict[str, Any], warnings: list[str], command: tuple[str, ...]) -> dict[str, Any]:
        from qcow2inspect.export.manifest import make_manifest

        facts = {
            "files": part_names(self._path, self._flight.size, self._choices.split),
            "size": self._flight.size,
            "hashes": self.hashes,
            "verified": self._choices.verify,
            "substituted": substituted,
            "warnings": warnings,
            "command": list(command),
        }
        return make_manifest(self._view, self._choices, facts, self._progress)

    def _remove_stale(self) -> None:
        """What lies beside an earlier output of this name is not about this one."""
        replaces = self._choices.force or self._choices.resume
        for name in sidecars(self._path) if replaces and is_file(self._path) else ():
            if name not in self.files and os.path.isfile(name) and not os.path.islink(name):
                os.unlink(name)


_SUBSTITUTE = {
    OnError.FAIL: "",
    OnError.ZERO: "zeros stand",
    OnError.PATTERN: "a pattern stands",
    OnError.BEST: "what came out of broken streams, and zeros, stand",
}


def _changed(view: View) -> list[str]:
    return [
        f"{source.name} changed while it was read: what was written mixes two states of it"
        for source in view.sources
        if isinstance(source, FileSource) and source.changed
    ]
