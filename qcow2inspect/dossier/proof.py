"""Findings with the bytes that prove them, and the rules with their outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.dossier.section import Excerpt, Proof, Section, Table
from qcow2inspect.errors import CannotRead
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.image.image import Image
from qcow2inspect.rules import all_rules
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qcow2inspect.dossier.gist import Dossier
    from qcow2inspect.dossier.values import Value
    from qcow2inspect.findings import Evidence, Finding
    from qcow2inspect.image.chain import AnyImage

__all__ = ["checks_section", "findings_section", "key_ranges", "name_ranges", "proofs_of", "titles"]

_LINE = 16
_MOST_BYTES = 6 * _LINE
_MOST_EXCERPTS = 4
_STRIPES = 4000
_OBSERVATIONS = (
    "What follows are observations on bytes of the file, heaviest first. They say what is there and what follows for a "
    "reader of the image, not who or what brought it about."
)


def titles() -> Mapping[str, str]:
    """Code of a finding -> its rule in a few words."""
    return {rule.code: rule.title for rule in all_rules()}


def findings_section(findings: Sequence[Finding], command: str) -> Section:
    """The findings themselves belong to the report; here stands how to repeat them."""
    commands = [f"{command} info IMAGE --json"]
    commands += [f"{command} explain {code}" for code in sorted({finding.code for finding in findings} & set(titles()))]
    return Section("findings", "Findings", (_OBSERVATIONS,), commands=tuple(commands))


def proofs_of(image: AnyImage, findings: Sequence[Finding], command: str, *, redact: bool) -> dict[int, list[Proof]]:
    """Finding number -> its evidence; the first few pieces with the bytes around them."""
    secret = [*key_ranges(image), *(name_ranges(image) if redact else ())]
    found: dict[int, list[Proof]] = {}
    for number, finding in enumerate(findings):
        found[number] = [
            Proof(
                evidence,
                _excerpt(image, evidence.where, secret, redact=redact) if place < _MOST_EXCERPTS else None,
                _repeat(evidence, command),
                any(part.overlaps(evidence.where) for part in secret),
            )
            for place, evidence in enumerate(finding.evidence)
        ]
    return found


def _repeat(evidence: Evidence, command: str) -> str:
    length = max(1, min(evidence.where.size, _MOST_BYTES))
    return f"{command} hexdump IMAGE {int(evidence.where.start):#x} -n {length}"


def _excerpt(image: AnyImage, where: HostRange, secret: list[HostRange], *, redact: bool) -> Excerpt:
    """The lines of 16 bytes that hold the evidence, and one before and behind them; only itself if names are hidden."""
    low, high = int(where.start), int(where.start) + min(where.size, _MOST_BYTES)
    start, end = low // _LINE * _LINE, -(-max(high, low + 1) // _LINE) * _LINE
    if not redact:
        start, end = max(0, start - _LINE), end + _LINE
    hidden = [(int(part.start) - start, int(part.end) - start) for part in secret if part.overlaps(_range(start, end))]
    if redact:
        hidden += [(0, low - start), (high - start, end - start)]
    try:
        data: bytes | None = image.source.read_at(start, end - start)
    except CannotRead:
        data = None
    return Excerpt(start, data, end - start, (low - start, high - start), tuple(hidden))


def _range(start: int, end: int) -> HostRange:
    return HostRange.at(start, end - start)


def key_ranges(image: AnyImage) -> Iterator[HostRange]:
    """Host bytes that help to find a key: digests, salts and key material of a LUKS header. They are never shown."""
    luks = image.luks if isinstance(image, Image) else None
    if luks is None:
        return
    yield HostRange.at(luks.at + 112, 52)  # digest of the master key and its salt
    for number, slot in enumerate(luks.slots):
        yield HostRange.at(luks.at + 208 + number * 48 + 8, 32)  # salt
        size = min(luks.fields.key_bytes, 1 << 10) * min(slot.stripes or _STRIPES, _STRIPES)
        yield HostRange.at(luks.at + slot.key_material_offset * SECTOR, size)


def name_ranges(image: AnyImage) -> Iterator[HostRange]:
    """Host bytes that hold names: of files, snapshots, bitmaps."""
    header = image.header
    if header.backing_file_offset:
        yield HostRange.at(header.backing_file_offset, max(header.backing_file_size, len(image.backing_name)))
    if not isinstance(image, Image):
        return
    yield from (extension.where for extension in image.extensions.extensions)
    for snapshot in image.snapshots:
        text = len(snapshot.id) + len(snapshot.name) + 7
        yield HostRange.at(snapshot.at + snapshot.size - text, text)
    for bitmap in image.bitmaps:
        yield HostRange.at(bitmap.at + 24 + bitmap.entry.extra_data_size, len(bitmap.name))


def checks_section(dossier: Dossier, *, has_rules: bool, sees_all: bool = True) -> Section:
    """Every rule and what came out.

    Args:
        dossier: what is known of the image.
        has_rules: False for a version that no rule knows.
        sees_all: True if every file that the image names is open, or it names none.
    """
    places: dict[str, int] = {}
    for finding in dossier.findings:
        places[finding.code] = places.get(finding.code, 0) + finding.count
    rows: list[tuple[Value, ...]] = []
    for rule in all_rules():
        outcome = "found" if rule.code in places else "nothing found"
        blind = (rule.needs_tables and not dossier.surveyed) or (rule.needs_deep and not dossier.deep)
        blind |= (rule.needs_chain and not sees_all) or rule.at_open
        if not has_rules or (blind and rule.code not in places):
            outcome = "not checked"
        rows.append((rule.code, outcome, places.get(rule.code, 0), str(rule.severity), rule.title))
    columns = (
        ("code", "code"),
        ("outcome", "outcome"),
        ("places", "places"),
        ("severity", "severity"),
        ("title", "looks for"),
    )
    passed = sum(row[1] == "nothing found" for row in rows)
    found = sum(row[1] == "found" for row in rows)
    skipped = len(rows) - passed - found
    prose = f"Of {len(rows)} rules {passed} found nothing, {found} found something, {skipped} did not run."
    return Section("checks", "Checks", (prose,), tables=(Table("rules", "Rules", columns, tuple(rows), long=True),))
