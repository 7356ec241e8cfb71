"""What the dialogs of a session look like: at three sizes, with colours, and without them in ASCII."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, cast

import pytest
from textual.widgets import Input

from qcow2inspect.tui import dialogs
from qcow2inspect.tui.dialogs.parts import Dialog
from tests.tui.stage import (
    COLOURED,
    GOLDENS,
    PLAIN,
    SIZES,
    check_grid,
    compare_golden,
    go,
    grid,
    inspector,
    memory_image,
    playing,
    settle,
    tap,
)
from tests.tui.test_livesearch import found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.pilot import Pilot

    from qcow2inspect.tui.screens.base import BaseScreen
    from qcow2inspect.tui.theme import Look

OPENED = {
    "goto": ("g", "L1[0].L2[5].data"),
    "help": ("question_mark", ""),
    "search": ("slash", "What was"),
    "copy": ("y", ""),
    "command": ("colon", "ex"),
    "note": ("plus", "consistent with the report"),
}
"""Name -> the key that opens it, and what is typed into it."""


OTHERS = {
    "states": ("S",),
    "files": ("o",),
    "passphrase": ("p",),
    "assume-form": ("A",),
    "explain": ("f1",),
    "notes": ("M",),
    "compare-choice": ("c",),
    "next": ("right_square_bracket",),
    "write": ("w",),
}
"""Name -> the key that opens it."""
GOLDEN_OF = {
    "AssumeDialog": "assume-form",
    "CommandDialog": "command",
    "CompareDialog": "compare-choice",
    "ExplainDialog": "explain",
    "ExportDialog": "export",
    "FilesDialog": "files",
    "GotoDialog": "goto",
    "HelpDialog": "help",
    "JobDialog": "job",
    "NoteDialog": "note",
    "NotesDialog": "notes",
    "PassphraseDialog": "passphrase",
    "ReportDialog": "report",
    "SearchDialog": "search",
    "StatesDialog": "states",
    "WriteDialog": "write",
}
"""Dialog -> the name of its goldens."""


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
@pytest.mark.parametrize("size", SIZES)
async def test_golden_of_what_one_key_opens(size: tuple[int, int], look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its size, a dialog says all its keys: none of what stands on its edge is cut off."""
    monkeypatch.chdir("/")
    monkeypatch.setattr("qcow2inspect.tui.dialogs.write.default_target", lambda *_: "/cases/7/field.bin")
    monkeypatch.setattr("qcow2inspect.export.preflight.free_space", lambda _: 55 << 30)
    monkeypatch.setattr("qcow2inspect.export.preflight.check", lambda *_: None)
    monkeypatch.setattr("qcow2inspect.export.preflight.check_target", lambda *_, **__: None)
    monkeypatch.setattr("qcow2inspect.output.check_target", lambda *_, **__: None)
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    async with playing(memory_image(), size=size, look=look) as pilot:
        await go(pilot, "hdr.l1_table_offset")
        await tap(pilot, "m", "a")
        cast("BaseScreen", inspector(pilot).screen).status.say("")
        for name, keys in OTHERS.items():
            await tap(pilot, *keys)
            for field in pilot.app.screen.query(Input):
                field.cursor_blink = False
            await settle(pilot)
            check_grid(pilot.app, size)
            assert not [row for row in grid(pilot.app) if re.search(r"(…|\.\.\.) ?[━=┛+]", row)], name
            await compare_golden(pilot, f"{name}-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")
            await tap(pilot, "escape")
            await settle(pilot)


def test_every_dialog_has_goldens() -> None:
    """A new dialog needs them too: at three sizes, with colours and without."""
    for _, name, _ in pkgutil.iter_modules(dialogs.__path__, f"{dialogs.__name__}."):
        importlib.import_module(name)
    known = {dialog.__name__ for dialog in leaves(Dialog)}
    assert known == set(GOLDEN_OF)
    wanted = {f"{name}-{w}x{h}{look}" for name in GOLDEN_OF.values() for w, h in SIZES for look in ("", "-plain")}
    assert wanted - {path.stem for path in GOLDENS.glob("*.txt")} == set()


def leaves(cls: type) -> Iterator[type]:
    """The classes below a class that nothing is derived from."""
    below: list[type] = cls.__subclasses__()
    for each in below:
        yield from leaves(each)
    if not below:
        yield cls


async def open_dialog(pilot: Pilot[None], name: str) -> None:
    key, text = OPENED[name]
    await go(pilot, "hdr.l1_table_offset")
    await tap(pilot, key)
    if text:
        field = pilot.app.screen.query_one(Input)
        field.cursor_blink = False
        field.value = text
        field.cursor_position = len(text)
    await (found(pilot) if name == "search" else settle(pilot))


@pytest.mark.parametrize("look", [COLOURED, PLAIN], ids=["colour", "plain"])
@pytest.mark.parametrize("name", OPENED)
async def test_golden(name: str, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    if look is PLAIN:
        monkeypatch.setenv("NO_COLOR", "1")
    for size in SIZES:
        async with playing(memory_image(), size=size, look=look) as pilot:
            await open_dialog(pilot, name)
            check_grid(pilot.app, size)
            await compare_golden(pilot, f"{name}-{size[0]}x{size[1]}{'-plain' if look is PLAIN else ''}")
