"""Recipes: what an image shall hold, in a few readable lines; and what shall be wrong with it.

::

    Recipe(Layout(size=1 << 20), clusters={0: Data(b"boot"), 3: Compressed(b"text"), 5: Zero()},
           damage={"L1[0].L2[0]": 0x1_0001, "hdr.incompatible_features.corrupt": 1})

Damage is written last, at the addresses of the finished image (:mod:`qcow2inspect.image.address`): a whole field,
one of its bit fields, or raw bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qcow2inspect.build.writer import ImageWriter, Layout
from qcow2inspect.codec import codec_for
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.snapshot import SnapshotExtra
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qcow2inspect.layout.node import Node

__all__ = [
    "Cluster",
    "Compressed",
    "Data",
    "DirtyBitmap",
    "Recipe",
    "Snapshot",
    "Subclusters",
    "Zero",
    "build",
    "patch",
]


@dataclass(frozen=True)
class Data:
    """A guest cluster stored as it is; short data is repeated to fill it."""

    data: bytes


@dataclass(frozen=True)
class Compressed:
    """A guest cluster stored compressed; short data is repeated to fill it."""

    data: bytes


@dataclass(frozen=True)
class Zero:
    """A guest cluster that reads as zeros; ``keep`` stays in a host cluster (zero-alloc)."""

    keep: bytes = b""


@dataclass(frozen=True)
class Subclusters:
    """A guest cluster of an image with extended L2 entries, with its bitmap; without data no host cluster."""

    bitmap: int
    data: bytes = b""


Cluster = Data | Compressed | Zero | Subclusters


@dataclass(frozen=True)
class Snapshot:
    """An internal snapshot, and what is written after it was taken.

    Attributes:
        name: its name.
        then: guest clusters that are written later.
        date_sec: when it was taken, seconds since 1970.
        disk_size: disk size of its entry; by default that of the image.
        ident: its id; by default its number.
        extra: the extra data of its entry, instead of VM state size, disk size and instruction count.
    """

    name: bytes
    then: Mapping[int, Cluster] = field(default_factory=dict)
    date_sec: int = 0
    disk_size: int | None = None
    ident: bytes = b""
    extra: bytes | None = None


@dataclass(frozen=True)
class DirtyBitmap:
    """A persistent dirty bitmap: its name, the bits that are set, and the fields of its directory entry."""

    name: bytes
    dirty: tuple[int, ...] = ()
    granularity_bits: int = 16
    flags: int = 2
    extra: bytes = b""


@dataclass(frozen=True)
class Recipe:
    """What an image shall hold.

    Attributes:
        layout: what is the same for the whole image.
        clusters: guest cluster number -> what it is; others stay unallocated.
        snapshots: taken in this order after ``clusters`` are written.
        bitmaps: persistent dirty bitmaps.
        passphrase: with ``crypt_method`` AES, what the guest data is encrypted with.
        damage: address -> value, written last.
        end: size to which the file is cut or extended at last; None leaves it.
    """

    layout: Layout
    clusters: Mapping[int, Cluster] = field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()
    bitmaps: tuple[DirtyBitmap, ...] = ()
    passphrase: bytes = b""
    damage: Mapping[str, int | bytes] = field(default_factory=dict)
    end: int | None = None


class _Memory:
    """A :class:`~qcow2inspect.build.writer.Target` in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        if offset + len(data) > len(self.data):
            self.data.extend(bytes(offset + len(data) - len(self.data)))
        self.data[offset : offset + len(data)] = data

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size]).ljust(size, b"\0")

    def truncate(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))


def build(recipe: Recipe) -> bytes:
    """The bytes of the image.

    Raises:
        ValueError: the recipe contradicts itself.
        BadAddress: damage is asked for where there is nothing.
    """
    target = _Memory()
    writer = ImageWriter(target, recipe.layout)
    _put_all(writer, recipe, recipe.clusters)
    for snapshot in recipe.snapshots:
        extra = _extra(snapshot, recipe.layout) if snapshot.extra is None else snapshot.extra
        writer.take_snapshot(snapshot.name, ident=snapshot.ident, date_sec=snapshot.date_sec, extra=extra)
        _put_all(writer, recipe, snapshot.then)
    for bitmap in recipe.bitmaps:
        writer.put_bitmap(
            bitmap.name,
            bitmap.dirty,
            granularity_bits=bitmap.granularity_bits,
            flags=bitmap.flags,
            extra=bitmap.extra,
        )
    writer.finish()
    if recipe.damage:
        patch(target.data, recipe.damage)
    if recipe.end is not None:
        target.truncate(recipe.end)
    return bytes(target.data)


def patch(data: bytearray, damage: Mapping[str, int | bytes]) -> None:
    """Write values at addresses of the image in ``data``; all addresses are those of the image before.

    Raises:
        BadAddress: an address leads nowhere.
        OverflowError: a value does not fit its field.
    """
    tree = Tree(Image(MemorySource(bytes(data))))
    nodes = [(resolve(tree, address).node, value) for address, value in damage.items()]
    for node, value in nodes:
        raw = value if isinstance(value, bytes) else _with_bits(data, node, value)
        data[node.where.start : node.where.start + len(raw)] = raw


def _with_bits(data: bytearray, node: Node, value: int) -> bytes:
    """The bytes of a field with ``value`` in it, or in the bits of it that the node names.

    A flag takes 0 or 1 and a refcount takes its number; other bit fields take the bits in their place, as an
    offset is written.
    """
    size = min(node.where.size, 8)
    if node.bits is None:
        return value.to_bytes(size, "big")
    low, high = node.bits
    mask = ((1 << (high - low + 1)) - 1) << low
    placed = value << low if low == high or node.path.startswith("ref[") else value
    if placed & ~mask:
        raise OverflowError(f"{node.path} cannot hold {value:#x}")
    old = int.from_bytes(data[node.where.start : node.where.start + size], "big")
    return (old & ~mask | placed).to_bytes(size, "big")


def _extra(snapshot: Snapshot, layout: Layout) -> bytes:
    size = layout.size if snapshot.disk_size is None else snapshot.disk_size
    return SnapshotExtra(0, GuestOffset(size), (1 << 64) - 1).encode()


def _put_all(writer: ImageWriter, recipe: Recipe, clusters: Mapping[int, Cluster]) -> None:
    for index, cluster in clusters.items():
        _put(writer, recipe, index, cluster)


def _put(writer: ImageWriter, recipe: Recipe, index: int, cluster: Cluster) -> None:
    size = writer.geometry.cluster_size
    if isinstance(cluster, Zero):
        writer.put_zero(index, _filled(cluster.keep, size) if cluster.keep else b"")
    elif isinstance(cluster, Compressed):
        writer.put_compressed(index, codec_for(recipe.layout.compression).compress(_filled(cluster.data, size)))
    elif isinstance(cluster, Subclusters):
        writer.put_subclusters(index, _filled(cluster.data, size) if cluster.data else b"", cluster.bitmap)
    else:
        data = _filled(cluster.data, size)
        if recipe.layout.crypt_method is CryptMethod.AES and recipe.passphrase:
            data = _encrypt(data, recipe.passphrase, index * size // SECTOR)
        writer.put(index, data)


def _filled(data: bytes, size: int) -> bytes:
    """``data`` repeated to ``size`` bytes."""
    return (data * -(-size // len(data)))[:size] if data else bytes(size)


def _encrypt(data: bytes, passphrase: bytes, sector: int) -> bytes:
    """Legacy encryption: AES-128-CBC, the passphrase as key, the guest sector number as initialization vector."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = passphrase[:16].ljust(16, b"\0")
    out = []
    for at in range(0, len(data), SECTOR):
        vector = (sector + at // SECTOR).to_bytes(8, "little") + bytes(8)
        encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
        out.append(encryptor.update(data[at : at + SECTOR]) + encryptor.finalize())
    return b"".join(out)
