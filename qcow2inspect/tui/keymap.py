"""Other keys for the commands: presets, and a small file in the user's configuration folder.

.. code-block:: toml

    preset = "vi"           # what the file starts from; "default" if it is left out

    [keys]                  # id of a command -> its key or keys, instead of those it has
    goto = "ctrl+g"
    back = ["<", "ctrl+o"]

The table of commands is changed before any screen is loaded: keys, key bar, help and palette all follow.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress
from qcow2inspect.layout.structure import visible
from qcow2inspect.tui import commands
from qcow2inspect.tui.commands import key_shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qcow2inspect.tui.commands import Command

__all__ = ["PRESETS", "apply_keymap", "collisions", "default_path", "read_keymap", "remapped"]

_FIRST, _LAST = ("less_than_sign", "alt+less_than_sign"), ("greater_than_sign", "alt+greater_than_sign")
_EMACS_MOVES = {
    "list.up": ("up", "ctrl+p"),
    "list.down": ("down", "ctrl+n"),
    "list.page_up": ("pageup", "alt+v"),
    "list.page_down": ("pagedown", "ctrl+v"),
    "list.home": ("home", *_FIRST, "ctrl+home"),
    "list.end": ("end", *_LAST, "ctrl+end"),
    "hex.left": ("left", "ctrl+b"),
    "hex.right": ("right", "ctrl+f"),
    "hex.row_start": ("home", "ctrl+a"),
    "hex.row_end": ("end", "ctrl+e"),
    "hex.first": (*_FIRST, "ctrl+home"),
    "hex.last": (*_LAST, "ctrl+end"),
    "grid.cell_left": ("left", "ctrl+b"),
    "grid.cell_right": ("right", "ctrl+f"),
    "tree.open": ("right", "ctrl+f"),
    "tree.close": ("left", "ctrl+b"),
    "findings.unfold": ("right", "ctrl+f", "space"),
    "findings.fold": ("left", "ctrl+b"),
}
"""The cursor of emacs."""


def _each(command: str, *keys: str) -> dict[str, tuple[str, ...]]:
    """The keys of what all screens with a cursor on bytes have."""
    return {f"{screen}.{command}": keys for screen in ("explore", "guest", "compare")}


PRESETS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "default": {},
    "vi": {
        "back": ("ctrl+o", "less_than_sign", "backspace", "alt+left"),
        "follow": ("enter", "ctrl+right_square_bracket"),
        "list.page_up": ("pageup", "ctrl+u", "ctrl+b"),
        "list.page_down": ("pagedown", "ctrl+d", "ctrl+f"),
        "hex.row_start": ("home", "0", "circumflex_accent"),
        **_each("to_mark", "apostrophe", "grave_accent"),
        "quit": ("q", "Z"),
    },
    "emacs": {
        **_EMACS_MOVES,
        # A terminal sends the same for alt+< and <: what emacs has under the one has to be under both.
        "back": ("alt+b", "backspace", "alt+left"),
        "forward": ("alt+f", "alt+right"),
        "goto": ("g", "alt+g"),
        "line": ("alt+x", "colon"),
        "palette": ("alt+p",),
        **_each("search", "ctrl+s", "slash"),
        **_each("search_back", "N", "ctrl+r"),
        **_each("select", "v", "ctrl+@"),
        **_each("copy", "y", "alt+w"),
        **_each("stop", "escape", "ctrl+g"),
        "map.stop": ("escape", "ctrl+g"),
        "filter.off": ("escape", "ctrl+g"),
        "filter": ("f", "ctrl+s"),
        "dialog.close": ("escape", "ctrl+g"),
        "typing.next": ("down", "ctrl+s"),
        "typing.previous": ("up", "ctrl+r"),
    },
}
"""Name -> id of a command -> its keys, where they are not those of the table."""

_PANES = {
    "overview": ("findings",),
    "explore": ("hex", "tree"),
    "guest": ("hex",),
    "compare": ("hex",),
    "map": ("grid",),
    "finding-list": ("findings",),
    "log": ("list",),
    "dialog": ("typing", "list"),
}
"""Scope of a screen -> scopes of its panes, whose keys work at the same time."""
_MODIFIERS = {"ctrl", "alt", "shift"}
_LARGEST = 1 << 16


def default_path() -> str:
    """Where the keymap file of the user is looked for."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(folder, "qcow2inspect", "keymap.toml")


def apply_keymap(name: str | None) -> None:
    """Change the keys of all commands; to be called before the screens are imported.

    Args:
        name: a preset, or the path of a file; the file of the user, if there is one, if None.

    Raises:
        BadAddress: the keymap cannot be read, or makes no sense; the message says where.
    """
    if name is None and not os.path.exists(default_path()):
        return
    path = name or default_path()
    found = PRESETS[path] if path in PRESETS else read_keymap(path)
    commands.COMMANDS = remapped(commands.COMMANDS, found)


def read_keymap(path: str) -> dict[str, tuple[str, ...]]:
    """The keys that a file gives to commands, with those of its preset.

    Raises:
        BadAddress: it cannot be read, or names a command, preset or key that there is not, or gives a key to two.
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            document = tomllib.loads(file.read(_LARGEST).decode())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise BadAddress(f"keymap {visible(path)} cannot be read: {why}") from None
    try:
        found = _understood(document)
        remapped(commands.COMMANDS, found)
    except BadAddress as error:
        raise BadAddress(f"keymap {visible(path)}: {error}") from None
    return found


def _understood(document: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    preset, keys = document.get("preset", "default"), document.get("keys", {})
    strange = document.keys() - {"preset", "keys"}
    if strange:
        raise BadAddress(f"“{visible(min(strange))}” means nothing here; there are preset and [keys]")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise BadAddress(f"there is no preset “{visible(str(preset))}”; there are {', '.join(PRESETS)}")
    if not isinstance(keys, dict):
        raise BadAddress("[keys] is a table of command ids and keys")
    return {**PRESETS[preset], **{command: _keys(command, value) for command, value in keys.items()}}


def _keys(command: str, value: object) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(key, str) and key for key in found):
        raise BadAddress(f"{visible(command)}: give a key or a list of keys")
    return tuple(_key(command, key) for key in found)


def _key(command: str, text: str) -> str:
    """Textual's name of a key."""
    from textual.keys import KEY_NAME_REPLACEMENTS, Keys

    *modifiers, last = text.split("+") if text != "+" and not text.endswith("++") else [*text[:-2].split("+"), "+"]
    modifiers = [word for word in modifiers if word]
    if len(last) == 1 and not last.isalnum():
        name = unicodedata.name(last, "").lower().replace("-", "_").replace(" ", "_")
        last = KEY_NAME_REPLACEMENTS.get(name, name)
        known = bool(name)
    else:
        names = {*Keys, *(key.rpartition("+")[2] for one in commands.COMMANDS for key in one.keys)}
        known = len(last) == 1 or last in {str(getattr(key, "value", key)) for key in names}
    if not known or not {*modifiers} <= _MODIFIERS:
        raise BadAddress(f"{visible(command)}: “{visible(text)}” is no key; write x, <, f5, pageup or ctrl+g")
    return "+".join([*modifiers, last])


def remapped(table: Sequence[Command], keymap: Mapping[str, tuple[str, ...]]) -> tuple[Command, ...]:
    """The table with the keys of a keymap.

    Raises:
        BadAddress: it names a command that there is not, or gives one key to two commands of one screen.
    """
    import difflib

    ids = [command.id for command in table]
    for name in keymap:
        if name not in ids:
            close = difflib.get_close_matches(name, ids, 1)
            said = f"; did you mean {close[0]}?" if close else "; the key reference of the README lists all"
            raise BadAddress(f"“{visible(name)}” is no command{said}")
    found = tuple(
        replace(command, keys=keymap[command.id], shown="") if command.id in keymap else command for command in table
    )
    for trouble in collisions(found):
        raise BadAddress(trouble)
    return found


def collisions(table: Sequence[Command]) -> Iterator[str]:
    """Keys that would mean two things on a screen, each in words."""
    told = set()
    for screen, panes in _PANES.items():
        for pane in panes:
            seen: dict[str, Command] = {}
            for command in table:
                for key in command.keys if command.scope in ("app", screen, pane) else ():
                    other = seen.setdefault(key, command)
                    if other is not command and (key, other.id, command.id) not in told:
                        told.add((key, other.id, command.id))
                        yield f"the key {key_shown(key)} is given to both {other.id} and {command.id}"
