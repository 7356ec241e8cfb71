"""Commands that are typed: names out of the one table, and what some of them take. No widgets here."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress
from qcow2inspect.layout.structure import visible
from qcow2inspect.tui.commands import of_scopes
from qcow2inspect.tui.places import completions, parse_place, state_named, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qcow2inspect.tui.app import InspectApp
    from qcow2inspect.tui.commands import Command
    from qcow2inspect.tui.location import Location
    from qcow2inspect.tui.screens.walk import WalkScreen

__all__ = ["TAKES", "Deed", "Takes", "Typed", "find", "name_of", "names_of", "nearest", "split"]

_MOST = 200
_EVERYWHERE = {command.id for command in of_scopes("app")}


@dataclass(frozen=True, slots=True)
class Deed:
    """What a typed command will do.

    Attributes:
        words: what that is, for people.
        act: does it; called where widgets may be touched.
    """

    words: str
    act: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Takes:
    """What a command takes.

    Attributes:
        what: in a word or two.
        plan: finds out what a text means; called in a thread. Raises ValueError or an error of ours if nothing.
        complete: what a text may become.
    """

    what: str
    plan: Callable[[InspectApp, str], Deed]
    complete: Callable[[InspectApp, str], Sequence[str]] = lambda _app, _text: ()


@dataclass(frozen=True, slots=True)
class Typed:
    """A line, understood as far as it goes.

    Attributes:
        name: its first word.
        command: the command of that name; None if there is none.
        rest: what follows.
    """

    name: str
    command: Command | None
    rest: str


# -- names ------------------------------------------------------------------------------------------------------


def name_of(command: Command) -> str:
    """What is typed for a command: its id, without the screen that it is for unless that means another one."""
    head, dot, rest = command.id.partition(".")
    return rest if dot and command.scope.startswith(head) and rest not in _EVERYWHERE else command.id


def names_of(commands: Sequence[Command]) -> dict[str, Command]:
    """Every name by which commands can be called: the short ones, the whole ids, the titles."""
    names: dict[str, Command] = {}
    for words in (name_of, lambda command: command.id, lambda command: command.title.lower().replace(" ", "-")):
        for command in commands:
            names.setdefault(words(command), command)
    return names


def split(text: str, commands: Sequence[Command]) -> Typed:
    """A line as name and what follows; a beginning is enough if only one command has it."""
    name, _, rest = text.strip().partition(" ")
    names = names_of(commands)
    begun = {names[known].id: names[known] for known in map(name_of, commands) if name and known.startswith(name)}
    only = next(iter(begun.values())) if len(begun) == 1 else None
    return Typed(name, names.get(name, only), rest.strip())


def find(text: str, commands: Sequence[Command]) -> list[Command]:
    """Commands whose name begins with a text, then those that have it elsewhere in name or title."""
    text = text.lower()
    begin = [command for command in commands if name_of(command).startswith(text)]
    inside = [command for command in commands if text in f"{name_of(command)} {command.title.lower()}"]
    return list(dict.fromkeys((*begin, *inside)))


def nearest(name: str, commands: Sequence[Command]) -> str:
    """Why a name is none, and which one it may have been."""
    begun = list(dict.fromkeys(known for known in map(name_of, commands) if known.startswith(name)))
    if begun:
        return f"“{visible(name)}” may be {', '.join(begun)}"
    close = difflib.get_close_matches(name, names_of(commands), 1, 0.5)
    said = f"did you mean {close[0]}?" if close else "Tab lists all commands of this screen"
    return f"there is no command “{visible(name)}” here: {said}"


# -- what they take ---------------------------------------------------------------------------------------------


def _walking(app: InspectApp) -> WalkScreen:
    from qcow2inspect.tui.screens.walk import WalkScreen

    base = app.screen_stack[0]
    if not isinstance(base, WalkScreen):
        raise BadAddress("this screen has no bytes under its cursor")
    return base


def _goto(app: InspectApp, text: str) -> Deed:
    there = parse_place(app.session, text, _where(app))
    return Deed(f"to {text_of(app.session, there)}", lambda: app.go_to(there))


def _where(app: InspectApp) -> Location:
    from dataclasses import replace

    return replace(app.here, mode="guest") if app.here.mode == "compare" else app.here


def _search(app: InspectApp, text: str) -> Deed:
    screen = _walking(app)
    pattern = screen.parse_pattern(text)
    return Deed(f"search {screen.bytes_name} for {pattern.shown[:60]}", lambda: screen.search_for(pattern))


def _theme(app: InspectApp, text: str) -> Deed:
    from qcow2inspect.tui.palette import PALETTES

    if text not in PALETTES:
        raise BadAddress(f"there is no theme “{visible(text)}”; there are {', '.join(PALETTES)}")
    return Deed(f"the {text} theme", lambda: app.use_palette(PALETTES[text]))


def _themes(_app: InspectApp, _text: str) -> Sequence[str]:
    from qcow2inspect.tui.palette import PALETTES

    return tuple(PALETTES)


def _states(app: InspectApp, text: str) -> Deed:
    state = state_named(app.session, text)
    return Deed(f"look at the {state.title}", lambda: app.look_at(state))


def _state_names(app: InspectApp, _text: str) -> Sequence[str]:
    return [word[1:] for word in completions(app.session, "@")]


def _export(app: InspectApp, text: str) -> Deed:
    return Deed(f"export to {text}: the form asks before anything is written", lambda: app.action_export(text))


def _write(app: InspectApp, text: str) -> Deed:
    screen = _walking(app)
    return Deed(f"write bytes to {text}: the checks come first", lambda: screen.action_write(text))


def _mark(app: InspectApp, text: str) -> Deed:
    if len(text) != 1 or not text.isalpha():
        raise BadAddress("a mark is one letter")
    return Deed(f"mark this place {text}", lambda: app.mark(text, app.here))


def _to_mark(app: InspectApp, text: str) -> Deed:
    return _goto(app, f"'{text.removeprefix(chr(39))}")


def _letters(app: InspectApp, _text: str) -> Sequence[str]:
    return sorted(app.session.marks)


def _note(app: InspectApp, text: str) -> Deed:
    return Deed("write a note at this place", lambda: app.note_here(text))


def _paths(_app: InspectApp, text: str) -> Sequence[str]:
    """Files and folders that begin so."""
    folder, start = os.path.split(os.path.expanduser(text))
    try:
        with os.scandir(folder or ".") as entries:
            found = [entry for _, entry in zip(range(_MOST), entries, strict=False) if entry.name.startswith(start)]
    except OSError:
        return ()
    return sorted(
        os.path.join(folder, entry.name) + "/" * entry.is_dir() for entry in found if entry.name.isprintable()
    )


TAKES: Mapping[str, Takes] = {
    "goto": Takes("an address", _goto, lambda app, text: completions(app.session, text)),
    "search": Takes("text or bytes", _search),
    "theme": Takes("a name", _theme, _themes),
    "states": Takes("a state", _states, _state_names),
    "export": Takes("a file", _export, _paths),
    "write": Takes("a file", _write, _paths),
    "mark": Takes("a letter", _mark),
    "to_mark": Takes("a letter", _to_mark, _letters),
    "note": Takes("words", _note),
}
"""Name of a command -> what it takes; without that it asks for it, as its key does."""
