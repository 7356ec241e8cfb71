"""An unused key slot holds key material.

A key slot of the LUKS header is disabled, but bytes are left where its key material lies. A passphrase was removed, or
a slot was disabled without erasing it: then a known old passphrase may still open the data with a copy of the header in
which the slot is enabled.

What else could explain it: a slot that was erased with random bytes, as LUKS programs do it; the two cannot be told
apart without the passphrase.

QEMU overwrites the key material with random bytes when it erases a slot, and does not look at unused slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.luks import SlotState
from qcow2inspect.image.guard_luks import key_material
from qcow2inspect.rules.base import places_rule
from qcow2inspect.survey.unseen import content_range

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:
    image = survey.image
    if image.luks is None or any(obstacle.code == "QCOW-CRY-LUKS-BAD" for obstacle in image.obstacles):
        return
    for index, slot in enumerate(image.luks.slots):
        where = key_material(image.luks, index).clip(0, image.end)
        found = content_range(image, where) if slot.active is SlotState.DISABLED else None
        if found:
            yield found, f"key slot {index} is disabled, but {found.size:,} bytes of key material are not zero"


RULE = places_rule(
    __name__,
    "QCOW-CRY-SLOT-RESIDUE",
    Severity.NOTE,
    Category.FORENSIC,
    find=_find,
    spec="Data encryption",
    needs_tables=True,
)
