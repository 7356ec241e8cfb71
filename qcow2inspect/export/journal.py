"""What an export has done so far: how far it is, and every range that is not as the guest had it.

A file of JSON lines beside the unfinished output. The first line binds it to the evidence and the choices; then come
troubles, in order, and from time to time how many bytes are safely on the disk. Whatever stops the export, even the
loss of power, the last of these lines is true.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from typing import IO, TYPE_CHECKING, Any

from qcow2inspect._version import __version__
from qcow2inspect.errors import CannotExport, CannotRead
from qcow2inspect.export.alike import SINGLE, alike, continued, few, lumped
from qcow2inspect.export.load import Trouble
from qcow2inspect.export.mapped import part_of_disk
from qcow2inspect.output import open_log
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qcow2inspect.export.choices import Choices
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.source.protocol import Source

__all__ = ["Checkpoints", "Journal", "binding", "is_journal"]

_FORMAT = 1
_BEGIN = b'{"journal": '
_HEAD = 1 << 16
_INTERVAL = 2.0
_LONGEST_LINE = 1 << 20


def binding(view: View, choices: Choices, first_encrypted: Extent | None) -> dict[str, Any]:
    """What must be the same for an export to be continued."""
    within = part_of_disk(view, choices)
    document = {
        "journal": _FORMAT,
        "version": __version__,
        "view": view.name,
        "size": view.size,
        "within": [int(within.start), int(within.end)] if within else None,
        "sparse": choices.sparse.value,
        "on_error": choices.on_error.value,
        "split": choices.split,
        "assumed": [one.option for one in view.assumed.all],
        "sources": [_identity(source) for source in view.sources],
    }
    if first_encrypted is not None:  # nothing else would tell that another key was given
        sample = first_encrypted.cut(first_encrypted.start, min(first_encrypted.end, first_encrypted.start + 4096))
        document["key"] = _hash(lambda: view.read_extent(sample))
    return document


def _identity(source: Source) -> dict[str, Any]:
    return {
        "path": os.path.realpath(source.name),
        "size": source.size,
        "mtime": getattr(source, "mtime", None),
        "head": _hash(lambda: source.read_at(0, _HEAD)),
    }


def _hash(read: Callable[[], bytes]) -> str | None:
    """Hash of a few bytes; None where the medium fails, which must not stop what lies elsewhere."""
    import hashlib

    try:
        return hashlib.sha256(read()).hexdigest()
    except CannotRead:
        return None


class Journal:
    """The log of one export; make it with :meth:`fresh`, :meth:`resumed` or :meth:`passing`.

    Attributes:
        path: where it lies; empty if it will not outlive the export.
        done: bytes of the output that need not be written again.
        is_border: says of a byte of the view whether its range belongs to another piece than what lies before it.
    """

    def __init__(self, file: IO[bytes], path: str, done: int = 0) -> None:
        self._file = file
        self.path = path
        self.done = done
        self.is_border: Callable[[int], bool] = lambda _: False
        self._last: Trouble | None = None
        self._alike = 0
        self._lock = threading.Lock()

    @classmethod
    def passing(cls) -> Journal:
        """A journal that nobody can resume from."""
        import tempfile

        return cls(tempfile.TemporaryFile(), "")

    @classmethod
    def fresh(cls, path: str, bound: dict[str, Any]) -> Journal:
        """A new journal at ``path``.

        Raises:
            CannotExport: it cannot be created.
        """
        try:
            journal = cls(open_log(path, fresh=True), path)
        except OSError as error:
            what = f"{path}: cannot be created: {error.strerror}"
            raise CannotExport(what, hint="choose another place", exit_code=74) from error
        try:
            journal._write(bound)
            journal._sync()
        except BaseException:
            journal.close(keep=False)
            raise
        return journal

    @classmethod
    def resumed(cls, path: str, bound: dict[str, Any]) -> Journal:
        """The journal that an earlier run left at ``path``.

        Raises:
            CannotExport: there is none, it is damaged, or it belongs to other evidence or other choices.
        """
        try:
            with open_log(path, fresh=False) as file:
                old = list(_lines(file))
        except OSError as error:
            what = f"{path}: there is no journal of an unfinished export: {error.strerror}"
            raise CannotExport(what, hint="start without --resume") from error
        if not old:
            raise CannotExport(f"{path} is no journal of an export", hint="start again with --force")
        _require_same(path, old[0], bound)
        done = max((line["done"] for line in old[1:] if "done" in line), default=0)
        kept = [line for line in old[1:] if "guest" in line and line["guest"][1] <= done]
        new = f"{path}.new"
        if os.path.lexists(new) and not is_journal(new, or_empty=True):
            raise CannotExport(f"{new} exists and is no journal of an export", hint="move it away")
        journal = cls.fresh(new, bound)
        for line in [*kept, {"done": done}]:
            journal._write(line)
        journal._sync()
        os.rename(journal.path, path)
        journal.path, journal.done = path, done
        return journal

    def add(self, trouble: Trouble) -> None:
        """Note a range; those that continue the one before are joined with it, as are neighbours if they are many."""
        with self._lock:
            last = None if self.is_border(int(trouble.guest.start)) else self._last
            joined = continued(last, trouble)
            if joined is None and alike(last, trouble):
                self._alike += 1
                joined = lumped(last, trouble) if last is not None and self._alike > SINGLE else None
            elif joined is None:
                self._alike = 0
            if joined is None:
                self._settle()
            self._last = joined or trouble

    def checkpoint(self, done: int) -> None:
        """Note that everything before ``done`` is safely on the disk."""
        with self._lock:
            self._settle()
            self._write({"done": done})
            self._sync()

    def troubles(self) -> Iterator[Trouble]:
        """All ranges, in order, joined as if the export had never been stopped."""
        with self._lock:
            self._settle()
            self._file.flush()
        self._file.seek(0)
        yield from few((_from_line(line) for line in _lines(self._file) if "guest" in line), self.is_border)
        self._file.seek(0, os.SEEK_END)

    def close(self, *, keep: bool) -> None:
        """Close the file, and remove it unless it shall be kept."""
        with contextlib.suppress(OSError):
            self._file.close()
        if self.path and not keep:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def _settle(self) -> None:
        if self._last is not None:
            self._write(_to_line(self._last))
            self._last, self._alike = None, 0

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def _sync(self) -> None:
        try:
            self._file.flush()
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> CannotExport:
        what = f"{self.path or 'the journal'}: writing failed: {error.strerror}"
        return CannotExport(what, hint="free some space or choose another place", exit_code=74)


def is_journal(path: str, *, or_empty: bool = False) -> bool:
    """True if the file at ``path`` begins as a journal does.

    Args:
        path: the file; a link is none.
        or_empty: a journal that was made and not written to is one, too.
    """
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open_log(path, fresh=False) as file:
            begin = file.read(len(_BEGIN))
            return begin == _BEGIN or (or_empty and not begin)
    except OSError:
        return False


class Checkpoints:
    """A thread that now and then makes sure that what was written is on the disk, and has the journal say so."""

    def __init__(self, journal: Journal, flush: Callable[[], None]) -> None:
        self._journal = journal
        self._flush = flush
        self._safe = journal.done
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def reached(self, position: int) -> None:
        """Everything before ``position`` has been written."""
        self._safe = position

    def close(self, *, last: bool) -> None:
        """End the thread; ``last`` notes how far the export came."""
        self._stop.set()
        self._thread.join()
        if last:
            self._note()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self._note()

    def _note(self) -> None:
        position = self._safe
        if position == self._journal.done:
            return
        with contextlib.suppress(CannotExport):  # a full disk: the export itself will say so
            self._flush()
            self._journal.checkpoint(position)
            self._journal.done = position


def _lines(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The lines up to the first that is torn."""
    while line := file.readline(_LONGEST_LINE):
        try:
            document = json.loads(line)
        except ValueError:
            return
        if not line.endswith(b"\n") or not isinstance(document, dict):
            return
        yield document


def _require_same(path: str, old: dict[str, Any], bound: dict[str, Any]) -> None:
    new = json.loads(json.dumps(bound))
    other = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if other:
        raise CannotExport(
            f"{path} belongs to another export: {', '.join(other)} differ",
            why="the bytes of two exports would be mixed",
            hint="give the same options and the unchanged evidence, or start again with --force",
        )


def _to_line(trouble: Trouble) -> dict[str, Any]:
    host = [int(trouble.host.start), int(trouble.host.end)] if trouble.host else None
    return {
        "guest": [int(trouble.guest.start), int(trouble.guest.end)],
        "host": host,
        "layer": trouble.layer,
        "kind": trouble.kind,
        "reason": trouble.reason,
        "written": trouble.written,
        **({"several": True, "others": trouble.others} if trouble.several else {}),
    }


def _from_line(line: dict[str, Any]) -> Trouble:
    host = HostRange(HostOffset(line["host"][0]), HostOffset(line["host"][1])) if line["host"] else None
    guest = GuestRange(GuestOffset(line["guest"][0]), GuestOffset(line["guest"][1]))
    several, others = line.get("several", False), tuple(line.get("others", ()))
    return Trouble(guest, host, line["layer"], line["kind"], line["reason"], line["written"], several, others)
