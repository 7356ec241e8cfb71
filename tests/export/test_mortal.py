"""Fifty deaths, and everything else that happens on a bad day, at points drawn from all calls that change a file."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, build
from qcow2inspect.build.writer import Layout
from tests.images import ROOT, noise

K = 1 << 16
CLUSTERS = 60
DEATHS = 50
FINISHED = re.compile(r"out(\.\d+)?$")


def image() -> bytes:
    """4 MiB: noise, text and a broken stream."""
    clusters: dict[int, Cluster] = {}
    for index in range(CLUSTERS):
        data = noise(index, K // 2) + bytes(K // 2)
        clusters[index] = Compressed(data) if index % 2 else Data(data)
    return build(Recipe(Layout(CLUSTERS * K), clusters, damage={"L1[0].L2[41]": (1 << 62) + 0x20000}))


@dataclass
class Server:
    """The process that exports and dies, again and again."""

    process: subprocess.Popen[str]
    folder: Path

    def __call__(self, *arguments: str, **order: Any) -> tuple[int, str]:
        """Exit code (negative for a signal) and what was said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        said = self.folder / "said"
        words = ["export", str(self.folder / "disk.qcow2"), str(self.folder / "out" / "out"), "--on-error=best"]
        document = {"arguments": [*words, "--hash=sha256", *arguments], "said": str(said), **order}
        self.process.stdin.write(json.dumps(document) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()), said.read_text()

    def fresh(self) -> None:
        """An empty folder for the output, and the evidence as it was."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()

    def made(self) -> dict[str, bytes]:
        """Name -> bytes of everything in the output folder; manifests name the command and stay out."""
        return {
            path.name: path.read_bytes() for path in (self.folder / "out").iterdir() if ".manifest" not in path.name
        }


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        (Path(name) / "disk.qcow2").write_bytes(image())
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.export.mortal", f"{name}/disk.qcow2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        yield Server(process, Path(name))
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(20)


def undisturbed(server: Server, *words: str) -> tuple[dict[str, bytes], int]:
    """What an export makes that nothing happens to, and how often it calls the system."""
    server.fresh()
    code, said = server(*words)
    assert code == 0, said
    found = re.search(r"calls (\d+)", said)
    assert found
    return server.made(), int(found[1])


def finish(server: Server, *words: str) -> None:
    """Continue what is there; whether that is much, little or nothing need not be known."""
    code, said = server(*words, "--resume")
    assert code == 0, said


@pytest.mark.parametrize(("words", "deaths"), [((), DEATHS), (("--split=1MiB",), 10), (("--format=mapped",), 10)])
def test_death_at_any_moment(server: Server, words: tuple[str, ...], deaths: int) -> None:
    whole, calls = undisturbed(server, *words)
    rng, kills = random.Random(len(words)), 0
    for point in sorted(rng.choices(range(1, calls + 1), k=deaths)):
        server.fresh()
        code, said = server(*words, point=point, signal=signal.SIGKILL)
        kills += code == -signal.SIGKILL
        for name, data in server.made().items():
            if FINISHED.match(name):  # what looks finished is complete
                assert data == whole[name], (point, name)
        if not {name for name in whole if FINISHED.match(name)} <= set(server.made()):
            finish(server, *words)
            assert server.made() == whole, (point, said)
    assert kills > deaths // 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("keep", [True, False])
def test_a_signal_at_any_moment(server: Server, number: signal.Signals, keep: bool) -> None:
    whole, calls = undisturbed(server)
    for point in random.Random(number).sample(range(1, calls + 1), 6):
        server.fresh()
        code, said = server(*([] if keep else ["--discard"]), point=point, signal=number)
        made = server.made()
        if "out" in made:  # it came too late, or while the name was given
            assert code in (0, 130), said
            assert made["out"] == whole["out"]
            continue
        assert code == 130, (point, said)
        if not keep:
            assert not [name for name in made if name.endswith((".part", ".journal"))], point
            continue
        finish(server)
        assert server.made() == whole, point


THOROUGH = ("--verify", "--hash-sources")
PHASES = ("Planning", "Exporting", "Looking for", "Hashing", "Verifying", "before the name", "after the name")
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("phase", PHASES)
def test_an_end_in_every_phase(server: Server, phase: str) -> None:
    """Asked to stop it leaves nothing if it shall, or what can be finished, as when killed; the bytes are the same."""
    whole, _ = undisturbed(server, *THOROUGH)
    for number in ENDS:
        server.fresh()
        code, said = server(*THOROUGH, "--discard", phase=phase, signal=number)
        made = server.made()
        assert "Traceback" not in said
        if phase.endswith("the name"):
            assert code in (0, 130), said
            assert made.get("out", whole["out"]) == whole["out"]
            assert ("out" in made) or code == 130
        else:
            assert (code, made) == (130, {}), said
        if phase.endswith("the name"):
            continue
        server.fresh()
        assert server(*THOROUGH, phase=phase, signal=number)[0] == 130
        assert "out" not in server.made()
        assert server(*THOROUGH, "--resume")[0] == 0
        assert server.made() == whole
    server.fresh()
    code, said = server(*THOROUGH, phase=phase, signal=signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    assert ("out" in server.made()) is (phase == "after the name")
    if phase == "after the name":
        assert server.made()["out"] == whole["out"]
        assert server(*THOROUGH, "--force")[0] == 0
    else:
        finish(server, *THOROUGH)
    assert server.made() == whole


@pytest.mark.parametrize("number", [*ENDS, signal.SIGKILL])
def test_an_end_while_what_is_there_is_hashed(server: Server, number: signal.Signals) -> None:
    """The third phase in which a hash is made: a second export continues the first one, and a third the second."""
    whole, _ = undisturbed(server)
    server.fresh()
    assert server(phase="Exporting", after=20, signal=signal.SIGINT)[0] == 130
    code, said = server("--resume", phase="Hashing what", signal=number)
    assert code == (130 if number in ENDS else -number), said
    assert "out.part" in server.made()
    finish(server)
    assert server.made() == whole


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_a_target_that_fails_at_any_moment(server: Server, number: int) -> None:
    whole, calls = undisturbed(server)
    for point in random.Random(number).sample(range(1, calls + 1), 6):
        server.fresh()
        code, said = server(point=point, errno=number)
        made = server.made()
        assert code in (0, 74, 77), (point, said)
        assert "Traceback" not in said
        if "out" in made:
            assert made["out"] == whole["out"]
        elif any(name.endswith(".part") for name in made):
            finish(server)
            assert server.made()["out"] == whole["out"], point


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_name_that_cannot_be_given(server: Server, number: int) -> None:
    """The target fails or becomes read-only at the last moment: an error, and no file that looks finished."""
    server.fresh()
    code, said = server(phase="before the name", errno=number)
    assert code in (74, 77), said
    assert "Traceback" not in said
    assert "out" not in server.made()


@pytest.mark.parametrize("phase", ["Exporting", "Verifying", "before the name"])
def test_a_folder_that_vanishes(server: Server, phase: str) -> None:
    server.fresh()
    code, said = server("--verify", phase=phase, move=str(server.folder / "out"))
    shutil.rmtree(server.folder / "out-gone")
    assert code in (74, 77), said
    assert "Traceback" not in said
    assert not (server.folder / "out").exists()


def test_a_target_that_vanishes(server: Server) -> None:
    _, calls = undisturbed(server)
    for point in (calls // 3, calls // 2):
        server.fresh()
        code, said = server(point=point, remove=str(server.folder / "out" / "out.part"))
        assert code in (74, 77), said
        assert "out" not in server.made()
        assert "Traceback" not in said


def test_evidence_that_changes_meanwhile_is_named(server: Server) -> None:
    _, calls = undisturbed(server)
    server.fresh()
    try:
        code, said = server(point=calls // 3, touch=str(server.folder / "disk.qcow2"))
    finally:
        (server.folder / "disk.qcow2").write_bytes(image())
    assert code == 0
    assert "changed while it was read" in said


def test_a_reader_that_leaves_and_no_standard_input(server: Server) -> None:
    """A pipe that breaks is an error that says how far it came; nobody needs standard input."""
    shell = f'"{sys.executable}" -m qcow2inspect export "$1" - --on-error=zero 2>"$2" <&- | head -c 100 >/dev/null; '
    shell += "echo ${PIPESTATUS[0]}"
    command = ["bash", "-c", shell, "bash", str(server.folder / "disk.qcow2"), str(server.folder / "said")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    said = (server.folder / "said").read_text()
    assert ran.stdout.strip() == "74", said
    assert "writing to standard output failed after" in said
    assert "Traceback" not in said
