"""The catalogue of findings: every code of it has a rule, and every rule is in it or says why it is not."""

from __future__ import annotations

from qcow2inspect.rules import all_rules

CATALOGUE = {
    "BACK": (
        "ABS DEPTH DEVICE EMPTY FMT-MISMATCH LONG LOOP MISSING NEWER NOFMT NUL OFFSET PRESENT PROTO RAWDATA "
        "SIZE TRAVERSAL"
    ),
    "BMP": "BIT-NOEXT DIR-BAD DUP-NAME ENTRY-BAD EXT-BAD FLAG2 INUSE STALE TABLE-BAD TAILBITS",
    "CMP": "BADSTREAM COPIED EOF HIGHBITS LONG OVERLAP OVERSIZED SHORT SLACK WINDOW WRONGTYPE",
    "CRY": "AES EXT-BAD EXT-UNEXPECTED LUKS LUKS-BAD NOEXT PLAINTEXT SLOT-RESIDUE",
    "DF": "COMPRESSED COPIED MISSING NONAME OFFSET PATH PRESENT RAW-NOBIT SHORT SNAPSHOTS",
    "EXT": "DUP FEATNAME-ODD NOEND OVERRUN PADDING UNKNOWN",
    "EXTL2": "ALLOC-NOHOST CMP-BITMAP OVERLAP",
    "HDR": (
        "AUTOCLEAR-UNKNOWN CLUSTERBITS COMPAT-UNKNOWN COMPBIT COMPTYPE CORRUPT CRYPT DIRTY INCOMPAT-UNKNOWN "
        "L1-EOF L1-EXCESS L1-LARGE L1-OFFSET L1-SMALL LAYOUT LAZY LENGTH-ALIGN LENGTH-CLUSTER LENGTH-SHORT "
        "MAGIC PADDING REFORDER RT-EOF RT-LARGE RT-NONE RT-OFFSET SIZE-HIDES SIZE-HUGE SIZE-UNALIGNED "
        "SIZE-ZERO SLACK SNAP-COUNT SNAP-OFFSET TRUNCATED UNKNOWN-FIELDS VERSION"
    ),
    "IMG": "ALIAS-BOMB CHECKPARITY FREE-CONTENT NESTED SPARSE-HOLES TRAILING TRUNCATED ZERO-STALE",
    "L1": "COPIED DUP EOF INTO-META RESERVED UNALIGNED ZERO-FLAGS",
    "L2": (
        "BEYOND COPIED COPIED-NOOFFSET EMPTY EOF EOF-PARTIAL EXT-BIT0 INTO-META LOOKS-DATA LOOKS-REFBLOCK "
        "PREALLOC-UNALIGNED RESERVED SELF SHARED UNALIGNED WIPED ZERO-V2"
    ),
    "MAP": "OVERLAP",
    "RB": "INTO-META SELF-UNCOUNTED",
    "REF": "BLOCKMISSING EOF LEAK LOW ORPHAN OVERFLOW ZERO",
    "RT": "DUP EOF RESERVED UNALIGNED",
    "SNAP": (
        "DISKSIZE EXTRA-HUGE EXTRA-SHORT ID-DUP ID-EMPTY L1-EOF L1-IS-ACTIVE L1-LARGE L1-SMALL L1-UNALIGNED "
        "NAME-DUP PRESENT TABLE-EOF TABLE-HUGE TABLE-OVERRUN TIME UNKNOWN-EXTRA VMSTATE VMSTATE-BAD"
    ),
    "V1": "L2-CSIZE L2-MISALIGNED",
}
"""What a code is about -> its findings."""

WITHOUT_RULE = {
    "QCOW-V1-L2-CSIZE": "images of version 1 have no survey: reading such a cluster says why it fails",
    "QCOW-V1-L2-MISALIGNED": "images of version 1 have no survey: reading such a cluster says why it fails",
}
"""Codes of the catalogue that no rule has, and why."""

ADDED = {
    "QCOW-BACK-FMT-LONG": "QEMU refuses an image for it",
    "QCOW-CMP-PRESENT": "a fact that every view of an image flags",
    "QCOW-CRY-EOF-PARTIAL": "noise must not be shown without a flag",
    "QCOW-DF-SELF": "an image that names itself shows the guest its own tables",
    "QCOW-FILE-CHANGED": "what was read belongs to two states of the file",
    "QCOW-HDR-SUBCLUSTER": "QEMU refuses an image for it",
}
"""Rules that are not in the catalogue, and why they are there."""


def test_every_code_of_the_catalogue_has_a_rule() -> None:
    codes = {f"QCOW-{area}-{rest}" for area, rests in CATALOGUE.items() for rest in rests.split()}
    rules = {rule.code for rule in all_rules()}
    assert codes - rules == set(WITHOUT_RULE)
    assert rules - codes == set(ADDED)
