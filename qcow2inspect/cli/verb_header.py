"""Print the header and its extensions, field by field.

Works on every image whose first bytes are there: on version 1, and on headers that no program accepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_image, add_json, assumed_of, dump_json, print_rows, warn
from qcow2inspect.errors import NotQcow2, Qcow2InspectError
from qcow2inspect.format.header import Header, HeaderV2
from qcow2inspect.format.v1 import HeaderV1
from qcow2inspect.image.image import Image, require_magic
from qcow2inspect.image.tree import Tree
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.layout.node import Node
    from qcow2inspect.source.protocol import Source

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the header."""
    assumed = assumed_of(options)
    with FileSource(options.image) as source:
        nodes = list(_leaves(_nodes(source, assumed)))
        if options.json:
            dump_json([_document(node, source) for node in nodes])
        else:
            rows = ((str(n.where.start), str(n.where.size), n.path, _hex(n, source), n.shown) for n in nodes)
            print_rows(("offset", "size", "field", "bytes", "value"), rows)
    return 0


def _nodes(source: Source, assumed: Assumptions) -> Sequence[Node]:
    version = require_magic(source, assumed)
    if version == 1:
        data = assumed.over(0, _whole(source, HeaderV1.SIZE))
        return HeaderV1.parse(data).nodes(0, "hdr", "header", "Header, version 1")
    try:
        tree = Tree(Image(source, assumed))
    except NotQcow2:
        raise
    except Qcow2InspectError as error:
        warn(error.what)
        return Header.read(assumed.over(0, _whole(source, HeaderV2.SIZE))).stored_nodes()
    left_out = tree.image.extensions.left_out
    if left_out:
        warn(f"{left_out:,} more header extensions are not shown")
    return (*tree.front.header.children(), *tree.front.extensions.children(), *tree.front.backing)


def _whole(source: Source, size: int) -> bytes:
    data = source.read_at(0, Header.SIZE)
    if len(data) < size:
        raise NotQcow2(
            f"{source.name} is cut off inside the header: it has {len(data)} bytes, this header {size}",
            hint="check that the file was copied whole",
        )
    return data


def _leaves(nodes: Sequence[Node]) -> Iterator[Node]:
    """The nodes that are not made of smaller whole-byte ones."""
    for node in nodes:
        parts = [child for child in node.children() if child.bits is None]
        if parts:
            yield from _leaves(parts)
        else:
            yield node


def _hex(node: Node, source: Source) -> str:
    data = source.read_at(node.where.start, min(node.where.size, 9))
    return data[:8].hex() + (".." if len(data) > 8 else "")


def _document(node: Node, source: Source) -> dict[str, Any]:
    return {
        "path": node.path,
        "offset": int(node.where.start),
        "size": node.where.size,
        "bytes": source.read_at(node.where.start, node.where.size).hex(),
        "value": node.shown,
        "meaning": node.doc,
    }
