"""Who may open the files that an image names: nobody, unless the user says so.

An image can name any file: an overlay of a hostile guest has named ``/etc/shadow``, a device, or a network address.
Nothing that stands in an image is opened by itself. Whatever is allowed, only regular files are ever opened, and none
that the kernel makes up: ``/proc/self/mem`` calls itself a regular file.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from qcow2inspect.errors import CannotRead, NeedsFile
from qcow2inspect.format.geometry import MAX_BACKING_NAME
from qcow2inspect.layout.structure import brief, printable, visible
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.kernel import KERNELS_PLACES, kernels_devices
from qcow2inspect.source.shield import identities_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Follow", "MissingFile", "NamedFile", "OpenGate", "identities", "read_data_name", "read_name"]

_FORMATS = ("qcow2", "qcow", "raw")
_LONGEST = 1 << 16
_LONGEST_SHOWN = 2 * MAX_BACKING_NAME
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
        text: the name as stored, up to the first NUL.
        path: the local file it plainly names, not yet made relative to anything; None if it names something else.
        format: the format that a ``json:`` name states; empty if it states none.
        plain: True for an ordinary path, False for ``json:`` and ``file:`` names.
        from_cwd: True if QEMU takes a relative path from its working directory instead of the image's folder.
        why_not: what it names if that is no local file.
    """

    text: str
    path: str | None
    format: str = ""
    plain: bool = True
    from_cwd: bool = False
    why_not: str = ""

    @property
    def stored(self) -> str:
        """The name as stored, safe on every terminal."""
        return printable(os.fsencode(self.text))


def read_name(name: bytes) -> NamedFile:
    """What the name of a backing file means to QEMU: a path, ``json:{...}``, or ``protocol:...``.

    Args:
        name: the name as stored.
    """
    text = os.fsdecode(name.split(b"\0")[0])
    if text.startswith("json:"):
        return _read_json(text)
    if text.startswith(_LOCAL):
        return NamedFile(text, text[len(_LOCAL) :], plain=False, from_cwd=True)
    scheme, colon, _ = text.partition(":")
    if colon and "/" not in scheme:
        return NamedFile(text, None, plain=False, why_not=f"an address of the protocol “{brief(os.fsencode(scheme))}”")
    return NamedFile(text, text)


def read_data_name(name: bytes) -> NamedFile:
    """What the name of an external data file means to QEMU: a path from its working directory, whatever it starts with.

    QEMU followed ``json:`` and protocols here once, until that was found to be a way to open any file; a name that
    looks like one is the name of a local file now.

    Args:
        name: the name as stored.
    """
    text = os.fsdecode(name.split(b"\0")[0])
    if not text:
        return NamedFile(text, None, why_not="an empty name")
    return NamedFile(text, text, from_cwd=True)


def _read_json(text: str) -> NamedFile:
    try:
        path, driver = _plain_file(text.removeprefix("json:"))
    except ValueError as error:
        return NamedFile(text, None, plain=False, why_not=f"a json: name {error}")
    return NamedFile(text, path, driver, plain=False, from_cwd=True)


def _plain_file(text: str) -> tuple[str, str]:
    """Path and format that JSON options state.

    Raises:
        ValueError: they do not plainly name a local file; the text says what they are.
    """
    import json  # few images have such a name: start-up does not pay for it

    if len(text) > _LONGEST:
        raise ValueError("that is too long to be looked into")
    try:
        flat = json.loads(text, object_pairs_hook=_flatten)
    except (ValueError, RecursionError):
        raise ValueError("that is no JSON, or that says a thing twice") from None
    if not isinstance(flat, dict):
        raise ValueError("that is no object")
    driver, path = flat.pop("driver", ""), flat.pop("file.filename", None)
    if driver == "file" and path is None:
        driver, path = "raw", flat.pop("filename", None)  # a file without a format on it
    if driver not in ("", *_FORMATS) or flat.pop("file.driver", "file") != "file" or not isinstance(path, str) or flat:
        raise ValueError("with options that do not plainly name a local file")
    return path, driver


def _flatten(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as QEMU sees it: ``{"file": {"filename": x}}`` and ``{"file.filename": x}`` are the same.

    Raises:
        ValueError: a name stands in it twice.
    """
    flat: dict[str, Any] = {}
    for key, value in pairs:
        inner = {f"{key}.{name}": deeper for name, deeper in value.items()} if isinstance(value, dict) else {key: value}
        if flat.keys() & inner.keys():
            raise ValueError(key)
        flat |= inner
    return flat


@dataclass
class OpenGate:
    """Opens files that images name, as far as the user allows it.

    Attributes:
        follow: which files may be opened.
        places: where named files lie now: name as stored in the image, or as it is shown, to path.
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
        given = self.places.get(named.text, self.places.get(named.stored))
        if given is not None:
            return _open_regular(given, named, beside, role)
        if named.path is None:
            raise _needs(beside, role, named, f"is {named.why_not}, which is never opened")
        path = os.path.join(os.path.dirname(beside), named.path)
        if self.follow is Follow.NONE:
            raise _needs(beside, role, named, f"would be {_shown(path)}, and nothing is opened unless allowed")
        if named.from_cwd:
            path = _one_of(path, named, beside, role)
        if self.follow is Follow.FOLDER:
            self._require_below(path, named, beside, role)
        return _open_regular(path, named, beside, role)

    def _require_below(self, path: str, named: NamedFile, beside: str, role: str) -> None:
        if not named.plain:
            raise _needs(beside, role, named, "is no plain file name, which “--follow folder” does not open")
        real, base = os.path.realpath(path), os.path.realpath(self.root or ".")
        if os.path.commonpath([real, base]) != base:
            raise _needs(beside, role, named, f"is {_shown(path)}, outside the folder of the image")


def identities(named: NamedFile, beside: str) -> Iterator[tuple[int, int]]:
    """Device and inode of what a name may mean, found without opening it."""
    for path in (os.path.join(os.path.dirname(beside), named.path), named.path) if named.path else ():
        with suppress(OSError, ValueError):
            yield from identities_of(os.stat(path))


def _one_of(near: str, named: NamedFile, beside: str, role: str) -> str:
    """Where a file lies that QEMU looks for in its working directory: there or, as people mean it, beside the image."""
    here = named.path or ""
    if not os.path.exists(here) or (os.path.exists(near) and os.path.samefile(here, near)):
        return near
    if os.path.exists(near):
        what = f"is {_shown(near)} beside it, but {_shown(os.path.abspath(here))} to QEMU in this working directory"
        raise _needs(beside, role, named, what)
    return here


class MissingFile(NeedsFile):
    """A file that an image names may be opened, and cannot be: it is missing, unreadable or no regular file."""


def _open_regular(path: str, named: NamedFile, beside: str, role: str) -> FileSource:
    what = f"is {_shown(path)}, which is no regular file and is never opened"
    try:
        status, kernels = os.stat(path), kernels_devices()
        if status.st_dev in kernels or os.path.realpath(path).startswith(KERNELS_PLACES):
            what = f"is {_shown(path)}, made up by the kernel (as all of /proc and /sys is), which is never opened"
        elif stat.S_ISREG(status.st_mode):
            source = FileSource(path)
            if source.is_regular and source.opened.st_dev not in kernels:
                return source
            source.close()  # it was replaced between the look and the opening
    except (OSError, ValueError, CannotRead) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        what = f"is {_shown(path)}, which cannot be opened: {why}"
        raise _needs(beside, role, named, what, MissingFile) from error
    raise _needs(beside, role, named, what, MissingFile)


def _needs(beside: str, role: str, named: NamedFile, what: str, kind: type[NeedsFile] = NeedsFile) -> NeedsFile:
    return kind(
        f"{visible(beside)}: its {role} “{_shown(named.stored)}” {what}",
        why="zeros in its place would be wrong",
        hint="“--follow folder” opens regular files below the image's folder, “--follow any” any regular file, "
        "“--backing NAME=PATH” says where one lies now",
    )


def _shown(text: str) -> str:
    """Text for a message, cut where no sound name is as long."""
    words = visible(text)
    return words if len(words) <= _LONGEST_SHOWN else words[: _LONGEST_SHOWN - 3] + "..."
