"""A backing file is smaller or larger than its overlay.

Where the overlay is larger, everything behind the end of the backing file that the overlay does not hold reads as
zeros. Where the backing file is larger, its end is not visible through the overlay, and an export does not hold it.

What else could explain it: the disk was resized after the overlay was made, which is usual; the backing file was
replaced by another one.

QEMU reads zeros behind the end of the smaller file and says nothing.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.layout.structure import visible
from qcow2inspect.rules.layers import chain_rule
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Evidence
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[tuple[str, Evidence | None]]:
    layers = survey.chain.layers if survey.chain else ()
    for above, below in itertools.pairwise(layers):
        sizes = [layer.image.header.size if layer.image else layer.source.size for layer in (above, below)]
        if -(-sizes[0] // SECTOR) != -(-sizes[1] // SECTOR):
            words = "smaller" if sizes[1] < sizes[0] else "larger"
            names = f"the backing file {visible(below.name)} ({exact_size(sizes[1])}) is {words}"
            yield f"{names} than {visible(above.name)} ({exact_size(sizes[0])})", None


RULE = chain_rule(__name__, "QCOW-BACK-SIZE", Severity.NOTE, Category.FORENSIC, find=_find, spec="Backing files")
