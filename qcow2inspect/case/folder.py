"""A case folder: the log, ``notes.txt``, ``marks.txt``, ``exports/`` and ``reports/``."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qcow2inspect import __version__
from qcow2inspect.case.log import HEAD, LOG, add_action, read_log
from qcow2inspect.errors import CannotExport, Qcow2InspectError
from qcow2inspect.output import append_line, check_log
from qcow2inspect.progress import Silent
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from qcow2inspect.evidence import Identity
    from qcow2inspect.progress import Progress

__all__ = ["Case", "Kept", "fingerprint", "fingerprint_of", "kept_file", "kept_files", "manifest_body", "moment_facts"]

_STEP = 4 << 20
_VOLATILE = re.compile(
    rb'\s*(?:"(?:path|modified|python|descriptor|audit_hook|landlock)":'
    rb"|evidence |qcow2inspect |(?:descriptor|audit hook|landlock):)"
)
"""Where the evidence lay, when it was modified, how it was protected, and by which Python it was read."""
_MARKS = "marks.txt"
_NOTES = "notes.txt"
_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """A file, or what went to standard output, as it was when it was made.

    Attributes:
        path: where it lies; ``-`` for standard output.
        size: bytes.
        sha256: of all of it.
        body: of a report without its provenance; empty for anything else.
    """

    path: str
    size: int
    sha256: str
    body: str = ""

    def as_data(self) -> dict[str, Any]:
        """For the log."""
        data: dict[str, Any] = {"path": self.path, "size": self.size, "sha256": self.sha256}
        return {**data, "body": self.body} if self.body else data


class Case:
    """A case folder, made if it is not there.

    Args:
        folder: its path.
        evidence: files that must never be written, beside those that the whole process knows.

    Raises:
        CannotExport: it cannot be made, or a file of it is evidence.
        Broken: its log is not as it was written.
    """

    def __init__(self, folder: str, evidence: Collection[Identity] = ()) -> None:
        self.folder = folder
        try:
            for part in ("exports", "reports"):
                os.makedirs(os.path.join(folder, part), exist_ok=True)
        except OSError as error:
            what = f"{folder}: no case can be kept here: {error.strerror}"
            raise CannotExport(what, hint="choose another folder", exit_code=74) from error
        for name in (LOG, HEAD, _NOTES, _MARKS):
            check_log(os.path.join(folder, name), evidence)
        self._actions = list(read_log(folder))

    # -- notes and marks --------------------------------------------------------------------------------------

    @property
    def notes(self) -> tuple[str, ...]:
        """The examiner's notes, a line each."""
        return tuple(self._lines(_NOTES))

    @property
    def marks(self) -> tuple[tuple[str, str], ...]:
        """Address and words of marked places."""
        return tuple((address, words) for address, _, words in (line.partition("=") for line in self._lines(_MARKS)))

    def remember(self, notes: Iterable[str] = (), marks: Iterable[tuple[str, str]] = ()) -> None:
        """Keep notes and marks that are not kept yet."""
        for name, lines in ((_NOTES, notes), (_MARKS, (f"{address}={words}" for address, words in marks))):
            known = set(self._lines(name))
            for line in lines:
                flat = " ".join(line.split())
                if flat and flat not in known:
                    append_line(os.path.join(self.folder, name), flat)
                    known.add(flat)

    def forget(self, marks: Iterable[tuple[str, str]]) -> None:
        """Strike out marks: a line with a minus before it takes back the line above it."""
        known = set(self._lines(_MARKS))
        for address, words in marks:
            if f"{address}={words}" in known:
                append_line(os.path.join(self.folder, _MARKS), f"-{address}={words}")

    def _lines(self, name: str) -> list[str]:
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            return []
        with FileSource(path, is_ours=True) as source:
            data = source.read_at(0, min(source.size, _LARGEST + 1))
        if b"\0" in data or len(data) > _LARGEST:
            raise CannotExport(f"{path} is no text of a case", hint="move it away, or choose another folder")
        text = data.decode("utf-8", "replace")
        found: list[str] = []
        for line in filter(None, map(str.strip, text.splitlines())):
            if name == _MARKS and line.startswith("-") and line[1:] in found:
                found.remove(line[1:])
            else:
                found.append(line)
        return found

    # -- outputs and actions ----------------------------------------------------------------------------------

    def place(self, name: str, part: str) -> str:
        """Where an output goes: a bare name into ``exports`` or ``reports``, anything with a folder where it says."""
        return name if os.path.dirname(name) or name == "-" else os.path.join(self.folder, part, name)

    def evidence(self, path: str, progress: Progress | None = None) -> dict[str, Any]:
        """What identifies the image: path, size, time of modification, SHA-256; the last is not computed twice."""
        with FileSource(path) as source:
            facts = {"path": path, "size": source.size, "modified_ns": source.opened.st_mtime_ns}
            for action in self._actions:
                before = action.get("image") or {}
                if {key: before.get(key) for key in facts} == facts:
                    return dict(before)
            return {**facts, "sha256": fingerprint(source, progress)}

    def record(
        self,
        words: Sequence[str],
        *,
        image: Mapping[str, Any] | None,
        outputs: Iterable[Kept],
        facts: Mapping[str, Any],
    ) -> str:
        """Add an action to the log.

        Args:
            words: the command line that does it again, without the name of the program.
            image: see :meth:`evidence`.
            outputs: what it made.
            facts: time, exit code and what else there is.

        Returns:
            The head of the log.
        """
        action = {
            **facts,
            "tool": f"qcow2inspect {__version__}",
            "words": list(words),
            "image": dict(image) if image else None,
            "outputs": [output.as_data() for output in outputs],
        }
        head = add_action(self.folder, action)
        self._actions.append(action)
        return head


def fingerprint(source: FileSource, progress: Progress | None = None) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest, progress = hashlib.sha256(), progress or Silent()
    progress.begin(f"Hashing {source.name}", source.size)
    for at in range(0, source.size, _STEP):
        data = source.read_at(at, _STEP)
        digest.update(data)
        progress.advance(len(data))
    return digest.hexdigest()


def fingerprint_of(data: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def moment_facts(code: int, command: Sequence[str], seconds: int) -> dict[str, Any]:
    """When, where, by which command, and what came of it.

    Args:
        code: exit code.
        command: the words that were typed, without the name of the program.
        seconds: since 1970.
    """
    from datetime import UTC, datetime

    return {
        "time": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": seconds,
        "folder": os.getcwd(),
        "command": list(command),
        "exit": code,
    }


def kept_file(path: str, body: str = "", progress: Progress | None = None) -> Kept:
    """A file as it lies on the disk now; without a hash if it cannot be read."""
    try:
        with FileSource(path, is_ours=True) as source:
            return Kept(path, source.size, fingerprint(source, progress), body)
    except Qcow2InspectError:
        return Kept(path, 0, "", body)


def kept_files(
    paths: Iterable[str], bodies: Mapping[str, str | None] | None = None, *, progress: Progress | None = None
) -> list[Kept]:
    """Files as they lie on the disk now.

    Args:
        paths: where they lie.
        bodies: path -> SHA-256 of a report without its provenance; that of manifests is found out.
        progress: told about the hashing; may ask to stop.
    """
    return [kept_file(path, (bodies or {}).get(path) or manifest_body(path), progress) for path in paths]


def manifest_body(path: str, logged: str = "") -> str:
    """SHA-256 of a manifest of an export without what differs from place to place; empty for other files.

    Args:
        path: where it lies.
        logged: where it lay when the export was done for the first time, which its command names.
    """
    if not path.endswith((".manifest.json", ".manifest.txt")):
        return ""
    with FileSource(path, is_ours=True) as source:
        data = source.read_at(0, source.size)
    data = b"\n".join(line for line in data.splitlines() if not _VOLATILE.match(line))
    for folder in filter(None, (os.path.dirname(path), os.path.dirname(logged))):
        data = data.replace(os.fsencode(folder), b"")
    return hashlib.sha256(data).hexdigest()
