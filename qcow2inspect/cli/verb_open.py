"""Open an image in the terminal interface; without a terminal, print its info.

--plain asks for words and answers in lines instead; “help” lists the words.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, assumed_of
from qcow2inspect.cli.opening import add_following, add_key, gate_of, given_passphrase
from qcow2inspect.image.assumed import NOTHING_ASSUMED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from qcow2inspect.case import Case
    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.image.gate import OpenGate

__all__ = ["ASKS_LATER", "add_arguments", "is_terminal", "run", "show"]

ASKS_LATER = True
"""Where files shall appear is asked for in a dialog."""

_FRAMES = "120"
"""Paints a second at most: a key waits for the next one, 4 ms on average instead of 8."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    add_following(parser)
    add_key(parser)
    text = "a prompt and lines of text instead of screens: for screen readers, simple terminals and pipes"
    parser.add_argument("--plain", action="store_true", help=text)
    text = "colours of the interface: dark (the default), light or high-contrast; T changes them"
    parser.add_argument("--theme", choices=["dark", "light", "high-contrast"], default="dark", help=text)
    text = "keys: default, vi, emacs, or a file; without it keymap.toml of the configuration folder, if any"
    parser.add_argument("--keymap", metavar="NAME|FILE", help=text)


def run(options: argparse.Namespace) -> int:
    """Open the interface."""
    gate, passphrase, assumed = gate_of(options), given_passphrase(options), assumed_of(options)
    if options.keymap is not None or is_terminal():
        from qcow2inspect.tui.keymap import apply_keymap

        apply_keymap(options.keymap)
    if options.plain or _is_dumb():
        return _converse(options, gate, passphrase, assumed)
    if not is_terminal():
        from qcow2inspect.cli.verb_info import print_info

        return print_info(options.image, assumed)
    case: Case | None = getattr(options, "case_folder", None)
    code = show(options.image, gate, passphrase, assumed, case, theme=options.theme)
    if case is not None:
        _log(case, options.case_words, code)
    return code


def _converse(options: argparse.Namespace, gate: OpenGate, passphrase: bytes | None, assumed: Assumptions) -> int:
    """The linear mode."""
    from qcow2inspect.cli.verb_explain import print_topic
    from qcow2inspect.tui.linear import run as run_linear

    case: Case | None = getattr(options, "case_folder", None)
    code = run_linear(options.image, gate, passphrase, assumed, case, explain=print_topic)
    if case is not None:
        _log(case, options.case_words, code)
    return code


def _log(case: Case, words: list[str], code: int) -> None:
    """That somebody looked; what they wrote stands in the lines before."""
    from qcow2inspect.case.folder import moment_facts
    from qcow2inspect.dossier.wishes import report_time

    case.record(words, image=None, outputs=(), facts=moment_facts(code, words, int(report_time())))


def show(
    path: str,
    gate: OpenGate | None = None,
    passphrase: bytes | None = None,
    assumed: Assumptions = NOTHING_ASSUMED,
    case: Case | None = None,
    *,
    theme: str = "dark",
) -> int:
    """Open the interface on the image at ``path``.

    Args:
        path: the image.
        gate: which of the files that it names may be opened; none if None.
        passphrase: what unlocks it, as read from a file.
        assumed: what is taken to stand in its metadata.
        case: where what is done is kept; nowhere if None.
        theme: name of the colours.
    """
    # Start-up makes many objects and no garbage: collecting would cost a tenth of the time to the first screen.
    # The interface turns the collector on again when it has painted.
    gc.disable()
    os.environ.setdefault("TEXTUAL_FPS", _FRAMES)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # without its terminal there is nobody to say goodbye to
    with _without("ssl"):
        from qcow2inspect.tui.run import run as run_app
    from qcow2inspect.tui.palette import PALETTES
    from qcow2inspect.tui.theme import Look

    return run_app(path, gate, passphrase, assumed, case, look=Look.of_terminal(PALETTES[theme]))


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Import others as if ``module`` were not installed, unless it is loaded already.

    asyncio loads ssl where it can, which takes longer than all of our own tables; no connection is ever made here.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # what the import system calls "not to be found"
    try:
        yield
    finally:
        del sys.modules[module]


def _is_dumb() -> bool:
    """True if a person sits at a terminal that can show lines only, or wants nothing else."""
    wanted = bool(os.environ.get("QCOW2INSPECT_PLAIN")) or os.environ.get("TERM", "dumb") == "dumb"
    return wanted and sys.stdin.isatty() and sys.stdout.isatty()


def is_terminal() -> bool:
    """True if a person sits at a terminal that can show screens."""
    return sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb"
