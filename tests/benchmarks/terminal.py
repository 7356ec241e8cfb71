"""Drives a program in a pseudo terminal and measures when it paints."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_COLUMNS, _ROWS = 200, 60
_QUIET = 0.25
_PATIENCE = 20.0
_READY = b"Explore"
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\\\)")


@dataclass
class Keys:
    """What pressing keys cost.

    Attributes:
        latency: median seconds from key to the end of the paint.
        p95: 95th percentile of the same.
        rss: resident bytes of the program after all keys.
    """

    latency: float
    p95: float
    rss: int


@contextmanager
def spawned(command: list[str], env: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Process id and terminal of a running command."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, {**env, "TERM": "xterm-256color", "COLORTERM": "truecolor"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    try:
        yield pid, terminal
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def first_screen(command: list[str], env: dict[str, str]) -> float:
    """Seconds until the interactive screen has been painted."""
    start = time.perf_counter()
    with spawned(command, env) as (_, terminal):
        seen = b""
        while _READY not in seen:
            seen += os.read(terminal, 1 << 16)
        return time.perf_counter() - start


def keys(command: list[str], env: dict[str, str]) -> Keys:
    """Go to the hex pane and press a page key many times."""
    with spawned(command, env) as (pid, terminal):
        _drain(terminal, 2.0)
        os.write(terminal, b"2")
        _drain(terminal, 1.0)
        costs = [_press(terminal, key) for key in (b"\x1b[B", b"\x1b[6~", b"\x1b[C", b"\x1b[5~") * 15]
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    costs.sort()
    return Keys(statistics.median(costs), costs[int(len(costs) * 0.95)], pages * os.sysconf("SC_PAGESIZE"))


def _press(terminal: int, key: bytes) -> float:
    start = last = time.perf_counter()
    os.write(terminal, key)
    while select.select([terminal], [], [], _QUIET)[0]:
        os.read(terminal, 1 << 16)
        last = time.perf_counter()
    return last - start


def _drain(terminal: int, seconds: float) -> None:
    """Read what comes until nothing came for a while."""
    while select.select([terminal], [], [], seconds)[0]:
        os.read(terminal, 1 << 16)


@dataclass
class Memory:
    """Resident bytes of a process.

    Attributes:
        rest: when nothing goes on.
        peak: the most since the key before.
    """

    rest: int
    peak: int


def memory(command: list[str], env: dict[str, str], keys: str, *, ready: str, rest: float) -> list[Memory]:
    """What a program holds when some words were painted, and after each of some keys and a while of rest."""
    found = []
    with spawned(command, env) as (pid, terminal):
        screen = Screen(terminal)
        screen.until(ready)
        for key in ("", *keys):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget the peak
            screen.press(key)
            screen.rest(rest)
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            found.append(Memory(*(int(status[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))))
    return found


class Screen:
    """What a program has painted on a terminal.

    Args:
        terminal: its file descriptor.
    """

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._seen = b""

    def press(self, keys: str) -> None:
        """Type, and forget what was painted before."""
        self._seen = b""
        os.write(self._terminal, keys.encode())

    def rest(self, seconds: float) -> None:
        """Read whatever comes for a while."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._read(left)

    def saw(self, words: str) -> bool:
        """True if some words were painted since the last key."""
        return words.encode() in _CONTROL.sub(b"", self._seen)

    def until(self, *words: str) -> None:
        """Read until one of some words was painted since the last key.

        Raises:
            TimeoutError: none was.
        """
        end = time.perf_counter() + _PATIENCE
        while not any(map(self.saw, words)):
            if not self._read(max(0.0, end - time.perf_counter())):
                text = _CONTROL.sub(b"", self._seen)[-2000:].decode(errors="replace")
                raise TimeoutError(f"{' or '.join(words)} was not shown: {text}")

    def shows(self, key: str, *words: str) -> float:
        """Seconds from a key to the paint that holds one of some words."""
        start = time.perf_counter()
        self.press(key)
        self.until(*words)
        return time.perf_counter() - start

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        self._seen += os.read(self._terminal, 1 << 16)
        return True
