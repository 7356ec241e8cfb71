"""Who may open the files that an image names: nobody, unless the user says so.

An image can name any file: an overlay of a hostile guest has named ``/etc/shadow``, a device, or a network address.
Nothing that stands in an image is opened by itself. Whatever is allowed, only regular files are ever opened.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from qcow2inspect.errors import CannotRead, NeedsFile
from qcow2inspect.layout.structure import printable, visible
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Follow", "NamedFile", "OpenGate", "read_name"]

_FORMATS = ("qcow2", "qcow", "raw")
_LONGEST = 1 << 16
_LOCAL = "file:"


class Follow(Enum):
    """Which files that an image names may be opened."""

    NONE = "none"
    FOLDER = "folder"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """What a file name in an image means.

    Attributes:
        stored: the name as stored, up to the first NUL, for people.
        path: the local file it plainly names, not yet made relative to anything; None if it names something else.
        format: the format that a ``json:`` name states; empty if it states none.
        plain: True for an ordinary path, False for ``json:`` and ``file:`` names.
        why_not: what it names if that is no local file.
    """

    stored: str
    path: str | None
    format: str = ""
    plain: bool = True
    why_not: str = ""


def read_name(name: bytes) -> NamedFile:
    """What a file name in an image means to QEMU: a path, ``json:{...}``, or ``protocol:...``."""
    text = os.fsdecode(name.split(b"\0")[0])
    shown = printable(os.fsencode(text))
    if text.startswith("json:"):
        return _read_json(text[5:], shown)
    if text.startswith(_LOCAL):
        return NamedFile(shown, text[len(_LOCAL) :], plain=False)
    scheme, colon, _ = text.partition(":")
    if colon and "/" not in scheme:
        return NamedFile(shown, None, plain=False, why_not=f"an address of the protocol “{visible(scheme)}”")
    return NamedFile(shown, text)


def _read_json(text: str, shown: str) -> NamedFile:
    def not_plain(why: str) -> NamedFile:
        return NamedFile(shown, None, plain=False, why_not=why)

    import json  # few images have such a name: start-up does not pay for it

    try:
        options = json.loads(text) if len(text) <= _LONGEST else None
    except (ValueError, RecursionError):
        return not_plain("a json: name that is no JSON")
    if not isinstance(options, dict):
        return not_plain("a json: name that is no object")
    flat = _flatten(options)
    driver, protocol, path = flat.pop("driver", ""), flat.pop("file.driver", "file"), flat.pop("file.filename", None)
    if driver == "file" and path is None:
        driver, path = "", flat.pop("filename", None)
    if driver not in ("", *_FORMATS) or protocol != "file" or not isinstance(path, str) or flat:
        return not_plain("a json: name with options that do not plainly name a local file")
    return NamedFile(shown, path, driver, plain=False)


def _flatten(options: Mapping[str, Any]) -> dict[str, Any]:
    """``{"file": {"filename": x}}`` and ``{"file.filename": x}`` are the same to QEMU; one level is enough here."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": deeper for inner, deeper in value.items()}
        else:
            flat[key] = value
    return flat


@dataclass
class OpenGate:
    """Opens files that images name, as far as the user allows it.

    Attributes:
        follow: which files may be opened.
        places: where named files lie now: name as stored in the image, or its last part, to path.
        root: the folder below which ``Follow.FOLDER`` allows files; that of the image the user opened.
    """

    follow: Follow = Follow.NONE
    places: Mapping[str, str] = field(default_factory=dict)
    root: str = ""

    def open(self, named: NamedFile, beside: str, role: str) -> FileSource:
        """The file that ``named`` means in the image at path ``beside``.

        Args:
            named: the name, read.
            beside: path of the image that names it; relative names are relative to its folder.
            role: what it is to that image, for messages: ``backing file``.

        Raises:
            NeedsFile: it may not be opened, does not exist, or is no regular file; the message says what it is.
        """
        given = self.places.get(named.stored)
        if given is not None:
            return _open_regular(given, named, beside, role)
        if named.path is None:
            raise _needs(beside, role, named, f"is {named.why_not}, which is never opened")
        path = os.path.join(os.path.dirname(beside), named.path)
        if self.follow is Follow.NONE:
            raise _needs(beside, role, named, f"would be {visible(path)}, and nothing is opened unless allowed")
        if self.follow is Follow.FOLDER:
            if not named.plain:
                raise _needs(beside, role, named, "is no plain file name, which “--follow folder” does not open")
            if not _is_below(path, self.root):
                raise _needs(beside, role, named, f"is {visible(path)}, outside the folder of the image")
        return _open_regular(path, named, beside, role)


def _is_below(path: str, root: str) -> bool:
    real, base = os.path.realpath(path), os.path.realpath(root or ".")
    return os.path.commonpath([real, base]) == base


def _open_regular(path: str, named: NamedFile, beside: str, role: str) -> FileSource:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise _needs(beside, role, named, f"is {visible(path)}, which is no regular file and is never opened")
        source = FileSource(path)
    except (OSError, ValueError, CannotRead) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise _needs(beside, role, named, f"is {visible(path)}, which cannot be opened: {what}") from error
    if not source.is_regular:  # it was replaced between the look and the opening
        source.close()
        raise _needs(beside, role, named, f"is {visible(path)}, which is no regular file and is never opened")
    return source


def _needs(beside: str, role: str, named: NamedFile, what: str) -> NeedsFile:
    return NeedsFile(
        f"{visible(beside)}: its {role} “{named.stored}” {what}",
        why="zeros in its place would be wrong",
        hint="“--follow folder” opens regular files below the image's folder, “--follow any” any regular file, "
        "“--backing NAME=PATH” says where one lies now",
    )
