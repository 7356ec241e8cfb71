"""What rules are made of."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from qcow2inspect.findings import Category, Evidence, Finding, Severity
from qcow2inspect.image.address import resolve
from qcow2inspect.units import GuestRange, HostRange, bytes_of, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qcow2inspect.image.image import Image
    from qcow2inspect.survey.survey import Odd, OddEntry, Survey

__all__ = [
    "Check",
    "Rule",
    "Spot",
    "entry_evidence",
    "entry_guest",
    "evidence_at",
    "guest_impact",
    "header_evidence",
    "header_rule",
    "joined",
    "odd_rule",
    "opening_rule",
    "places_rule",
    "refusal_rule",
    "simple_rule",
]

Check: TypeAlias = "Callable[[Survey], Iterator[Finding]]"
Spot: TypeAlias = tuple[str | HostRange, str]
"""A place, as an address or as host bytes without one, and what is observed there."""

_SHOWN = 32


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        code: stable id of its findings.
        severity: how much they weigh.
        category: what kind of concern they are.
        spec: section of the specification.
        needs_tables: False if the header says it all.
        explanation: the text for people, its first line the title.
        check: finds.
        needs_deep: True if it says something about an image only after a look at its content.
        needs_chain: True if it looks at files that the image names.
        at_open: True if it says why a file cannot be opened as an image; the error has its code, no survey is taken.
    """

    code: str
    severity: Severity
    category: Category
    spec: str
    needs_tables: bool
    explanation: str
    check: Check
    needs_deep: bool = False
    needs_chain: bool = False
    at_open: bool = False

    @property
    def title(self) -> str:
        """The rule in a few words."""
        return self.explanation.splitlines()[0].rstrip(".")


def simple_rule(
    module: str,
    code: str,
    severity: Severity,
    category: Category,
    *,
    spec: str,
    find: Callable[[Survey], Iterator[tuple[str, Evidence | None]]],
    needs_tables: bool = False,
) -> Rule:
    """A rule of its own making.

    Args:
        module: name of the rule's module, for its docstring.
        code: see :class:`Rule`.
        severity: see :class:`Rule`.
        category: see :class:`Rule`.
        spec: see :class:`Rule`.
        find: gives message and evidence of each finding.
        needs_tables: see :class:`Rule`.
    """

    def check(survey: Survey) -> Iterator[Finding]:
        for message, evidence in find(survey):
            yield Finding(code, severity, category, message, (evidence,) if evidence else ())

    return Rule(code, severity, category, spec, needs_tables, (sys.modules[module].__doc__ or "").strip(), check)


def opening_rule(module: str, code: str) -> Rule:
    """A rule for one of the reasons for which a file cannot be opened as an image at all."""
    text = (sys.modules[module].__doc__ or "").strip()
    return Rule(code, Severity.FATAL, Category.CORRUPTION, "Header", False, text, lambda _: iter(()), at_open=True)


def header_evidence(image: Image, name: str) -> Evidence:
    """The bytes of a header field."""
    node = image.header.node(image.header.row(name), 0, "hdr", "header")
    raw = int.from_bytes(image.read(node.where.start, node.where.size), "big")
    return Evidence(node.where, node.path, raw, node.shown)


def header_rule(
    module: str,
    code: str,
    severity: Severity,
    category: Category,
    *,
    field: str,
    says: Callable[[Image], str | None],
    spec: str = "Header",
) -> Rule:
    """A rule about one header field.

    Args:
        module: name of the rule's module, for its docstring.
        code: see :class:`Rule`.
        severity: see :class:`Rule`.
        category: see :class:`Rule`.
        field: the field that is the evidence.
        says: gives the message, or None if there is nothing to find.
        spec: see :class:`Rule`.
    """

    def check(survey: Survey) -> Iterator[Finding]:
        message = says(survey.image)
        if message is not None:
            yield Finding(code, severity, category, message, (header_evidence(survey.image, field),))

    return Rule(code, severity, category, spec, False, (sys.modules[module].__doc__ or "").strip(), check)


def places_rule(
    module: str,
    code: str,
    severity: Severity,
    category: Category,
    *,
    find: Callable[[Survey], Iterable[Spot]],
    spec: str,
    needs_tables: bool = False,
) -> Rule:
    """A rule about any number of places; all of them are one finding.

    Args:
        module: name of the rule's module, for its docstring.
        code: see :class:`Rule`.
        severity: see :class:`Rule`.
        category: see :class:`Rule`.
        find: gives each place, as an address or as host bytes without one, and what is observed there.
        spec: see :class:`Rule`.
        needs_tables: see :class:`Rule`.
    """

    def check(survey: Survey) -> Iterator[Finding]:
        spots = iter(find(survey))
        first = list(itertools.islice(spots, _SHOWN))
        if first:
            count = len(first) + sum(1 for _ in spots)
            more = f"; and {count - 1:,} more of this kind" if count > 1 else ""
            evidence = tuple(evidence_at(survey, place) for place, _ in first)
            yield Finding(code, severity, category, first[0][1] + more, evidence, (), count)

    return Rule(code, severity, category, spec, needs_tables, (sys.modules[module].__doc__ or "").strip(), check)


def evidence_at(survey: Survey, place: str | HostRange) -> Evidence:
    """The bytes at an address, or host bytes that no structure names; of long ones the first 8 are shown.

    Raises:
        BadAddress: the address leads nowhere.
    """
    if isinstance(place, str):
        node = resolve(survey.tree, place).node
        where, path, shown = node.where, node.path, node.shown
    else:
        where, path, shown = place, str(place.start), ""
    raw = int.from_bytes(survey.image.read(where.start, min(8, where.size)), "big")
    return Evidence(where, path, raw, shown)


def refusal_rule(
    module: str, code: str, severity: Severity, *, spec: str = "Header", category: Category | None = None
) -> Rule:
    """A rule for one of the conditions for which QEMU refuses an image (:mod:`qcow2inspect.image.guard`)."""

    def find(survey: Survey) -> Iterator[Spot]:
        for obstacle in survey.image.obstacles:
            if obstacle.code == code:
                effect = "guest data cannot be read" if obstacle.blocks_reading else "guest data can still be read"
                place = obstacle.where or obstacle.path or f"hdr.{obstacle.field}"
                yield place, f"{obstacle.what}; QEMU refuses the image, {effect}"

    return places_rule(module, code, severity, category or Category.CORRUPTION, find=find, spec=spec)


def odd_rule(
    module: str, code: str, severity: Severity, *, odd: Odd, says: str, spec: str, category: Category | None = None
) -> Rule:
    """A rule about table entries that the survey found odd in one way; all of them are one finding.

    Args:
        module: name of the rule's module, for its docstring.
        code: see :class:`Rule`.
        severity: see :class:`Rule`.
        odd: which kind of oddness.
        says: the message; ``{count}`` stands for the number of entries, ``{s}`` and ``{ies}`` for the plural.
        spec: see :class:`Rule`.
        category: see :class:`Rule`; corruption by default.
    """
    kind = category or Category.CORRUPTION

    def check(survey: Survey) -> Iterator[Finding]:
        count = survey.odd_count.get(odd, 0)
        if count:
            entries = survey.odd[odd]
            evidence = tuple(entry_evidence(survey, entry) for entry in entries[:_SHOWN])
            guest = joined([entry_guest(survey, entry) for entry in entries if entry.mapping is survey.tree.active])
            words = {"count": f"{count:,}", "s": "" if count == 1 else "s", "ies": "y" if count == 1 else "ies"}
            message = says.format(**words) + guest_impact(guest)
            yield Finding(code, severity, kind, message, evidence, tuple(guest[:_SHOWN]), count, bytes_of(guest))

    return Rule(code, severity, kind, spec, True, (sys.modules[module].__doc__ or "").strip(), check)


def guest_impact(ranges: list[GuestRange]) -> str:
    """How much of the disk is concerned, as the end of a sentence; empty if nothing is."""
    if not ranges:
        return ""
    total = bytes_of(ranges)
    more = f" and {counted(len(ranges) - 1, 'more range')}" if len(ranges) > 1 else ""
    return f" (guest {ranges[0]}{more}, {human_size(total)})"


def entry_evidence(survey: Survey, entry: OddEntry) -> Evidence:
    """The bytes of an entry."""
    image = survey.image
    if entry.mapping is None:
        return Evidence(image.refcount_table.where(entry.l1_index), f"rt[{entry.l1_index}]", entry.raw)
    path = f"{entry.mapping.prefix}L1[{entry.l1_index}]"
    if entry.l2_index is None:
        return Evidence(entry.mapping.l1.where(entry.l1_index), path, entry.raw)
    at = entry.mapping.l1[entry.l1_index].l2_table_offset + entry.l2_index * image.geometry.l2_entry_size
    return Evidence(HostRange.at(at, image.geometry.l2_entry_size), f"{path}.L2[{entry.l2_index}]", entry.raw)


def entry_guest(survey: Survey, entry: OddEntry) -> GuestRange:
    """The guest bytes that an entry maps, as far as they lie in the disk."""
    geometry = survey.image.geometry
    if entry.l2_index is None:
        span = geometry.guest_span(entry.l1_index)
    else:
        span = geometry.guest_cluster(entry.l1_index, entry.l2_index)
    return span.clip(0, survey.tree.active.size)


def joined(ranges: list[GuestRange]) -> list[GuestRange]:
    """The ranges in order, neighbours joined, empty ones left out."""
    result: list[GuestRange] = []
    for part in sorted(filter(None, ranges), key=lambda item: int(item.start)):
        if result and part.start <= result[-1].end:
            result[-1] = GuestRange(result[-1].start, max(result[-1].end, part.end))
        else:
            result.append(part)
    return result
