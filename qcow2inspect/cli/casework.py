"""What ``--case`` adds to a command: outputs go into the case folder, and what was done goes into its log."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import progress_bar, warn
from qcow2inspect.errors import BadAddress, Qcow2InspectError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from qcow2inspect.case import Case
    from qcow2inspect.dossier.section import Report
    from qcow2inspect.evidence import Identity

    class _Bytes(Protocol):
        def write(self, data: bytes, /) -> object: ...
        def flush(self) -> object: ...


__all__ = ["PARTS", "Ear", "body_hash", "exit_code_of", "listening", "prepare", "remember_body", "run_kept"]

_USAGE = 64

PARTS = {"report": ("output", "reports"), "export": ("out", "exports")}
"""Verb -> the option that names its output, and where a bare name goes."""


def prepare(options: argparse.Namespace) -> None:
    """Make the folder, put bare names of outputs into it, take its notes into a report.

    Raises:
        CannotExport: the folder cannot be made.
        Broken: its log is not as it was written.
    """
    from qcow2inspect.case import Case
    from qcow2inspect.dossier.wishes import report_time

    options.case_folder = case = Case(options.case, _evidence(options))
    options.case_words = list(sys.argv[1:])
    if options.verb == "open":
        return
    os.environ["SOURCE_DATE_EPOCH"] = str(int(report_time()))  # one time for the log and what is written
    if options.verb in PARTS:
        name, part = PARTS[options.verb]
        given = getattr(options, name)
        if options.verb == "export" and given == "-":
            raise BadAddress("--case keeps files: give the output a name")
        if given is not None:
            setattr(options, name, case.place(given, part))
    if options.verb == "report":
        _take_notes(options, case)


def _evidence(options: argparse.Namespace) -> set[Identity]:
    """The files that the command will look at, and those that they name: the folder must hold none of them."""
    from qcow2inspect.image.follow import open_chain
    from qcow2inspect.source.shield import identities_of

    found: set[Identity] = set()
    for path in filter(None, (options.image, getattr(options, "other", None))):
        with suppress(OSError, ValueError):
            found.update(identities_of(os.stat(path)))
        with suppress(Qcow2InspectError), open_chain(path, maybe_raw=True) as chain:
            found |= chain.evidence
    return found


def _take_notes(options: argparse.Namespace, case: Case) -> None:
    """The case's notes and marks, then those of the command line, which the case keeps from now on."""
    marks = [tuple(mark.split("=", 1)) for mark in options.mark if "=" in mark]
    before = case.notes, [f"{address}={words}" for address, words in case.marks]
    case.remember(options.note, [(mark[0], mark[1]) for mark in marks])
    for given, kept, option in zip((options.note, options.mark), before, ("--note", "--mark"), strict=True):
        more = [text for text in kept if text not in given]
        given[:0] = more
        options.case_words[1:1] = [word for text in more for word in (option, text)]


def run_kept(options: argparse.Namespace) -> int:
    """Run the command, and log what it did, whatever came of it."""
    from qcow2inspect import output

    case: Case = options.case_folder
    if options.verb == "open":  # what is done there is logged when it is done
        return int(options.run(options))
    with progress_bar() as progress:
        image = case.evidence(options.image, progress)
    before, code, ear = len(output.finished), 1, Ear(None)
    options.bodies = {}
    try:
        with listening(quiet=False) as ear:
            code = int(options.run(options))
    except (Qcow2InspectError, BadAddress) as error:
        code = exit_code_of(error)
        raise
    finally:
        _log(options, image, code, [*output.finished[before:]], ear)
    return code


def exit_code_of(error: Qcow2InspectError | BadAddress) -> int:
    """What the command line returns for it."""
    return error.exit_code if isinstance(error, Qcow2InspectError) else _USAGE


def _log(options: argparse.Namespace, image: dict[str, Any], code: int, files: Sequence[str], ear: Ear) -> None:
    from qcow2inspect.case import Kept
    from qcow2inspect.case.folder import kept_files, moment_facts
    from qcow2inspect.dossier.wishes import report_time

    case: Case = options.case_folder
    outputs = kept_files(files, options.bodies)
    if ear.size:
        outputs.append(Kept("-", ear.size, ear.sha256, options.bodies.get("-", "")))
    target = getattr(options, PARTS[options.verb][0]) if options.verb in PARTS else None
    facts = {**moment_facts(code, sys.argv[1:], int(report_time())), "target": target}
    head = case.record(options.case_words, image=image, outputs=outputs, facts=facts)
    warn(f"logged in {options.case}; head of the log {head}")


def remember_body(options: argparse.Namespace, path: str, report: Report, name: str) -> None:
    """Note the hash of a report without its volatile facts, where a case is kept."""
    if hasattr(options, "bodies"):
        options.bodies[path] = body_hash(report, name)


def body_hash(report: Report, name: str) -> str:
    """SHA-256 of a report in a format, without its provenance."""
    from dataclasses import replace

    from qcow2inspect.case.folder import fingerprint_of
    from qcow2inspect.reports import render

    return fingerprint_of(render(replace(report, provenance=None), name))


class Ear(io.RawIOBase):
    """Standard output that remembers what it was told.

    Args:
        target: where it goes on to; None for nowhere.
    """

    def __init__(self, target: _Bytes | None) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of all that was told."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Take it in and pass it on."""
        heard = bytes(data)
        self._digest.update(heard)
        self.size += len(heard)
        if self._target is not None:
            self._target.write(heard)
        return len(heard)

    def flush(self) -> None:
        """Pass everything on."""
        if self._target is not None:
            self._target.flush()


@contextmanager
def listening(*, quiet: bool) -> Iterator[Ear]:
    """Standard output with an ear; it is no terminal meanwhile, so that the same is printed everywhere.

    Args:
        quiet: pass nothing on.
    """
    before = sys.stdout
    ear = Ear(None if quiet else getattr(before, "buffer", None))
    before.flush()
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(ear), encoding="utf-8", errors="surrogateescape", newline="\n")
    try:
        yield ear
    finally:
        sys.stdout.flush()
        sys.stdout = before
