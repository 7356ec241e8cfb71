"""The errors a caller may catch, as a tree.

::

    Qcow2InspectError
    +-- CannotRead      the bytes cannot be had: missing, no permission, not a file, I/O error
    +-- NotQcow2        the bytes are not a qcow2 image, or its header is cut off
    +-- Damaged         the image's own structures make what was asked impossible
    |   +-- BadStream   a compressed cluster does not inflate
    +-- NeedsKey        guest data is encrypted and no key was given
    +-- NeedsFile       guest data lies in another file (backing file, external data file)
    +-- Unsupported     a format version or feature that this tool does not read
    +-- CannotExport    the target cannot be written, or must not be

    BadAddress (ValueError)   an address expression that means nothing in this image

Odd image content is not an error: it is a :class:`~qcow2inspect.findings.Finding`. A user who changes their mind
is not an error either: :class:`~qcow2inspect.progress.Cancelled`.
"""

from __future__ import annotations

__all__ = [
    "BadAddress",
    "BadStream",
    "CannotExport",
    "CannotRead",
    "Damaged",
    "NeedsFile",
    "NeedsKey",
    "NotQcow2",
    "Qcow2InspectError",
    "ShortStream",
    "Unsupported",
]


class Qcow2InspectError(Exception):
    """Something that was asked could not be done.

    Args:
        what: what happened, in one sentence, with the offset and field where there is one.
        why: why it matters to the person who asked; may be empty.
        hint: what to do next; may be empty.
        exit_code: overrides the class's exit code for the command line.
        code: id of the rule that explains it; may be empty.

    Attributes:
        exit_code: what the command line returns (sysexits: 65 bad data, 66 no input, 74 I/O, 77 refused).
    """

    exit_code = 1

    def __init__(
        self, what: str, *, why: str = "", hint: str = "", exit_code: int | None = None, code: str = ""
    ) -> None:
        self.what = what
        self.why = why
        self.hint = hint
        self.code = code
        if exit_code is not None:
            self.exit_code = exit_code
        super().__init__(what)

    def __str__(self) -> str:
        """The whole message on one line: what; why; what next."""
        return "; ".join(part.rstrip(".") for part in (self.what, self.why, self.hint) if part)


class CannotRead(Qcow2InspectError):
    """The bytes cannot be had: the file is missing, is no regular file, or the read fails."""

    exit_code = 66


class NotQcow2(Qcow2InspectError):
    """The bytes are not a qcow2 image, or the header is cut off."""

    exit_code = 65


class Damaged(Qcow2InspectError):
    """The image's own structures make what was asked impossible."""

    exit_code = 65


class BadStream(Damaged):
    """A compressed cluster does not inflate to one cluster."""


class ShortStream(BadStream):
    """The stream of a compressed cluster is sound and gives less than a cluster."""


class NeedsKey(Qcow2InspectError):
    """Guest data is encrypted and no key was given."""

    exit_code = 77


class NeedsFile(Qcow2InspectError):
    """Guest data lies in another file: the backing file or the external data file."""

    exit_code = 66


class Unsupported(Qcow2InspectError):
    """A format version or feature that this tool does not read."""

    exit_code = 65


class CannotExport(Qcow2InspectError):
    """The target cannot be written, or must not be."""

    exit_code = 77


class BadAddress(ValueError):
    """An address expression that cannot be parsed, or that means nothing in this image."""
