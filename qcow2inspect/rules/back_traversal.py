"""The backing file name leads out of the folder.

A part of the name is “..”, so that the backing file lies outside of the folder of the image. In an image from elsewhere
that can name any file of the machine.

What else could explain it: a base image in a neighbouring folder, which is usual.

QEMU opens the file, relative to the folder of the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.names import is_traversal, local_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    name = local_name(survey.image.backing_name)
    if is_traversal(name):
        shown = printable(name)
        yield "backing", f"the backing file name “{shown}” leads out of the folder of the image"


RULE = places_rule(__name__, "QCOW-BACK-TRAVERSAL", Severity.WARNING, Category.SECURITY, find=_find, spec="Header")
