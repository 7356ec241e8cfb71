"""The external data file name is dangerous to follow.

The name is an absolute path, leads out of the folder of the image, is that of a device, starts with a protocol, or is
no plain text. In an image from elsewhere it can name any file of the machine where the image is opened: reading the
disk then reads that file, and writing writes it.

What else could explain it: an image that was made with a full path, which is usual on one machine.

QEMU opens absolute paths and paths with “..” as they are. A protocol is part of the file name for the version 7.2 of
today; older versions followed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.format.extensions.data_file import DataFile
from qcow2inspect.rules.base import places_rule
from qcow2inspect.rules.names import (
    has_protocol,
    is_absolute,
    is_device,
    is_traversal,
    local_name,
    odd_characters,
    shown_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    image = survey.image
    name = image.data_file_name
    extension = image.extension(DataFile)
    words = [word for is_so, word in _DANGERS if is_so(local_name(name))] + [odd_characters(name)]
    said = ", ".join(filter(None, words))
    if extension is not None and image.has_data_file and said:
        index = image.extensions.extensions.index(extension)
        yield f"ext[{index}].data", f"the external data file name “{shown_name(name)}”: {said}"


_DANGERS = (
    (is_absolute, "an absolute path"),
    (is_traversal, "leads out of the folder"),
    (is_device, "a device"),
    (has_protocol, "starts with a protocol"),
)

RULE = places_rule(__name__, "QCOW-DF-PATH", Severity.WARNING, Category.SECURITY, find=_find, spec="Header extensions")
