"""The findings in a few groups by cause: each opens into its findings, each of them into its evidence."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from qcow2inspect.rules.causes import Cause, causes
from qcow2inspect.tui.widgets.findings import FindingsList, Row, Stop
from qcow2inspect.tui.widgets.paint import FRAMED, columns, wrapped
from qcow2inspect.units import counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.findings import Finding
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["CauseList"]


class CauseList(FindingsList):
    """A list of groups, each on two rows; what there is to say about one stands in another pane.

    Args:
        look: colours and glyphs.
        id: Textual id.
    """

    def __init__(self, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._causes: list[Cause] = []
        self._touched = False

    def show(self, findings: Sequence[Finding], *, complete: bool, filtered: bool = False) -> None:
        """Show findings, in groups unless some words are asked for."""
        self._causes = causes(findings, len(findings)) if filtered else causes(findings)
        super().show([one for cause in self._causes for one in cause.findings], complete=complete, filtered=filtered)
        self._unfold_all()

    @property
    def _roomy(self) -> bool:
        """True where the list has a height of its own."""
        return self.screen.size.width >= FRAMED

    def _unfold_all(self) -> None:
        """Open all groups at first where there is room for all that they hold."""
        if self._touched or not self._roomy:
            return
        groups, numbers = set(), itertools.count()
        for cause in self._causes:
            found = tuple(itertools.islice(numbers, len(cause.findings)))
            groups |= {found} if cause.title else set()
        rows = len(groups) + sum(2 + len(one.brief) // (self.width - 8) for one in self._findings)
        self._unfolded = groups if rows <= self.height else set()
        self._changed()

    def on_resize(self) -> None:
        """Compose for the new size."""
        super().on_resize()
        self._unfold_all()

    def action_unfold(self) -> None:
        """Show what the group holds, or all evidence of the finding."""
        self._touched = True
        super().action_unfold()

    def action_fold(self) -> None:
        """Hide it."""
        self._touched = True
        super().action_fold()

    @property
    def cause(self) -> Cause | None:
        """The group under the cursor; None on a finding."""
        stop = self.stop
        found = (cause for cause in self._causes if stop is not None and len(stop.findings) > 1)
        return next((cause for cause in found if cause.findings == self.chosen), None)

    def _list_rows(self, width: int) -> Iterator[Row]:
        first = 0
        for cause in self._causes:
            numbers = tuple(range(first, first + len(cause.findings)))
            first += len(cause.findings)
            if not cause.title:
                yield from self._finding_rows(numbers[0], width)
                continue
            yield from self._cause_rows(cause, numbers, width)
            if numbers in self._unfolded:
                for number in numbers:
                    yield from self._finding_rows(number, width, indent=2)

    def _cause_rows(self, cause: Cause, numbers: tuple[int, ...], width: int) -> Iterator[Row]:
        glyphs, style = self.look.glyphs, self.look.style
        stop = self._add(Stop(numbers))
        severity, is_open = str(cause.severity), numbers in self._unfolded
        left = [
            (f" {glyphs[severity]} {severity} ", style(severity)),
            (cause.title, style("strong")),
            (glyphs.text(f" ×{cause.count:,}"), style("strong")),
        ]
        right = f"  {counted(len(numbers), 'kind')} {glyphs['open' if is_open else 'closed']} "
        yield Row(columns(left, [(right, style("dim"))], width, style("text")), stop)
        if not is_open:
            names = ", ".join(one.code.removeprefix("QCOW-") for one in cause.findings)
            yield Row([(f"   {self._cut(names, width - 4)}", style("dim"))], stop)

    def _finding_rows(self, number: int, width: int, *, indent: int = 0) -> Iterator[Row]:
        """Two rows: what it is called and how much of the disk it touches, and what is observed."""
        finding = self._findings[number]
        stop = self._add(Stop((number,)))
        yield Row(self._brief_head(number, width, indent), stop)
        room = width - indent - 4
        parts = wrapped(self.look.glyphs.text(finding.brief), room) if self._roomy else [self._cut(finding.brief, room)]
        for part in parts:
            yield Row([(f"{' ' * (indent + 3)}{part}", self.look.style("text"))], stop)
        yield from self._evidence(number, finding, width)

    def _brief_head(self, number: int, width: int, indent: int) -> Line:
        glyphs, style, finding = self.look.glyphs, self.look.style, self._findings[number]
        severity = str(finding.severity)
        count = f" ×{finding.count:,}" if finding.count > 1 else ""
        left = [
            (f"{' ' * indent} {glyphs[severity]} {severity} ", style(severity)),
            (finding.code, style("dim")),
            (glyphs.text(count), style("strong")),
        ]
        touched = f"  guest {human_size(finding.guest_bytes)}  " if finding.guest_bytes else ""
        fold = f"{glyphs['open' if (number,) in self._unfolded else 'closed']} " if len(finding.evidence) > 1 else "  "
        return columns(left, [(touched, style("text")), (fold, style("dim"))], width, style("text"))

    def _cut(self, text: str, room: int) -> str:
        """A text on one row; what is left out stands in the other pane."""
        text, more = self.look.glyphs.text(text), self.look.glyphs["more"]
        return text if len(text) <= room else text[: max(0, room - len(more))].rstrip() + more

    def _fold_parent(self, numbers: tuple[int, ...]) -> Stop | None:
        return next((Stop(group) for group in self._unfolded if len(group) > 1 and numbers[0] in group), None)
