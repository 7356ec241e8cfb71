"""The external data file is the image itself.

The image names itself as the file that holds its guest data. Then the guest reads the header and the tables of the
image as its own data, and each write of the guest can change them: an image that is made so on purpose, or a name that
was damaged into this one.

What else could explain it: two names of one file, through a link.

QEMU opens the file twice and fails for want of a lock, unless it only reads; qemu-img check then checks it without a
word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import evidence_at
from qcow2inspect.rules.layers import chain_rule
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Evidence
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[tuple[str, Evidence | None]]:
    layer = survey.chain.layers[0] if survey.chain else None
    if layer and isinstance(layer.data_file, FileSource) and layer.data_file.identity == layer.source.identity:
        message = f"{layer.name}: the external data file is the image itself"
        yield message, evidence_at(survey, "hdr.incompatible_features")


RULE = chain_rule(__name__, "QCOW-DF-SELF", Severity.ERROR, Category.SECURITY, spec="Header extensions", find=_find)
