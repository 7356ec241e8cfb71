"""Compare acts on the side under the cursor: marks, notes, copies, files of its bytes, assumptions."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.case import Case
from qcow2inspect.cli.main import run as main
from qcow2inspect.errors import BadAddress
from qcow2inspect.image.image import Image
from qcow2inspect.tui.dialogs.assume import AssumeDialog
from qcow2inspect.tui.dialogs.compare import CompareDialog
from qcow2inspect.tui.dialogs.write import WriteDialog
from qcow2inspect.tui.location import ACTIVE, GuestState
from qcow2inspect.tui.notes import marks_of
from qcow2inspect.tui.places import parse_place, text_of
from qcow2inspect.tui.session import Session
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    check_grid,
    compare_golden,
    guest,
    inspector,
    memory_image,
    playing,
    press,
    shown,
    type_text,
)
from tests.tui.test_compare import K, screen, striped

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qcow2inspect.tui.theme import Look

OTHER = GuestState("other", title="two.raw")


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image, and beside it a raw disk, another image, and one whose header says nonsense about its clusters."""
    monkeypatch.chdir(tmp_path)
    image = build(Recipe(Layout(4 * K), {0: Data(b"a" * K)}))
    Path("one.qcow2").write_bytes(image)
    Path("two.raw").write_bytes(b"a" * K + b"b" * 10 + bytes(K))
    other = build(Recipe(Layout(4 * K), {0: Data(b"a" * K), 2: Data(b"c" * K)}))
    Path("three.qcow2").write_bytes(other)
    Path("broken.qcow2").write_bytes(other[:20] + b"\xff\xff\xff\xff" + other[24:])
    return Path("one.qcow2")


async def beside(pilot: Pilot[None], name: str) -> None:
    """Compare with another file, and stand on its side, at the first difference."""
    await press(pilot, "c")
    await type_text(pilot, name)
    await press(pilot, "enter", "right_square_bracket", "d", "tab")


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_the_empty_screen_says_how_to_begin(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=(80, 24), look=look) as pilot:
        await press(pilot, "6")
        assert " c compare " in shown(pilot.app).split("\n")[-1]
        assert "bytes/mapping" not in shown(pilot.app)
        await compare_golden(pilot, f"compare-empty-80x24{'-plain' if look is PLAIN else ''}")
        for size in ((40, 12), (30, 10)):
            await pilot.resize_terminal(*size)
            assert " c compare " in shown(pilot.app).split("\n")[-1]
        await pilot.resize_terminal(80, 24)
        await press(pilot, "m", "plus", "w", "y", "v", "apostrophe")
        assert "there are no marks" in shown(pilot.app)
        await press(pilot, "c", "enter")
        assert "[d difference" in shown(pilot.app)


async def test_marks_and_notes_stand_at_the_bytes_of_their_side() -> None:
    async with playing(memory_image(build(striped()))) as pilot:
        app = inspector(pilot)
        then = GuestState("snapshot", 0, "snapshot 1 “then”")
        await press(pilot, "c", "enter", "right_square_bracket", "d", "m", "a")
        await press(pilot, "right_square_bracket", "d", "tab", "m", "b")
        marks = app.session.marks
        assert [(mark.mode, mark.guest, mark.state) for mark in marks.values()] == [
            ("guest", 3 * K, then),
            ("guest", 10 * K, ACTIVE),
        ]
        await press(pilot, "plus")
        await type_text(pilot, "newer")
        await press(pilot, "enter")
        assert marks_of(app.session) == (
            ("@snap[0] G0x30000", "mark a, snapshot 1 “then”"),
            ("@active G0xa0000", "mark b, active state"),
            ("@active G0xa0000", "newer"),
        )
        await press(pilot, "apostrophe")
        assert "guest 0x30000" in shown(pilot.app)
        await press(pilot, "a")
        front = screen(pilot)
        assert (front.left.at, front.focused) == (3 * K, front.left)
        await press(pilot, "apostrophe", "b")
        assert (front.left.at, front.focused) == (10 * K, front.right)
        await press(pilot, "left_square_bracket", "m")
        assert "there is no previous mark" in shown(pilot.app)
        await press(pilot, "tab", "left_square_bracket", "m")
        assert (front.left.at, front.focused) == (3 * K, front.left)
        await press(pilot, "5", "apostrophe", "b")
        assert guest(pilot).hex.at == 10 * K


async def test_marks_and_notes_in_another_file_name_it(one: Path, tmp_path: Path) -> None:
    session = Session.of(Image.open(one))
    session.case = Case(str(tmp_path / "case"))
    async with playing(one) as pilot:
        app = inspector(pilot)
        app.session.case = session.case
        await beside(pilot, "two.raw")
        await press(pilot, "m", "a", "plus")
        assert "Note at compare: @file" in shown(pilot.app)
        await type_text(pilot, "ten of them")
        await press(pilot, "enter")
        place = app.session.marks["a"]
        assert (place.mode, place.guest, place.state) == ("compare", K, OTHER)
        assert text_of(app.session, place) == 'compare: @file"two.raw" G0x10000'
        assert parse_place(app.session, text_of(app.session, place)) == place
        for wrong in ('compare: @file"none" G0x0', 'compare: @file"two.raw" G0x30000', "compare: 0x10"):
            with pytest.raises(BadAddress):
                parse_place(app.session, wrong)
        assert ('compare: @file"two.raw" G0x10000', "ten of them") in session.case.marks
        await press(pilot, "2", "apostrophe", "a")
        front = screen(pilot)
        assert (front.left.at, front.focused) == (K, front.right)
        await press(pilot, "M")
        await compare_golden(pilot, "compare-notes-120x40")
        await press(pilot, "down", "enter")
        assert pilot.app.screen is front
    async with playing(one) as pilot:
        inspector(pilot).session.case = session.case
        assert ('compare: @file"two.raw" G0x10000', "ten of them") in marks_of(inspector(pilot).session)
    session.close()


async def test_a_mark_in_a_file_that_is_not_compared_any_more(one: Path) -> None:
    async with playing(one) as pilot:
        await beside(pilot, "two.raw")
        await press(pilot, "m", "a", "c")
        await type_text(pilot, "three.qcow2")
        await press(pilot, "enter", "apostrophe", "a")
        assert "two.raw is not compared now; c opens it" in shown(pilot.app)


async def asked(pilot: Pilot[None], target: str) -> str:
    """Write to a new file; gives the command line that the dialog names."""
    await press(pilot, "w")
    dialog = pilot.app.screen
    assert isinstance(dialog, WriteDialog)
    await type_text(pilot, target)
    assert (dialog.order.choices.within is not None, dialog.checks.text) != (True, "checking")
    command = dialog.checks.text.split("\n")[-1]
    await press(pilot, "enter", "escape")
    return command


async def test_the_bytes_of_a_side_are_written(one: Path) -> None:
    async with playing(one) as pilot:
        await beside(pilot, "three.qcow2")
        await asked(pilot, "difference.bin")
        await press(pilot, "v", "right", "right")
        command = await asked(pilot, "selected.bin")
        await press(pilot, "tab")
        await asked(pilot, "of-a.bin")
        await press(pilot, "equals_sign")
        await asked(pilot, "row.bin")
        await press(pilot, "enter", "home", "left_square_bracket", "c", "tab")
        await asked(pilot, "sight.bin")
        pane = screen(pilot).right
        sight = range(pane.top * pane.per_row, (pane.top + pane.height) * pane.per_row)
    assert Path("difference.bin").read_bytes() == b"c" * K
    assert Path("selected.bin").read_bytes() == b"ccc"
    assert Path("of-a.bin").read_bytes() == bytes(K) == Path("row.bin").read_bytes()
    disk = b"a" * K + bytes(K) + b"c" * K
    assert sight.start > 0
    assert Path("sight.bin").read_bytes() == disk[sight.start : sight.stop]
    assert shlex.split(command)[:3] == ["qcow2inspect", "export", "three.qcow2"]
    words = json.loads(Path("selected.bin.manifest.json").read_text())["command"]
    assert main(["again.bin" if word == "selected.bin" else word for word in words[1:]]) == 0
    assert Path("again.bin").read_bytes() == b"ccc"


async def test_the_bytes_of_a_raw_disk_are_written(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(str(tmp_path / "case"))
    async with playing(one) as pilot:
        inspector(pilot).session.case = case
        await beside(pilot, "two.raw")
        command = await asked(pilot, "difference.bin")
        copied: list[str] = []
        monkeypatch.setattr(pilot.app, "copy_to_clipboard", copied.append)
        await press(pilot, "y", "l", "y", "h")
        await press(pilot, "w")
        await type_text(pilot, "two.raw")
        assert isinstance(pilot.app.screen, WriteDialog)
        assert "evidence" in pilot.app.screen.checks.text
    assert Path("difference.bin").read_bytes() == b"b" * 10
    assert copied == ["hexdump -C -s 0x10000 -n 1 two.raw", "62"]
    Path("difference.bin").unlink()
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    assert Path("difference.bin").read_bytes() == b"b" * 10
    assert main(["replay", str(tmp_path / "case")]) == 0


async def test_past_the_end_of_a_side_there_is_nothing_to_write_or_copy(one: Path) -> None:
    async with playing(one) as pilot:
        await beside(pilot, "two.raw")
        await press(pilot, "G", "w")
        assert screen(pilot).side is not None
        await press(pilot, "y")
        assert "there are no bytes that can be copied" in shown(pilot.app)


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
async def test_what_must_be_assumed_of_another_file_is_worked_out(
    one: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(one, size=(80, 24), look=look) as pilot:
        await press(pilot, "c")
        await type_text(pilot, "broken.qcow2")
        await press(pilot, "enter")
        dialog = pilot.app.screen
        assert isinstance(dialog, CompareDialog)
        assert "Enter opens it as if other values stood in its header" in dialog.notes.text
        await compare_golden(pilot, f"compare-broken-80x24{'-plain' if look is PLAIN else ''}")
        await press(pilot, "enter", "enter")
        ask = pilot.app.screen
        assert isinstance(ask, AssumeDialog)
        assert "ASSUMED cluster_bits=16 (stored is 0xffffffff)" in ask.notes.text
        await press(pilot, "enter", "right_square_bracket", "d")
        check_grid(pilot.app, (80, 24))
        await compare_golden(pilot, f"compare-assumed-80x24{'-plain' if look is PLAIN else ''}")
        front = screen(pilot)
        assert front.left.at == 2 * K
        assert "ASSUMED of broken.qcow2: cluster_bits=16" in shown(pilot.app)
        session = inspector(pilot).session
        assert any(entry.text.startswith("ASSUMED of broken.qcow2: cluster") for entry in session.log.entries)
        await press(pilot, "tab")
        command = await asked(pilot, "part.bin")
        assert command.endswith("--assume auto")
    assert Path("part.bin").read_bytes() == b"c" * K


async def test_a_file_that_is_not_there_needs_no_assumptions(one: Path) -> None:
    async with playing(one) as pilot:
        await press(pilot, "c")
        await type_text(pilot, "nowhere.qcow2")
        await press(pilot, "enter")
        dialog = pilot.app.screen
        assert isinstance(dialog, CompareDialog)
        assert "opens it as if" not in dialog.notes.text
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, CompareDialog)
        await type_text(pilot, "broken.qcow2")
        await press(pilot, "enter")
        assert "opens it as if" in dialog.notes.text
        await type_text(pilot, "three.qcow2")
        assert "opens it as if" not in dialog.notes.text
        await press(pilot, "enter", "right_square_bracket", "d")
        assert screen(pilot).left.at == 2 * K


async def test_the_key_asks_for_the_side_under_the_cursor(one: Path) -> None:
    async with playing(one) as pilot:
        await beside(pilot, "three.qcow2")
        await press(pilot, "A")
        ask = pilot.app.screen
        assert isinstance(ask, AssumeDialog)
        ask.query_one(Input).value = "size=64KiB"
        await press(pilot, "enter")
        assert "ASSUMED size=0x10000" in ask.notes.text
        await press(pilot, "enter")
        front = screen(pilot)
        assert front.side is not None
        assert "three.qcow2, active state (ASSUMED)" in shown(pilot.app)
        assert front.right.view is not None
        assert front.right.view.size == K
        assert pilot.app.return_value is None
        await press(pilot, "tab")
        await press(pilot, *(() if front.focused is front.left else ("tab",)), "A")
        assert isinstance(pilot.app.screen, AssumeDialog)
        await press(pilot, "escape")
        assert inspector(pilot).reopen is None
