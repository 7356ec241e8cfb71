"""What messages and hints call a key is what the keymap that is on says, not what the table said at first."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.errors import BadAddress
from qcow2inspect.tui import commands
from qcow2inspect.tui.commands import COMMANDS, key_of
from qcow2inspect.tui.keymap import PRESETS, remapped
from qcow2inspect.tui.linear import Linear
from qcow2inspect.tui.places import parse_place
from qcow2inspect.tui.session import Session
from qcow2inspect.tui.tour import stops
from tests.tui.stage import ROOT, explore, inspector, memory_image, playing, settle, shown
from tests.tui.terminal import running

_TOLD = re.compile(
    r"(?:^|[ ,;(])(?:[a-zA-Z?<>']|Esc|Enter|F[12]|PgDn|Space|Tab) "
    r"(?:stops|goes|lists|selects|copies|ends|chooses|follows|comes|changes|finds|exports|writes|leaves|again|next|"
    r"previous|unlocks|opens|copy|look)\b|^(?:[a-zA-Z]|Enter): "
)
_OWN_KEYS = ("dialogs", "commands.py", "keymap.py", "typed.py", "which.py")
"""Where keys are bound that no keymap changes, and where the table is."""


@pytest.fixture
def other_keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A keymap in which every command has another key than in the table; the keys, by id."""
    ids = [command.id for command in COMMANDS]
    keys = {name: f"ctrl+f{number}" for number, name in enumerate(ids)}
    table = tuple(replace(command, keys=(keys[command.id],), shown="") for command in COMMANDS)
    monkeypatch.setattr(commands, "COMMANDS", table)
    return {name: key_of(name) for name in ids}


def texts(path: Path) -> list[str]:
    """All texts in a module that are not its documentation; what is computed in them is left out."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documentation)
    return [node.value for node in constants if isinstance(node.value, str)]


def test_no_message_names_a_key_by_heart() -> None:
    told: dict[str, list[str]] = {}
    for path in sorted((ROOT / "qcow2inspect" / "tui").rglob("*.py")):
        if not any(part in path.parts for part in _OWN_KEYS):
            found = [text for text in texts(path) if _TOLD.search(text)]
            told |= {path.name: found} if found else {}
    assert told == {}
    assert _TOLD.search("mark a set; m comes back")
    assert _TOLD.search("selecting: move, y copies")
    assert _TOLD.search("Enter: look at the entry")


def test_vi_calls_back_what_vi_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_of("back") == "<"
    monkeypatch.setattr(commands, "COMMANDS", remapped(COMMANDS, PRESETS["vi"]))
    assert key_of("back") == "ctrl+o"
    with pytest.raises(KeyError):
        key_of("nothing")


def test_the_tour_and_the_errors_name_the_keys_that_are_on(other_keys: dict[str, str]) -> None:
    session = Session.of(memory_image())
    told = " ".join(words for _, words in stops(session))
    for command in ("tour", "follow", "back", "swap", "bad", "export", "report", "help"):
        assert f"{other_keys[command]} " in told
    with pytest.raises(BadAddress, match=re.escape(f"{other_keys['states']} lists")):
        parse_place(session, "@snap[99] 0", session.here)


def test_where_words_are_typed_words_are_named() -> None:
    session = Session.of(memory_image())
    Linear(session, lambda _: None, lambda _: None)
    told = " ".join(words for _, words in stops(session))
    assert "follow follows it, back comes back" in told
    assert "next finding finds trouble" in told
    with pytest.raises(BadAddress, match="states lists all states"):
        parse_place(session, "@snap[99] 0", session.here)


async def test_the_screens_name_the_keys_that_are_on(other_keys: dict[str, str]) -> None:
    async with playing(memory_image(), size=(120, 40)) as pilot:
        text = shown(pilot.app)
        for command, words in (("evidence", "look at the bytes of"), ("goto", "go to an offset"), ("help", "all keys")):
            assert re.search(rf"{re.escape(other_keys[command])} +{words}", text), text
        await go_explore(pilot)
        screen = explore(pilot)
        screen.action_to_mark()
        await settle(pilot)
        assert f"{other_keys['explore.mark']} and a letter" in shown(pilot.app)
        screen.action_select()
        await settle(pilot)
        assert f"{other_keys['explore.copy']} copies, {other_keys['explore.select']} ends it" in shown(pilot.app)
        inspector(pilot).action_mode("compare")
        await settle(pilot)
        assert f"{other_keys['compare.choose']} chooses" in shown(pilot.app)


async def go_explore(pilot: object) -> None:
    app = inspector(pilot)  # type: ignore[arg-type]  # a pilot of whatever application
    app.action_mode("explore")
    await settle(pilot)  # type: ignore[arg-type]  # the same


def test_a_keymap_file_changes_the_hints_of_the_real_program(tmp_path: Path) -> None:
    image, keymap = tmp_path / "demo.qcow2", tmp_path / "keys.toml"
    image.write_bytes(build(demo_recipe()))
    keymap.write_text('[keys]\ntour = "f9"\n"explore.mark" = "B"\nquit = "Q"\ngoto = "ctrl+g"\n')
    with running(image, "--keymap", str(keymap)) as program:
        program.see("all tables read")
        assert "ctrl+g goto" in program.text
        program.press("2")
        program.see("Inspector")
        program.press("'")
        program.see("B and a letter")
        program.press("Q")
        assert program.end() == 0
