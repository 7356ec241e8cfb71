"""Assumptions in words: ``cluster_bits=16``, ``l1_table_offset=0x30000``, ``L1[3]=0x8000000000050000``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress
from qcow2inspect.format.header import CompressionType, CryptMethod, Header
from qcow2inspect.format.v1 import HeaderV1
from qcow2inspect.image.assumed import NOTHING_ASSUMED, Assumption, Assumptions
from qcow2inspect.units import HostRange, parse_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.layout.structure import Row
    from qcow2inspect.source.protocol import Source

__all__ = ["assume", "header_assumption", "read_assumptions"]

_WORDS = {
    kind.name.lower(): int(kind) for kind in (*CryptMethod, *CompressionType)
}  # the names of different fields do not meet
_ENTRY = 8


def read_assumptions(source: Source, texts: Sequence[str], given: Assumptions = NOTHING_ASSUMED) -> Assumptions:
    """What a person assumes of the image in ``source``; header fields count before anything else is looked up.

    Args:
        source: the bytes of the image.
        texts: ``NAME=VALUE`` each; a header field, or the address of an entry of a table.
        given: what is assumed already.

    Raises:
        BadAddress: a text is no assumption, names nothing in this image, or its value does not fit.
        NotQcow2, Unsupported, Damaged: an entry is named, and the image cannot be opened with what is assumed.
    """
    pairs = [_parted(text) for text in texts]
    version = next((value for name, value in pairs if name == "version"), None)
    found = given
    if version is not None:
        found = assume(found, header_assumption(source, Header.row("version"), version))
    rows = _rows(source, found)
    for name, value in pairs:
        if name in rows and name != "version":
            found = assume(found, header_assumption(source, rows[name], value))
    for name, value in pairs:
        if name not in rows:
            found = assume(found, _entry(source, found, name, value))
    return found


def assume(before: Assumptions, one: Assumption) -> Assumptions:
    """The assumptions with one more, which replaces one about the same bytes."""
    return Assumptions((*(old for old in before.all if old.where != one.where), one))


def header_assumption(source: Source, row: Row, value: int, why: str = "") -> Assumption:
    """That a header field holds ``value``.

    Raises:
        BadAddress: the value does not fit.
    """
    _require_fit(row.name, value, row.size)
    stored = source.read_at(row.at, row.size).ljust(row.size, b"\0")
    return Assumption(row.name, HostRange.at(row.at, row.size), value, int.from_bytes(stored, "big"), why)


def _rows(source: Source, found: Assumptions) -> dict[str, Row]:
    head = found.over(0, source.read_at(0, Header.SIZE).ljust(Header.SIZE, b"\0"))
    kind = HeaderV1 if int.from_bytes(head[4:8], "big") == 1 else Header
    return {row.name: row for row in kind.ROWS if not row.is_bytes}


def _parted(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    name = name.strip().removeprefix("hdr.")
    word = value.strip().lower()
    try:
        return name, _WORDS[word] if word in _WORDS else parse_size(word)
    except ValueError:
        what = f"“{value}” is no number" if equals else "a value is missing"
        raise BadAddress(f"--assume {text}: {what}; write cluster_bits=16 or L1[0]=0x40000") from None


def _require_fit(name: str, value: int, size: int) -> None:
    if value >> 8 * size:
        raise BadAddress(f"--assume {name}={value:#x}: the field has {size} bytes")


def _entry(source: Source, found: Assumptions, name: str, value: int) -> Assumption:
    """That an entry of a table holds ``value``."""
    from qcow2inspect.image.address import resolve
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.tree import Tree

    try:
        node = resolve(Tree(Image(source, found)), name).node
    except BadAddress as error:
        fields = ", ".join(_rows(source, found))
        raise BadAddress(f"--assume {name}: {error}; header fields are {fields}") from None
    is_table = node.path.endswith(("L1", "L2", "table"))
    if node.bits is not None or not node.path or is_table:
        raise BadAddress(f"--assume {name}: this is no entry and no field; write L1[0] or L1[0].L2[5]")
    size = min(node.where.size, _ENTRY)
    _require_fit(name, value, size)
    where = HostRange.at(node.where.start, size)
    stored = source.read_at(where.start, size).ljust(size, b"\0")
    return Assumption(node.path, where, value, int.from_bytes(stored, "big"))
