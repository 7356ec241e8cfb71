"""A backing file is not of the format that is stated for it.

The image states a format for its backing file, and the content of that file says another one; or the file is of a
format that cannot be read here. A file stated as raw whose content starts like an image is read as raw bytes, as
QEMU does it: guest data then starts with the header of an image.

What else could explain it: a guest wrote an image into its raw disk; a wrong -F option; a base that was converted
later.

QEMU believes the stated format and, where there is none, guesses by content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.image.probe import probe
from qcow2inspect.layout.structure import visible
from qcow2inspect.rules.layers import chain_rule, end_of_chain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Evidence
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[tuple[str, Evidence | None]]:
    yield from end_of_chain(survey, RULE.code)
    for layer in survey.chain.layers if survey.chain else ():
        found = probe(layer.source) if layer.stated == "raw" else layer.format
        if layer.stated and layer.stated != found and not (layer.stated == "file" and found == "raw"):
            yield f"{visible(layer.name)} is stated to be {layer.stated}; by its content it is {found}", None


RULE = chain_rule(
    __name__,
    "QCOW-BACK-FMT-MISMATCH",
    Severity.WARNING,
    Category.SECURITY,
    find=_find,
    spec="Backing files",
)
