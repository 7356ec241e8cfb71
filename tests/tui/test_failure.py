"""What is no image, or a broken one: a readable screen, never a traceback."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from qcow2inspect.build.demo import demo_recipe, write_demo
from qcow2inspect.build.recipe import Recipe, build
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.assume import read_assumptions
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.tui.failure import FailureApp
from tests.images import noise
from tests.tui.stage import COLOURED, ROOT, check_grid, compare_golden, explore, playing, settle, shown, tap

_COLOUR = re.compile(rb"\x1b\[(?:[0-9;:]*[;:])?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:[;:][0-9;:]*)?m")


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no images, by what they are."""
    sound = build(demo_recipe())
    made = {
        "empty": b"",
        "short": b"QFI\xfb\0\0",
        "cut": sound[:90],
        "text": b"This is a letter, not a disk.\n" * 20,
        "noise": noise(3, 4096),
        "version1": sound[:7] + b"\x01" + sound[8:512],
        "version9": sound[:7] + b"\x09" + sound[8:512],
        "clusters": sound[:20] + b"\xff\xff\xff\xff" + sound[24:],
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    names = [*made, "fifo", "folder", "missing", "bad\x1b[31m\nname"]
    return {name: folder / name for name in names}


@pytest.mark.parametrize("size", [(80, 24), (30, 8), (120, 40)])
async def test_what_is_no_image_is_explained(tmp_path: Path, size: tuple[int, int]) -> None:
    for name, path in bad_files(tmp_path).items():
        with pytest.raises(Qcow2InspectError) as caught:
            Image.open(path)
        app = FailureApp(str(path), caught.value, COLOURED)
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0)
            check_grid(app, size)
            text = shown(app)
            assert "Traceback" not in text
            assert "\x1b" not in text
            if size[0] >= 80:
                assert "cannot be inspected" in text
                assert "what" in text, name
                assert ("first bytes" in text) == (path.is_file() and path.stat().st_size > 0), name
            await tap(pilot, "question_mark")
            await tap(pilot, "escape")
            await tap(pilot, "q")
        assert app.return_code == caught.value.exit_code != 0


async def test_golden_of_a_failure() -> None:
    source = MemorySource(b"This is a letter, not a disk.\n" * 20, "letter.txt")
    with pytest.raises(Qcow2InspectError) as caught:
        Image(source)
    app = FailureApp("letter.txt", caught.value, COLOURED)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0)
        await compare_golden(pilot, "failure-80x24")


@cache
def broken_images() -> list[bytes]:
    """Images that open, with structures that lie."""
    sound = demo_recipe()
    damages: list[dict[str, int | bytes]] = [
        {"hdr.l1_size": 0xFFFF_FFFF},
        {"hdr.l1_size": 0},
        {"hdr.l1_table_offset": 0xFFFF_FFFF_FFFF_0000},
        {"hdr.l1_table_offset": 0},
        {"hdr.refcount_table_offset": 0x7FFF_FFFF_FFFF_0000},
        {"hdr.refcount_table_clusters": 0xFFFF_FFFF},
        {"hdr.snapshots_offset": 0xFFFF_FFFF_FFFF_FFFF},
        {"hdr.nb_snapshots": 0xFFFF_FFFF},
        {"hdr.header_length": 0xFFFF_FFF8},
        {"hdr.size": 0xFFFF_FFFF_FFFF_FFFF},
        {"hdr.backing_file_offset": 0x60, "hdr.backing_file_size": 1023},
        {"hdr.incompatible_features": 0xFFFF_FFFF_FFFF_FFFF},
        {"L1[0]": 0xFFFF_FFFF_FFFF_FFFF},
        {"L1[0]": 0x0000_0000_0003_0000},
        {"rt[0]": 0x0000_0000_0001_0000},
    ]
    images = [build(Recipe(sound.layout, sound.clusters, sound.snapshots, damage=damage)) for damage in damages]
    images += [build(sound)[:end] for end in (112, 4096, 0x30000, 0x30008, 0x50123)]
    noisy = bytearray(build(sound))
    noisy[0x30000:0x50000] = noise(9, 0x20000)
    return [*images, bytes(noisy)]


@pytest.mark.parametrize("number", range(21))
async def test_a_broken_image_can_be_walked(number: int) -> None:
    async with playing(Image(MemorySource(broken_images()[number], "broken"))) as pilot:
        check_grid(pilot.app, (120, 40))
        await tap(pilot, "2")
        await settle(pilot)
        screen = explore(pilot)
        keys = "enter pagedown enter less_than_sign right_square_bracket left_square_bracket ctrl+end pageup enter t "
        keys += "home down right down right down right enter down right right enter end left tab pagedown tab ctrl+home"
        for key in keys.split():
            await tap(pilot, key)
        for address in ("L1", "rt", "snap", "ref[0]", "0x30000", "L1[0].L2[0].data", "c3"):
            place = screen.session.place(address)
            if place is not None and place.offset < screen.session.image.end:
                screen.arrive(type(screen.here)(place.offset, address))
                await pilot.pause(0)
                check_grid(pilot.app, (120, 40))


# -- the real program on a real terminal -----------------------------------------------------------------------------


def on_a_terminal(path: str, keys: bytes, **environment: str) -> tuple[bytes, int]:
    """Run the interface on a pseudo terminal: what it wrote, and its exit code."""
    code = f"import sys; from qcow2inspect.tui.run import run; sys.exit(run({path!r}))"
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **environment}
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=variables
    )
    os.close(theirs)
    output, asked, deadline = b"", False, time.monotonic() + 90
    while time.monotonic() < deadline:
        ready = select.select([ours], [], [], 0.5)[0]
        if not ready and not asked and b"\x1b[?1049h" in output:
            os.write(ours, keys)
            asked = True
        try:
            output += os.read(ours, 65536) if ready else b""
        except OSError:
            break
        if program.poll() is not None and not ready:
            break
    os.close(ours)
    program.kill()
    return output, program.wait()


def test_no_colour_means_no_colour(tmp_path: Path) -> None:
    path, _, _ = write_demo(str(tmp_path))
    output, code = on_a_terminal(path, b"2t\x11", NO_COLOR="1")
    assert b"Verdict" in output
    assert not _COLOUR.search(output), _COLOUR.search(output)
    assert code == 0


def test_colours_are_there_otherwise(tmp_path: Path) -> None:
    path, _, _ = write_demo(str(tmp_path))
    environment = dict.fromkeys(("NO_COLOR",), "")
    output, code = on_a_terminal(path, b"q", COLORTERM="truecolor", **environment)
    assert _COLOUR.search(output)
    assert b"qcow2 version 3" in output.rpartition(b"\x1b[?1049l")[2]
    assert code == 0


def test_a_failure_gives_the_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    output, code = on_a_terminal(str(path), b"q")
    assert code == 65
    assert b"is empty" in b" ".join(output.rpartition(b"\x1b[?1049l")[2].split())
    assert b"Traceback" not in output


def test_nothing_heavy_before_the_first_paint() -> None:
    code = (
        "import sys\n"
        "from qcow2inspect.build.demo import demo_recipe\n"
        "from qcow2inspect.build.recipe import build\n"
        "from qcow2inspect.image.image import Image\n"
        "from qcow2inspect.source.memory import MemorySource\n"
        "data = build(demo_recipe())\n"
        "heavy = ('numpy', 'qcow2inspect.tui.screens.explore', 'qcow2inspect.tui.dialogs')\n"
        "for name in [n for n in sys.modules if n.startswith(('numpy', 'qcow2inspect.rules'))]: del sys.modules[name]\n"
        "from qcow2inspect.tui.app import InspectApp\nfrom qcow2inspect.tui.session import Session\n"
        "InspectApp(Session.of(Image(MemorySource(data))))\n"
        "sys.exit(str([n for n in heavy if n in sys.modules]) if set(heavy) & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


async def test_an_assumption_is_named_on_every_screen() -> None:
    sound = build(demo_recipe())
    source = MemorySource(sound[:20] + b"\xff\xff\xff\xff" + sound[24:], "demo.qcow2")
    bits = int.from_bytes(sound[20:24], "big")
    image = Image(source, read_assumptions(source, [f"cluster_bits={bits}"]))
    async with playing(image, size=(120, 40)) as pilot:
        for key in ("1", "2", "3", "4"):
            await tap(pilot, key)
            await settle(pilot)
            assert f"ASSUMED cluster_bits={bits}" in shown(pilot.app), key
