"""From arguments to a verb, and from errors to one line and an exit code.

Nothing heavy is imported here: the verb that runs imports what it needs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from qcow2inspect._version import __version__
from qcow2inspect.unbroken import is_unbroken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["CASED", "EXIT_CODES", "USAGE", "VERBS", "build_parser", "parse", "run"]

VERBS = {
    "info": "facts and flags of an image",
    "map": "which guest range lies where",
    "header": "the header and its extensions, field by field",
    "l1": "the L1 table, entry by entry",
    "l2": "an L2 table, entry by entry",
    "refcount": "the refcounts of host clusters",
    "check": "what is wrong with an image, and what qemu-img check says",
    "hexdump": "bytes with the names of the fields they belong to",
    "bitmaps": "persistent dirty bitmaps: which guest ranges were written",
    "export": "write the raw disk",
    "report": "write the report",
    "hash": "hashes of the image file and of what the guest sees",
    "verify": "compare an image with hashes that were written down",
    "compare": "what differs between two images, or two states of one",
    "explain": "what a finding, a field or a flag means",
    "create": "make an image from a raw disk",
    "replay": "run the log of a case folder again, and compare",
    "completion": "print the completions of a shell",
    "demo": "make example images and run the main job on one",
    "open": "open the terminal interface (the same as a bare IMAGE)",
}
"""Verb -> what it does."""

CASED = frozenset(VERBS) - {"explain", "create", "completion", "demo", "replay"}
"""Verbs that look at evidence: what they do can be kept in a case folder."""

EXIT_CODES = """\
exit codes:
  0    done
  1    verify, compare: something differs; check has the codes of qemu-img check
  2    compare: nothing is known to differ, but a part could not be compared
  64   the command line is wrong
  65   the file is no qcow2 image, or its damage makes what was asked impossible
  66   an input file is missing: the image, its backing file or its data file
  74   reading or writing failed
  77   refused: no permission, a key is needed, or the target must not be written
  130  interrupted; what export leaves unfinished, “export --resume” continues
"""
"""Every exit code, for people."""

USAGE = 64
_DAMAGED = 65
_IO = 74
_INTERRUPTED = 130
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command as Ctrl+C does, unless they are ignored, as under nohup."""
_MOMENT = 0.005


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line and exit code 64."""

    def error(self, message: str) -> NoReturn:
        from qcow2inspect.layout.structure import visible

        self.exit(USAGE, visible(f"{self.prog}: {message}; see {self.prog} --help") + "\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = _base_parser()
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog="qcow2inspect")
    for name in VERBS:
        _add_verb(verbs, name)
    return parser


def _base_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="qcow2inspect",
        usage="qcow2inspect IMAGE | qcow2inspect VERB ... | qcow2inspect VERB --help",
        description="Look into QEMU's qcow2 disk images. A bare IMAGE opens the terminal interface, "
        "or prints its info where the output is no terminal. Images are only ever read.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"qcow2inspect {__version__}")
    return parser


def _add_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    module = importlib.import_module(f"qcow2inspect.cli.verb_{name}")
    parser = verbs.add_parser(
        name,
        help=VERBS[name],
        description=module.__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    if name in CASED:
        text = "keep a log of what is done to the evidence, notes, marks and outputs in this folder"
        parser.add_argument("--case", metavar="DIR", help=text)
    parser.set_defaults(
        run=module.run, writes=getattr(module, "writes", None), asks_later=getattr(module, "ASKS_LATER", False)
    )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse with the one verb that is asked for: the others need not be loaded."""
    words = list(arguments)
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        words.insert(0, "open")
    if not words or words[0] not in VERBS:
        return build_parser().parse_args(words)
    parser = _base_parser()
    _add_verb(parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog="qcow2inspect"), words[0])
    return parser.parse_args(words)


def run(arguments: Sequence[str], *, shielded: bool = False) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name.
        shielded: the process is for this command alone: keep it from writing to evidence, for ever.

    Returns:
        The exit code, one of :data:`EXIT_CODES`.
    """
    from qcow2inspect.errors import BadAddress, Qcow2InspectError
    from qcow2inspect.progress import Cancelled

    options = parse(arguments)
    heeded = [number for number in _ENDS if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, _interrupt) for number in heeded}
    try:
        code = _run(options, shielded=shielded)
        sys.stdout.flush()
    except (Qcow2InspectError, BadAddress, MemoryError, OSError, KeyboardInterrupt, Cancelled) as error:
        return _failed(error)
    else:
        return code
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run(options: argparse.Namespace, *, shielded: bool) -> int:
    case = getattr(options, "case", None)
    if case is not None:
        from qcow2inspect.cli import casework

        casework.prepare(options)
    if shielded:
        _shield(options)
    code: int = options.run(options) if case is None else casework.run_kept(options)
    _tell_changes()
    return code


def _tell_changes() -> None:
    """A file that others wrote to meanwhile may have been read in two states."""
    from qcow2inspect.source.file import CHANGED

    for name in sorted(CHANGED):
        _complain(f"warning: {name} changed while it was read (size or time of modification); this may mix two states")
    CHANGED.clear()


def _shield(options: argparse.Namespace) -> None:
    """Let the process write where the command says, and nowhere else."""
    from qcow2inspect.source.landlock import confine_process
    from qcow2inspect.source.shield import raise_shield

    raise_shield()
    places = options.writes(options) if options.writes else []
    places += [options.case] if getattr(options, "case", None) else []
    confine_process(places, asks_later=options.asks_later)


def _failed(error: BaseException) -> int:
    """Say in one line what went wrong; the exit code for it."""
    from qcow2inspect.errors import Qcow2InspectError

    if isinstance(error, OSError):
        _drop_output()
    if isinstance(error, BrokenPipeError):
        return 0
    if isinstance(error, Qcow2InspectError):
        words, code = str(error), error.exit_code
    elif isinstance(error, ValueError):
        words, code = str(error), USAGE
    elif isinstance(error, MemoryError):
        words = "there is not enough memory for what the tables of this image claim; ask for less of it, or for a range"
        code = _DAMAGED
    elif isinstance(error, OSError):
        words, code = f"{error.strerror or error}: {error.filename or 'the system'}", _IO
    else:
        words, code = "interrupted; nothing unfinished is left behind", _INTERRUPTED
    _complain(words)
    return code


def _drop_output() -> None:
    """What is still to be printed and cannot be is lost: Python would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the command. While a module is imported a signal would be lost or leave a lock behind: it comes again."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    if frame is None and not is_unbroken():
        raise KeyboardInterrupt
    again = threading.Timer(_MOMENT, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _complain(message: str) -> None:
    from qcow2inspect.layout.structure import visible

    with suppress(OSError):  # there may be no terminal any more
        print(visible(f"qcow2inspect: {message}"), file=sys.stderr, flush=True)
