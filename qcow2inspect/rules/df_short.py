"""The external data file is shorter than the disk.

Every guest byte lies at the same offset of the external data file, and the file ends before the disk does. Mapped
clusters behind its end read as zeros.

What else could explain it: a sparse file that was never written to its end and not extended; a copy that was cut off.

QEMU reads zeros behind the end and says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import visible
from qcow2inspect.rules.base import header_evidence
from qcow2inspect.rules.layers import chain_rule
from qcow2inspect.source.file import FileSource
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Evidence
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[tuple[str, Evidence | None]]:
    file = survey.chain.layers[0].data_file if survey.chain else None
    size = survey.image.header.size
    if isinstance(file, FileSource) and file.size < size:
        words = f"{visible(file.name)} has {exact_size(file.size)}, the disk {exact_size(size)}"
        yield f"the external data file {words}", header_evidence(survey.image, "size")


RULE = chain_rule(
    __name__,
    "QCOW-DF-SHORT",
    Severity.NOTE,
    Category.CORRUPTION,
    find=_find,
    spec="External data file",
)
