"""The format of the backing file is not stated.

The image names a backing file without saying whether it is raw or qcow2. A program then has to guess from the first
bytes. If it is a raw disk, the guest can write a qcow2 header into its first sector and make the host open any file
that this header names.

What else could explain it: an image of an old program; older versions of qemu-img did not store the format unless
asked.

QEMU opens the backing file and guesses; qemu-img 7.2 refuses to make such an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.names import local_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    image = survey.image
    name = local_name(image.backing_name)
    if name and not image.backing_format:
        yield "backing", f"the image does not say which format its backing file “{printable(name)}” has"


RULE = places_rule(
    __name__, "QCOW-BACK-NOFMT", Severity.WARNING, Category.SECURITY, find=_find, spec="Header extensions"
)
