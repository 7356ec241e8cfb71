"""The report as plain text, 80 columns wide where the content allows it."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

from qcow2inspect import __version__
from qcow2inspect.output import Output

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from qcow2inspect.dossier import Dossier, State
    from qcow2inspect.findings import Finding
    from qcow2inspect.output import Identity

__all__ = ["render_text", "write_report"]

_WIDTH = 80
_LABEL = 18


def render_text(dossier: Dossier) -> str:
    """The whole report; the same dossier always gives the same text."""
    return "\n".join(_lines(dossier)) + "\n"


def write_report(dossier: Dossier, path: str, *, force: bool = False, evidence: Collection[Identity] = ()) -> None:
    """Write the report to a file that appears when it is complete.

    Args:
        dossier: what to report.
        path: where the report shall appear.
        force: replace an existing file.
        evidence: files that must never be written, by device and inode.

    Raises:
        CannotExport: the file must not or cannot be written.
    """
    with Output(path, force=force, evidence=evidence) as output:
        output.write_at(0, render_text(dossier).encode())
        output.commit()


def _lines(dossier: Dossier) -> Iterator[str]:
    title = f"qcow2inspect report: {os.path.basename(dossier.name)}"
    yield from (title, "=" * len(title), "")
    yield from _rows([("image", dossier.name), ("tool", f"qcow2inspect {__version__}"), ("opened", "read-only")])
    yield from _section("Verdict")
    yield dossier.verdict
    for sentence in dossier.summary:
        yield from _wrapped(sentence)
    yield from _section("States")
    yield from _rows([(state.name, _state(state)) for state in dossier.states])
    yield from _section("Facts")
    yield from _rows(list(dossier.facts))
    yield from _section("Guest clusters of the active state")
    if dossier.counts is None:
        yield "not checked"
    else:
        yield from _rows([(word, f"{count:,}") for word, count in dossier.counts.items()])
    yield from _section(f"Findings ({len(dossier.findings)})")
    for finding in dossier.findings:
        yield from _finding(finding)
    if not dossier.findings:
        yield "none"
    yield from _section("Not checked")
    for line in dossier.not_checked:
        yield from _wrapped(line, first="- ", rest="  ")


def _section(title: str) -> tuple[str, str, str]:
    return ("", title, "-" * len(title))


def _rows(rows: list[tuple[str, str]]) -> Iterator[str]:
    for label, value in rows:
        yield from _wrapped(value, first=f"{label:<{_LABEL}}", rest=" " * _LABEL)


def _state(state: State) -> str:
    mark = "not checked" if state.on is None else "YES" if state.on else "no"
    return mark if state.shown in ("no", "none", "not checked yet") else f"{mark:<4}{state.shown}"


def _finding(finding: Finding) -> Iterator[str]:
    yield from _wrapped(finding.message, first=f"{finding.severity.upper():<8}{finding.code}  ", rest=" " * 8)
    for evidence in finding.evidence:
        digits = max(2, evidence.where.size * 2)
        yield f"        {evidence.path} at {evidence.where}: {evidence.raw:0{min(digits, 16)}x}"
    if finding.evidence and finding.more:
        yield f"        and {finding.more:,} more"


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    wrapper = textwrap.TextWrapper(
        _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.wrap(text) or [first.rstrip()]
