"""The gist of an image, as data: verdict, sentences, flags, findings, and what was not checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from qcow2inspect.findings import Finding, Severity
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.facts import (
    backing_words,
    data_file_words,
    encryption_words,
    header_facts,
    number_words,
    v1_facts,
)
from qcow2inspect.layout.structure import printable, visible
from qcow2inspect.units import counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.v1 import V1Image
    from qcow2inspect.source.protocol import Source
    from qcow2inspect.survey.survey import Survey

__all__ = [
    "CHANGED",
    "Dossier",
    "State",
    "changes",
    "compile_dossier",
    "compile_v1_dossier",
    "not_checked",
    "with_changes",
]

CHANGED = "CHANGED WHILE IT WAS READ"
"""The verdict where what is said may mix two states of the file."""

_TABLES = "L1, L2 and refcount tables"
_COMPRESSED = "content of compressed clusters"
_UNSEEN = "content of free clusters and under zero flags"
_HOLES = "which clusters of the host file are holes"
_BEHIND = "backing file and external data file"
NOT_CHECKED = (_COMPRESSED, _UNSEEN, _HOLES, _BEHIND)
"""What is not looked at unless somebody asks for it; every report says so."""


@dataclass(frozen=True, slots=True)
class State:
    """One of the states that every view of an image flags.

    Attributes:
        name: ``compressed``, ``encrypted``, ``corrupt``, ``overlay``, ``data file``, ``snapshots``, ``dirty``.
        on: True, False, or None where it is not known yet.
        shown: the state in words.
    """

    name: str
    on: bool | None
    shown: str


@dataclass(frozen=True, slots=True)
class Dossier:
    """What is known about one image.

    Attributes:
        name: the image's path as given, safe to print.
        verdict: two or three words in capitals.
        summary: sentences in plain words.
        facts: label and value.
        states: the flags.
        findings: heaviest first.
        counts: guest clusters of the active state by the word for their type; None before the tables were read.
        surveyed: True if the tables were read.
        complete: True if nothing of them was left out.
        not_checked: what nobody looked at.
        deep: True if the content of the file was looked at too.
        numbers: what was counted in the tables, by its label.
    """

    name: str
    verdict: str
    summary: Sequence[str]
    facts: Sequence[tuple[str, str]]
    states: Sequence[State]
    findings: Sequence[Finding]
    counts: dict[str, int] | None = None
    surveyed: bool = False
    complete: bool = False
    not_checked: Sequence[str] = field(default=NOT_CHECKED)
    numbers: Mapping[str, int] = field(default_factory=dict)
    deep: bool = False


def compile_dossier(image: Image, survey: Survey | None, findings: Sequence[Finding]) -> Dossier:
    """Gather what is known.

    Args:
        image: the image.
        survey: the facts from its tables; None if only the header was read.
        findings: what the rules say.
    """
    seen = survey if survey is not None and survey.has_tables else None
    return Dossier(
        name=visible(image.name),
        verdict=_verdict(image, findings, seen),
        summary=_summary(image, findings, seen),
        facts=[*header_facts(image), *(_table_facts(image, seen) if seen else ())],
        states=_states(image, findings, seen),
        findings=tuple(findings),
        counts={kind.word: n for kind, n in seen.clusters.items() if n} if seen else None,
        surveyed=seen is not None,
        complete=seen is not None and seen.complete,
        not_checked=not_checked(image, seen),
        numbers=_numbers(seen) if seen else {},
        deep=seen is not None and seen.deep is not None,
    )


def not_checked(image: Image, survey: Survey | None) -> tuple[str, ...]:
    """What no rule has looked at, as far as the image has it.

    Args:
        image: the image.
        survey: the facts from its tables; None if only the header was read.
    """
    if survey is None:
        return (_TABLES, *NOT_CHECKED)
    found = [*survey.skipped, *(survey.deep.skipped if survey.deep else ())]
    if survey.deep is None:
        found += [_COMPRESSED, _UNSEEN, _HOLES] if survey.clusters.get(ClusterType.COMPRESSED) else [_UNSEEN, _HOLES]
    names_files = image.has_data_file or image.header.backing_file_offset
    if names_files and (survey.chain is None or not survey.chain.is_whole):
        found.append(_BEHIND)
    return tuple(found)


def compile_v1_dossier(image: V1Image) -> Dossier:
    """Gather what is known of an image of version 1, for which no rules exist."""
    header = image.header
    size = human_size(header.size // SECTOR * SECTOR)
    states = [
        State("encrypted", image.is_encrypted, "AES (legacy), key needed" if image.is_encrypted else "no"),
        State(
            "overlay", bool(image.backing_name), f"“{printable(image.backing_name)}”" if image.backing_name else "no"
        ),
    ]
    return Dossier(
        name=visible(image.name),
        verdict="CANNOT BE READ" if image.obstacles else "NOT CHECKED",
        summary=(f"qcow version 1, a disk of {size} stored in {human_size(image.source.size)}.",),
        facts=v1_facts(image),
        states=states,
        findings=(),
        not_checked=("the tables of a version 1 image: rules exist for versions 2 and 3",),
    )


def changes(sources: Iterable[Source]) -> list[Finding]:
    """A finding for every file that changed since it was opened; empty if none did.

    What was read before and after such a change belongs to two states of the file.
    """
    from qcow2inspect.rules import file_changed

    rule = file_changed.RULE
    return [Finding(rule.code, rule.severity, rule.category, text) for text in file_changed.changes(sources)]


def with_changes(dossier: Dossier, sources: Iterable[Source]) -> Dossier:
    """The dossier, with what changed since it was opened as its first findings and its verdict."""
    changed = changes(sources)
    if not changed:
        return dossier
    others = [finding for finding in dossier.findings if finding.code != changed[0].code]
    return replace(dossier, findings=(*changed, *others), verdict=CHANGED)


def _numbers(survey: Survey) -> dict[str, int]:
    qemu = survey.qemu
    return {
        "L1 entries in use": survey.l1_used,
        "L2 tables": survey.l2_tables,
        "guest clusters with a place": qemu.allocated_clusters,
        "of these fragmented": qemu.fragmented_clusters,
        "leaked host clusters": qemu.leaks,
        "corruptions that qemu-img check counts": qemu.corruption_count,
        "end of the last host cluster in use": qemu.image_end,
    }


def _table_facts(image: Image, survey: Survey) -> list[tuple[str, str]]:
    total = sum(survey.clusters.values())
    stored = sum(survey.clusters[kind] for kind in (ClusterType.NORMAL, ClusterType.COMPRESSED))
    share = f" ({stored / total:.1%})" if total else ""
    return [
        ("L2 tables", f"{survey.l2_tables:,}"),
        ("guest clusters", f"{total:,}, {stored:,} with data{share}"),
    ]


def _corrupting(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that say that something in the image is wrong."""
    return [f for f in findings if f.severity in (Severity.FATAL, Severity.ERROR)]


def _verdict(image: Image, findings: Sequence[Finding], survey: Survey | None) -> str:
    if any(obstacle.blocks_reading for obstacle in image.obstacles):
        return "CANNOT BE READ"
    if _corrupting(findings):
        return "DAMAGED"
    if any(f.severity.is_bad for f in findings):
        return "READ THE WARNINGS"
    if survey is None:
        return "CHECKING"
    return "NO DAMAGE SEEN" if survey.complete else "NO DAMAGE SEEN IN A PART"


def _summary(image: Image, findings: Sequence[Finding], survey: Survey | None) -> list[str]:
    header = image.header
    size = human_size(header.size // SECTOR * SECTOR)
    stored = f"a disk of {size} stored in {human_size(image.source.size)}"
    sentences = [f"qcow2 version {header.version}, {stored}, clusters of {human_size(image.geometry.cluster_size)}."]
    bad = _corrupting(findings)
    if bad:
        kinds = f"{len(bad)} kind{'s' if len(bad) > 1 else ''} of damage"
        sentences.append(f"{kinds}, first: {bad[0].message}.")
    if header.crypt_method is not CryptMethod.NONE:
        sentences.append("Guest data is encrypted: it cannot be read without a key, the structure can.")
    if header.backing_file_offset:
        sentences.append("It is an overlay: what it does not hold lies in its backing file.")
    if image.has_data_file:
        sentences.append("Guest data lies in an external data file.")
    if survey is not None:
        data = sum(survey.clusters[kind] for kind in (ClusterType.NORMAL, ClusterType.COMPRESSED))
        amount = human_size(data * image.geometry.cluster_size)
        sentences.append(f"{amount} of guest data in {data:,} clusters.")
        if not survey.complete:
            sentences.append("The result is partial: not all of the image was looked at.")
    return sentences


def _states(image: Image, findings: Sequence[Finding], survey: Survey | None) -> list[State]:
    header = image.header
    features = header.incompatible_features
    compressed = survey.clusters[ClusterType.COMPRESSED] if survey else None
    bad = _corrupting(findings)
    method = header.crypt_method
    return [
        State(
            "compressed",
            bool(compressed) if compressed is not None else None,
            "not checked yet" if compressed is None else f"{compressed:,} clusters" if compressed else "no clusters",
        ),
        State(
            "encrypted",
            method is not CryptMethod.NONE,
            "no" if method is CryptMethod.NONE else f"{encryption_words(image)}, key needed",
        ),
        State("corrupt", True if bad else False if survey else None, _corrupt_words(bad, survey, features.corrupt)),
        State("dirty", features.dirty, "not closed cleanly" if features.dirty else "no"),
        State("overlay", bool(header.backing_file_offset), backing_words(image)),
        State("data file", image.has_data_file, data_file_words(image)),
        State("snapshots", bool(header.nb_snapshots), number_words(header.nb_snapshots)),
    ]


def _corrupt_words(bad: Sequence[Finding], survey: Survey | None, corrupt_bit: bool) -> str:
    if not bad:
        return "no damage seen" if survey else "not checked yet"
    bit = "corrupt bit set, " if corrupt_bit else ""
    others = len(bad) - corrupt_bit
    return (
        (bit + f"{others} other finding{'s' if others != 1 else ''}") if bit else f"{counted(others, 'kind')} of damage"
    )
