"""The feature name table is odd.

The table names feature bits for the messages of programs that do not know them. Here an entry has an impossible type or
bit, a known bit has another name than usual, or the table is no whole number of entries. The names decide nothing, but
a program that refuses the image shows them to a person.

What else could explain it: another program than QEMU with words of its own; a newer version; a damaged header.

QEMU does not read the table of an image whose features it knows; of others it shows the names as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.extensions.feature_names import KNOWN_FEATURES, FeatureName, FeatureNames
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    for index, extension in enumerate(survey.image.extensions.extensions):
        if not isinstance(extension, FeatureNames):
            continue
        if len(extension.data) % FeatureName.SIZE:
            what = f"the feature name table has {len(extension.data):,} bytes, no multiple of {FeatureName.SIZE}"
            yield f"ext[{index}].length", what
        for number, entry in enumerate(extension.names):
            what = _odd(entry)
            if what:
                yield f"ext[{index}].data.name[{number}]", what


def _odd(entry: FeatureName) -> str:
    """What is odd about an entry; empty if nothing is."""
    name = printable(entry.name.rstrip(b"\0"))
    if not entry.type.known or entry.bit > 63:
        return f"the feature name “{name}” is for bit {entry.bit} of type {int(entry.type)}, which does not exist"
    usual = KNOWN_FEATURES.get((entry.type, entry.bit))
    if usual is None or usual == name:
        return ""
    return f"{entry.type.name.lower()} bit {entry.bit} is named “{name}”; its usual name is “{usual}”"


RULE = places_rule(
    __name__, "QCOW-EXT-FEATNAME-ODD", Severity.NOTE, Category.SECURITY, find=_find, spec="Header extensions"
)
