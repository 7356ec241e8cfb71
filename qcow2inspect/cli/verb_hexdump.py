"""Print bytes of the image file with the names of the fields they belong to.

EXPR is an address: 0x30000, c3, G0x10000 (guest), hdr.size, L1[0].L2[5].data, rt[0], ref[4], snap[0]; a sum such as
L1[0] + 0x10 too. Every named field starts a new line; lines that repeat are shown once, then as a star.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, add_json, dump_json, say
from qcow2inspect.errors import BadAddress
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.units import HostOffset, parse_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from qcow2inspect.image.address import Place
    from qcow2inspect.layout.node import Node

__all__ = ["add_arguments", "run"]

_LINE = 16
_DEFAULT = 256
_PIECE = 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    parser.add_argument("address", metavar="EXPR", help="where to start")
    text = f"bytes to print, e.g. 64 or 4K; without it the whole of a named range, {_DEFAULT} at most"
    parser.add_argument("-n", "--length", metavar="N", help=text)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the bytes."""
    with Image.open(options.image) as image:
        tree = Tree(image)
        place = resolve(tree, options.address)
        size = _length(options.length, place.node.where.end - place.offset)
        pieces = _pieces(tree, place, min(place.offset + size, int(image.end)))
        if options.json:
            dump_json([_document(node, start, data) for node, start, data in pieces])
        else:
            for line in _squeezed(pieces):
                say(line)
            if place.offset + size > image.end:
                say(f"{image.end:#012x}  end of the file")
    return 0


def _length(text: str | None, rest: int) -> int:
    if text is None:
        return max(1, min(rest, _DEFAULT))
    try:
        return parse_size(text)
    except ValueError as error:
        raise BadAddress(f"-n: {error}") from None


def _pieces(tree: Tree, place: Place, stop: int) -> Iterator[tuple[Node, int, bytes]]:
    """Named pieces of ``[place, stop)``: the node, where the piece starts, its bytes.

    Bytes that no structure owns have the name under which the address found them, if it found them as data.
    """
    at = int(place.offset)
    while at < stop:
        node = tree.locate(HostOffset(at))
        if node.kind in ("data", "free") and HostOffset(at) in place.node.where and place.node.is_leaf:
            node = place.node
        end = min(max(int(node.where.end), at + 1), stop, at + _PIECE)
        yield node, at, tree.image.source.read_at(at, end - at)
        at = end


def _squeezed(pieces: Iterator[tuple[Node, int, bytes]]) -> Iterator[str]:
    """The lines, runs of equal ones within a piece as one star."""
    for node, start, data in pieces:
        name = f"{node.path} = {node.shown}" if node.shown else node.path or node.name
        last, starred = b"", False
        for line_at in range(0, len(data), _LINE):
            part = data[line_at : line_at + _LINE]
            if part == last and line_at + _LINE < len(data):
                if not starred:
                    yield "*"
                starred = True
                continue
            yield _line(start + line_at, part, name if line_at == 0 else "")
            last, starred = part, False


def _line(at: int, data: bytes, name: str) -> str:
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    halves = f"{data[:8].hex(' '):<23}  {data[8:].hex(' '):<23}"
    return f"{at:#012x}  {halves}  |{text:<16}|  {name}".rstrip()


def _document(node: Node, start: int, data: bytes) -> dict[str, object]:
    return {"path": node.path, "offset": start, "bytes": data.hex(), "value": node.shown, "meaning": node.doc}
