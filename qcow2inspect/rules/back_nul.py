"""The backing file name is no plain text.

The name holds a NUL byte, a control character or bytes that are no UTF-8. Programs disagree about such a name: one cuts
it at the NUL byte, another looks for a file with that very name. On a terminal it can look like another name, so that
it is shown with escapes here.

What else could explain it: a file system with names in an older encoding, such as Latin-1.

QEMU cuts the name at the first NUL byte, opens the file of that name and prints the bytes as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.layout.structure import printable
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.names import odd_characters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    image = survey.image
    odd = odd_characters(image.backing_name)
    if odd and not any(obstacle.code == "QCOW-BACK-LONG" for obstacle in image.obstacles):
        yield "backing", f"the backing file name “{printable(image.backing_name)}” holds {odd}"


RULE = places_rule(__name__, "QCOW-BACK-NUL", Severity.WARNING, Category.SECURITY, find=_find, spec="Header")
