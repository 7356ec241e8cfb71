"""The action log: one JSON document a line, and in each line the SHA-256 of the line before.

A line that was changed, taken out, put in or moved breaks the chain at the line behind it. The last line has nothing
behind it: its hash, the head, stands in a file of its own, is printed when something is added, and is worth writing
down elsewhere or signing, for whoever can rewrite the whole folder can rewrite the whole chain.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from qcow2inspect.errors import CannotRead
from qcow2inspect.output import append_line, locked
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FIRST", "HEAD", "LOG", "Broken", "add_action", "head_of", "read_log"]

LOG = "actions.jsonl"
HEAD = "actions.head"
FIRST = "0" * 64
"""What the first line holds in place of the hash of a line before it."""

_LARGEST = 256 << 20


class Broken(CannotRead):
    """The log is not as it was written; the message names the first line that shows it."""

    exit_code = 1


def add_action(folder: str, action: dict[str, Any]) -> str:
    """Append one action; the hash of its line.

    Raises:
        Broken: the log is not as it was written.
        CannotExport: it cannot be written.
    """
    with locked(folder):
        number = sum(1 for _ in read_log(folder)) + 1
        line = json.dumps({"line": number, "previous": head_of(folder), **action}, ensure_ascii=True)
        head = _hash(line.encode())
        append_line(os.path.join(folder, LOG), line)
        append_line(os.path.join(folder, HEAD), head, instead=True)
    return head


def head_of(folder: str) -> str:
    """The hash of the last line, as it was written down."""
    text = _text(os.path.join(folder, HEAD))
    return text.strip().decode("ascii", "replace") if text else FIRST


def read_log(folder: str) -> Iterator[dict[str, Any]]:
    """Every action, in order; the chain is checked on the way.

    Raises:
        Broken: a line is not what it was.
    """
    path, expected = os.path.join(folder, LOG), FIRST
    for number, line in enumerate(_text(path).splitlines(), 1):
        action = _action(path, number, line)
        if action["previous"] != expected:
            what = f"{path}: the chain breaks at line {number}: it does not follow from line {number - 1}"
            raise Broken(what, why=f"line {number - 1} or this one was changed, taken out or put in")
        expected = _hash(line)
        yield action
    if expected != head_of(folder):
        what = f"{path}: the last line is not the one whose hash stands in {HEAD}"
        raise Broken(what, why="it was changed, or lines behind it were taken out")


def _action(path: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        action = json.loads(line)
        if action["line"] == number and isinstance(action["previous"], str):
            return dict(action)
        what = f"says that it is line {action['line']!r}"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"is no action: {error}"
    raise Broken(f"{path}: line {number} {what}", why="the log was changed")


def _text(path: str) -> bytes:
    """All of a file; nothing if it is not there yet."""
    if not os.path.exists(path):
        return b""
    with FileSource(path, is_ours=True) as source:
        if source.size > _LARGEST:
            raise Broken(f"{path}: {source.size:,} bytes are no log")
        return source.read_at(0, source.size)


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
