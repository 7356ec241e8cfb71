"""Compare an image with a manifest: the hashes of its file and of what the guest sees.

The manifest is one of “hash --json” or “hash --sums”, the one that export leaves beside its output, or lines of md5sum,
sha1sum, sha256sum or cksum --tag. The exit
code is 0 if everything in it is the same and 1 if something differs; with pieces in the manifest the ranges are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, add_json, dump_json, progress_bar, say
from qcow2inspect.cli.opening import add_data, opened, unlock
from qcow2inspect.cli.verb_hash import ACTIVE, content_views
from qcow2inspect.errors import CannotRead
from qcow2inspect.layout.structure import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from qcow2inspect.hashing.digest import Digest
    from qcow2inspect.hashing.verify import Comparison
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.view import View

__all__ = ["DIFFERENT", "add_arguments", "run"]

DIFFERENT = 1
"""Exit code where something differs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    parser.add_argument("--against", metavar="MANIFEST", required=True, help="hashes that were written down")
    add_json(parser)
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Verify."""
    from qcow2inspect.hashing.manifest import read_manifest

    expected = read_manifest(options.against, options.image)
    with opened(options) as chain:
        if any(digest.subject.scope == "guest content" for digest in expected):
            unlock(options, chain)
        results = list(_compare(chain, options, expected))
    if options.json:
        dump_json(_document(results))
    else:
        for result in results:
            _print(result)
    return 0 if all(result.is_same for result in results) else DIFFERENT


def _compare(chain: Chain, options: argparse.Namespace, expected: Sequence[Digest]) -> Iterator[Comparison]:
    from qcow2inspect.hashing.digest import hash_view
    from qcow2inspect.hashing.verify import Comparison

    for digest in expected:
        view = _view(chain, options, digest)
        with progress_bar() as progress:
            names = list(digest.hashes)
            found = hash_view(view, digest.subject, names, piece_size=digest.piece_size, progress=progress)
        yield Comparison(digest, found)


def _view(chain: Chain, options: argparse.Namespace, digest: Digest) -> View:
    """The bytes that a digest is about.

    Raises:
        BadAddress: there is no such snapshot.
        CannotRead: the manifest names something else.
    """
    what = digest.subject.what
    if digest.subject.scope != "guest content":
        return _image_file(chain)
    if what == ACTIVE:
        state = None
    elif what.startswith("snapshot "):
        state = what.removeprefix("snapshot ")
    else:
        raise CannotRead(f"{options.against}: “{visible(what)}” is no state of a disk", exit_code=65)
    return next(view for _, view in content_views(chain, options, [state]))


def _image_file(chain: Chain) -> View:
    """The image file."""
    from qcow2inspect.image.view import HostFile

    return HostFile(chain.layers[0].source)


def _print(result: Comparison) -> None:
    subject = result.expected.subject
    word = "same" if result.is_same else "DIFFERENT"
    say(f"{word:<10}{subject.scope}: {visible(subject.what)}, {', '.join(result.expected.hashes)}")
    for difference in result.differences():
        say(f"{'':<10}{difference}")


def _document(results: Sequence[Comparison]) -> dict[str, object]:
    return {
        "schema": "qcow2inspect/verify",
        "schema_version": "1.0",
        "same": all(result.is_same for result in results),
        "subjects": [
            {
                "scope": result.expected.subject.scope,
                "what": visible(result.expected.subject.what),
                "same": result.is_same,
                "differences": list(result.differences()),
                "ranges": [{"start": start, "end": end} for start, end in result.ranges()],
            }
            for result in results
        ],
    }
