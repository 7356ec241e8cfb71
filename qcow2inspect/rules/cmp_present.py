"""Compressed clusters are present.

Some guest clusters are stored compressed. They were written by a conversion or a backup, not by a running virtual
machine, which writes clusters uncompressed. Readers must inflate them; hashing or searching the image file does not
see their content.

What else could explain it: nothing; this is how qemu-img convert -c works.

QEMU reads them as any other cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.rules.base import simple_rule
from qcow2inspect.rules.tables import mistaken
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[tuple[str, None]]:
    count = survey.clusters.get(ClusterType.COMPRESSED, 0) - mistaken(survey, ClusterType.COMPRESSED)
    if count > 0:
        kind = survey.image.header.compression_type.name.lower()
        size = human_size(count * survey.image.geometry.cluster_size)
        yield f"{count:,} guest cluster{'s' if count > 1 else ''} ({size}) stored compressed with {kind}", None


RULE = simple_rule(
    __name__,
    "QCOW-CMP-PRESENT",
    Severity.INFO,
    Category.FORENSIC,
    spec="Compressed Clusters Descriptor",
    find=_find,
    needs_tables=True,
)
