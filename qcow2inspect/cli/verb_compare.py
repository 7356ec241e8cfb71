"""Compare two images, two states of one image, or an image with a raw disk.

What the tables tell to be the same is never read. As in QEMU, what lies past the end of the smaller disk counts as
zeros, unless --strict is given. The exit code is 0 if the guest sees the same, 1 if something differs, and 2 if nothing
is known to differ but a part could not be compared.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_json, dump_json, print_rows, progress_bar, say, warn
from qcow2inspect.cli.opening import add_data, guest_disk
from qcow2inspect.errors import BadAddress
from qcow2inspect.layout.structure import visible
from qcow2inspect.units import counted, exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.contrast import FieldPair
    from qcow2inspect.image.parts import Part, Sums
    from qcow2inspect.image.view import Extent, View
    from qcow2inspect.progress import Progress

__all__ = ["add_arguments", "run"]

_SAME, _DIFFERENT, _TROUBLE = 0, 1, 2
_ROWS = 1000


@dataclass(frozen=True)
class _Side:
    """One of the two disks."""

    letter: str
    chain: Chain
    snapshot: str | None
    view: View

    @property
    def title(self) -> str:
        """What it is, for people."""
        state = f"snapshot {self.snapshot}" if self.snapshot is not None else "active state"
        state = state if self.chain.layers[0].image is not None else "raw disk"
        return visible(f"{self.chain.layers[0].name}, {state}, {exact_size(self.view.size)}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("image", metavar="A", help="an image, or a raw disk")
    text = "another one; without it the active state of A, for its snapshots to be compared with"
    parser.add_argument("other", metavar="B", nargs="?", help=text)
    parser.add_argument("--snapshot", metavar="ID|NAME", help="this snapshot of A instead of its active state")
    parser.add_argument("--b-snapshot", metavar="ID|NAME", help="this snapshot of B instead of its active state")
    text = "what the guest reads (the default), where its clusters lie, or header, extensions and snapshots"
    parser.add_argument("--what", choices=["bytes", "mapping", "fields"], default="bytes", help=text)
    parser.add_argument("--strict", action="store_true", help="disks of different sizes differ, whatever they hold")
    text = f"differences to list at most ({_ROWS}); 0 for none: only the sums"
    parser.add_argument("--limit", type=int, default=_ROWS, metavar="N", help=text)
    add_json(parser)
    add_data(parser)
    parser.add_argument("--b-passphrase-file", metavar="FILE", help="the passphrase of B, if it is not that of A")


def run(options: argparse.Namespace) -> int:
    """Compare."""
    if options.other is None and options.snapshot is None and options.b_snapshot is None:
        raise BadAddress("compare needs a second image, or a snapshot to compare with the active state")
    with ExitStack() as stack:
        sides = [_open(stack, options, letter) for letter in "AB"]
        if options.what == "fields":
            return _fields(options, *sides)
        return _disks(options, *sides)


def _open(stack: ExitStack, options: argparse.Namespace, letter: str) -> _Side:
    from qcow2inspect.cli.opening import gate_of
    from qcow2inspect.image.follow import open_chain

    mine = argparse.Namespace(**vars(options))
    if letter == "B":
        mine.image, mine.snapshot = options.other or options.image, options.b_snapshot
        if options.b_passphrase_file is not None:
            mine.passphrase_file, mine.passphrase_fd = options.b_passphrase_file, None
    chain = stack.enter_context(open_chain(mine.image, gate_of(options), maybe_raw=True))
    view = guest_disk(mine, chain, key=options.what == "bytes")
    return _Side(letter, chain, mine.snapshot, view)


# -- disks ------------------------------------------------------------------------------------------------------


def _disks(options: argparse.Namespace, a: _Side, b: _Side) -> int:
    from qcow2inspect.image.parts import Relation, Sums

    sums = Sums()
    listed: list[Part] = []
    with progress_bar() as progress:
        for part in _parts(options, a.view, b.view, progress):
            sums.add(part)
            if part.relation in (Relation.DIFFERENT, Relation.UNREADABLE) and len(listed) < options.limit:
                listed.append(part)
    sizes_differ = a.view.size != b.view.size
    differs = bool(sums.ranges) or (options.strict and sizes_differ)
    code = _DIFFERENT if differs else _TROUBLE if sums.unreadable else _SAME
    if options.json:
        dump_json(_document(options, (a, b), listed, sums, code))
    else:
        _print(options, (a, b), listed, sums, code)
    if sizes_differ and not options.strict:
        warn("the disks have different sizes; past the end of the smaller one there are zeros, as in QEMU")
    if sums.missing:
        warn(f"{exact_size(sums.missing)} are zeros only because a file is missing or too short")
    if sums.unreadable:
        warn(f"{exact_size(sums.unreadable)} could not be compared, first: {sums.error}")
    return code


def _parts(options: argparse.Namespace, a: View, b: View, progress: Progress) -> Iterator[Part]:
    if options.what == "mapping":
        from qcow2inspect.image.contrast import compare_mappings

        return compare_mappings(a, b, progress)
    from qcow2inspect.image.compare import compare

    return compare(a, b, progress)


def _print(options: argparse.Namespace, sides: tuple[_Side, _Side], listed: list[Part], sums: Sums, code: int) -> None:
    for side in sides:
        say(f"{side.letter}  {side.title}")
    if listed:
        titles = ("guest start", "guest end", "differ", "A", "B")
        print_rows(titles, (_row(part, mapping=options.what == "mapping") for part in listed))
    if sums.ranges > len(listed):
        say(f"... and {counted(sums.ranges - len(listed), 'more range')}")
    word = {_SAME: "SAME", _DIFFERENT: "DIFFERENT", _TROUBLE: "NOT COMPARED WHOLLY"}[code]
    say(f"{word}: {', '.join(_words(options, sums))}")


def _words(options: argparse.Namespace, sums: Sums) -> Iterator[str]:
    if options.what == "mapping":
        yield f"{exact_size(sums.different)} mapped differently in {counted(sums.ranges, 'range')}"
        yield f"{exact_size(sums.by_tables)} mapped the same"
        return
    yield f"{exact_size(sums.differing)} differ in {counted(sums.ranges, 'range')}"
    yield f"{exact_size(sums.by_tables)} are the same by the tables"
    yield f"{exact_size(sums.by_bytes)} by their bytes"


def _row(part: Part, *, mapping: bool) -> tuple[str, ...]:
    differ = "unreadable" if part.error is not None else f"{part.guest.size if mapping else part.differing:,}"
    return (str(part.guest.start), str(part.guest.end), differ, _origin(part.a), _origin(part.b))


def _origin(extent: Extent | None) -> str:
    """Where bytes come from, in few words."""
    if extent is None:
        return "past the end"
    words = extent.kind.word if extent.host is None else f"{extent.kind.word} at {extent.host.start}"
    return f"{words} of layer {extent.layer}" if extent.layer else words


def _document(
    options: argparse.Namespace, sides: tuple[_Side, _Side], listed: list[Part], sums: Sums, code: int
) -> dict[str, Any]:
    return {
        "schema": "qcow2inspect/compare",
        "schema_version": "1.0",
        "what": options.what,
        "result": {_SAME: "same", _DIFFERENT: "different", _TROUBLE: "not compared wholly"}[code],
        **{side.letter.lower(): _side_document(side) for side in sides},
        "bytes": {
            "same_by_tables": sums.by_tables,
            "same_by_bytes": sums.by_bytes,
            "in_different_ranges": sums.different,
            "differing": sums.differing,
            "missing": sums.missing,
            "unreadable": sums.unreadable,
        },
        "ranges": sums.ranges,
        "listed": [_part_document(part) for part in listed],
    }


def _side_document(side: _Side) -> dict[str, Any]:
    return {"file": visible(side.chain.layers[0].name), "snapshot": side.snapshot, "size": side.view.size}


def _part_document(part: Part) -> dict[str, Any]:
    document: dict[str, Any] = {
        "start": int(part.guest.start),
        "length": part.guest.size,
        "relation": part.relation.value,
        "differing": part.differing,
        "a": _extent_document(part.a),
        "b": _extent_document(part.b),
    }
    return document | ({"why_not": part.error.what} if part.error is not None else {})


def _extent_document(extent: Extent | None) -> dict[str, Any] | None:
    if extent is None:
        return None
    host = int(extent.host.start) if extent.host is not None else None
    return {"type": extent.kind.word, "layer": extent.layer, "host_start": host, "past_end_of_file": extent.past_end}


# -- fields -----------------------------------------------------------------------------------------------------


def _fields(options: argparse.Namespace, a: _Side, b: _Side) -> int:
    from qcow2inspect.image.contrast import compare_fields

    pairs = compare_fields(_fields_of(options, a), _fields_of(options, b))
    unlike = [pair for pair in pairs if not pair.is_same]
    code = _DIFFERENT if unlike else _SAME
    if options.json:
        rows = [{"field": pair.name, "a": pair.a, "b": pair.b} for pair in unlike]
        dump_json({"schema": "qcow2inspect/compare-fields", "schema_version": "1.0", "fields": rows})
        return code
    for side in (a, b):
        say(f"{side.letter}  {side.title}")
    if unlike:
        print_rows(("field", "A", "B"), (_field_row(pair) for pair in unlike))
    say(f"{'DIFFERENT' if unlike else 'SAME'}: {counted(len(unlike), 'field')} of {len(pairs):,} differ")
    return code


def _fields_of(options: argparse.Namespace, side: _Side) -> Mapping[str, str]:
    """The header of another image; what a state has of its own for states of one image."""
    from qcow2inspect.image.contrast import header_fields, state_fields

    if options.other is None or os.path.realpath(options.other) == os.path.realpath(options.image):
        return state_fields(side.chain, side.snapshot)
    image = side.chain.layers[0].image
    if image is None:
        raise BadAddress(f"{visible(side.chain.layers[0].name)} is a raw disk: it has no fields")
    return header_fields(image)


def _field_row(pair: FieldPair) -> tuple[str, str, str]:
    return (pair.name, visible(pair.a) or "-", visible(pair.b) or "-")
