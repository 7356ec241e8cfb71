"""The external data file cannot be opened.

Guest data lies in an external data file, and that file is missing, may not be read, or is no regular file. The tables
are whole, but no byte of guest data can be read.

What else could explain it: the file was moved or renamed, which --backing NAME=PATH puts right; the image was copied
without it.

QEMU refuses to open the image; qemu-img info of newer versions shows its header all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.image.gate import MissingFile
from qcow2inspect.rules.base import header_evidence
from qcow2inspect.rules.layers import chain_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Evidence
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[tuple[str, Evidence | None]]:
    layer = survey.chain.layers[0] if survey.chain else None
    if layer and isinstance(layer.data_file, MissingFile):
        yield layer.data_file.what, header_evidence(survey.image, "incompatible_features")


RULE = chain_rule(
    __name__,
    "QCOW-DF-MISSING",
    Severity.ERROR,
    Category.CORRUPTION,
    find=_find,
    spec="External data file",
)
