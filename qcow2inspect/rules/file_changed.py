"""A file changed while it was examined.

Its size or the time of its last modification is not what it was when the file was opened. What was read before and what
was read later belong to two states of the file: what is said about one may be wrong for the other, and no hash of
the file can be repeated.

What else could explain it: a guest that still runs on the image; a copy that is not finished; a program that touches
the file and leaves its content alone.

QEMU does not notice changes by others, but takes a lock on an image that it uses; qemu-img check refuses an image that
is in use for writing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Evidence, Severity
from qcow2inspect.layout.structure import visible
from qcow2inspect.rules.base import simple_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.source.protocol import Source
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE", "changes"]


def _find(survey: Survey) -> Iterator[tuple[str, Evidence | None]]:
    named = [layer.data_file for layer in survey.chain.layers] if survey.chain else []
    layers = [layer.source for layer in survey.chain.layers] if survey.chain else [survey.image.source]
    for text in changes([*layers, *named]):
        yield text, None


def changes(sources: Iterable[Source | object]) -> Iterator[str]:
    """What to say about each file that changed since it was opened."""
    for source in sources:
        if getattr(source, "changed", False):
            yield (
                f"{visible(str(getattr(source, 'name', '')))} changed while it was examined (size or time of "
                "modification): what is said here may mix two states of it"
            )


RULE = simple_rule(
    __name__,
    "QCOW-FILE-CHANGED",
    Severity.WARNING,
    Category.FORENSIC,
    spec="Header",
    find=_find,
)
