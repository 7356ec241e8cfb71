"""The real program in a pseudo terminal: what a person has, without a person."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PATIENCE = 30.0
_QUIET = 0.35
_SETTLED = 3.0
_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;:?<>=$ ]*[A-Za-z@`~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|P.*?\x1b\\|.)")


class Terminal:
    """A program that believes it sits at a terminal.

    Attributes:
        output: all that it wrote.
        code: its exit code; None while it runs.
        closed: True once it has left the terminal.
    """

    def __init__(self, pid: int, terminal: int) -> None:
        self._pid = pid
        self._terminal = terminal
        self.output = b""
        self.code: int | None = None
        self.closed = False

    @property
    def text(self) -> str:
        """What it wrote without what steers the terminal."""
        return _ESCAPES.sub(b"", self.output).decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        """Type at once."""
        if self.closed:
            return
        os.write(self._terminal, keys.encode())

    def tap(self, *keys: str) -> None:
        """Type key by key, and look at what each does."""
        for key in keys:
            self.press(key)
            self.settle()

    def settle(self) -> None:
        """Read on until nothing has come for a while."""
        size, deadline = -1, time.monotonic() + _SETTLED
        while size != len(self.output) and time.monotonic() < deadline:  # the cursor of an input never stops blinking
            size = len(self.output)
            self._read(_QUIET)

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the window."""
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Read on until something is so.

        Raises:
            AssertionError: it is not so after half a minute, or the program has ended.
        """
        deadline = time.monotonic() + _PATIENCE
        while not done():
            ended = not self._read(0.1)
            assert not ended or done(), f"the program ended before {what}: {self.text[-2000:]}"
            assert time.monotonic() < deadline, f"no {what}: {self.text[-2000:]}"

    def see(self, words: str) -> None:
        """Wait until the program has written some words since the last call."""
        start = len(self.output)
        self.wait(lambda: words in _ESCAPES.sub(b"", self.output[start:]).decode("utf-8", "replace"), words)

    def end(self) -> int:
        """Wait until the program ends; its exit code."""
        deadline = time.monotonic() + _PATIENCE
        while not self.closed and self._read(0.1):
            assert time.monotonic() < deadline, f"the program does not end: {self.text[-2000:]}"
        self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.code

    def hang_up(self) -> int:
        """Close the window under the program; its exit code, negative for a signal."""
        os.close(self._terminal)
        self.closed = True
        self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self.code

    def _read(self, seconds: float) -> bool:
        """Read what is there; False if the program has closed the terminal."""
        if not select.select([self._terminal], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._terminal, 1 << 16)
        except OSError:  # Linux says EIO when the other side has closed
            self.closed = True
            return False
        self.output += data
        return bool(data)

    def close(self) -> None:
        """End it if it still runs."""
        if self.code is None:
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
        with suppress(OSError):  # it may have been hung up
            os.close(self._terminal)


@contextmanager
def running(
    *arguments: str | Path, size: tuple[int, int] = (100, 30), env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[Terminal]:
    """``qcow2inspect`` with some arguments, in a terminal of ``size`` columns and rows."""
    command = [sys.executable, "-m", "qcow2inspect", *map(str, arguments)]
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    full = {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONUTF8": "1", **(env or {})}
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - the child
        os.chdir(cwd)
        os.execvpe(command[0], command, full)
    program = Terminal(pid, terminal)
    program.resize(*size)
    try:
        yield program
    finally:
        program.close()
