"""Print bytes of the image file with the names of the fields they belong to.

EXPR is an address: 0x30000, c3, G0x10000 (guest), hdr.size, L1[0].L2[5].data, rt[0], ref[4], snap[0]; a sum such as
L1[0] + 0x10 too. Every named field starts a new line; lines that repeat are shown once, then as a star.

With --guest, --snapshot, --vm-state or --layer the bytes are those that the guest sees, and EXPR is an offset on its
disk: 0x100000, 1MiB. Every range that lies in another place starts a new line, which says where. Bytes that cannot be
read are question marks, and the exit code is that of the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, add_json, assumed_of, dump_json, say
from qcow2inspect.cli.opening import add_data, add_states, chosen_view, first_layer, opened
from qcow2inspect.errors import BadAddress, Qcow2InspectError
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.layout.structure import visible
from qcow2inspect.units import GuestRange, HostOffset, parse_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from qcow2inspect.image.address import Place
    from qcow2inspect.image.view import Extent, View
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
    parser.add_argument("--guest", action="store_true", help="bytes of the guest disk instead of the image file")
    add_states(parser)
    add_data(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the bytes."""
    is_guest = options.guest or options.vm_state or options.residue is not None
    if is_guest or options.snapshot is not None or options.layer is not None:
        return _run_guest(options)
    return _run_host(options)


def _run_guest(options: argparse.Namespace) -> int:
    try:
        start = parse_size(options.address)
    except ValueError as error:
        raise BadAddress(f"{options.address}: {error}") from None
    with opened(options) as chain:
        view = chosen_view(options, chain)
        if start >= view.size:
            raise BadAddress(f"{start:#x} lies behind the end of the disk, which has {view.size:,} bytes")
        files = [(number, layer.name) for number, layer in enumerate(chain.layers)][first_layer(options) :]
        pieces = _guest_pieces(view, GuestRange.at(start, _length(options.length, _DEFAULT)), files)
        if options.json:
            found = list(pieces)
            dump_json([_guest_document(piece) for piece in found])
            return max((piece.exit_code for piece in found), default=0)
        code = 0
        for piece in pieces:
            code = max(code, piece.exit_code)
            for line in _squeezed(piece.name, piece.start, piece.data, hidden=bool(piece.exit_code)):
                say(line)
    return code


@dataclass(frozen=True)
class _GuestPiece:
    """Guest bytes that come from one place; ``exit_code`` is not 0 if they cannot be read."""

    start: int
    data: bytes
    name: str
    extent: Extent
    layer: int
    exit_code: int = 0


def _guest_pieces(view: View, part: GuestRange, files: Sequence[tuple[int, str]]) -> Iterator[_GuestPiece]:
    for extent in view.extents(part):
        for at in range(extent.start, extent.end, _PIECE):
            piece = extent.cut(at, min(at + _PIECE, extent.end))
            name = _place(piece, files)
            try:
                yield _GuestPiece(at, view.read_extent(piece), name, piece, files[piece.layer][0])
            except Qcow2InspectError as error:
                number, code, why = files[piece.layer][0], error.exit_code, f"cannot be read: {error.what}"
                yield _GuestPiece(at, bytes(piece.guest.size), visible(f"{name}, {why}"), piece, number, code)


def _place(extent: Extent, files: Sequence[tuple[int, str]]) -> str:
    """Where guest bytes come from, in words."""
    words = [extent.kind.word]
    if extent.host is not None:
        words.append(f"host {extent.host}" if extent.kind.word == "compressed" else f"host {extent.host.start}")
    number, file = files[extent.layer]
    if number or len(files) > 1:
        words.append(f"layer {number} {visible(file)}")
    if extent.absent:
        words.append("absent: its file is not there")
    if extent.past_end:
        words.append("past the end of the file")
    return ", ".join(words)


def _guest_document(piece: _GuestPiece) -> dict[str, object]:
    document: dict[str, object] = {"guest_offset": piece.start, "place": piece.name, "layer": piece.layer}
    if piece.extent.host is not None:
        document["host_offset"] = int(piece.extent.host.start)
    return document | {"bytes": None if piece.exit_code else piece.data.hex()}


def _run_host(options: argparse.Namespace) -> int:
    with Image.open(options.image, assumed_of(options)) as image:
        tree = Tree(image)
        place = resolve(tree, options.address)
        size = _length(options.length, place.node.where.end - place.offset)
        pieces = _pieces(tree, place, min(place.offset + size, int(image.end)))
        if options.json:
            dump_json([_document(node, start, data) for node, start, data in pieces])
        else:
            for node, start, data in pieces:
                name = f"{node.path} = {node.shown}" if node.shown else node.path or node.name
                for line in _squeezed(name, start, data):
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


def _squeezed(name: str, start: int, data: bytes, *, hidden: bool = False) -> Iterator[str]:
    """The lines of a piece, runs of equal ones as one star."""
    last, starred = b"", False
    for line_at in range(0, len(data), _LINE):
        part = data[line_at : line_at + _LINE]
        if part == last and line_at + _LINE < len(data):
            if not starred:
                yield "*"
            starred = True
            continue
        yield _line(start + line_at, part, name if line_at == 0 else "", hidden=hidden)
        last, starred = part, False


def _line(at: int, data: bytes, name: str, *, hidden: bool = False) -> str:
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    halves = f"{data[:8].hex(' '):<23}  {data[8:].hex(' '):<23}"
    if hidden:
        text, halves = "?" * len(data), halves.replace("00", "??")
    return f"{at:#012x}  {halves}  |{text:<16}|  {name}".rstrip()


def _document(node: Node, start: int, data: bytes) -> dict[str, object]:
    return {"path": node.path, "offset": start, "bytes": data.hex(), "value": node.shown, "meaning": node.doc}
