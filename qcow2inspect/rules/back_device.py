"""The backing file name is that of a device.

The name lies in /dev, /proc or /sys. A program that follows it reads a device of the machine where the image is opened,
which holds other data there, can block, or does something when it is read.

What else could explain it: a virtual machine whose base disk is a logical volume or a partition.

QEMU opens the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.names import is_device, local_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    name = local_name(survey.image.backing_name)
    if is_device(name):
        shown = printable(name)
        yield "backing", f"the backing file name “{shown}” is that of a device"


RULE = places_rule(__name__, "QCOW-BACK-DEVICE", Severity.WARNING, Category.SECURITY, find=_find, spec="Header")
