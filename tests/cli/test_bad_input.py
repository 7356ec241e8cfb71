"""Whatever is given instead of a sound image: one clear line, the right exit code, no traceback, no hang."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import build
from qcow2inspect.cli import main, verb_info
from tests.cli.conftest import ROOT, Run
from tests.rules import recipes

SOUND = build(recipes.SOUND)
VERBS = ["info", "map", "l1", "refcount", "report", "open"]


def header_with(**fields: int) -> bytes:
    return build(replace(recipes.SOUND, damage={f"hdr.{name}": value for name, value in fields.items()}))


NOT_IMAGES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 65, "is empty"),
    "one byte": (b"Q", 65, "cut off inside the header"),
    "another byte": (b"\0", 65, "not a qcow2 image"),
    "magic only": (b"QFI\xfb", 65, "cut off inside the header"),
    "random": (random.Random(1).randbytes(70_000), 65, "not a qcow2 image"),
    "raw image": (bytes(1 << 20), 65, "not a qcow2 image: at offset 0 stands 00 00 00 00"),
    "version 1": (b"QFI\xfb\0\0\0\1" + bytes(600), 65, "cluster_bits (offset 0x20)"),
    "version 4": (b"QFI\xfb\0\0\0\4" + bytes(600), 65, "version (offset 0x4) is 4"),
    "version huge": (b"QFI\xfb\xff\xff\xff\xff" + bytes(600), 65, "version (offset 0x4) is 4,294,967,295"),
    **{
        f"header cut at {size}": (SOUND[:size], 65, "cut off inside the header")
        for size in (5, 7, 8, 9, 31, 71, 72, 103)
    },
    "cluster_bits 0": (header_with(cluster_bits=0), 65, "cluster_bits (offset 0x14) is 0"),
    "cluster_bits 8": (header_with(cluster_bits=8), 65, "cluster_bits (offset 0x14) is 8"),
    "cluster_bits 22": (header_with(cluster_bits=22), 65, "cluster_bits (offset 0x14) is 22"),
    "cluster_bits 2^32-1": (header_with(cluster_bits=2**32 - 1), 65, "cluster_bits (offset 0x14) is 4,294,967,295"),
}

REFUSED: dict[str, tuple[bytes, str]] = {
    "l1_size 2^32-1": (header_with(l1_size=2**32 - 1), "l1_size (offset 0x24)"),
    "l1 offset past 2^63": (header_with(l1_table_offset=(1 << 63) + 4096), "l1_table_offset (offset 0x28)"),
    "l1 offset 2^64-1": (header_with(l1_table_offset=2**64 - 1), "l1_table_offset (offset 0x28)"),
    "refcount offset past 2^63": (header_with(refcount_table_offset=1 << 63), "refcount_table_offset (offset 0x30)"),
    "snapshots offset past 2^63": (header_with(snapshots_offset=1 << 63), "snapshots_offset (offset 0x40)"),
    "backing offset past 2^63": (header_with(backing_file_offset=1 << 63), "backing_file_offset (offset 0x8)"),
    "size past 2^63": (header_with(size=1 << 63), "size (offset 0x18)"),
    "nb_snapshots 2^32-1": (header_with(nb_snapshots=2**32 - 1), "nb_snapshots (offset 0x3c)"),
    "refcount clusters 2^32-1": (header_with(refcount_table_clusters=2**32 - 1), "refcount_table_clusters"),
    "refcount order 64": (header_with(refcount_order=64), "refcount_order (offset 0x60)"),
    "crypt method 9": (header_with(crypt_method=9), "crypt_method (offset 0x20)"),
}


def assert_one_clear_line(err: str) -> None:
    assert err.startswith("qcow2inspect: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert ";" in err, "what, then why or what next"


@pytest.mark.parametrize("name", NOT_IMAGES)
@pytest.mark.parametrize("verb", ["info", "open", "map"])
def test_what_is_no_image(name: str, verb: str, run: Run, tmp_path: Path) -> None:
    data, code, words = NOT_IMAGES[name]
    path = tmp_path / "evidence.img"
    path.write_bytes(data)
    ran = run(verb, path)
    assert_one_clear_line(ran.err)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert path.read_bytes() == data


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("verb", ["info", "map", "export"])
def test_headers_that_qemu_refuses(name: str, verb: str, run: Run, tmp_path: Path) -> None:
    data, words = REFUSED[name]
    path = tmp_path / "evidence.qcow2"
    path.write_bytes(data)
    ran = run(verb, path, *([tmp_path / "out.raw"] if verb == "export" else []))
    assert_one_clear_line(ran.err)
    assert ran.code == 65
    assert words in ran.err
    assert os.listdir(tmp_path) == ["evidence.qcow2"]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("verb", ["header", "l1", "refcount", "report"])
def test_structure_of_refused_images_can_still_be_looked_at(name: str, verb: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "evidence.qcow2"
    path.write_bytes(REFUSED[name][0])
    ran = run(verb, path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out


def test_lenient_export_reads_on_where_guest_data_does_not_depend_on_it(run: Run, tmp_path: Path) -> None:
    path, sound = tmp_path / "evidence.qcow2", tmp_path / "sound.qcow2"
    path.write_bytes(REFUSED["refcount offset past 2^63"][0])
    sound.write_bytes(SOUND)
    lenient = run("export", path, tmp_path / "a.raw", "--lenient")
    assert lenient.code == 0
    assert "refcount_table_offset" in lenient.err
    assert run("export", sound, tmp_path / "b.raw").code == 0
    assert (tmp_path / "a.raw").read_bytes() == (tmp_path / "b.raw").read_bytes()


def test_lenient_does_not_help_where_guest_data_depends_on_it(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "evidence.qcow2"
    path.write_bytes(REFUSED["l1 offset past 2^63"][0])
    assert run("export", path, tmp_path / "a.raw", "--lenient").code == 65
    assert os.listdir(tmp_path) == ["evidence.qcow2"]


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a directory": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "there is no such file": lambda path: None,
    "a character device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("words", SPECIAL)
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_file(words: str, verb: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "evidence"
    SPECIAL[words](path)
    ran = run(verb, path)
    assert_one_clear_line(ran.err)
    assert (ran.code, ran.out) == (66, "")
    assert words in ran.err


UNPRIVILEGED = """
import os, sys
from qcow2inspect.cli.main import run
run(["info", sys.argv[2] + ".missing"])  # imports what an unprivileged user may not reach below another home
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(run(sys.argv[1:]))
"""


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "evidence.qcow2"
    path.write_bytes(SOUND)
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == path.owner() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    command = [sys.executable, "-c", UNPRIVILEGED, "info", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 77, done.stderr
    assert "no permission" in done.stderr.splitlines()[-1]


MEASURED = """
import resource, sys
from qcow2inspect.cli.main import run
resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
code = run(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(code)
"""


@pytest.mark.parametrize("name", REFUSED)
def test_refused_images_cost_little(name: str, tmp_path: Path) -> None:
    path = tmp_path / "evidence.qcow2"
    path.write_bytes(REFUSED[name][0])
    command = [sys.executable, "-c", MEASURED, "info", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 65, done.stderr
    assert int(done.stdout.split()[-1]) < 200 << 10


def test_a_name_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    ran = run("info", tmp_path / "evil\x1b[31m\nname")
    assert ran.code == 66
    assert "\x1b" not in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [[], ["--nonsense"], ["l2", "x"], ["export", "x"], ["map", "x", "--json-compat", "7z"]]
)
def test_wrong_command_lines(words: list[str], run: Run) -> None:
    ran = run(*words)
    assert ran.code == 64
    assert "Traceback" not in ran.err


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def greedy(_options: object) -> int:
        raise MemoryError

    monkeypatch.setattr(verb_info, "run", greedy)
    assert main.run(["info", "any.qcow2"]) == 65
    assert_one_clear_line(capsys.readouterr().err)
