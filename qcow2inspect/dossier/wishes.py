"""What somebody wants of a report."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.dossier.values import Time

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SECTIONS", "HashRow", "Wishes", "moment", "report_time"]

SECTIONS = {
    "case": "who asked, and under which number",
    "summary": "verdict, sentences, flags, facts",
    "exhibit": "the file: path, size, hashes",
    "header": "header and header extensions, field by field",
    "chain": "backing files and external data file, and where the chain ends",
    "snapshots": "internal snapshots",
    "bitmaps": "persistent bitmaps",
    "encryption": "method and key slots, never keys",
    "allocation": "what the guest clusters are",
    "map": "figure of the guest disk",
    "findings": "what the rules found, with the bytes that prove it",
    "checks": "every rule and its outcome",
    "completeness": "what was not checked, and why",
    "notes": "the examiner's notes and marks",
    "method": "how to repeat each number",
    "provenance": "when, where, by which command, versions: the volatile facts",
}
"""Key of every section and what it holds, in the order of a report."""


@dataclass(frozen=True, slots=True)
class HashRow:
    """A hash of the exhibit.

    Attributes:
        scope: what was hashed: ``container file`` or ``guest content``.
        what: which file or which state.
        size: bytes that were hashed.
        algorithm: name of the function.
        value: hexadecimal.
    """

    scope: str
    what: str
    size: int
    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a report shall say beyond what the image says.

    Attributes:
        sections: keys of the sections; None for all.
        redact: hide paths and names.
        case: label and value: number of the case, of the exhibit, the examiner.
        notes: the examiner's notes, each a paragraph.
        marks: address and words of places that the examiner marked.
        hashes: hashes that were computed for this report.
        command: the words of the command line; empty if there was none.
        time: when the report was made, seconds since 1970; None leaves it out.
    """

    sections: frozenset[str] | None = None
    redact: bool = False
    case: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    marks: tuple[tuple[str, str], ...] = ()
    hashes: tuple[HashRow, ...] = ()
    command: tuple[str, ...] = ()
    time: float | None = None

    def wants(self, key: str) -> bool:
        """True if the section is asked for."""
        return self.sections is None or key in self.sections

    @property
    def command_line(self) -> str:
        """The command as a shell takes it; without its values where names are hidden."""
        if not self.redact:
            return shlex.join(self.command)
        shown = [word.partition("=")[0] if word.startswith("--") else word for word in self.command]
        kept = [word if word.startswith("-") or number < 2 else "[hidden]" for number, word in enumerate(shown)]
        return " ".join(kept)


def report_time() -> float:
    """Now, in seconds since 1970, or what ``SOURCE_DATE_EPOCH`` says instead."""
    import time

    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    return float(stated) if stated.isdecimal() else float(int(time.time()))


def moment(seconds: float) -> Time:
    """Seconds since 1970 as a time."""
    return Time(round(seconds * 10**9))
