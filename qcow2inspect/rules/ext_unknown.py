"""A header extension that this specification does not know.

A newer program, or one that keeps notes of its own, added a record to the header. It may be ignored when the image is
read and must be preserved when it is written.

What else could explain it: a header length that is wrong, so that other bytes are read as an extension; data that
somebody put there.

QEMU keeps the record whenever it rewrites the header, and shows it nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.extensions import Unknown
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    for index, extension in enumerate(survey.image.extensions.extensions):
        if isinstance(extension, Unknown):
            what = f"the header extension {extension.record.magic:#010x} with {len(extension.data):,} bytes is unknown"
            yield f"ext[{index}].magic", what


RULE = places_rule(__name__, "QCOW-EXT-UNKNOWN", Severity.NOTE, Category.FORENSIC, find=_find, spec="Header extensions")
