"""What the structures of an image say: header, extensions, snapshots, bitmaps, encryption."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.dossier.section import Field, Section, Table
from qcow2inspect.dossier.values import Name, Nothing, Size, Time
from qcow2inspect.errors import CannotRead, Qcow2InspectError
from qcow2inspect.format.geometry import MAX_BACKING_NAME, SECTOR
from qcow2inspect.format.luks import SlotState
from qcow2inspect.image.facts import encryption_words
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.layout.structure import printable
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.dossier.values import Value
    from qcow2inspect.format.bitmap import Bitmap
    from qcow2inspect.format.luks import LuksHeader
    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.image.chain import AnyImage, Layer
    from qcow2inspect.layout.node import Node

__all__ = ["bitmap_section", "encryption_section", "header_section", "snapshot_section"]

_MOST = 1000
_SHOWN_BYTES = 16
_FIELD_COLUMNS = (
    ("offset", "offset"),
    ("size", "bytes"),
    ("path", "field"),
    ("raw", "as stored"),
    ("value", "value"),
    ("meaning", "meaning"),
)


def header_section(image: AnyImage, command: str) -> Section:
    """The header and its extensions, field by field."""
    rows = tuple(_field(image, node) for node in _leaves(_header_nodes(image)))
    tables = [Table("fields", "Header fields", _FIELD_COLUMNS, rows)]
    if isinstance(image, Image):
        tables.append(_extensions(image))
    return Section("header", "Header", tables=tuple(tables), commands=(f"{command} header IMAGE",))


def _header_nodes(image: AnyImage) -> Sequence[Node]:
    if isinstance(image, Image):
        return Tree(image).front.header.children()
    return image.header.nodes(0, "hdr", "header", "Header, version 1")


def _leaves(nodes: Sequence[Node]) -> Iterator[Node]:
    """The nodes that are not made of smaller whole-byte ones."""
    for node in nodes:
        parts = [child for child in node.children() if child.bits is None]
        yield from _leaves(parts) if parts else (node,)


def _field(image: AnyImage, node: Node) -> tuple[Value, ...]:
    raw: Value
    try:
        data = image.source.read_at(int(node.where.start), min(node.where.size, _SHOWN_BYTES))
        raw = data.hex() + ("..." if node.where.size > _SHOWN_BYTES else "") if data else Nothing.ABSENT
    except CannotRead:
        raw = Nothing.UNREADABLE
    return (node.where.start, node.where.size, node.path, raw, node.shown, node.doc)


def _extensions(image: Image) -> Table:
    area = image.extensions
    columns = (("offset", "offset"), ("kind", "kind"), ("magic", "magic"), ("length", "length"), ("content", "content"))
    rows: list[tuple[Value, ...]] = [
        (item.at, item.TITLE, f"{item.record.magic:#010x}", Size(item.record.length), Name(item.shown))
        for item in area.extensions
    ]
    if area.overrun is not None:
        magic = f"{area.overrun.magic:#010x}"
        rows.append(
            (Nothing.NOT_CHECKED, "record that does not fit", magic, Size(area.overrun.length), Nothing.UNREADABLE)
        )
    return Table("extensions", "Header extensions", columns, tuple(rows))


def snapshot_section(image: AnyImage, command: str) -> Section:
    """The snapshot table."""
    columns = (
        ("id", "id"),
        ("name", "name"),
        ("taken", "taken (UTC)"),
        ("disk_size", "virtual size"),
        ("vm_state_size", "VM state"),
        ("vm_clock_nsec", "VM clock (ns)"),
        ("l1_offset", "L1 table at"),
        ("l1_size", "L1 entries"),
        ("entry_offset", "entry at"),
    )
    stated = image.header.nb_snapshots if isinstance(image, Image) else 0
    found = image.snapshots if isinstance(image, Image) else ()
    rows = tuple(_snapshot(snapshot) for snapshot in found[:_MOST])
    nothing = Nothing.UNREADABLE if stated else Nothing.ABSENT
    table = Table("snapshots", "Snapshots", columns, rows, len(found) - len(rows), nothing)
    fields = [Field("stated", "snapshots that the header counts", stated)]
    if stated:
        note = "" if len(found) == stated else "the rest of the table cannot be read"
        fields.append(Field("read", "entries that could be read", len(found), note))
    commands = (f"{command} hexdump IMAGE 'snap[0]'",) if found else (f"{command} header IMAGE",)
    return Section("snapshots", "Snapshots", fields=tuple(fields), tables=(table,), commands=commands)


def _snapshot(snapshot: Snapshot) -> tuple[Value, ...]:
    entry = snapshot.entry
    return (
        Name(_shortened(snapshot.id)),
        Name(_shortened(snapshot.name)),
        Time(entry.date_sec * 10**9 + entry.date_nsec),
        Size(snapshot.disk_size) if snapshot.disk_size is not None else Nothing.ABSENT,
        Size(snapshot.vm_state_size),
        entry.vm_clock_nsec,
        entry.l1_table_offset,
        entry.l1_size,
        snapshot.at,
    )


def bitmap_section(image: AnyImage, command: str) -> Section:
    """The bitmap directory."""
    columns = (
        ("name", "name"),
        ("granularity", "granularity"),
        ("in_use", "in use (not saved)"),
        ("auto", "enabled"),
        ("table_offset", "bitmap table at"),
        ("table_size", "entries"),
        ("entry_offset", "entry at"),
    )
    found = image.bitmaps if isinstance(image, Image) else ()
    rows = tuple(_bitmap(bitmap) for bitmap in found[:_MOST])
    table = Table("bitmaps", "Bitmaps", columns, rows, len(found) - len(rows))
    command = f"{command} bitmaps IMAGE" if isinstance(image, Image) else f"{command} header IMAGE"
    fields = (Field("count", "bitmaps", len(found)),)
    return Section("bitmaps", "Persistent bitmaps", fields=fields, tables=(table,), commands=(command,))


def _bitmap(bitmap: Bitmap) -> tuple[Value, ...]:
    entry = bitmap.entry
    bits = entry.granularity_bits
    return (
        Name(_shortened(bitmap.name)),
        Size(1 << bits) if bits < 64 else f"impossible: 2^{bits}",
        bool(entry.flags.in_use),
        bool(entry.flags.auto),
        entry.bitmap_table_offset,
        entry.bitmap_table_size,
        bitmap.at,
    )


def encryption_section(layer: Layer, command: str) -> Section:
    """How guest data is encrypted; nothing in it helps to find a key."""
    image = layer.image
    assert image is not None
    if not layer.is_encrypted:
        none = Field("method", "method", Nothing.ABSENT, "guest data is not encrypted")
        return Section("encryption", "Encryption", fields=(none,), commands=(f"{command} header IMAGE",))
    words = encryption_words(image) if isinstance(image, Image) else "AES (legacy)"
    key = isinstance(layer.cipher, Qcow2InspectError) or layer.cipher is None
    fields = (
        Field("method", "method", words),
        Field("key", "key", Nothing.ABSENT, "no passphrase was given: guest data is not read")
        if key
        else Field("key", "key", "derived from the passphrase that was given; never printed"),
    )
    luks = image.luks if isinstance(image, Image) else None
    more, tables = _luks(luks) if luks is not None else ((), ())
    commands = (f"{command} header IMAGE", *([f"{command} hexdump IMAGE 'luks'"] if luks is not None else []))
    return Section("encryption", "Encryption", fields=(*fields, *more), tables=tables, commands=commands)


def _luks(luks: LuksHeader) -> tuple[tuple[Field, ...], tuple[Table, ...]]:
    own = luks.fields
    fields = (
        Field("luks_offset", "LUKS header at", luks.at),
        Field("luks_version", "LUKS version", own.version),
        Field("cipher", "cipher", _text(own.cipher_name)),
        Field("cipher_mode", "mode", _text(own.cipher_mode)),
        Field("hash", "hash", _text(own.hash_spec)),
        Field("key_bits", "key (bits)", own.key_bytes * 8),
        Field("digest_iterations", "iterations of the key digest", own.mk_digest_iterations),
        Field("uuid", "UUID", Name(_text(own.uuid))),
    )
    columns = (
        ("slot", "slot"),
        ("state", "state"),
        ("iterations", "iterations"),
        ("stripes", "stripes"),
        ("key_material_offset", "key material at"),
    )
    rows = tuple(
        (
            str(number),
            {SlotState.ENABLED: "enabled", SlotState.DISABLED: "disabled"}.get(slot.active, slot.active.shown),
            slot.iterations,
            slot.stripes,
            HostOffset(luks.at + slot.key_material_offset * SECTOR),
        )
        for number, slot in enumerate(luks.slots)
    )
    return fields, (Table("slots", "Key slots", columns, rows),)


def _text(data: bytes) -> str:
    return printable(data.rstrip(b"\0"))


def _shortened(name: bytes) -> str:
    """A name as far as QEMU would store one; the table has room for 65,535 bytes in each of 65,536 names."""
    cut = f"... ({len(name):,} bytes)" if len(name) > MAX_BACKING_NAME else ""
    return printable(name[:MAX_BACKING_NAME]) + cut
