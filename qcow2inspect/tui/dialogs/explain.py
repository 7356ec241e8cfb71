"""What is under the cursor, explained: the text of the command line, with this image's values and arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.containers import Vertical

from qcow2inspect.rules import all_rules
from qcow2inspect.rules.explain import of_node, of_rule
from qcow2inspect.tui import describe
from qcow2inspect.tui.dialogs.parts import Dialog
from qcow2inspect.tui.widgets.textpane import TextPane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.app import ComposeResult
    from textual.geometry import Size

    from qcow2inspect.findings import Finding
    from qcow2inspect.layout.node import Node
    from qcow2inspect.rules.explain import Explanation
    from qcow2inspect.tui.describe import Step
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["ExplainDialog", "ExplainText", "Topic"]


@dataclass(frozen=True, slots=True)
class Topic:
    """What is to be explained.

    Attributes:
        title: what it is called.
        texts: what it is.
        here: labels and values of this image.
        steps: how the values follow from each other.
    """

    title: str
    texts: Sequence[Explanation]
    here: Sequence[tuple[str, str]] = ()
    steps: Sequence[Step] = ()

    @classmethod
    def node(cls, node: Node, steps: Sequence[Step]) -> Topic:
        """A place of the structure; its meaning stands here unless one of the texts says the same."""
        texts, meaning = of_node(node), node.doc and f"{node.doc}."
        is_told = any(text.title.endswith(f": {meaning}") for text in texts)
        here = [("here", node.shown), ("address", node.path), ("meaning", "" if is_told else meaning)]
        return cls(describe.title(node), texts, [row for row in here if row[1]], steps)

    @classmethod
    def findings(cls, findings: Sequence[Finding]) -> Topic:
        """One finding, or those of a group."""
        rules = {rule.code: rule for rule in all_rules()}
        texts = [of_rule(rules[finding.code]) for finding in findings]
        here = [("here", finding.message) for finding in findings]
        return cls(findings[0].code if len(findings) == 1 else "Findings", texts, here)


class ExplainText(TextPane):
    """The text.

    Args:
        look: colours and glyphs.
        what: what is explained.
    """

    def __init__(self, look: Look, what: Topic) -> None:
        super().__init__(look, id="help")
        self._what = what

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as there is text."""
        del container, viewport
        return sum(1 for _ in self.compose_lines(max(1, width - 1)))

    def compose_lines(self, width: int) -> Iterator[Line]:
        """This image's values, its arithmetic, and the texts."""
        for label, value in self._what.here:
            yield from self.row(label, value, width)
        if self._what.steps:
            yield self.rule("arithmetic", width)
            yield from self.steps(list(self._what.steps), width)
        for text in self._what.texts:
            yield from self._text(text, width)

    def _text(self, text: Explanation, width: int) -> Iterator[Line]:
        name, _, title = text.title.partition(": ")
        yield self.rule(name, width)
        yield from self.paragraph(title[:1].upper() + title[1:], width, "title")
        widest = max((len(label) for label, _ in text.rows), default=0)
        for label, value in text.rows:
            yield from self.row(label, value, width, label_cells=min(widest, width // 3))
        for paragraph in text.paragraphs:
            yield []
            yield from self.paragraph(paragraph, width)


class ExplainDialog(Dialog[None]):
    """A text to be read, and left again.

    Args:
        look: colours and glyphs.
        what: what is explained.
    """

    BINDINGS = [Binding("f1,q,enter", "close", "close", show=False)]

    def __init__(self, look: Look, what: Topic) -> None:
        super().__init__()
        self.look = look
        self._what = what

    def compose(self) -> ComposeResult:
        """The text in a frame."""
        with Vertical(id="dialog", classes="fitting"):
            yield ExplainText(self.look, self._what)

    def on_mount(self) -> None:
        """Say what it is about, and how to leave."""
        self.entitle(self.look.glyphs.text(self._what.title))
        self.offer("Esc close")

    def action_close(self) -> None:
        """Leave."""
        self.leave(None)
