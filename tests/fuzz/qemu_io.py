"""A qemu-io that lasts: one process takes the commands for many images, and is started anew when one of them kills it.

All commands for an image are written at once; qemu-io writes its prompt before it reads each of them, so the answers
are what stands between the prompts. ``stdbuf`` keeps it from taking commands ahead of their turn.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.fuzz.seeds import PASSPHRASE

PROMPT = b"qemu-io> "
PATIENCE = 10.0
"""Seconds of processor time for all answers about one image."""
WAIT = 90.0
"""Seconds of any time: a loaded machine is slow, what neither works nor answers hangs."""
IMAGES = 5000
"""Images after which a process is replaced, so that what it may leak stays small."""
_LOOK = 0.1
_LIMITS = 'ulimit -c 0; exec "$@"'


class Died(Exception):
    """qemu-io ended, or had to be ended; ``hung`` says which."""

    def __init__(self, *, hung: bool) -> None:
        super().__init__("qemu-io hangs" if hung else "qemu-io crashes")
        self.hung = hung


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@cache
def _command() -> tuple[str, ...]:
    for name in ("qemu-io", "stdbuf"):
        assert shutil.which(name), f"{name} is not installed (Debian: apt-get install qemu-utils coreutils)"
    secret = f"secret,id=key,data={PASSPHRASE.decode()}"
    return ("sh", "-c", _LIMITS, "sh", "stdbuf", "-i0", "qemu-io", "--object", secret)


class QemuIo:
    """A qemu-io process in a folder.

    Attributes:
        starts: how often it was started.

    Args:
        folder: where it runs, so that names in images mean files there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._images = 0
        self.starts = 0

    def ask(self, commands: Sequence[str]) -> list[str]:
        """The answer to each command.

        Raises:
            Died: one of the commands crashed it, or took too long.
        """
        process = self._ready()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write("".join(f"{command}\n" for command in commands).encode())
        except BrokenPipeError:
            self._end(hung=False)
        heard, output = b"", process.stdout.fileno()
        end, worked = time.monotonic() + WAIT, cpu_seconds(process.pid) + PATIENCE
        while heard.count(PROMPT) < len(commands):
            while not select.select([output], [], [], _LOOK)[0]:
                if time.monotonic() > end or cpu_seconds(process.pid) > worked:
                    self._end(hung=True)
            piece = os.read(output, 1 << 20)
            if not piece:
                self._end(hung=False)
            heard += piece
        return [answer.decode(errors="replace") for answer in heard.split(PROMPT)[: len(commands)]]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ready(self) -> subprocess.Popen[bytes]:
        self._images += 1
        if self._images > IMAGES:
            self.close()
        if self._process is None:
            self._images, self.starts = 0, self.starts + 1
            self._process = subprocess.Popen(
                _command(),
                cwd=self._folder,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert self._process.stdout is not None
            first = self._process.stdout.read(len(PROMPT))
            assert first == PROMPT, f"qemu-io does not start: {first!r}"
        return self._process

    def _end(self, *, hung: bool) -> None:
        self.close()
        raise Died(hung=hung)
