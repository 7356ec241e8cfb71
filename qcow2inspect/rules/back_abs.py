"""The backing file name is an absolute path.

The name leads to a fixed place on the machine where the image is opened. In an image from elsewhere it names a file of
that machine: it need not be the backing file that belongs to the overlay, and it can be a file that its owner must not
read.

What else could explain it: an overlay that was made with a full path, which is usual on one machine.

QEMU opens the file at that path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.names import is_absolute, local_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    name = local_name(survey.image.backing_name)
    if is_absolute(name):
        shown = printable(name)
        yield "backing", f"the backing file name “{shown}” is an absolute path: elsewhere it is another file"


RULE = places_rule(__name__, "QCOW-BACK-ABS", Severity.WARNING, Category.SECURITY, find=_find, spec="Header")
