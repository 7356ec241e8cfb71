"""The padding behind a header extension is not zero.

A header extension is padded to a multiple of 8 bytes, usually with zeros. Here the padding holds something: the rest of
an older, longer record, or bytes that somebody put there. They mean nothing to any reader.

What else could explain it: a program that does not clear its buffer; the specification does not ask for zeros.

QEMU does not look at the padding and writes zeros when it rewrites the header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    for index, extension in enumerate(survey.image.extensions.extensions):
        size = -len(extension.data) % 8
        data = survey.image.read(extension.data_at + len(extension.data), size)
        if any(data):
            yield f"ext[{index}].padding", f"the padding of the {extension.TITLE} extension holds {data.hex(' ')}"


RULE = places_rule(__name__, "QCOW-EXT-PADDING", Severity.NOTE, Category.FORENSIC, find=_find, spec="Header extensions")
