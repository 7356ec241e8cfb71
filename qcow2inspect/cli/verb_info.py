"""Print facts and flags of an image.

The facts of the header come first and at once; then the tables are read for what only they can tell.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_image, add_json, assumed_of, dump_json, progress_bar, say
from qcow2inspect.cli.opening import add_following, add_snapshot
from qcow2inspect.errors import BadAddress, Damaged
from qcow2inspect.format.luks import SlotState
from qcow2inspect.image.assumed import NOTHING_ASSUMED
from qcow2inspect.image.facts import header_facts
from qcow2inspect.image.image import Image, require_magic
from qcow2inspect.image.support import place_of
from qcow2inspect.layout.structure import visible
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.protection import guards_of, protection_words
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    import argparse

    from qcow2inspect.dossier import Dossier
    from qcow2inspect.findings import Finding
    from qcow2inspect.image.assumed import Assumptions

__all__ = ["add_arguments", "print_info", "run", "take_dossier"]

_LABEL = 18
_SNAPSHOTS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    add_json(parser, compat=True)
    add_snapshot(parser)
    add_following(parser)


def run(options: argparse.Namespace) -> int:
    """Print the info."""
    if options.json_compat:
        if options.snapshot is not None:
            raise BadAddress("give either --snapshot or --json-compat: qemu-img info knows no single snapshot")
        from qcow2inspect.image.follow import open_chain
        from qcow2inspect.reports.qemu import info_document

        with open_chain(options.image, assumed=assumed_of(options)) as chain:
            dump_json(info_document(chain.top))
        return 0
    if options.snapshot is not None:
        return _print_snapshot(options)
    if options.follow != "none" or options.backing:
        _print_chain(options)
    assumed = assumed_of(options)
    return _print_json(options.image, assumed) if options.json else print_info(options.image, assumed)


def _print_snapshot(options: argparse.Namespace) -> int:
    """What one snapshot is, and how much of its disk is of which type."""
    from collections import Counter

    from qcow2inspect.cli.opening import opened
    from qcow2inspect.image.facts import snapshot_facts

    with opened(options) as chain:
        mapping = chain.mapping(options.snapshot)
        assert mapping.snapshot is not None
        facts = snapshot_facts(chain.qcow2, mapping.snapshot)
        amounts: Counter[str] = Counter()
        for extent in chain.disk(options.snapshot, lenient=True).extents():
            amounts["cannot be read" if extent.error else extent.kind.word] += extent.guest.size
        if options.json:
            document = {"schema": "qcow2inspect/info", "schema_version": "1.0", "image": visible(options.image)}
            dump_json({**document, "facts": dict(facts), "guest_bytes": dict(amounts)})
            return 0
        sizes = [(word, exact_size(amount)) for word, amount in amounts.items()]
        for label, value in (("image", visible(options.image)), *facts, *sizes):
            say(f"{label:<{_LABEL}}{value}")
    return 0


def _print_chain(options: argparse.Namespace) -> None:
    """The files of the chain and why it ends; on stderr where the result is JSON."""
    from qcow2inspect.cli.opening import opened

    with opened(options) as chain:
        lines = [
            f"{f'layer {number}':<{_LABEL}}{visible(layer.name)} ({layer.format})"
            for number, layer in enumerate(chain.layers)
        ]
        if chain.end is not None:
            lines.append(f"{'chain ends':<{_LABEL}}{visible(str(chain.end))}")
        for line in lines:
            print(line, file=sys.stderr if options.json else sys.stdout)


def _print_v1(path: str, assumed: Assumptions, *, as_json: bool) -> int:
    from qcow2inspect.image.facts import v1_facts
    from qcow2inspect.image.v1 import V1Image

    with V1Image.open(path, assumed) as image:
        facts = v1_facts(image)
        if as_json:
            fields = {row.name: _plain(getattr(image.header, row.name)) for row in image.header.ROWS}
            document = {"schema": "qcow2inspect/info", "schema_version": "1.0", "image": visible(image.name)}
            dump_json({**document, "header": fields, "facts": dict(facts)})
        else:
            for label, value in (("image", visible(image.name)), *facts):
                say(f"{label:<{_LABEL}}{value}")
            say("not checked: the tables; rules exist for versions 2 and 3")
        for obstacle in image.obstacles:
            raise Damaged(f"{image.name}: header field {obstacle.field}: {obstacle.what}", why="QEMU refuses the image")
    return 0


def _is_v1(path: str, assumed: Assumptions) -> bool:
    with FileSource(path) as source:
        return require_magic(source, assumed) == 1


def print_info(path: str, assumed: Assumptions = NOTHING_ASSUMED) -> int:
    """Print facts, flags and findings of the image at ``path`` for people."""
    if _is_v1(path, assumed):
        return _print_v1(path, assumed, as_json=False)
    with Image.open(path, assumed) as image:
        say(f"{'image':<{_LABEL}}{visible(image.name)}")
        say(f"{'evidence':<{_LABEL}}{visible(protection_words(image.source))}")
        facts = header_facts(image)
        for label, value in facts:
            say(f"{label:<{_LABEL}}{value}")
        sys.stdout.flush()
        dossier = take_dossier(image)
        for label, value in dossier.facts[len(facts) :]:
            say(f"{label:<{_LABEL}}{value}")
        for number, slot in enumerate(image.luks.slots if image.luks else ()):
            state = slot.active.name.lower() if slot.active.known else slot.active.shown
            if slot.active is not SlotState.DISABLED:
                say(f"{f'key slot {number}':<{_LABEL}}{state}, {slot.iterations:,} iterations")
        for snapshot in image.snapshots[:_SNAPSHOTS]:
            size = exact_size(snapshot.disk_size) if snapshot.disk_size is not None else "size not stated"
            say(f"{'snapshot':<{_LABEL}}{snapshot.title}, {size}")
        if len(image.snapshots) > _SNAPSHOTS:
            say(f"{'':<{_LABEL}}and {len(image.snapshots) - _SNAPSHOTS:,} more")
        _print_states(dossier)
        _require_sound(image)
    return 0


def _print_states(dossier: Dossier) -> None:
    say()
    for state in dossier.states:
        mark = "not checked" if state.on is None else "YES" if state.on else "no"
        words = state.shown if state.shown not in ("no", "none", "not checked yet") else ""
        say(f"{state.name:<{_LABEL}}{mark:<4} {words}".rstrip())
    say()
    say(f"{'verdict':<{_LABEL}}{dossier.verdict}")
    for finding in dossier.findings:
        say(f"  {finding.severity:<8}{finding.code:<24} {finding.message}")
    say(f"not checked: {'; '.join(dossier.not_checked)}")


def take_dossier(image: Image) -> Dossier:
    """Read the tables, apply the rules, gather what is known."""
    from qcow2inspect.dossier import compile_dossier
    from qcow2inspect.dossier.gist import with_changes
    from qcow2inspect.rules import examine
    from qcow2inspect.survey.survey import take_survey

    with progress_bar() as progress:
        survey = take_survey(image, progress)
    return with_changes(compile_dossier(image, survey, examine(survey)), [image.source])


def _require_sound(image: Image) -> None:
    """QEMU refuses the image: say so in the exit code too."""
    if image.obstacles:
        first = image.obstacles[0]
        raise Damaged(
            f"{image.name}: {place_of(image, first)}: {first.what}",
            why="QEMU refuses the image",
            hint=f"“qcow2inspect explain {first.code}” says more",
        )


def _print_json(path: str, assumed: Assumptions) -> int:
    if _is_v1(path, assumed):
        return _print_v1(path, assumed, as_json=True)
    with Image.open(path, assumed) as image:
        dossier, guards = take_dossier(image), guards_of(image.source)
        fields = {row.name: _plain(getattr(image.header, row.name)) for row in image.header.stored_rows()}
        dump_json(
            {
                "schema": "qcow2inspect/info",
                "schema_version": "1.0",
                "image": dossier.name,
                "verdict": dossier.verdict,
                "protection": {guard.key: {"holds": guard.holds, "words": guard.words} for guard in guards},
                "header": fields,
                "facts": dict(dossier.facts),
                "states": {state.name: {"on": state.on, "shown": state.shown} for state in dossier.states},
                "guest_clusters": dossier.counts,
                "findings": [_finding(finding) for finding in dossier.findings],
                "not_checked": list(dossier.not_checked),
            }
        )
        _require_sound(image)
    return 0


def _plain(value: Any) -> int | str:
    return value.hex() if isinstance(value, bytes) else int(value)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "category": str(finding.category),
        "message": finding.message,
        "count": finding.count,
        "evidence": [
            {
                "path": evidence.path,
                "offset": int(evidence.where.start),
                "size": evidence.where.size,
                "raw": f"{evidence.raw:#x}",
            }
            for evidence in finding.evidence
        ],
        "guest": [{"start": int(part.start), "end": int(part.end)} for part in finding.guest],
    }
