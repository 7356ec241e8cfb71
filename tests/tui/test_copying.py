"""Copy as: every form holds exactly the bytes, and the command line shows them."""

from __future__ import annotations

import ast
import base64
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.tui.copying import FORMS, Copied, command_line, copied_as
from qcow2inspect.tui.location import Location
from qcow2inspect.units import HostOffset
from tests.images import ROOT
from tests.tui.stage import explore, go, memory_image, playing, settle, shown, tap

_BYTES = st.binary(min_size=1, max_size=200) | st.builds(
    lambda n, b: b * n, st.integers(1, 60), st.binary(min_size=1, max_size=2)
)


def from_dump(text: str, at: int) -> bytes:
    """The bytes of a dump, with the stars that stand for repeated rows."""
    found, row, starred = bytearray(), b"", False
    for line in text.splitlines():
        if line == "*":
            starred = True
            continue
        offset = int(line.split()[0], 16) - at
        if starred:
            found += row * ((offset - len(found)) // 16)
            starred = False
        assert offset == len(found)
        row = bytes.fromhex(line.partition(" ")[2].partition("|")[0])
        found += row
    return bytes(found)


@given(_BYTES, st.integers(0, 1 << 30).map(lambda n: n * 16))
def test_every_form_holds_exactly_the_bytes(data: bytes, at: int) -> None:
    what = Copied(data, Location(HostOffset(at)), "a b.qcow2")
    assert bytes.fromhex(copied_as("h", what)) == data
    assert from_dump(copied_as("x", what), at) == data
    assert (
        bytes(int(word, 16) for word in re.findall(r"0x[0-9a-f]{2}\b", copied_as("c", what).partition("=")[2])) == data
    )
    assert ast.literal_eval(copied_as("p", what)) == data
    assert base64.b64decode(copied_as("b", what)) == data
    assert len(copied_as("t", what)) == len(data)
    assert int(copied_as("o", what), 16) == at
    assert bytes.fromhex(json.loads(copied_as("j", what))["bytes"]) == data
    assert shlex.split(copied_as("l", what)) == [
        "qcow2inspect", "hexdump", "a b.qcow2", f"{at:#x}", "-n", f"{len(data)}"
    ]  # fmt: skip


async def test_y_copies_the_field_and_v_selects() -> None:
    async with playing(memory_image()) as pilot:
        await go(pilot, "hdr.size")
        await tap(pilot, "y")
        await settle(pilot)
        assert "y copy 8 bytes as" in shown(pilot.app)
        for words in FORMS.values():
            assert words[:30] in shown(pilot.app)
        await tap(pilot, "j")
        await settle(pilot)
        document = json.loads(pilot.app.clipboard)
        assert (document["address"], document["bytes"]) == ("hdr.size", f"{64 << 20:016x}")
        await tap(pilot, "v", "right", "right", "y", "h")
        await settle(pilot)
        assert pilot.app.clipboard == "000000"
        assert explore(pilot).hex.began is None
        await tap(pilot, "v", "left", "v", "y", "o")
        await settle(pilot)
        assert int(pilot.app.clipboard, 16) == 24


async def test_the_command_line_shows_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "case 1.qcow2"
    path.write_bytes(build(Recipe(Layout(1 << 20), {0: Data(b"old")}, (Snapshot(b"s", {0: Data(b"new")}),))))
    lines = []
    async with playing(path) as pilot:
        for address in ("hdr.size", "@active G0x3", "@snap[0] G0x3"):
            await go(pilot, address)
            await tap(pilot, *([] if address == "hdr.size" else ["v", "right", "right"]), "y", "l")
            await settle(pilot)
            lines.append(pilot.app.clipboard)
    wanted = ["00 00 00 00 00 10 00 00", "6e 65 77", "6f 6c 64"]
    for line, shown_bytes in zip(lines, wanted, strict=True):
        words = [sys.executable, "-m", *shlex.split(line)]
        ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        assert shown_bytes in ran.stdout
    assert command_line(Copied(b"a", Location(HostOffset(16)), "x")) == "qcow2inspect hexdump x 0x10 -n 1"
