"""The key reference of README.md is the command table.

``QCOW2INSPECT_UPDATE_GOLDENS=1`` writes it anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from qcow2inspect.tui.commands import COMMANDS, Command, key_shown

README = Path(__file__).parents[2] / "README.md"
SECTION = re.compile(r"(?<=<summary>All keys</summary>\n\n).*?(?=\n</details>)", re.DOTALL)


def keys_of(command: Command) -> str:
    """All keys of a command, as people write them."""
    shown = dict.fromkeys(key_shown(key) for key in command.keys)
    return " ".join(f"`` {key} ``" if "`" in key else f"`{key}`" for key in shown).replace("|", "\\|")


def reference() -> str:
    """The table: one line for all commands that have the same keys and do the same, in different places."""
    places: dict[tuple[str, str], list[Command]] = {}
    for command in COMMANDS:
        if command.keys:
            places.setdefault((keys_of(command), command.help.replace("|", "\\|")), []).append(command)
    lines = ["| key | where | what | in a keymap |", "|---|---|---|---|"]
    for (keys, text), found in places.items():
        scopes, ids = [command.scope for command in found], ", ".join(f"`{command.id}`" for command in found)
        where = "everywhere" if "app" in scopes else ", ".join(dict.fromkeys(scopes))
        lines.append(f"| {keys} | {where} | {text} | {ids} |")
    return "\n".join(lines) + "\n"


def test_the_key_reference_is_the_command_table() -> None:
    text = README.read_text()
    if os.environ.get("QCOW2INSPECT_UPDATE_GOLDENS"):
        text = SECTION.sub(lambda _: reference(), text)
        README.write_text(text)
    found = SECTION.search(text)
    assert found, "README.md has no key reference"
    assert found[0] == reference()


def test_every_command_with_a_key_is_in_it() -> None:
    text = reference()
    assert all(command.help.replace("|", "\\|") in text for command in COMMANDS if command.keys)
