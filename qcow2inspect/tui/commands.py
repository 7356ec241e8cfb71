"""The one table of commands: keys, footer, palette and help are all made from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.binding import Binding

if TYPE_CHECKING:
    from collections.abc import Container

    from textual.binding import BindingType

__all__ = ["COMMANDS", "Command", "bindings", "key_of", "key_shown", "of_scopes"]


@dataclass(frozen=True, slots=True)
class Command:
    """One thing the user can do.

    Attributes:
        id: stable name, also of the key binding.
        keys: Textual key names; the first is shown.
        title: two or three words for footer and palette.
        help: one sentence.
        group: heading in the help.
        scope: where the keys work: ``app``, a screen (``overview``, ``explore``, ``guest``, ...), a pane (``hex``,
            ``list``, ``tree``, ``findings``), any ``dialog``, or the one in which a search is ``typing``.
        action: Textual action of the widget that owns the scope.
        weight: place in the footer, heaviest first; 0 keeps it out.
        shown: how the keys are written; made from ``keys`` if empty.
        in_palette: False for movements that make no sense by name.
        at_once: True if the key must be acted on before the next one is looked at.
        long_title: what the palette calls it, where the title alone would be that of a screen.
    """

    id: str
    keys: tuple[str, ...]
    title: str
    help: str
    group: str
    scope: str
    action: str
    weight: int = 0
    shown: str = ""
    in_palette: bool = True
    at_once: bool = False
    long_title: str = ""

    @property
    def in_full(self) -> str:
        """What the palette calls it."""
        return self.long_title or self.title.capitalize()


def _move(
    name: str, keys: tuple[str, ...], text: str, scope: str, action: str, shown: str = "", *, at_once: bool = False
) -> Command:
    command = Command(f"{scope}.{name}", keys, text, text, "Move", scope, action, shown=shown, in_palette=False)
    return replace(command, at_once=at_once)


_TROUBLE = "To the next cluster that is leaked, claimed twice or named by a finding"


_FORMS = "hex, hexdump, C, Python, base64, text, JSON, or the command line that shows it"


_WRITES = "Write the selection, or the structure under the cursor, to a new file"


def _walking(scope: str) -> tuple[Command, ...]:
    """What screens with a cursor on bytes have in common."""

    def command(name: str, key: str, title: str, text: str, action: str, weight: int = 0) -> Command:
        waits = action.startswith(("prefix", "mark", "to_mark", "copy"))
        return Command(f"{scope}.{name}", (key,), title, text, "Find", scope, action, weight, at_once=waits)

    text = "Wait for a key: f finding, e or t other type, u unexplained, s state, d difference, c cluster, m mark"
    return (
        command("search", "slash", "search", "Search for text or bytes, from the cursor on", "search", 84),
        command("search_on", "n", "next match", "Search on for the same", "search_on(1)"),
        command("search_back", "N", "previous match", "Search backwards for the same", "search_on(-1)"),
        command("stop", "escape", "stop", "Stop a search that runs", "stop"),
        command("next", "right_square_bracket", "next", f"Next. {text}", "prefix(1)", 66),
        command("previous", "left_square_bracket", "previous", f"Previous. {text}", "prefix(-1)", 28),
        command("mark", "m", "mark", "Give this place a letter", "mark", 26),
        command("to_mark", "apostrophe", "to mark", "Go to a place that has a letter", "to_mark", 24),
        command("select", "v", "select", "Select bytes from here on, or stop selecting", "select", 22),
        command("note", "plus", "note", "Write a note at this place, or change it", "note", 20),
        command("write", "w", "write bytes", _WRITES, "write", 21),
        command("copy", "y", "copy", f"Copy the selection or the field as {_FORMS}", "copy", 23),
    )


_ON_SIDES = (
    *("search", "search_on", "search_back", "stop"),
    *("mark", "to_mark", "select", "note", "write", "copy"),
)
"""What of it works on either side of Compare, which has its own next and previous."""

COMMANDS: tuple[Command, ...] = (
    Command(
        "evidence",
        ("enter",),
        "look at the bytes",
        "Go to the bytes that prove the finding, or to the header if there is none",
        "Travel",
        "findings",
        "choose",
        96,
    ),
    Command(
        "follow",
        ("enter",),
        "follow",
        "Go where the pointer under the cursor leads",
        "Travel",
        "explore",
        "follow",
        95,
    ),
    Command(
        "back",
        ("less_than_sign", "backspace", "alt+left"),
        "back",
        "Go back to the place before the last jump",
        "Travel",
        "app",
        "go_back",
        90,
        "<",
    ),
    Command(
        "forward",
        ("greater_than_sign", "alt+right"),
        "forward",
        "Go forward again",
        "Travel",
        "app",
        "go_forward",
        55,
        ">",
    ),
    Command(
        "goto",
        ("g",),
        "goto",
        "Go to an offset or a structure: 0x8a0000, c138, G0x10000, L1[2].L2[0].data, ref[168]",
        "Travel",
        "app",
        "goto",
        88,
    ),
    Command(
        "overview",
        ("1",),
        "Overview",
        "The verdict, the facts and the findings",
        "Screens",
        "app",
        "mode('overview')",
        70,
    ),
    Command(
        "explore",
        ("2",),
        "Explore",
        "The structure, the bytes, and what they mean",
        "Screens",
        "app",
        "mode('explore')",
        71,
    ),
    Command(
        "map",
        ("3",),
        "Map",
        "The clusters of the image file, in the colour of what they belong to",
        "Screens",
        "app",
        "mode('map')",
        67,
    ),
    Command(
        "map.explore",
        ("enter",),
        "explore",
        "Explore the cell under the cursor, at its worst cluster; in guest order, its guest bytes",
        "Travel",
        "map",
        "follow",
        95,
        long_title="Explore the cell",
    ),
    Command(
        "map.order",
        ("s",),
        "guest order",
        "See the whole guest disk in the order of the guest, or the image file again",
        "Act",
        "map",
        "order",
        87,
    ),
    Command(
        "map.colours",
        ("t",),
        "colours",
        "Colour the map by type, by refcount, by the snapshots that use a cluster, or by entropy, which is sampled",
        "Act",
        "map",
        "colours",
        86,
    ),
    Command("map.stop", ("escape",), "stop", "Stop reading samples for the entropy", "Act", "map", "stop"),
    Command("map.pane", ("tab",), "pane", "Go to the other pane", "Screens", "map", "next_pane", 30),
    Command("zoom_in", ("plus", "equals_sign"), "finer", "Fewer clusters in a cell", "Move", "grid", "zoom(1)", 84),
    Command("zoom_out", ("minus",), "coarser", "More clusters in a cell", "Move", "grid", "zoom(-1)", 83),
    Command("bad", ("n",), "next trouble", _TROUBLE, "Find", "grid", "next_bad(1)", 85),
    Command("bad.back", ("N",), "trouble before", f"Back: {_TROUBLE}", "Find", "grid", "next_bad(-1)"),
    Command(
        "findings",
        ("4",),
        "Findings",
        "All findings, the heaviest first, each with the bytes that prove it",
        "Screens",
        "app",
        "mode('findings')",
        69,
    ),
    Command("filter", ("f",), "filter", "Show only findings with some words", "Find", "finding-list", "filter", 84),
    Command(
        "finding.note",
        ("plus",),
        "note",
        "Write a note at the finding, or change it",
        "Find",
        "finding-list",
        "note",
        31,
    ),
    Command("filter.off", ("escape",), "all", "Show all findings again", "Find", "finding-list", "all"),
    Command("finding.pane", ("tab",), "pane", "Go to the other pane", "Screens", "finding-list", "next_pane", 30),
    Command(
        "guest",
        ("5",),
        "Guest",
        "The disk as the guest sees it, and where each byte comes from",
        "Screens",
        "app",
        "mode('guest')",
        68,
    ),
    Command(
        "guest.entry",
        ("enter",),
        "entry",
        "Go to the L1 or L2 entry that maps the byte under the cursor",
        "Travel",
        "guest",
        "follow",
        95,
    ),
    Command(
        "guest.swap",
        ("s",),
        "host view",
        "Go to the host bytes of the guest byte under the cursor",
        "Travel",
        "guest",
        "swap",
        86,
    ),
    Command("guest.pane", ("tab",), "pane", "Go to the other pane", "Screens", "guest", "next_pane", 30),
    Command(
        "compare",
        ("6",),
        "Compare",
        "Two images, or two states of one: where they differ",
        "Screens",
        "app",
        "mode('compare')",
        65,
    ),
    Command(
        "compare.choose",
        ("c",),
        "compare",
        "Choose what to compare: states of this image, or another file",
        "Act",
        "app",
        "compare",
        52,
        long_title="Compare with",
    ),
    Command("log", ("7",), "Log", "What runs, what was done, what was said", "Screens", "app", "mode('log')", 19),
    Command(
        "swap",
        ("s",),
        "guest view",
        "Go to the guest bytes that the host bytes under the cursor hold or map",
        "Travel",
        "explore",
        "swap",
        86,
    ),
    Command(
        "states",
        ("S",),
        "snapshot or layer",
        "Choose which bytes to look at: active state, snapshot, VM state, one file of the chain",
        "Travel",
        "app",
        "states",
        62,
    ),
    Command(
        "open_files",
        ("o",),
        "open files",
        "See which files the image names, and open them where that is allowed",
        "Act",
        "app",
        "open_files",
        45,
    ),
    Command("passphrase", ("p",), "passphrase", "Unlock encrypted guest data", "Act", "app", "passphrase", 44),
    Command(
        "assume",
        ("A",),
        "assume",
        "Open the image as if other values stood in damaged fields and entries",
        "Act",
        "app",
        "assume",
    ),
    Command("pane", ("tab",), "pane", "Go to the next pane", "Screens", "explore", "next_pane", 60),
    Command(
        "pane.previous",
        ("shift+tab",),
        "previous pane",
        "Go to the previous pane",
        "Screens",
        "explore",
        "previous_pane",
    ),
    Command(
        "tree",
        ("t",),
        "structure",
        "Go to the structure tree, and back to the bytes",
        "Screens",
        "explore",
        "toggle_tree",
        58,
    ),
    Command(
        "export",
        ("e",),
        "export",
        "Write the raw disk to a file: checks first, then progress",
        "Act",
        "app",
        "export",
        80,
    ),
    Command(
        "notes", ("M",), "marks and notes", "All marks and notes, and where they stand", "Find", "app", "notes", 18
    ),
    Command("report", ("r",), "report", "Write the report to a text file", "Act", "app", "report", 50),
    Command(
        "line",
        ("colon",),
        "commands",
        "Type a command by its name, with what it takes: goto L1[0], search text, theme light",
        "Learn",
        "app",
        "command_line",
        40,
        ":",
    ),
    Command(
        "palette",
        ("ctrl+p",),
        "palette",
        "Find a command by its name",
        "Learn",
        "app",
        "command_palette",
        in_palette=False,
    ),
    Command("help", ("question_mark",), "help", "All keys and what they do", "Learn", "app", "help", 99, "?"),
    Command(
        "explain",
        ("f1",),
        "explain",
        "Explain the field or the finding under the cursor, with the numbers of this image",
        "Learn",
        "app",
        "explain",
    ),
    Command("tour", ("f2",), "tour", "Go to the next place of a tour of this image", "Learn", "app", "tour"),
    Command("theme", ("T",), "theme", "Change the colours: dark, light, high contrast", "Learn", "app", "theme"),
    Command("quit", ("q",), "quit", "Leave; a summary stays in the terminal", "Learn", "app", "leave", 98),
    Command("log.show", ("enter",), "show", "How far the export under the cursor is", "Travel", "log", "follow", 95),
    Command("log.stop", ("x", "delete"), "cancel", "Stop the task under the cursor", "Act", "log", "stop_task", 94),
    Command("log.pause", ("space",), "pause", "Let the task wait, or go on", "Act", "log", "pause_task", 93),
    Command("log.pane", ("tab",), "pane", "Go to the other pane", "Screens", "log", "next_pane", 30),
    Command(
        "compare.guest",
        ("enter",),
        "guest view",
        "Go to the byte under the cursor in the guest view; from a list, to the bytes of its row",
        "Travel",
        "compare",
        "follow",
        95,
    ),
    Command(
        "compare.level",
        ("t",),
        "bytes/mapping/fields",
        "Compare the bytes, then where they lie, then the fields of header or snapshot",
        "Find",
        "compare",
        "level",
        85,
    ),
    Command(
        "compare.only",
        ("equals_sign",),
        "only differences",
        "List the differences only, and back",
        "Find",
        "compare",
        "only",
        86,
    ),
    Command("compare.swap", ("x",), "swap", "Change sides: A is B, B is A", "Act", "compare", "swap", 82),
    Command("compare.pane", ("tab",), "pane", "Go to the other pane", "Screens", "compare", "next_pane", 30),
    Command(
        "compare.next",
        ("right_square_bracket",),
        "difference",
        "Next. Wait for a key: d difference, c cluster, m mark",
        "Find",
        "compare",
        "prefix(1)",
        94,
        "]d [d",
        at_once=True,
    ),
    Command(
        "compare.previous",
        ("left_square_bracket",),
        "previous",
        "Previous. Wait for a key: d difference, c cluster, m mark",
        "Find",
        "compare",
        "prefix(-1)",
        at_once=True,
    ),
    *(command for command in _walking("compare") if command.id.partition(".")[2] in _ON_SIDES),
    *_walking("explore"),
    *_walking("guest"),
    # movement
    _move("up", ("up", "k"), "one row up", "list", "up"),
    _move("down", ("down", "j"), "one row down", "list", "down"),
    _move("page_up", ("pageup", "ctrl+u"), "one page up", "list", "page_up"),
    _move("page_down", ("pagedown", "ctrl+d"), "one page down", "list", "page_down"),
    _move("home", ("home", "ctrl+home"), "first row", "list", "home"),
    _move("end", ("end", "ctrl+end", "G"), "last row", "list", "end"),
    _move("left", ("left", "h"), "one byte back", "hex", "left"),
    _move("right", ("right", "l"), "one byte on", "hex", "right"),
    _move("row_start", ("home", "0"), "start of the row", "hex", "row_start"),
    _move("row_end", ("end", "dollar_sign"), "end of the row", "hex", "row_end", "End $"),
    _move("strip_on", ("right_curly_bracket",), "next line of the map strip, at its worst cluster", "hex", "strip(1)"),
    _move("strip_back", ("left_curly_bracket",), "line before of the map strip, at its worst", "hex", "strip(-1)"),
    _move("first", ("ctrl+home",), "first byte of the file", "hex", "home"),
    _move("last", ("ctrl+end", "G"), "last byte of the file", "hex", "end"),
    _move("cell_left", ("left", "h"), "one cell back", "grid", "left"),
    _move("cell_right", ("right", "l"), "one cell on", "grid", "right"),
    _move("open", ("right", "l"), "open, or go to the first part", "tree", "open"),
    _move("close", ("left", "h"), "close, or go to what it is part of", "tree", "close"),
    _move("toggle", ("space",), "open or close", "tree", "switch"),
    _move("unfold", ("right", "l", "space"), "show all evidence", "findings", "unfold"),
    _move("fold", ("left", "h"), "hide the evidence", "findings", "fold"),
    _move("close", ("escape",), "close it, and do nothing", "dialog", "close"),
    _move("next", ("down",), "the next place where it is found", "typing", "next(1)", at_once=True),
    _move("previous", ("up",), "the place before where it is found", "typing", "next(-1)", at_once=True),
)


def of_scopes(*scopes: str) -> list[Command]:
    """The commands whose keys work in any of these scopes, in the order of the table."""
    return [command for command in COMMANDS if command.scope in scopes]


def bindings(scope: str, *, only: Container[str] | None = None) -> list[BindingType]:
    """The key bindings of one scope.

    Args:
        scope: see :class:`Command`.
        only: ids of the wanted commands; None for all.
    """
    return [
        Binding(
            ",".join(command.keys),
            command.action,
            command.title,
            id=command.id,
            show=False,
            tooltip=command.help,
            priority=command.at_once,
        )
        for command in of_scopes(scope)
        if only is None or command.id in only
    ]


_NAMES = {
    "enter": "↵",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "question_mark": "?",
    "colon": ":",
    "dollar_sign": "$",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "backspace": "Backspace",
    "space": "Space",
    "home": "Home",
    "end": "End",
    "f1": "F1",
    "f2": "F2",
    "escape": "Esc",
    "slash": "/",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "apostrophe": "'",
    "circumflex_accent": "^",
    "grave_accent": "`",
}


def key_shown(key: str) -> str:
    """A Textual key name as people write it: ``less_than_sign`` is ``<``."""
    if key in _NAMES:
        return _NAMES[key]
    if key[0] == "f" and key[1:].isdecimal():
        return key.upper()
    prefix, plus, last = key.rpartition("+")
    return f"{prefix}{plus}{_NAMES.get(last, last)}" if plus else key


_SPOKEN = {"enter": "Enter", "up": "Up", "down": "Down", "left": "Left", "right": "Right"}


def key_of(command: str) -> str:
    """The first key of a command in the keymap that is on, as a sentence names it.

    Raises:
        KeyError: there is no such command.
    """
    keys = {each.id: each.keys for each in COMMANDS}[command]
    return _SPOKEN.get(keys[0]) or key_shown(keys[0])
