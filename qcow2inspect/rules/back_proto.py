"""The backing file name is no file name.

The name starts with a protocol, as in nbd: or json:. A program that follows it opens a connection or builds a chain of
drivers with options that the author of the image chose: it can reach other machines, devices and files of the host.

What else could explain it: a virtual machine whose disk lies on a network; a file whose name has a colon.

QEMU follows the name when it opens the image, qemu-img info does not. This program never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.names import has_protocol, local_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    name = local_name(survey.image.backing_name)
    if has_protocol(name):
        shown = printable(name)
        yield "backing", f"the backing file name “{shown}” starts with a protocol: it is no plain file"


RULE = places_rule(__name__, "QCOW-BACK-PROTO", Severity.ERROR, Category.SECURITY, find=_find, spec="Header")
