"""A backing file was changed after its overlay.

The modification time of the backing file is later than that of the overlay. An overlay holds differences to the base
as it was: if guest data of the base changed, what is seen through the overlay is a mixture that never existed.

What else could explain it: the base was copied without its times, or only its metadata changed; the clock was wrong;
the overlay was made and never written to while the base was still in use.

QEMU does not look at the times.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.header import utc
from qcow2inspect.layout.structure import visible
from qcow2inspect.rules.layers import chain_rule
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.findings import Evidence
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[tuple[str, Evidence | None]]:
    layers = survey.chain.layers if survey.chain else ()
    for above, below in itertools.pairwise(layers):
        if not (isinstance(above.source, FileSource) and isinstance(below.source, FileSource)):
            continue
        if below.source.mtime > above.source.mtime:
            later = f"{visible(below.name)} was modified at {utc(int(below.source.mtime))}"
            yield f"the backing file {later}, its overlay {visible(above.name)} at {utc(int(above.source.mtime))}", None


RULE = chain_rule(__name__, "QCOW-BACK-NEWER", Severity.WARNING, Category.FORENSIC, find=_find, spec="Backing files")
