"""The external data file is not named.

Guest data lies in an external data file, and no header extension says which. The metadata can be examined; to read
guest data somebody has to know the file.

What else could explain it: a virtual machine that is told the name of the data file each time it starts; a header
extension that was lost.

QEMU refuses to open the image unless the data file is given as an option: "'data-file' is required for this image".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.names import local_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    if survey.image.has_data_file and not local_name(survey.image.data_file_name):
        yield "hdr.incompatible_features", "guest data lies in an external data file that the image does not name"


RULE = places_rule(__name__, "QCOW-DF-NONAME", Severity.NOTE, Category.FORENSIC, find=_find, spec="Header extensions")
