"""The real program in a pseudo terminal, from start to a written raw file."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from tests.images import raw_by_qemu
from tests.tui.terminal import Terminal, running

RECIPE = Recipe(
    Layout(8 << 20),
    {0: Data(b"boot"), 1: Compressed(b"text "), 5: Zero(), 64: Data(b"x")},
    (Snapshot(b"before", {0: Data(b"now")}),),
)
_COLOURS = re.compile(rb"\x1b\[[0-9;:]*?(?:\b3[0-7]|\b4[0-7]|\b9[0-7]|\b10[0-7]|\b38[;:]|\b48[;:])[0-9;:]*m")


def image_at(folder: Path) -> Path:
    path = folder / "case.qcow2"
    path.write_bytes(build(RECIPE))
    return path


def export(program: Terminal, target: Path) -> None:
    """Start as soon as the checks of the dialog are good."""
    for _ in range(20):
        program.tap("\r")
        if target.exists():
            return


def test_from_start_to_a_written_raw_file(tmp_path: Path) -> None:
    path = image_at(tmp_path)
    target = path.with_suffix(".raw")
    with running(path, cwd=tmp_path) as program:
        program.see("What is special")
        program.tap("g", "L1[0].L2[64].data", "\r")
        program.wait(lambda: "Inspector" in program.text, "Explore")
        program.settle()
        program.tap("s")
        program.wait(lambda: "Where it comes from" in program.text, "Guest")
        program.settle()
        program.tap("<", "<", "e")
        export(program, target)
        program.settle()
        leave(program)
        assert program.end() == 0
        left = program.text[-400:]
    assert "case.qcow2: " in left
    assert "KiB written" in left
    assert target.read_bytes() == raw_by_qemu(path)
    assert path.read_bytes() == build(RECIPE)
    written = ["case.raw", "case.raw.manifest.json", "case.raw.manifest.txt"]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["case.qcow2", *written]


def leave(program: Terminal) -> None:
    """Close the dialog when it has done its work, and the program."""
    for _ in range(10):
        program.tap("\x1b")
        program.tap("q")
        if program.closed:
            return


@pytest.mark.oracle
@pytest.mark.parametrize("on_screen", [True, False])
def test_a_terminal_that_closes_leaves_what_can_be_continued(tmp_path: Path, on_screen: bool) -> None:
    """The hash over 2 GiB of zeros takes long enough for the window to be closed meanwhile."""
    path, target = tmp_path / "case.qcow2", tmp_path / "case.raw"
    last = (2 << 30 >> 16) - 1
    path.write_bytes(build(Recipe(Layout(2 << 30), {0: Data(b"boot"), 1: Compressed(b"text "), last: Data(b"x")})))
    part, journal = target.with_name("case.raw.part"), target.with_name("case.raw.journal")
    words = [str(path)] if on_screen else ["export", str(path), str(target), "--hash", "sha256"]
    with running(*words, cwd=tmp_path) as program:
        if on_screen:
            program.see("all tables read")
            program.press("e")
            program.see("Enter start")
            program.press("\r")
        program.wait(lambda: part.exists() and journal.exists(), "the unfinished file")
        code = program.hang_up()
    assert code in ([-signal.SIGHUP] if on_screen else [130, 74]), "74 if it could not say how far it is any more"
    assert not target.exists()
    assert part.exists()
    assert journal.exists()
    with running("export", path, target, "--hash", "sha256", "--resume") as program:
        assert program.end() == 0, program.text
    assert not part.exists()
    compare = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", str(target), str(path)]
    assert subprocess.run(compare, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("size", [(20, 6), (300, 100)])
def test_very_small_and_very_large_windows(size: tuple[int, int], tmp_path: Path) -> None:
    with running(image_at(tmp_path), size=size) as program:
        program.wait(lambda: len(program.output) > 200, "the first screen")
        program.tap(*"23452")
        program.resize(80, 24)
        program.see("cluster 0")
        program.press("q")
        assert program.end() == 0
        assert "Traceback" not in program.text


def test_no_color_means_no_colour(tmp_path: Path) -> None:
    with running(image_at(tmp_path), env={"NO_COLOR": "1", "COLORTERM": "truecolor"}) as program:
        program.see("What is special")
        program.tap("2", "3", "q")
        assert program.end() == 0
        assert _COLOURS.findall(program.output) == []
