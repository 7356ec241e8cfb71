"""The VM state of a snapshot is not what it should be.

The snapshot states a VM state that its L1 table has no room for, or whose first bytes are not those of a VM state
(QEVM). The memory of the machine cannot be recovered from it as it is.

What else could explain it: a damaged size; a state that was discarded; a program other than QEMU with another format.

QEMU fails to load such a state with loadvm; qemu-img check does not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.mapping import ClusterType, L2Entry, classify
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.snapshots import snapshots_of
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.tree import Mapping
    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    for index, snapshot in snapshots_of(survey.image):
        mapping = survey.tree.mappings[index + 1]
        field = "extra.vm_state_size" if snapshot.extra_size >= 8 else "vm_state_size"
        trouble = _trouble(survey, mapping, snapshot.vm_state_size) if snapshot.vm_state_size else ""
        if trouble:
            yield f"snap[{index}].{field}", f"the VM state of snapshot {snapshot.title}: {trouble}"


def _trouble(survey: Survey, mapping: Mapping, size: int) -> str:
    """What is wrong with a VM state of ``size`` bytes; empty if nothing can be said."""
    image, geometry = survey.image, survey.image.geometry
    first = geometry.l1_entries(mapping.size)
    if (first * geometry.l2_span) + size > mapping.l1.count * geometry.l2_span:
        return f"{exact_size(size)} are more than its L1 table has room for"
    at = mapping.l1[first].l2_table_offset
    if not at or not geometry.is_aligned(at) or at >= image.end:
        return "there is no L2 table for it"
    raw = image.l2_table(at)[0].raw
    if classify(raw, extended_l2=geometry.extended_l2) is not ClusterType.NORMAL:
        return "its first cluster holds no data"
    if image.header.crypt_method is not CryptMethod.NONE or image.has_data_file:
        return ""
    start = image.read(raw & L2Entry.host_cluster_offset.mask, 4)
    return "" if start == b"QEVM" else f"it starts with {start.hex(' ')}, not with 51 45 56 4d (QEVM)"


RULE = places_rule(
    __name__,
    "QCOW-SNAP-VMSTATE-BAD",
    Severity.WARNING,
    Category.CORRUPTION,
    find=_find,
    spec="Snapshots",
    needs_tables=True,
)
