"""Running the command line as a user does: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *words: str | Path, cwd: Path | None = None) -> Ran: ...


@pytest.fixture(scope="session")
def run() -> Run:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "NO_COLOR": "1"}

    def call(*words: str | Path, cwd: Path | None = None) -> Ran:
        command = [sys.executable, "-m", "qcow2inspect", *map(str, words)]
        done = subprocess.run(
            command, capture_output=True, env=env, cwd=cwd, stdin=subprocess.DEVNULL, timeout=300, check=False
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A folder with the demo images."""
    folder = tmp_path_factory.mktemp("demo")
    done = run("demo", folder)
    assert done.code == 0, done.err
    return folder
