"""What every benchmark measures with: whole processes, as an installed program runs, with its byte code compiled."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = [sys.executable, "-m", "qcow2inspect"]
ENV = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": str(ROOT),
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "qcow2inspect-bytecode"),
}
"""An installed program has its byte code; a source tree must not be littered with it."""


@dataclass
class Row:
    """One line of the table."""

    what: str
    ours: str
    peer: str
    ratio: str
    goal: str


@dataclass
class Ran:
    """What a command took."""

    seconds: float
    cpu: float
    rss: int

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s (CPU {self.cpu:.2f} s, {self.rss >> 20} MiB)"


def compile_sources() -> None:
    """Compile the byte code of the package, so that no measured process has to."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "qcow2inspect")], env=ENV, check=True)


_STOPWATCH = """
import os, sys, time
start = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)])
_, status, usage = os.wait4(process, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def timed(command: list[str], env: dict[str, str] | None = None, *, codes: tuple[int, ...] = (0,)) -> Ran:
    """Run a command that ends with one of ``codes``; wall and CPU seconds, and the most memory that it had.

    A small process starts it: the memory of the one that starts a process is counted as that process's own.
    """
    program = shutil.which(command[0]) or command[0]
    stopwatch = [sys.executable, "-S", "-c", _STOPWATCH, program, *command[1:]]
    done = subprocess.run(stopwatch, env=env, check=True, capture_output=True, text=True)
    seconds, cpu, kibibytes, code = done.stdout.split()
    assert int(code) in codes, command
    return Ran(float(seconds), float(cpu), int(kibibytes) << 10)


def median(took: list[Ran]) -> Ran:
    """Medians of the times, and the most memory that any had."""
    return Ran(
        statistics.median(ran.seconds for ran in took),
        statistics.median(ran.cpu for ran in took),
        max(ran.rss for ran in took),
    )


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: what is measured is the work, not the disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else folder) as name:
        yield Path(name)
