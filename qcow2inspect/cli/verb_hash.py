"""Hash the image file and, apart from it, what the guest sees: the active state, or snapshots.

The two are never mixed: the same disk can lie in many different files. Bytes that cannot be read stop the hash of the
guest content; the hash of the file needs no key and no other file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, dump_json, progress_bar, say
from qcow2inspect.cli.opening import add_data, opened, reads_on, unlock
from qcow2inspect.errors import BadAddress
from qcow2inspect.layout.structure import visible
from qcow2inspect.units import exact_size, parse_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from qcow2inspect.hashing.digest import Digest, Subject
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.view import View

__all__ = ["ACTIVE", "add_arguments", "container_views", "content_views", "digests", "hash_names", "run"]

ACTIVE = "active state"
"""What the content of the disk as it is now is called."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--container", action="store_true", help="the image file (the default)")
    group.add_argument("--content", action="store_true", help="what the guest sees")
    group.add_argument("--both", action="store_true", help="both")
    text = "content of this snapshot, by id or name, or “all”; may be repeated, implies --content"
    parser.add_argument("--snapshot", metavar="ID|NAME", action="append", default=[], help=text)
    text = "functions, with commas: md5, sha1, sha256, blake2b (md5,sha1,sha256)"
    parser.add_argument("--hash", metavar="LIST", default="md5,sha1,sha256", help=text)
    text = "the SHA-256 of each piece of SIZE bytes too, for “verify” to say where a difference is; needs --json"
    parser.add_argument("--piecewise", metavar="SIZE", help=text)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="print a manifest in JSON")
    group.add_argument("--sums", action="store_true", help="print lines that sha256sum -c or cksum -c check")
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Hash."""
    from qcow2inspect.hashing.manifest import as_document, as_lines

    names = hash_names(options.hash)
    size = _piece_size(options)
    with opened(options) as chain:
        found = list(digests(chain, options, names, size))
    if options.json:
        dump_json(as_document(found))
    elif options.sums:
        for line in as_lines(found):
            say(line)
    else:
        for digest in found:
            _print(digest)
    return 0


def hash_names(text: str) -> list[str]:
    """The hash functions of a list with commas.

    Raises:
        BadAddress: one of them is not known, or there are none.
    """
    from qcow2inspect.hashing.digest import HASHES

    names = list(dict.fromkeys(word.strip().lower().replace("-", "") for word in text.split(",") if word.strip()))
    unknown = [name for name in names if name not in HASHES]
    if unknown or not names:
        raise BadAddress(f"--hash {text}: choose from {', '.join(HASHES)}")
    return names


def _piece_size(options: argparse.Namespace) -> int:
    if options.piecewise is None:
        return 0
    if not options.json:
        raise BadAddress("--piecewise needs --json: the other forms have no place for pieces")
    try:
        size = parse_size(options.piecewise)
    except ValueError as error:
        raise BadAddress(f"--piecewise: {error}") from None
    if size < 512:
        raise BadAddress(f"--piecewise {options.piecewise}: pieces have at least 512 bytes")
    return size


def digests(chain: Chain, options: argparse.Namespace, names: list[str], piece_size: int = 0) -> Iterator[Digest]:
    """The digests that the options ask for, one after the other."""
    from qcow2inspect.hashing.digest import hash_view

    for subject, view in _views(chain, options):
        with progress_bar() as progress:
            yield hash_view(view, subject, names, piece_size=piece_size, progress=progress)


def _views(chain: Chain, options: argparse.Namespace) -> Iterator[tuple[Subject, View]]:
    content = options.content or options.both or bool(options.snapshot)
    if options.container or options.both or not content:
        yield from container_views(chain)
    if content:
        states: list[str | None] = []
        for wanted in options.snapshot:
            states += _ids(chain) if wanted == "all" else [wanted]
        if not options.snapshot or "all" in options.snapshot:
            states.insert(0, None)
        unlock(options, chain)
        yield from content_views(chain, options, states)


def container_views(chain: Chain) -> Iterator[tuple[Subject, View]]:
    """Every file of a chain that is open."""
    from qcow2inspect.dossier.surroundings import sources_of
    from qcow2inspect.hashing.digest import CONTAINER, Subject
    from qcow2inspect.image.view import HostFile

    for source in sources_of(chain):
        yield Subject(CONTAINER, source.name), HostFile(source)


def _ids(chain: Chain) -> list[str | None]:
    import os

    return [os.fsdecode(snapshot.id) for snapshot in chain.qcow2.snapshots]


def content_views(
    chain: Chain, options: argparse.Namespace, states: list[str | None]
) -> Iterator[tuple[Subject, View]]:
    """The disk of each state, the active one for None, and what it is called in a manifest."""
    from qcow2inspect.hashing.digest import CONTENT, Subject

    for state in states:
        what = ACTIVE if state is None else f"snapshot {visible(state)}"
        view = chain.disk(state, lenient=reads_on(options), absent_as_zero=options.missing == "zero")
        yield Subject(CONTENT, what), view


def _print(digest: Digest) -> None:
    say(f"{digest.subject.scope}: {visible(digest.subject.what)}, {exact_size(digest.size)}")
    for name, value in digest.hashes.items():
        say(f"  {name:<8}{value}")
