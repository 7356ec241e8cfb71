"""Other keys: presets that do not collide, and a file whose mistakes are named in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.errors import BadAddress
from qcow2inspect.tui.commands import COMMANDS
from qcow2inspect.tui.keymap import PRESETS, collisions, default_path, read_keymap, remapped
from tests.cli.conftest import Run, run  # noqa: F401 - a fixture
from tests.tui.terminal import running


def written(folder: Path, text: str) -> Path:
    path = folder / "keymap.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_commands_and_do_not_collide(name: str) -> None:
    assert list(collisions(remapped(COMMANDS, PRESETS[name]))) == []


def test_a_file_starts_from_its_preset(tmp_path: Path) -> None:
    found = read_keymap(str(written(tmp_path, 'preset = "vi"\n[keys]\ngoto = "ctrl+g"\nback = ["<", ";", "f5"]\n')))
    assert found["goto"] == ("ctrl+g",)
    assert found["back"] == ("less_than_sign", "semicolon", "f5")
    assert found["quit"] == PRESETS["vi"]["quit"]
    table = {command.id: command for command in remapped(COMMANDS, found)}
    assert table["goto"].keys == ("ctrl+g",)
    assert table["export"] is next(command for command in COMMANDS if command.id == "export")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[keys]\ngoot = "x"\n', "“goot” is no command; did you mean goto?"),
        ('[keys]\ngoto = "e"\n', "the key e is given to both goto and export"),
        ('[keys]\ngoto = "up"\n"explore.mark" = "g"\n"explore.copy" = "g"\n', "the key g is given to both"),
        ('[keys]\ngoto = "nokey"\n', "“nokey” is no key"),
        ('[keys]\ngoto = "hyper+x"\n', "“hyper+x” is no key"),
        ("[keys]\ngoto = 3\n", "goto: give a key"),
        ("[keys]\ngoto = []\n", "goto: give a key"),
        ('preset = "wordstar"\n', "no preset “wordstar”; there are default, vi, emacs"),
        ('keys = "x"\n', "is a table"),
        ("colour = 1\n", "“colour” means nothing"),
        ("[keys\n", "cannot be read"),
        ('[keys]\n"a\\u001b[2J" = "x"\n', "is no command"),
    ],
)
def test_mistakes_are_named_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadAddress) as caught:
        read_keymap(str(path))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_file_of_the_user_is_in_the_configuration_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert default_path() == "/somewhere/qcow2inspect/keymap.toml"


def test_a_wrong_keymap_ends_the_program_before_it_begins(run: Run, tmp_path: Path) -> None:  # noqa: F811
    path = written(tmp_path, '[keys]\ngoot = "x"\n')
    ran = run("open", tmp_path / "none.qcow2", "--keymap", path)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err.count("\n") == 1
    assert "did you mean goto?" in ran.err


def test_the_program_takes_the_keys_of_the_user(tmp_path: Path) -> None:
    image = tmp_path / "demo.qcow2"
    image.write_bytes(build(demo_recipe()))
    (tmp_path / "qcow2inspect").mkdir()
    written(tmp_path / "qcow2inspect", '[keys]\nexplore = "X"\nquit = "Q"\n')
    with running(image, env={"XDG_CONFIG_HOME": str(tmp_path)}) as program:
        program.see("Q quit")
        program.press("X")
        program.see("cluster 0 + 0x0")
        program.press("Q")
        assert program.end() == 0


def test_the_program_takes_the_keys_of_emacs(tmp_path: Path) -> None:
    image = tmp_path / "demo.qcow2"
    image.write_bytes(build(demo_recipe()))
    control_f, control_n, control_s, control_g, meta = "\x06", "\x0e", "\x13", "\x07", "\x1b"
    with running("open", image, "--keymap", "emacs") as program:
        program.see("q quit")
        program.press("2" + control_n + control_f)
        program.see("0x11  cluster 0")
        program.press(control_s)
        program.see("Search the image file")
        program.tap(control_g)
        program.press(f"{meta}>")
        program.see("0x46ffff  cluster 70")
        program.press(f"{meta}<{control_f}")
        program.see("0x1  cluster 0")
        program.press(f"{meta}x")
        program.see("Command")
        program.tap(control_g)
        program.press("q")
        assert program.end() == 0
