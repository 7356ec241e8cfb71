"""The manual page and the shell completions, made from the parser that also reads the command line.

Both are made when the package is built (``hatch_build.py``) and installed below ``share``; at run time the stored
text is read, so that no tool for it is needed.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from qcow2inspect._version import __version__
from qcow2inspect.cli.main import EXIT_CODES, build_parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["EXAMPLES", "MAN_PAGE", "SHELLS", "completion", "man_page", "verb_parsers"]

MAN_PAGE = "share/man/man1/qcow2inspect.1"
"""Where the manual page is installed, below the prefix."""

SHELLS = {
    "bash": "share/bash-completion/completions/qcow2inspect",
    "zsh": "share/zsh/site-functions/_qcow2inspect",
    "fish": "share/fish/vendor_completions.d/qcow2inspect.fish",
}
"""Shell -> where its completions are installed, below the prefix."""

_PATHS = ("IMAGE", "FILE", "OUT", "RAW", "MANIFEST", "PATH")
_FOLDERS = ("DIR", "FOLDER")
_BARE_IMAGE = {
    "bash": "complete -o default -o bashdefault -F _shtab_qcow2inspect qcow2inspect",
    "fish": "complete -c qcow2inspect -n '_shtab_qcow2inspect_using; and test $_shtab_qcow2inspect_npos -eq 0' -F",
}
"""The first word may be an image too, which no verb's parser tells."""
EXAMPLES = (
    ("qcow2inspect disk.qcow2", "Look into an image in the terminal."),
    ("qcow2inspect check --deep disk.qcow2", "Say all that is wrong, compressed data included."),
    (
        "qcow2inspect export --hash sha256 --verify disk.qcow2 disk.raw",
        "Write the raw disk and its hash, and prove it.",
    ),
    ("qcow2inspect report --format html -o disk.html disk.qcow2", "Write a report that can be handed over."),
)
"""Commands of the manual page, and what each does."""


def verb_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb."""
    for action in parser._actions:  # argparse has no public way to its sub-commands
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def man_page() -> str:
    """The manual page in troff: one section for the program, one part for each verb."""
    parser = build_parser()
    lines = [f'.TH QCOW2INSPECT 1 "" "qcow2inspect {__version__}" "User Commands"', ".ad l", ".SH NAME"]
    lines.append(_text("qcow2inspect - look into QEMU's qcow2 disk images"))
    lines += [".SH SYNOPSIS", *_usage("qcow2inspect IMAGE"), ".br", *_usage("qcow2inspect VERB [ARGUMENT ...]")]
    lines += [".SH DESCRIPTION", _text(_joined(parser.description or "")), ".SH VERBS"]
    for name, verb in verb_parsers(parser).items():
        lines += _verb(name, verb)
    lines += [".SH EXIT STATUS", *_verbatim(EXIT_CODES.partition("\n")[2]), ".SH EXAMPLES"]
    for command, meaning in EXAMPLES:
        lines += [".TP", f".B {_text(command)}", _text(meaning)]
    lines += [".SH SEE ALSO", ".BR qemu\\-img (1)"]
    return "\n".join(lines) + "\n"


def _verb(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    title, _, rest = (parser.description or "").strip().partition("\n")
    yield f".SS {_text(name)}"
    yield from _usage(_joined(parser.format_usage().removeprefix("usage: ")))
    yield from (".PP", _text(title))
    for paragraph in filter(None, rest.strip().split("\n\n")):
        # Lines in columns are shown as they stand; prose is filled by troff.
        yield from _verbatim(paragraph) if "  " in paragraph else (".PP", _text(_joined(paragraph)))
    for action in parser._actions:  # the same: argparse tells its arguments in no public way
        if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            yield from (".TP", f".B {_text(_heading(action))}", _text(_help(action)))


def _joined(text: str) -> str:
    return " ".join(text.split())


def _heading(action: argparse.Action) -> str:
    if not action.option_strings:
        return _value(action)
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return ", ".join(action.option_strings) + value


def _value(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return "{" + ",".join(str(choice) for choice in action.choices) + "}"
    return str(action.metavar or action.dest.upper())


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _usage(text: str) -> Iterator[str]:
    yield f".B {_text(text)}"


def _verbatim(text: str) -> Iterator[str]:
    """Lines as they stand."""
    yield from (".PP", ".nf")
    yield from (_text(line) for line in text.strip("\n").splitlines())
    yield ".fi"


def _text(text: str) -> str:
    """Text as troff: nothing in it is a command, and a hyphen can be copied into a shell."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def completion(shell: str) -> str:
    """The completions of a shell.

    Args:
        shell: one of :data:`SHELLS`.

    Raises:
        ImportError: shtab is not installed; it is needed where the package is built, not where it runs.
    """
    import shtab

    parser = build_parser()
    for verb in verb_parsers(parser).values():
        _mark_paths(verb._actions, shtab)
    return "\n".join((str(shtab.complete(parser, shell)), _BARE_IMAGE.get(shell, ""), ""))


def _mark_paths(actions: Iterable[argparse.Action], shtab: object) -> None:
    """Say which arguments are files: their names for people tell."""
    for action in actions:
        words = str(action.metavar or "").replace("=", " ").split()
        for names, kind in ((_PATHS, "FILE"), (_FOLDERS, "DIRECTORY")):
            if any(word in names for word in words):
                action.complete = getattr(shtab, kind)  # type: ignore[attr-defined]  # shtab's way to tell
