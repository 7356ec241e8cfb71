"""What several verbs share: arguments, ranges, tables, JSON, progress."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qcow2inspect.errors import BadAddress
from qcow2inspect.layout.structure import visible
from qcow2inspect.units import parse_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from qcow2inspect.image.assumed import Assumptions
    from qcow2inspect.progress import Progress

__all__ = [
    "add_image",
    "add_json",
    "add_lenient",
    "add_rows",
    "assumed_of",
    "dump_json",
    "folders_of",
    "parse_range",
    "print_rows",
    "progress_bar",
    "say",
    "warn",
]

_ROWS = 1000


def add_image(parser: argparse.ArgumentParser) -> None:
    """The image, which is only ever read, and ``--assume``."""
    parser.add_argument("image", metavar="IMAGE", help="the image; it is only ever read")
    text = "read the image as if this header field, or entry of a table, held VALUE: cluster_bits=16, L1[0]=0x40000; "
    text += "may be repeated; “auto” works out what must be assumed; every assumption is named, nothing is written"
    parser.add_argument("--assume", metavar="NAME=VALUE", action="append", default=[], help=text)


def assumed_of(options: argparse.Namespace) -> Assumptions:
    """What the options of :func:`add_image` assume of the image; each assumption is named on stderr.

    Raises:
        BadAddress: an assumption names nothing in this image, or is not written as it must be.
        CannotRead: the image cannot be read.
    """
    from qcow2inspect.image.assumed import NOTHING_ASSUMED

    if not options.assume:
        return NOTHING_ASSUMED
    from qcow2inspect.image.assume import read_assumptions
    from qcow2inspect.source.file import FileSource

    texts = [text for text in options.assume if text != "auto"]
    with FileSource(options.image) as source, progress_bar() as progress:
        found = read_assumptions(source, texts)
        if len(texts) < len(options.assume):
            from qcow2inspect.recover.propose import propose

            found = propose(source, found, progress)
    for one in found.all:
        warn(f"ASSUMED {one}")
    return found


def add_json(parser: argparse.ArgumentParser, *, compat: bool = False) -> None:
    """``--json`` and, where it exists, ``--json-compat qemu-img``."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    if compat:
        text = "print exactly the fields that qemu-img --output=json prints (QEMU 7.2)"
        parser.add_argument("--json-compat", choices=["qemu-img"], help=text)


def add_lenient(parser: argparse.ArgumentParser) -> None:
    """``--lenient``."""
    text = "read on where QEMU refuses the image for a header field that guest data does not depend on"
    parser.add_argument("--lenient", action="store_true", help=text)


def add_rows(parser: argparse.ArgumentParser, what: str) -> None:
    """A range of entries, ``--limit`` and ``--json``."""
    text = f"{what} to show: N, N:M (M not included), N: or :M; without it those in use, gaps as one row"
    parser.add_argument("range", metavar="RANGE", nargs="?", help=text)
    parser.add_argument("--limit", type=int, default=_ROWS, metavar="N", help=f"rows at most ({_ROWS}); 0 for all")
    add_json(parser)


def folders_of(paths: Iterable[str | None]) -> list[str]:
    """The folders in which files appear under these names; None and ``-`` name none."""
    return [os.path.dirname(path) or "." for path in paths if path is not None and path != "-"]


def parse_range(text: str, count: int) -> range:
    """The numbers that ``text`` means: ``3``, ``3:7`` (7 not included), ``3:``, ``:7``; cut at ``count``.

    Raises:
        BadAddress: the text is no range, or starts at or after ``count``.
    """
    low, colon, high = text.partition(":")
    try:
        start = parse_size(low) if low else 0
        stop = (parse_size(high) if high else count) if colon else start + 1
    except ValueError:
        raise BadAddress(f"“{text}” is no range; write 5, 0:16, 100: or :16") from None
    if start >= count or stop <= start:
        last = f"the last is {count - 1:,}" if count else "there are none"
        raise BadAddress(f"range {text} holds no entry; {last}")
    return range(start, min(stop, count))


def say(text: str = "") -> None:
    """A line of result."""
    print(text)


def warn(text: str) -> None:
    """A line of talk, on stderr."""
    print(visible(f"qcow2inspect: warning: {text}"), file=sys.stderr)


def dump_json(document: Any) -> None:
    """A JSON document as result, readable and with plain ASCII."""
    import json

    print(json.dumps(document, indent=2))


def print_rows(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table as text: columns as wide as their widest cell in each batch of rows, numbers as they come."""
    batch: list[Sequence[str]] = [titles]
    for row in rows:
        batch.append(row)
        if len(batch) > 256:
            _print_batch(batch)
            batch = []
    _print_batch(batch)


def _print_batch(batch: list[Sequence[str]]) -> None:
    if not batch:
        return
    widths = [max(len(row[column]) for row in batch) for column in range(len(batch[0]))]
    for row in batch:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress with rate and time left on stderr; silent where stderr is no terminal."""
    from qcow2inspect.progress import Silent

    if not sys.stderr.isatty():
        yield Silent()
        return
    from qcow2inspect.cli.bar import Bar

    with Bar() as bar:
        yield bar
