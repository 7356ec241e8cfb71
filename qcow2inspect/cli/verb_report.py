"""Write the report about an image: what was examined, how, what was seen, what was not checked, how to repeat it.

The same image and the same options give the same bytes; what differs from run to run (time, paths, versions) stands in
a block of its own, which “--without provenance” leaves out. SOURCE_DATE_EPOCH sets the time.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.cli.casework import remember_body
from qcow2inspect.cli.common import add_image, folders_of, progress_bar
from qcow2inspect.cli.opening import add_data, opened, unlock
from qcow2inspect.dossier.wishes import SECTIONS, HashRow, Wishes, report_time
from qcow2inspect.errors import BadAddress
from qcow2inspect.layout.structure import visible

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from qcow2inspect.dossier.section import Report
    from qcow2inspect.image.chain import Chain

__all__ = ["add_arguments", "run", "writes"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    from qcow2inspect.reports import formats

    add_image(parser)
    names = "; ".join(f"{item.name}: {item.title}" for item in formats().values())
    parser.add_argument("--format", choices=list(formats()), help=f"{names}; by the ending of FILE, else text")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE instead of stdout (-)")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists; see export --help")
    text = f"only these parts, with commas: {', '.join(SECTIONS)}"
    parser.add_argument("--sections", metavar="LIST", help=text)
    parser.add_argument("--without", metavar="LIST", help="all but these parts")
    parser.add_argument("--redact", action="store_true", help="hide paths and names")
    text = "hash the files too: functions with commas (md5, sha1, sha256, blake2b)"
    parser.add_argument("--hash", metavar="LIST", help=text)
    parser.add_argument("--hash-content", action="store_true", help="with --hash: what the guest sees, too")
    group = parser.add_argument_group("what the examiner adds")
    group.add_argument("--case-id", metavar="TEXT", help="number of the case")
    group.add_argument("--exhibit", metavar="TEXT", help="number of the exhibit")
    group.add_argument("--examiner", metavar="TEXT", help="who examines")
    group.add_argument("--note", metavar="TEXT", action="append", default=[], help="a note; may be repeated")
    text = "a note on an address; may be repeated"
    group.add_argument("--mark", metavar="EXPR=TEXT", action="append", default=[], help=text)
    add_data(parser)


def writes(options: argparse.Namespace) -> list[str]:
    """Where files appear."""
    return folders_of([options.output])


def run(options: argparse.Namespace) -> int:
    """Report."""
    from qcow2inspect.dossier.report import compile_report, examine_chain
    from qcow2inspect.reports import render

    wishes = _wishes(options)
    with opened(options) as chain:
        if options.passphrase_file is not None or options.passphrase_fd is not None or options.hash_content:
            unlock(options, chain)
        if options.hash is not None:
            wishes = replace(wishes, hashes=tuple(_hashes(options, chain)))
        with progress_bar() as progress:
            dossier = examine_chain(chain, progress)
        report = compile_report(chain, dossier, wishes)
        if options.output not in (None, "-"):
            _write(options, chain, report)
            return 0
    remember_body(options, "-", report, options.format or "text")
    sys.stdout.buffer.write(render(report, options.format or "text"))
    return 0


def _write(options: argparse.Namespace, chain: Chain, report: Report) -> None:
    from qcow2inspect.dossier.surroundings import sources_of
    from qcow2inspect.reports import format_for, write_report

    by_name = format_for(options.output)
    name = options.format or (by_name.name if by_name else "text")
    evidence = [source.identity for source in sources_of(chain) if source.identity]
    write_report(report, options.output, name=name, force=options.force, evidence=evidence)
    remember_body(options, options.output, report, name)
    print(visible(f"{options.output}: report written ({name})"), file=sys.stderr)


def _hashes(options: argparse.Namespace, chain: Chain) -> Iterator[HashRow]:
    """The hashes of all files that are open and, if that is asked for, of the guest content."""
    from qcow2inspect.cli.verb_hash import container_views, content_views, hash_names
    from qcow2inspect.hashing.digest import hash_view

    names = hash_names(options.hash)
    views = [*container_views(chain), *(content_views(chain, options, [None]) if options.hash_content else ())]
    for subject, view in views:
        with progress_bar() as progress:
            digest = hash_view(view, subject, names, progress=progress)
        for name, value in digest.hashes.items():
            yield HashRow(subject.scope, subject.what, digest.size, name, value)


def _wishes(options: argparse.Namespace) -> Wishes:
    given = {"Case": options.case_id, "Exhibit": options.exhibit, "Examiner": options.examiner}
    return Wishes(
        sections=_sections(options.sections, options.without),
        redact=options.redact,
        case={label: value for label, value in given.items() if value},
        notes=tuple(options.note),
        marks=tuple(map(_mark, options.mark)),
        command=("qcow2inspect", *sys.argv[1:]),
        time=report_time(),
    )


def _sections(only: str | None, without: str | None) -> frozenset[str] | None:
    """The sections that are asked for, less those that are not wanted; None for all."""
    if only is None and without is None:
        return None
    chosen = set(SECTIONS) if only is None else _keys("--sections", only)
    return frozenset(chosen - (_keys("--without", without) if without is not None else set()))


def _keys(option: str, text: str) -> set[str]:
    keys = {word.strip() for word in text.split(",") if word.strip()}
    unknown = ", ".join(sorted(keys - set(SECTIONS)))
    if unknown or not keys:
        raise BadAddress(f"{option}: there is no section “{unknown}”; there are {', '.join(SECTIONS)}")
    return keys


def _mark(text: str) -> tuple[str, str]:
    address, equals, words = text.partition("=")
    if not equals or not address or not words:
        raise BadAddress(f"--mark {text}: write EXPR=TEXT, for example “L1[0]=look here”")
    return address, words
