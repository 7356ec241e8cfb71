"""Has the kernel refuse every write outside of a few places, to this process and to its children: Landlock.

A confinement holds for the thread that asked for it and for all threads and processes that it starts afterwards, and
can never be loosened. Reading is not touched. Which places those are is known at the start of a command; the terminal
interface learns them only when a person names a target. Therefore one thread stays outside that does nothing but
start others: each of them confines itself to the places of its one task before it begins (:class:`Doorkeeper`).

Spec: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "Confinement",
    "Doorkeeper",
    "Kernel",
    "confine",
    "confine_process",
    "confinement",
    "own_places",
    "write_within",
]

T = TypeVar("T")

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _NO_NEW_PRIVS = 1, 1, 38

_WRITE_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_FOLDER = sum(1 << bit for bit in range(4, 13))
"""Remove a folder or a file; make a device, folder, file, socket, FIFO, block device, symbolic link."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the kernel enforces for a thread.

    Attributes:
        abi: version of Landlock; 0 if nothing is enforced.
        places: real paths of the files and folders that can still be written to.
        why_not: why nothing is enforced; empty if it is.
    """

    abi: int
    places: tuple[str, ...] = ()
    why_not: str = ""

    def covers(self, path: str) -> bool:
        """True if the file at ``path`` cannot be changed by whoever is confined."""
        return bool(self.abi) and self.open_place(path) is None

    def open_place(self, path: str) -> str | None:
        """The writable place in which ``path`` lies; None if it lies in none."""
        real = os.path.realpath(path)
        return next((place for place in self.places if real == place or real.startswith(f"{place.rstrip('/')}/")), None)


class Kernel(Protocol):
    """The four calls; each raises OSError when the kernel refuses."""

    def version(self) -> int:
        """Version of the interface."""

    def create(self, handled: int) -> int:
        """A ruleset that refuses the rights of ``handled``; a file descriptor."""

    def allow(self, ruleset: int, rights: int, place: int) -> None:
        """Allow ``rights`` at and below the file or folder of a descriptor."""

    def enforce(self, ruleset: int) -> None:
        """Confine the calling thread."""


class _Linux:
    """The kernel that runs.

    Raises:
        OSError: there is no such thing on this system.
    """

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError(f"there is no Landlock on {sys.platform}")
        import ctypes

        self._ctypes = ctypes
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.syscall.restype = ctypes.c_long

    def _call(self, number: int, *args: int | bytes | None) -> int:
        c = self._ctypes
        words = [c.c_char_p(arg) if isinstance(arg, bytes) else c.c_long(arg or 0) for arg in args]
        done: int = self._libc.syscall(c.c_long(number), *words)
        if done < 0:
            error = c.get_errno()
            raise OSError(error, os.strerror(error))
        return done

    def version(self) -> int:
        return self._call(_CREATE_RULESET, None, 0, _VERSION)

    def create(self, handled: int) -> int:
        return self._call(_CREATE_RULESET, struct.pack("=Q", handled), 8, 0)

    def allow(self, ruleset: int, rights: int, place: int) -> None:
        self._call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)

    def enforce(self, ruleset: int) -> None:
        self._libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        self._call(_RESTRICT_SELF, ruleset, 0)


def confine(places: Iterable[str], kernel: Kernel | None = None) -> Confinement:
    """Confine the calling thread, and all that it starts from now on, to writing at and below ``places``.

    Args:
        places: files or folders; for one that does not exist the nearest folder above it that does.
        kernel: whom to ask; the running one if None.
    """
    try:
        kernel = kernel or _Linux()
        abi = kernel.version()
    except (OSError, AttributeError, ImportError) as error:
        return Confinement(0, why_not=f"this kernel has no Landlock ({getattr(error, 'strerror', None) or error})")
    real = tuple(dict.fromkeys(map(_existing, places)))
    try:
        _enforce(kernel, abi, real)
    except OSError as error:
        return Confinement(0, why_not=f"Landlock could not be switched on ({error.strerror})")
    return Confinement(abi, real)


def _enforce(kernel: Kernel, abi: int, places: Sequence[str]) -> None:
    file_rights = _WRITE_FILE | (_TRUNCATE if abi >= 3 else 0)
    rights = file_rights | _FOLDER | (_REFER if abi >= 2 else 0)
    ruleset = kernel.create(rights)
    try:
        for place in (*places, *_terminals()):
            with contextlib.suppress(FileNotFoundError, PermissionError), _at(place) as descriptor:
                is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
                kernel.allow(ruleset, rights if is_folder else file_rights, descriptor)
        kernel.enforce(ruleset)
    finally:
        os.close(ruleset)


@contextlib.contextmanager
def _at(place: str) -> Iterator[int]:
    descriptor = os.open(place, getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _terminals() -> tuple[str, ...]:
    """Where nothing is kept: a passphrase is asked for at the terminal, broken pipes are led to nowhere."""
    return ("/dev/null", "/dev/tty")


def _existing(path: str) -> str:
    """The real path, or that of the nearest folder above it that exists."""
    real = os.path.realpath(path)
    while not os.path.exists(real):
        real = os.path.dirname(real)
    return real


def own_places() -> list[str]:
    """Where Python itself keeps compiled modules: without them every start would compile them again."""
    if sys.dont_write_bytecode:
        return []
    if sys.pycache_prefix:
        return [sys.pycache_prefix]
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folders = [package, os.path.dirname(os.__file__), *(path for path in sys.path if path.endswith("-packages"))]
    return [folder for folder in folders if os.access(folder, os.W_OK)]


class Doorkeeper:
    """A thread that was started before the confinement and starts others, each confined to the places of its task."""

    def __init__(self) -> None:
        import queue

        self._wanted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="doorkeeper", daemon=True).start()

    def _serve(self) -> None:
        while True:
            threading.Thread(target=self._wanted.get(), name="writer", daemon=True).start()

    def run(self, places: Sequence[str], task: Callable[[], T]) -> T:
        """Run ``task`` in a thread that can write to ``places`` only; wait for it, and give what it gives."""
        import contextvars
        from concurrent.futures import Future

        future: Future[T] = Future()
        context = contextvars.copy_context()

        def work() -> None:
            try:
                confine([*places, *own_places()])
                future.set_result(context.run(task))
            except BaseException as error:  # raised again where it is waited for
                future.set_exception(error)

        self._wanted.put(work)
        return future.result()


_doorkeeper: Doorkeeper | None = None
_holds: Confinement | None = None


def confine_process(places: Iterable[str], *, asks_later: bool) -> Confinement:
    """Confine the program; to be called once, by its first thread, before it starts others.

    Args:
        places: where the command writes.
        asks_later: more places may be named while it runs; see :func:`write_within`.
    """
    global _doorkeeper, _holds  # noqa: PLW0603 - there is one process
    _doorkeeper = Doorkeeper() if asks_later else None
    _holds = confine([*places, *own_places()])
    return _holds


def confinement() -> Confinement:
    """What holds for the program."""
    return _holds or Confinement(0, why_not="not asked for")


def write_within(places: Sequence[str], task: Callable[[], T]) -> T:
    """Run a task that writes to places that a person has just named."""
    return _doorkeeper.run(places, task) if _doorkeeper else task()
