"""The files that an image names: what the names mean, and whether the files were opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead
from qcow2inspect.evidence import Named
from qcow2inspect.image.gate import identities, read_data_name, read_name
from qcow2inspect.image.support import needs_backing
from qcow2inspect.layout.structure import brief, visible
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.chain import AnyImage
    from qcow2inspect.image.gate import NamedFile

__all__ = ["BACKING", "DATA", "named_evidence", "named_files"]

BACKING = "backing file"
DATA = "external data file"


def named_files(image: AnyImage) -> Iterator[tuple[str, NamedFile]]:
    """What a file is to the image, and its name: the backing file, then the external data file."""
    if needs_backing(image) is not None:
        yield BACKING, read_name(image.backing_name)
    if image.has_data_file and image.data_file_name:
        yield DATA, read_data_name(image.data_file_name)


def named_evidence(image: AnyImage) -> Iterator[Named]:
    """The same for :mod:`qcow2inspect.evidence`; nothing for an image that is closed, or that is no file."""
    if not isinstance(image.source, FileSource) or not image.source.is_open:
        return
    by, name = image.source.identity, visible(image.name)
    try:
        for role, file in named_files(image):
            found = tuple(identities(file, image.name))
            known = image.has_open(role) or (bool(found) and _names_nothing(image, role, file))
            yield Named(by, role, found, known, f"{name} names the {role} “{brief(os.fsencode(file.text))}”")
        if image.has_data_file and not image.data_file_name:
            yield Named(by, DATA, (), is_known=False, words=f"{name} keeps guest data in a file that it does not name")
    except CannotRead:
        yield Named(by, "", (), is_known=False, words=f"{name} may name files, which cannot be read")


def _names_nothing(image: AnyImage, role: str, file: NamedFile) -> bool:
    """True for a file that is taken as it is, whatever stands in it."""
    stated = image.backing_format.split(b"\0")[0].decode("latin-1") or file.format
    return role == DATA or stated in ("raw", "file")
