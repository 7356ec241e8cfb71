"""Run the log of a case folder again on the same evidence, and compare what comes out, byte for byte.

First the chain of the log and the evidence are checked; then every action that reads is done again, into a folder that
is removed afterwards. “same” means the same bytes; “same body” means that a report or manifest differs in its volatile
facts alone: other times, places or versions. The exit code is 0 if everything is the same and 1 if something differs.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import say
from qcow2inspect.errors import BadAddress, CannotRead, Qcow2InspectError
from qcow2inspect.layout.structure import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from qcow2inspect.case import Kept

__all__ = ["add_arguments", "run", "writes"]

_DIFFERENT = 1
_SCRATCH = ".replay-"
_EACH_TIME = (64, 65, 66)
"""Exit codes of what the command line or the image is the reason for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("dir", metavar="DIR", help="the case folder")
    text = "where the image lies now; without it where the log says"
    parser.add_argument("image", metavar="IMAGE", nargs="?", help=text)
    parser.add_argument("--check", action="store_true", help="check the chain of the log, and run nothing")


def writes(options: argparse.Namespace) -> list[str]:
    """Where files appear, for a while."""
    return [options.dir]


def run(options: argparse.Namespace) -> int:
    """Replay."""
    from qcow2inspect.case import head_of, read_log
    from qcow2inspect.case.log import LOG

    if not os.path.isfile(os.path.join(options.dir, LOG)):
        raise CannotRead(f"{options.dir}: there is no log in it", hint="a case folder is made with --case")
    actions = list(read_log(options.dir))
    say(f"the log is whole: {len(actions)} line{'s' * (len(actions) != 1)}, head {head_of(options.dir)}")
    if options.check:
        return 0
    scratch = tempfile.mkdtemp(prefix=_SCRATCH, dir=os.path.abspath(options.dir))
    try:
        results = [_replayed(options, action, scratch) for action in actions]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0 if all(results) else _DIFFERENT


def _replayed(options: argparse.Namespace, action: Mapping[str, Any], scratch: str) -> bool:
    """Do one action again; False if something differs."""
    title = f"line {action['line']}: {' '.join(map(visible, action['words']))}"
    if not action["words"] or action["words"][0] not in _again() or "--passphrase-fd" in action["words"]:
        say(f"{title}\n    not done again: it was done by hand, or needs what is not in the log")
        return True
    if _left_nothing(action):
        say(f"{title}\n    not done again: it left no file (exit code {action['exit']})")
        return True
    say(title)
    with _circumstances(action):
        changed = _changed(action, options.image)
        if changed:
            say(f"    DIFFERENT  {visible(changed)}")
            return False
        return _compare(action, *_done(action, options.image, scratch))


def _left_nothing(action: Mapping[str, Any]) -> bool:
    """True if the target was refused, was in the way, got full, or was a device: that depends on the day.

    Done again, it could write where it must not; what the image itself stops is stopped again.
    """
    return bool(action.get("target")) and not action["outputs"] and action["exit"] not in _EACH_TIME


def _again() -> frozenset[str]:
    from qcow2inspect.cli.main import CASED

    return CASED - {"open"}


@contextmanager
def _circumstances(action: Mapping[str, Any]) -> Iterator[None]:
    """Folder, command line and time of the action."""
    folder, words, before = os.getcwd(), sys.argv, os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = str(action["seconds"])
    sys.argv = [words[0], *action["command"]]
    try:
        if os.path.isdir(action["folder"]):
            os.chdir(action["folder"])
        yield
    finally:
        os.chdir(folder)
        sys.argv = words
        os.environ.pop("SOURCE_DATE_EPOCH")
        if before is not None:
            os.environ["SOURCE_DATE_EPOCH"] = before


def _changed(action: Mapping[str, Any], moved: str | None) -> str:
    """What is another than it was about the image; empty if it is the same, bit for bit."""
    from qcow2inspect.case.folder import fingerprint
    from qcow2inspect.source.file import FileSource, Moved

    image = action["image"]
    try:
        with FileSource(Moved(image["path"], moved)) as source:
            if source.size != image["size"]:
                return f"{image['path']} has changed: {source.size:,} bytes, {image['size']:,} in the log"
            found = fingerprint(source)
    except Qcow2InspectError as error:
        return str(error)
    return "" if found == image["sha256"] else f"{image['path']} has changed: SHA-256 {found}, not {image['sha256']}"


def _done(action: Mapping[str, Any], moved: str | None, scratch: str) -> tuple[int, dict[str, Kept]]:
    """Exit code, and what is made now by the path that it has in the log."""
    from qcow2inspect import output
    from qcow2inspect.case.folder import Kept, kept_file, manifest_body
    from qcow2inspect.cli.casework import exit_code_of, listening
    from qcow2inspect.cli.main import parse
    from qcow2inspect.source.file import Moved

    options = parse(_without_case(action["words"]))
    options.image, options.bodies, options.force = Moved(options.image, moved), {}, True
    places = _redirect(options, action, scratch)
    before = len(output.finished)
    with listening(quiet=True) as ear, redirect_stderr(io.StringIO()):
        try:
            code = options.run(options)
        except (Qcow2InspectError, BadAddress) as error:
            code = exit_code_of(error)
    found = {}
    for path in output.finished[before:]:
        kept = kept_file(path, options.bodies.get(path, ""))
        logged = path.replace(scratch, places, 1) if places is not None else path
        found[logged] = replace(kept, body=kept.body or manifest_body(path, logged))
    if ear.size:
        found["-"] = Kept("-", ear.size, ear.sha256, options.bodies.get("-", ""))
    return code, found


def _without_case(words: Sequence[str]) -> list[str]:
    """The command without ``--case DIR``."""
    kept = list(words)
    while "--case" in kept:
        at = kept.index("--case")
        del kept[at : at + 2]
    return [word for word in kept if not word.startswith("--case=")]


def _redirect(options: argparse.Namespace, action: Mapping[str, Any], scratch: str) -> str | None:
    """Have the output appear in ``scratch``; the folder it would have appeared in."""
    from qcow2inspect.cli.casework import PARTS

    given = action.get("target")
    if options.verb not in PARTS or given in (None, "-"):
        return None
    name, _ = PARTS[options.verb]
    setattr(options, name, os.path.join(scratch, os.path.basename(given)))
    return os.path.dirname(given) or "."


def _compare(action: Mapping[str, Any], code: int, found: Mapping[str, Kept]) -> bool:
    """Say of every output whether it is the same."""
    words = {logged["path"]: _word(logged, found.get(logged["path"])) for logged in action["outputs"]}
    words |= dict.fromkeys(sorted(set(found) - set(words)), "NEW")
    for path, word in words.items():
        say(f"    {word:<10} {'standard output' if path == '-' else visible(path)}")
    if code != action["exit"]:
        say(f"    DIFFERENT  exit code {code}, {action['exit']} in the log")
    return code == action["exit"] and all(word.startswith("same") for word in words.values())


def _word(logged: Mapping[str, Any], now: Kept | None) -> str:
    if now is None:
        return "MISSING"
    if now.sha256 == logged["sha256"]:
        return "same"
    return "same body" if now.body and now.body == logged.get("body") else "DIFFERENT"
