"""The report for a terminal: colours and boxes, as wide as the terminal."""

from __future__ import annotations

import io
import os
import shutil
import sys
from typing import TYPE_CHECKING

from qcow2inspect.dossier.values import words
from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import MAP_SIGNS, Format, dump_lines, evidence_words, map_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from qcow2inspect.dossier.section import Proof, Report, Section, Table
    from qcow2inspect.findings import Finding

__all__ = ["FORMAT", "render_console"]

_SEVERITY = {"fatal": "bold white on red", "error": "bold red", "warning": "yellow", "note": "cyan", "info": "dim"}
_VERDICT = {"NO DAMAGE SEEN": "bold green", "DAMAGED": "bold red", "CANNOT BE READ": "bold red"}
_NOTHING = ("absent", "zero", "unreadable", "not checked")
_MAP = {"!": "red", "~": "yellow", "?": "red", "c": "magenta", "#": "green", "Z": "blue", "z": "cyan", ".": "dim"}


_MOST = 18
"""Cells of width up to which a column is narrow: a number of 64 bits has 16 digits."""

_LEAST = 13
"""Cells of width that a column keeps that is broken."""


def render_console(report: Report, width: int | None = None, *, colour: bool | None = None) -> str:
    """The report for a terminal.

    Args:
        report: what to say.
        width: columns; those of the terminal by default.
        colour: whether to use colours; by default where the output is a terminal and NO_COLOR is not set.
    """
    from rich.console import Console

    if colour is None:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    console = Console(
        file=io.StringIO(),
        width=width or shutil.get_terminal_size().columns,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    _print(console, report)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().split("\n"))


FORMAT = Format("console", "", "colours and boxes for a terminal", render_console)


def _text(words: str, style: str = "") -> Text:
    """Text that is no markup, made harmless."""
    from rich.text import Text

    return Text(visible(words), style, overflow="fold")


def _value(shown: str) -> Text:
    return _text(shown, "dim italic" if shown in _NOTHING else "")


def _print(console: Console, report: Report) -> None:
    from rich.panel import Panel

    verdict = report.dossier.verdict
    style = _VERDICT.get(verdict, "bold yellow")
    console.print(Panel(_text(verdict, style), title=_text(report.title), title_align="left", border_style=style))
    for section in report.sections:
        _section(console, report, section)
    if report.provenance is not None:
        _section(console, report, report.provenance)


def _section(console: Console, report: Report, section: Section) -> None:
    from rich.rule import Rule

    count = f" ({len(report.findings)})" if section.key == "findings" else ""
    console.print()
    console.print(Rule(_text(f"{section.title}{count}", "bold"), align="left", style="blue"))
    for sentence in section.prose:
        console.print(_text(sentence))
    _fields(console, section)
    for table in section.tables:
        _table(console, table)
    if section.key == "map":
        _map(console, report)
    if section.key == "findings":
        for number, finding in enumerate(report.findings):
            _finding(console, finding, list(report.proofs.get(number, ())))


def _fields(console: Console, section: Section) -> None:
    from rich.table import Table as Grid

    if not section.fields:
        return
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="blue", no_wrap=False)
    grid.add_column(overflow="fold")
    for field in section.fields:
        value = _value(words(field.value))
        if field.note:
            value.append_text(_text(f" ({field.note})", "dim"))
        grid.add_row(_text(field.label), value)
    console.print(grid)


def _table(console: Console, table: Table) -> None:
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    if not table.rows:
        console.print(_text(f"{table.title}: ", "bold").append_text(_value(table.nothing.value)))
        return
    grid = Grid(title=_text(table.title, "bold"), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    texts = [[words(value) for value in row] for row in table.rows]
    titles, whole = _fitted([title for _, title in table.columns], texts, console.width)
    for lines, is_whole in zip(titles, whole, strict=True):
        grid.add_column(Text("\n").join(map(_text, lines)), overflow="fold", no_wrap=is_whole)
    for row in texts:
        grid.add_row(*map(_value, row))
    console.print(grid)
    if table.more:
        console.print(_text(f"and {table.more:,} more"))


def _fitted(titles: list[str], rows: list[list[str]], width: int) -> tuple[list[list[str]], list[bool]]:
    """Titles in lines, as many lines as they have words where room is short; and which columns are never broken.

    A broken number or offset is easily misread: the narrow columns stay whole as long as the others keep some room.
    """
    widest = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(max(len(title), cells) + 2 for title, cells in zip(titles, widest, strict=True)) <= width:
        return [[title] for title in titles], [False] * len(titles)
    need = [max(cells, *map(len, title.split())) + 1 for title, cells in zip(titles, widest, strict=True)]
    room, whole = width - 2, [False] * len(titles)
    for place in sorted(range(len(need)), key=need.__getitem__):
        others = len(titles) - sum(whole) - 1
        if need[place] <= min(_MOST, room - others * _LEAST):
            whole[place] = True
            room -= need[place]
    return [title.split() if kept else [title] for title, kept in zip(titles, whole, strict=True)], whole


def _map(console: Console, report: Report) -> None:
    known = set(MAP_SIGNS.values())
    for line in map_lines(report):
        text = _text(line)
        for place, sign in enumerate(line):
            if place > 13 and sign in known and " " not in line[14:]:
                text.stylize(_MAP[sign], place, place + 1)
        console.print(text)


def _finding(console: Console, finding: Finding, proofs: list[Proof]) -> None:
    console.print()
    head = _text(f"{finding.severity.upper()} ", _SEVERITY[finding.severity])
    console.print(head.append_text(_text(finding.code, "bold")))
    console.print(_text(finding.message))
    for proof in proofs:
        console.print(_text(evidence_words(proof.evidence, hidden=proof.hidden), "cyan"))
        if proof.excerpt is not None:
            for line in dump_lines(proof.excerpt):
                console.print(_text(line, "dim"), crop=True, no_wrap=True)
    if proofs and finding.more:
        console.print(_text(f"and {finding.more:,} more"))
