"""The top line: where the cursor is, how sound the image is, and that nothing is ever written to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.style import Style
from textual.widget import Widget

from qcow2inspect.findings import Severity
from qcow2inspect.tui.messages import PathAsked
from qcow2inspect.tui.widgets.paint import columns, strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.strip import Strip

    from qcow2inspect.findings import Finding
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["Crumbs", "tally"]

_FEW = 3
_GROUPS = (("error", (Severity.FATAL, Severity.ERROR)), ("warning", (Severity.WARNING,)), ("note", (Severity.NOTE,)))


def tally(findings: Sequence[Finding], look: Look) -> Line:
    """How many findings of each weight there are: ``0✗ 0▲ 3●``."""
    line: Line = []
    for role, severities in _GROUPS:
        count = sum(1 for finding in findings if finding.severity in severities)
        line.append((f"{count}{look.glyphs[role]} ", look.style(role if count else "faint")))
    return line


class Crumbs(Widget):
    """The breadcrumb line; a click on a crumb goes there.

    Args:
        look: colours and glyphs.
    """

    ALLOW_SELECT = False

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self._crumbs: list[tuple[str, str]] = []
        self._findings: Sequence[Finding] | None = None
        self._sealed = ("read-only", True)

    def seal(self, words: str, holds: bool) -> None:
        """Say how the evidence is kept from being changed.

        Args:
            words: in two or three words.
            holds: False if a layer of it is missing.
        """
        if self._sealed != (words, holds):
            self._sealed = (words, holds)
            self.refresh()

    def show(self, crumbs: list[tuple[str, str]], findings: Sequence[Finding] | None) -> None:
        """Show the way.

        Args:
            crumbs: words, and the address that each leads to.
            findings: what is counted at the right end; None while nothing is known.
        """
        self._crumbs, self._findings = crumbs, findings
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        width, fill = self.size.width, self.look.style("text")
        if y:
            return strip([], width, fill)
        right = self._right(width)
        line = self._left(width - sum(cell_len(text) for text, _ in right) - 1)
        return strip(columns(line, right, width, fill), width, fill)

    def _left(self, room: int) -> Line:
        gap = f" {self.look.glyphs['crumb']} "
        kept = self._kept(room, cell_len(gap))
        line: Line = [(" ", self.look.style("text"))]
        for number, (text, path) in enumerate(kept):
            role = "strong" if number == len(kept) - 1 else "text"
            style = self.look.style(role)
            if path:
                style += Style(meta={"crumb": path})
            if number:
                line.append((gap, self.look.style("faint")))
            line.append((text, style))
        return line

    def _kept(self, room: int, gap: int) -> list[tuple[str, str]]:
        """The crumbs that fit: those next to the file give way."""
        crumbs = [(self.look.glyphs.text(text), path) for text, path in self._crumbs]
        more = (self.look.glyphs["more"], "")

        def total(parts: list[tuple[str, str]]) -> int:
            return 1 + sum(cell_len(text) for text, _ in parts) + gap * max(0, len(parts) - 1)

        for lesser in ("host ", "data "):
            if total(crumbs) > room and len(crumbs) > _FEW:
                crumbs = [crumb for crumb in crumbs if not crumb[0].startswith(lesser)]
        if total(crumbs) <= room or len(crumbs) < _FEW:
            return crumbs
        first, *rest = crumbs
        while len(rest) > 1 and total([first, more, *rest]) > room:
            rest.pop(0)
        return [first, more, *rest] if total([first, more, *rest]) <= room else rest

    def _right(self, width: int) -> Line:
        words, holds = self._sealed
        short = words if width >= 100 else words.partition(" (")[0].partition(",")[0] if width >= 60 else "RO"
        sealed = f"{short} {self.look.glyphs['sealed']} "
        line: Line = [(" ", self.look.style("text"))]
        if self._findings is not None and width >= 40:
            line += [*tally(self._findings, self.look), (" ", self.look.style("text"))]
        return [*line, (sealed, self.look.style("good" if holds else "warn"))] if width >= 30 else []

    def on_click(self, event: events.Click) -> None:
        """A click on a crumb goes there."""
        path = event.style.meta.get("crumb")
        if path:
            event.stop()
            self.post_message(PathAsked(path))
