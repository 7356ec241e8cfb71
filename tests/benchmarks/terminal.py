"""Drives a program in a pseudo terminal and measures when it paints."""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_COLUMNS, _ROWS = 200, 60
_QUIET = 0.25
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
class Busy:
    """What the interface costs its user while an export runs behind it.

    Attributes:
        latency: median seconds from a key to the first paint that shows what it did.
        p95: 95th percentile of the same.
        worst: the longest.
        cancel: seconds from the key that cancels to the word that says so.
    """

    latency: float
    p95: float
    worst: float
    cancel: float


def busy(command: list[str], env: dict[str, str], presses: int = 60) -> Busy:
    """Begin an export, walk through the bytes while it runs, cancel it.

    Args:
        command: opens an image whose export takes longer than all the keys.
        env: environment.
        presses: keys to press.
    """
    with spawned(command, env) as (_, terminal):
        _until(terminal, b"tables read")
        os.write(terminal, b"e")
        _until(terminal, b"Enter start")
        os.write(terminal, b"\r")
        _until(terminal, b"in the background")
        os.write(terminal, b"\x1b")
        _drain_for(terminal, 0.5)
        os.write(terminal, b"2")
        _drain_for(terminal, 1.0)
        costs = [_shows(terminal, b"\x1b[B", f"0x{16 * number:x} ".encode()) for number in range(1, presses + 1)]
        os.write(terminal, b"7")
        _drain_for(terminal, 0.5)
        os.write(terminal, b"x")
        _until(terminal, b"k keep")
        cancel = _shows(terminal, b"d", b"cancelled")
    costs.sort()
    return Busy(statistics.median(costs), costs[int(len(costs) * 0.95)], costs[-1], cancel)


def _shows(terminal: int, key: bytes, words: bytes) -> float:
    """Seconds from a key to the paint that holds these words."""
    start = time.perf_counter()
    os.write(terminal, key)
    _until(terminal, words)
    return time.perf_counter() - start


def _until(terminal: int, words: bytes) -> None:
    """Read until some words were painted.

    Raises:
        TimeoutError: they were not.
    """
    seen, end = b"", time.perf_counter() + 60
    while words not in _CONTROL.sub(b"", seen):
        if not select.select([terminal], [], [], max(0.0, end - time.perf_counter()))[0]:
            raise TimeoutError(f"“{words.decode()}” was not shown")
        seen += os.read(terminal, 1 << 16)


def _drain_for(terminal: int, seconds: float) -> None:
    """Read whatever comes for a while."""
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        if select.select([terminal], [], [], left)[0]:
            os.read(terminal, 1 << 16)


def main() -> None:
    """Print what the interface costs while an export runs: a 1 TiB disk whose bytes are all hashed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, help="where the image is made; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        raw, image = Path(folder, "text.raw"), Path(folder, "packed.qcow2")
        line = "".join(f"line {number}: the quick brown fox\n" for number in range(40_000)).encode()
        raw.write_bytes((line * 100)[: 64 << 20])
        subprocess.run(["qemu-img", "convert", "-c", "-O", "qcow2", str(raw), str(image)], check=True)
        subprocess.run(["qemu-img", "resize", "-q", str(image), "1T"], check=True)
        root = str(Path(__file__).resolve().parents[2])
        found = busy([sys.executable, "-m", "qcow2inspect", str(image)], {**os.environ, "PYTHONPATH": root})
    milliseconds = {name: f"{value * 1e3:.0f} ms" for name, value in vars(found).items()}
    print("while an export runs:", ", ".join(f"{name} {value}" for name, value in milliseconds.items()))
    print("goals: p95 <= 100 ms, cancel <= 200 ms")


if __name__ == "__main__":
    main()
