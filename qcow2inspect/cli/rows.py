"""Rows of a table of the image, from the nodes of its entries."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import dump_json, parse_range, print_rows, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from qcow2inspect.image.image import Image
    from qcow2inspect.layout.node import Node

__all__ = ["show_entries"]


def show_entries(
    options: argparse.Namespace, image: Image, table: Node, count: int, entry: Callable[[int], Node]
) -> None:
    """Print the entries of a table that the options ask for.

    Args:
        options: ``range``, ``limit`` and ``json`` of the command line.
        image: the image.
        table: the table; its children are the entries in use and the runs of unused ones.
        count: number of entries.
        entry: makes the node of one entry.
    """
    nodes: Iterable[Node]
    if options.range is not None:
        wanted = parse_range(options.range, count)
        nodes, total = map(entry, wanted), len(wanted)
    else:
        children = table.children()
        nodes, total = children, len(children)
    shown = total if options.limit <= 0 else min(total, options.limit)
    _print(options, image, itertools.islice(nodes, shown))
    if shown < total and not options.json:
        say(f"... {total - shown:,} more rows; give a RANGE or --limit")


def _print(options: argparse.Namespace, image: Image, nodes: Iterable[Node]) -> None:
    if options.json:
        dump_json([_document(node, image) for node in nodes])
        return
    print_rows(("entry", "offset", "raw", "state", "value", "flags", "guest range"), (_row(n, image) for n in nodes))


def _raw(node: Node, image: Image) -> int | None:
    """The entry as stored; None for a run of unused ones."""
    if "‥" in node.name:
        return None
    raw = int.from_bytes(image.read(node.where.start, node.where.size), "big")
    if node.bits is None:
        return raw
    low, high = node.bits
    return raw >> low & ((1 << (high - low + 1)) - 1)


def _flags(node: Node) -> str:
    flags = [bit.name for bit in _bits(node) if bit.bits and bit.bits[0] == bit.bits[1] and bit.shown != "0"]
    odd = [bit.name for bit in _bits(node) if bit.name.startswith("reserved") and bit.shown != "0"]
    return " ".join(flags + odd)


def _bits(node: Node) -> Sequence[Node]:
    return [child for child in node.children() if child.bits is not None]


def _row(node: Node, image: Image) -> tuple[str, ...]:
    raw = _raw(node, image)
    return (
        node.path if raw is not None else f"{node.path.rpartition('[')[0]}{node.name}",
        str(node.where.start),
        f"{raw:0{2 * node.where.size}x}" if raw is not None else "-",
        node.state or "-",
        node.shown,
        _flags(node) or "-",
        str(node.guest) if node.guest else "-",
    )


def _document(node: Node, image: Image) -> dict[str, Any]:
    raw = _raw(node, image)
    document: dict[str, Any] = {
        "path": node.path,
        "offset": int(node.where.start),
        "size": node.where.size,
        "state": node.state,
        "value": node.shown,
    }
    if raw is not None:
        document["raw"] = f"{raw:#x}"
        document["fields"] = {bit.name: bit.shown for bit in _bits(node)}
    if node.guest:
        document["guest"] = {"start": int(node.guest.start), "end": int(node.guest.end)}
    if node.target is not None:
        document["target"] = int(node.target)
    return document
