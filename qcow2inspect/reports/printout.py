"""The plain text in pages of paper: 80 columns, 60 lines, a heading and a number on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.layout.structure import visible
from qcow2inspect.reports.base import Format
from qcow2inspect.reports.text import text_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.dossier.section import Report

__all__ = ["FORMAT", "render_pages"]

_WIDTH = 80
_BODY = 56
_FORM_FEED = "\f"


def render_pages(report: Report) -> str:
    """The report in pages that a form feed ends; a section does not start on the last lines of a page."""
    pages = list(_pages(list(text_lines(report))))
    title = visible(report.title)[: _WIDTH - 20]
    return "".join(_page(lines, title, number, len(pages)) for number, lines in enumerate(pages, 1))


FORMAT = Format("print", ".print.txt", "plain text in pages for a printer", render_pages)


def _pages(lines: list[str]) -> Iterator[list[str]]:
    start = 0
    while start < len(lines):
        end = min(start + _BODY, len(lines))
        if end < len(lines):
            end = _good_break(lines, start, end)
        page = lines[start:end]
        while page and not page[0]:
            page.pop(0)
        if page:
            yield page
        start = end


def _good_break(lines: list[str], start: int, end: int) -> int:
    """The last empty line in the last third of a page, where there is one."""
    for place in range(end, end - _BODY // 3, -1):
        if not lines[place] and place > start:
            return place
    return end


def _page(lines: list[str], title: str, number: int, count: int) -> str:
    body = [*lines, *[""] * (_BODY - len(lines))]
    where = f"page {number} of {count}"
    head = f"{title:<{_WIDTH - len(where)}}{where}"
    return "\n".join([head, "", *body]) + "\n" + _FORM_FEED
