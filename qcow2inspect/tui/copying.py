"""Copy as: some bytes in the forms that other programs, reports and colleagues want.

Pure functions from bytes to text; nothing here knows of widgets.
"""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.location import Location

__all__ = ["FORMS", "MOST", "Copied", "command_line", "copied_as"]

FORMS = {
    "h": "hexadecimal",
    "x": "hexdump, as hexdump -C prints it",
    "c": "C array",
    "p": "Python bytes",
    "b": "base64",
    "t": "text, what can be printed",
    "o": "offset",
    "j": "JSON of the field",
    "l": "the command line that shows the same",
}
"""Key after ``y`` -> what is copied."""

MOST = 1 << 20
"""Bytes that are copied at most."""
_ROW = 16


@dataclass(frozen=True, slots=True)
class Copied:
    """What is to be copied.

    Attributes:
        data: the bytes.
        there: where they begin.
        image: path of the image.
        snapshot: id of the snapshot that is looked at; empty for none.
        node: the field that they are; None if they are none or several.
        is_raw: True if the image is a raw disk, which has no structure.
    """

    data: bytes
    there: Location
    image: str
    snapshot: str = ""
    node: Node | None = None
    is_raw: bool = False

    @property
    def at(self) -> int:
        """Offset of the first byte."""
        return int(self.there.guest or 0) if self.there.mode == "guest" else int(self.there.offset)


def copied_as(form: str, what: Copied) -> str:
    """The text for one of :data:`FORMS`."""
    data = what.data
    texts: dict[str, Callable[[], str]] = {
        "h": data.hex,
        "x": lambda: _hexdump(data, what.at),
        "c": lambda: _c_array(data, what.at),
        "p": lambda: repr(data),
        "b": lambda: base64.b64encode(data).decode("ascii"),
        "t": lambda: "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data),
        "o": lambda: f"{what.at:#x}",
        "j": lambda: json.dumps(_document(what), indent=2, ensure_ascii=False),
        "l": lambda: command_line(what),
    }
    return texts[form]()


def _hexdump(data: bytes, at: int) -> str:
    """Rows of 16 bytes; rows that repeat are a star, as ``hexdump -C`` has it."""
    lines: list[str] = []
    last = b""
    for start in range(0, len(data), _ROW):
        row = data[start : start + _ROW]
        if row == last and len(row) == _ROW:
            if lines[-1] != "*":
                lines.append("*")
            continue
        last = row
        cells = " ".join(f"{byte:02x}" for byte in row[:8]).ljust(23)
        cells += "  " + " ".join(f"{byte:02x}" for byte in row[8:]).ljust(23)
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{at + start:08x}  {cells}  |{text}|")
    return "\n".join([*lines, f"{at + len(data):08x}"])


def _c_array(data: bytes, at: int) -> str:
    rows = (data[start : start + 12] for start in range(0, len(data), 12))
    body = ",\n".join("    " + ", ".join(f"0x{byte:02x}" for byte in row) for row in rows)
    return f"/* {len(data)} bytes at {at:#x} */\nstatic const unsigned char bytes[{len(data)}] = {{\n{body}\n}};"


def _document(what: Copied) -> dict[str, object]:
    node = what.node
    found: dict[str, object] = {"image": what.image, "offset": what.at, "size": len(what.data)}
    if what.there.mode == "guest":
        found["state"] = what.there.state.title
    elif node is not None:
        found |= {"address": node.path, "name": node.name, "value": node.shown, "meaning": node.doc, "spec": node.spec}
        if node.target is not None:
            found["points_to"] = int(node.target)
        if node.guest is not None:
            found["guest"] = [int(node.guest.start), int(node.guest.end)]
    return {**found, "bytes": what.data.hex()}


def command_line(what: Copied) -> str:
    """The command that prints the same bytes: one of this program, or of any system for a raw disk."""
    state, at = what.there.state, f"{what.at:#x}"
    if what.is_raw:
        return shlex.join(["hexdump", "-C", "-s", at, "-n", f"{len(what.data)}", what.image])
    words = ["qcow2inspect", "hexdump", what.image]
    if what.there.mode == "guest":
        kind = {
            "snapshot": ["--snapshot", what.snapshot],
            "vm-state": ["--vm-state", "--snapshot", what.snapshot],
            "layer": ["--layer", f"{state.index}"],
            "residue": ["--residue", state.residue],
        }.get(state.kind, ["--guest"])
        words += [at, *kind]
    else:
        exact = what.node is not None and int(what.node.where.start) == what.at and what.node.path
        words += [what.node.path if what.node is not None and exact else at]
    return shlex.join([*words, "-n", f"{len(what.data)}"])
