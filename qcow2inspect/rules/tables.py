"""What the rules about whole L2 tables and the whole image share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.format.mapping import L1Entry, L2Entry, compressed_descriptor
from qcow2inspect.rules.base import entry_evidence, guest_impact
from qcow2inspect.rules.spans import KEPT_CLUSTERS, SHOWN, grouped, metadata_names
from qcow2inspect.survey.claims import Owner
from qcow2inspect.survey.faults import Fault
from qcow2inspect.survey.odd import KEPT, Odd, OddEntry
from qcow2inspect.units import GuestRange, HostRange, bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from qcow2inspect.format.mapping import ClusterType
    from qcow2inspect.image.image import Image
    from qcow2inspect.survey.survey import Survey

__all__ = [
    "FEW",
    "NEAR",
    "differences",
    "first_content",
    "guest_of_tables",
    "l1_entries_of",
    "mistaken",
    "overwritten_findings",
    "target_of",
]

NEAR = 1 << 16
"""Clusters past the end of the file that a pointer may lead to if the file was cut rather than the pointer damaged."""
FEW = 2
"""Pointers past the end that are no accident."""

_PIECE = 4 << 20
_LOOKED_AT = 256 << 20


def l1_entries_of(survey: Survey, tables: npt.NDArray[np.intp] | Sequence[int]) -> list[OddEntry]:
    """The first L1 entry that leads to each of some L2 tables."""
    entries: list[OddEntry] = []
    if survey.tables is None:
        return entries
    for table in list(tables)[:KEPT]:
        state = survey.states[int(survey.tables.state[table])]
        index = int(survey.tables.l1_index[table])
        entries.append(OddEntry(state, index, None, state.l1[index].raw))
    return entries


def guest_of_tables(survey: Survey, tables: npt.NDArray[np.intp] | Sequence[int]) -> list[GuestRange]:
    """The guest bytes that the first L1 entry of each of some L2 tables maps in the active state, joined."""
    import numpy as np

    if survey.tables is None or not len(tables):
        return []
    geometry, active = survey.image.geometry, survey.tree.active
    states = [number for number, state in enumerate(survey.states) if state is active]
    rows = np.asarray(tables, dtype=np.intp)
    indexes = np.unique(survey.tables.l1_index[rows[np.isin(survey.tables.state[rows], states)]])
    first, last = np.diff(indexes, prepend=-2) != 1, np.diff(indexes, append=-2) != 1
    ends = zip(indexes[first].tolist(), indexes[last].tolist(), strict=True)
    spans = (GuestRange(geometry.guest_span(low).start, geometry.guest_span(high).end) for low, high in ends)
    return [part for part in (span.clip(0, active.size) for span in spans) if part]


def overwritten_findings(survey: Survey, code: str, kind: str, *, what: str) -> Iterator[Finding]:
    """One finding for all L2 tables that hold something else of one kind."""
    tables = [table for table, found in survey.overwritten.items() if found == kind]
    entries, count = l1_entries_of(survey, tables), len(tables)
    if not entries:
        return
    guest = guest_of_tables(survey, tables)
    evidence = [entry_evidence(survey, entry) for entry in entries]
    names = grouped([each.path for each in evidence], count=count)
    message = f"{counted(count, 'L2 table')} overwritten by {what}: {names}{_intruders(survey, entries)}; "
    message += f"what {'it maps' if count == 1 else 'they map'} cannot be believed{guest_impact(guest)}"
    shown, places, touched = tuple(guest[:KEPT_CLUSTERS]), tuple(evidence[:SHOWN]), bytes_of(guest)
    yield Finding(code, Severity.ERROR, Category.CORRUPTION, message, places, shown, count, touched)


def _intruders(survey: Survey, entries: list[OddEntry]) -> str:
    """What else claims the clusters of some L2 tables, as the end of a phrase; empty if nothing does."""
    bits = survey.image.geometry.cluster_bits
    others: list[str] = []
    for entry in entries[:KEPT_CLUSTERS]:
        cluster = (entry.raw & int(L1Entry.l2_table_offset.mask)) >> bits
        owners = [each for each in metadata_names(survey, cluster) if each[0] not in (Owner.L2, Owner.L2_SNAPSHOT)]
        others += [f"{owner.word} {path}" for owner, path in owners[:1]]
        if not owners and survey.referrers.get(cluster):
            others.append(f"guest data {entry_evidence(survey, survey.referrers[cluster][0]).path}")
    more = f", and {len(others) - 1:,} more such" if len(others) > 1 else ""
    return f" ({others[0]} in the same place{more})" if others else ""


def mistaken(survey: Survey, *kinds: ClusterType) -> int:
    """Guest clusters that seem to be of some types, and are what overwritten tables hold."""
    rows = sorted(survey.overwritten)
    if survey.table_types is None or survey.tables is None or not rows:
        return 0
    return int((survey.table_types[rows][:, list(kinds)].sum(axis=1) * survey.tables.mapped[rows]).sum())


def first_content(image: Image, start: int) -> int | None:
    """Host offset of the first byte from ``start`` on that is not zero; None if there is none in the first 256 MiB."""
    looked = 0
    for part in image.source.data_ranges(HostRange.at(start, max(0, image.end - start))):
        for at in range(int(part.start), int(part.end), _PIECE):
            data = image.read(at, min(_PIECE, int(part.end) - at))
            content = data.lstrip(b"\0")
            if content:
                return at + len(data) - len(content)
            looked += len(data)
            if looked >= _LOOKED_AT:
                return None
    return None


def target_of(survey: Survey, entry: OddEntry) -> int:
    """Where an entry leads."""
    if entry.mapping is not None and entry.l2_index is not None and entry.raw & L2Entry.compressed.mask:
        return int(compressed_descriptor(survey.image.geometry.cluster_bits)(entry.raw).host_offset)
    return entry.raw & int(L1Entry.l2_table_offset.mask)


def differences(survey: Survey) -> Iterator[str]:
    """Where ``qemu-img check`` judges otherwise, and why."""
    qemu = survey.qemu
    if qemu.failed:
        yield f"qemu-img check ends without a verdict: {qemu.failed}"
        return
    yield from _false_alarms(survey)
    yield from _blind_spots(survey)


def _false_alarms(survey: Survey) -> Iterator[str]:
    flags = survey.odd_count.get(Odd.L1_FLAGS_ONLY, 0)
    if flags:
        entries = counted(flags, "L1 entry", "L1 entries")
        yield f"qemu-img check takes the header for an L2 table, because {entries} have flags but no offset"
    if survey.overwritten:
        tables = counted(len(survey.overwritten), "table")
        hold = "holds" if len(survey.overwritten) == 1 else "hold"
        yield f"qemu-img check judges {tables} that {hold} no entries entry by entry"
    low = sum(survey.faults.count.get(fault, 0) for fault in (Fault.REF_LOW, Fault.REF_ZERO, Fault.BLOCK_MISSING))
    if low and survey.image.header.incompatible_features.dirty:
        clusters = counted(low, "cluster")
        yield (
            f"qemu-img check calls the refcounts of {clusters} corrupt; the image was not closed cleanly and QEMU sets "
            "them right when it opens the image for writing"
        )


def _blind_spots(survey: Survey) -> Iterator[str]:
    unseen = {
        Odd.L2_ZERO_V2: "the zero flag in a version 2 image, which QEMU refuses to read",
        Odd.EXT_BIT0: "bit 0 of extended L2 entries",
        Odd.L2_COPIED_ONLY: "L2 entries with COPIED but without an offset",
    }
    for kind, words in unseen.items():
        if survey.odd_count.get(kind, 0):
            yield f"qemu-img check does not look at {words} ({survey.odd_count[kind]:,} here)"
