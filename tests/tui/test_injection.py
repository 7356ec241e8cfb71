"""Names that nobody wishes to meet, wherever an image can hold one: no screen and no verb passes them on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from qcow2inspect.build.recipe import build
from qcow2inspect.cli.main import run
from tests.reports.samples import evil_path, evil_recipe
from tests.tui.stage import PLAIN, check_grid, go, grid, memory_image, playing, settle, shown, tap

SIZE = (120, 40)


@pytest.fixture(scope="module")
def evil() -> bytes:
    return build(evil_recipe())


def steer(pilot: Pilot[None]) -> set[str]:
    """Characters on the screen that would do something."""
    check_grid(pilot.app, SIZE)
    return {char for row in grid(pilot.app) for char in row if not char.isprintable()}


async def tour(pilot: Pilot[None]) -> Iterator[tuple[str, set[str], str]]:  # type: ignore[misc]
    """Every screen, the places where names lie, and the dialogs."""
    for key in "123456":
        await tap(pilot, key)
        await settle(pilot)
        yield key, steer(pilot), shown(pilot.app)
    for address in ("hdr.backing_file_name", "ext[0]", "ext[1]", "snap[0]", "snap[7]", "bitmap[1]"):
        await tap(pilot, "2")
        await go(pilot, address)
        yield address, steer(pilot), shown(pilot.app)
        await tap(pilot, "escape")
    for key in ("r", "e", "o", "S", "?"):
        await tap(pilot, "1", key)
        await settle(pilot)
        yield key, steer(pilot), shown(pilot.app)
        await tap(pilot, "escape")
        await settle(pilot)


async def test_no_screen_passes_a_control_character_on(evil: bytes) -> None:
    texts = []
    async with playing(memory_image(evil, evil_path()), size=SIZE) as pilot:
        async for place, found, text in tour(pilot):  # type: ignore[attr-defined]
            assert not found, place
            texts.append(text)
    everything = "\n".join(texts)
    assert "[bold]red[/bold]" in everything, "markup is text"
    assert "\\x1b" in everything or "␛" in everything, "an escape is shown as what it is"
    assert "gpj.exe" in everything


async def test_neither_does_a_terminal_without_colours(evil: bytes) -> None:
    async with playing(memory_image(evil, evil_path()), size=SIZE, look=PLAIN) as pilot:
        async for place, found, text in tour(pilot):  # type: ignore[attr-defined]
            assert not found, place
            assert text.isascii(), place


@pytest.mark.parametrize(
    "words",
    [
        ["info"],
        ["info", "--json"],
        ["info", "--json-compat", "qemu-img"],
        ["header"],
        ["bitmaps"],
        ["check"],
        ["check", "--json"],
        ["check", "--jsonl"],
        ["hexdump", "0", "-n", "4096"],
        ["hash", "--content", "--snapshot", "all"],
        ["map"],
        ["export", "--dry-run", "x"],
    ],
)
def test_no_verb_passes_a_control_character_on(
    words: list[str], evil: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / ("\x1b[31m\u202e" + "[red].qcow2")
    image.write_bytes(evil)
    run([words[0], str(image), *words[1:]])
    out, err = capfd.readouterr()
    assert out + err
    assert {char for char in out + err if not char.isprintable()} <= {"\n"}
