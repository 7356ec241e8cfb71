"""Terminals on a bad day: resized without end, closed, never there; streams that are closed, full or broken off."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.cli.main import VERBS
from tests.cli.conftest import ROOT
from tests.images import noise

COMMAND = [sys.executable, "-m", "qcow2inspect"]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
RECIPE = Recipe(Layout(1 << 20), {0: Data(noise(1, 65536)), 3: Data(b"three"), 9: Data(noise(2, 65536))})
PRINTS = {
    "info": ["info", "IMAGE"],
    "check": ["check", "IMAGE"],
    "map": ["map", "IMAGE"],
    "header": ["header", "IMAGE"],
    "hexdump": ["hexdump", "IMAGE", "0", "-n", "65536"],
    "refcount": ["refcount", "IMAGE"],
    "report": ["report", "IMAGE"],
    "hash": ["hash", "IMAGE"],
    "export": ["export", "IMAGE", "-"],
    "bare": ["IMAGE"],
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.qcow2"
    path.write_bytes(build(RECIPE))
    return path


def words(name: str, image: Path) -> list[str]:
    return [*COMMAND, *(str(image) if word == "IMAGE" else word for word in PRINTS[name])]


# -- streams --------------------------------------------------------------------------------------------------------


def in_shell(redirections: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    shell = ["sh", "-c", f'"$@" {redirections}', "sh", *command]
    return subprocess.run(shell, capture_output=True, encoding="latin-1", env=ENV, timeout=60, check=False)


@pytest.mark.parametrize("name", PRINTS)
def test_a_closed_output_is_an_error_and_never_the_evidence(name: str, image: Path) -> None:
    before = image.read_bytes()
    ran = in_shell(">&-", words(name, image))
    assert ran.returncode == 74, ran.stderr
    assert "Bad file descriptor" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert image.read_bytes() == before


@pytest.mark.parametrize("name", ["info", "report", "export", "bare"])
def test_a_full_output_is_an_error(name: str, image: Path) -> None:
    ran = in_shell(">/dev/full", words(name, image))
    assert ran.returncode == 74, ran.stderr
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("name", ["info", "hash", "export"])
def test_all_streams_closed_change_nothing(name: str, image: Path, tmp_path: Path) -> None:
    before = image.read_bytes()
    ran = in_shell("<&- >&- 2>&-", words(name, image))
    assert ran.returncode == 74
    assert (ran.stdout, ran.stderr) == ("", "")
    assert image.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize("name", ["info", "hash", "bare"])
def test_no_input_and_nowhere_to_complain_do_no_harm(name: str, image: Path) -> None:
    ran = in_shell("<&- 2>&-", words(name, image))
    assert ran.returncode == 0
    assert ran.stdout


@pytest.mark.parametrize("name", ["hexdump", "report", "export"])
def test_a_reader_that_goes_away_ends_it(name: str, image: Path) -> None:
    ran = in_shell("| head -c 1", words(name, image))
    assert len(ran.stdout) == 1
    assert "Traceback" not in ran.stderr
    assert ("has not got everything" in ran.stderr) is (name == "export")


# -- characters -----------------------------------------------------------------------------------------------------

RUNS = {
    **PRINTS,
    "help": ["--help"],
    "json": ["info", "IMAGE", "--json"],
    "map json": ["map", "IMAGE", "--json"],
    "check json": ["check", "IMAGE", "--json"],
    "check qemu": ["check", "IMAGE", "--json-compat", "qemu-img"],
    "info qemu": ["info", "IMAGE", "--json-compat", "qemu-img"],
    "report json": ["report", "IMAGE", "--format", "json"],
    "markdown": ["report", "IMAGE", "--format", "markdown"],
    "console": ["report", "IMAGE", "--format", "console"],
    "l1": ["l1", "IMAGE"],
    "l2": ["l2", "IMAGE", "0"],
    "bitmaps": ["bitmaps", "IMAGE"],
    "verify": ["verify", "IMAGE", "“none”"],
    "compare": ["compare", "IMAGE", "IMAGE"],
    "create": ["create", "“none”", "IMAGE"],
    "replay": ["replay", "“none”"],
    "demo": ["demo", "FOLDER", "--no-open"],
    "plain": ["open", "--plain", "IMAGE"],
    "finding": ["explain", "QCOW-L2-EOF"],
    "findings": ["explain", "--list"],
    "unknown": ["explain", "“nothing”"],
    "to a file": ["export", "IMAGE", "FOLDER/“out”.raw"],
    "missing": ["info", "“none”"],
    "wrong": ["hexdump", "IMAGE", "“nowhere”"],
    "option": ["info", "IMAGE", "“more”"],
    **{f"help of {verb}": [verb, "--help"] for verb in VERBS},
}
_RUN_ALL = """
import json, os, sys
from qcow2inspect.cli.main import run
from qcow2inspect.cli.streams import take_streams

take_streams()
for name, words in json.load(open(sys.argv[1], encoding="utf-8")).items():
    sys.stdout.flush()
    os.write(1, b"<<<<" + name.encode() + b">>>>")
    try:
        run([os.fsdecode(word.encode()) for word in words])
    except SystemExit:
        pass
"""
LOCALES = {
    "latin-1": ("latin-1", {"PYTHONIOENCODING": "latin-1"}),
    "ascii": ("ascii", {"PYTHONIOENCODING": "ascii"}),
    "C": ("ascii", {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}),
}


@pytest.mark.parametrize("name", LOCALES)
def test_no_character_is_an_error(name: str, tmp_path: Path) -> None:
    """Every verb, in one process, where typographic quotes and the name of the image have no code."""
    encoding, env = LOCALES[name]
    image = tmp_path / "“bild€”.qcow2"
    image.write_bytes(build(replace(RECIPE, snapshots=(Snapshot(b"first"),))))
    commands = {
        key: [word.replace("IMAGE", str(image)).replace("FOLDER", str(tmp_path)) for word in words]
        for key, words in RUNS.items()
    }
    (tmp_path / "list").write_text(json.dumps(commands))
    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL, str(tmp_path / "list")],
        capture_output=True,
        env={**ENV, "PYTHONUTF8": "0", "NO_COLOR": "1", **env},
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    pieces = re.findall(rb"<<<<(.*?)>>>>(.*?)(?=<<<<|\Z)", done.stdout, re.DOTALL)
    results = {key.decode(): said for key, said in pieces}
    assert list(results) == list(RUNS)
    for key in (key for key in RUNS if "json" in key or "qemu" in key):
        json.loads(results[key].decode(encoding))
    assert 'snapshot          1 "first"' in results["info"].decode(encoding)
    assert '"qcow2inspect explain --list" lists all codes' in done.stderr.decode(encoding)


# -- terminals ------------------------------------------------------------------------------------------------------


@contextmanager
def at_a_terminal(command: list[str]) -> Iterator[tuple[int, int]]:
    """Process id and terminal of a program that has one; it is gone afterwards."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, ENV)
    resize(terminal, 30, 100)
    try:
        yield pid, terminal
    finally:
        with suppress(ProcessLookupError, ChildProcessError):  # it has ended, as it should
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def heard(terminal: int, until: bytes = b"", quiet: float = 0.3) -> bytes:
    """What the program writes, until it has written ``until`` and then stays quiet."""
    seen, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([terminal], [], [], quiet)[0]:
            if until in seen:
                return seen
            continue
        try:
            seen += os.read(terminal, 1 << 16)
        except OSError:
            return seen
    raise AssertionError(f"no {until!r} within a minute: {seen[-500:]!r}")


def exit_code(pid: int) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    raise AssertionError("the program does not end")


def test_a_storm_of_sizes(image: Path) -> None:
    chance = random.Random(8)
    with at_a_terminal([*COMMAND, str(image)]) as (pid, terminal):
        seen = heard(terminal, b"NO DAMAGE")
        for key in (b"2", b"3", b"5", b"4"):
            for _ in range(25):
                resize(terminal, chance.choice([0, 1, 2, 5, 24, 60, 400]), chance.choice([0, 1, 3, 20, 80, 200, 1000]))
                if select.select([terminal], [], [], 0.01)[0]:
                    seen += os.read(terminal, 1 << 16)
            os.write(terminal, key)
        resize(terminal, 30, 100)
        seen += heard(terminal)
        os.write(terminal, b"\x11")
        seen += heard(terminal, b"\x1b[?1049l")
        assert exit_code(pid) == 0
        assert b"Traceback" not in seen
        os.close(terminal)


def test_the_interface_ends_with_its_terminal(image: Path) -> None:
    with at_a_terminal([*COMMAND, str(image)]) as (pid, terminal):
        heard(terminal, b"NO DAMAGE")
        os.close(terminal)
        assert exit_code(pid) == -signal.SIGHUP


def test_a_question_ends_with_its_terminal(tmp_path: Path) -> None:
    """An export that asks for a passphrase when the terminal goes away: no target, no part of one."""
    image = tmp_path / "locked.qcow2"
    secret = ["--object", "secret,id=key,data=secret"]
    create = ["qemu-img", "create", "-q", "-f", "qcow2", *secret, "-o", "encrypt.format=aes,encrypt.key-secret=key"]
    subprocess.run([*create, str(image), "1M"], check=True, capture_output=True, timeout=60)
    with at_a_terminal([*COMMAND, "export", str(image), str(tmp_path / "out.raw")]) as (pid, terminal):
        heard(terminal, b"passphrase of")
        os.close(terminal)
        assert exit_code(pid) in (77, 130)
    assert sorted(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize(("ignored", "code"), [(False, 130), (True, 0)])
def test_hanging_up_interrupts_unless_it_is_ignored(ignored: bool, code: int, image: Path) -> None:
    """An export into a pipe that nobody reads yet, a hang-up, and then somebody reads."""
    trap = "trap '' HUP; " if ignored else ""
    shell = ["sh", "-c", trap + 'exec "$@"', "sh", *words("export", image)]
    program = subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV, bufsize=0)
    assert program.stdout is not None
    first = program.stdout.read(1)
    program.send_signal(signal.SIGHUP)
    rest, said = program.communicate(timeout=60)
    assert program.returncode == code, said
    assert (len(first + rest) == RECIPE.layout.size) is ignored
    assert b"Traceback" not in said
