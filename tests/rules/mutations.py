"""Every field and flag that the format declares, changed one at a time: which rules see it, or that it is harmless.

``python -m tests.rules.mutations`` tries the values that the test takes its sample from; ``--full`` every bit of each
field, which takes some minutes; ``--show harmless`` (or ``found``) prints each of that outcome too.

The fields come from the declarations in :mod:`qcow2inspect.format`: the test fails if one of them is in no image.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qcow2inspect.build.recipe import Cluster, Compressed, Data, DirtyBitmap, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.bitmap import BitmapTableEntry
from qcow2inspect.format.extensions.base import Record
from qcow2inspect.format.extensions.bitmaps import Bitmaps
from qcow2inspect.format.extensions.encryption import EncryptionHeader
from qcow2inspect.format.extensions.feature_names import FeatureName, FeatureNames
from qcow2inspect.format.header import CompressionType, CryptMethod
from qcow2inspect.format.mapping import (
    CompressedDescriptor,
    L1Entry,
    L2Entry,
    SubclusterBitmap,
    compressed_descriptor,
    standard_entry,
)
from qcow2inspect.format.refcount import RefcountTableEntry
from qcow2inspect.image.chain import Chain
from qcow2inspect.image.dirty import DirtyBitmap as StoredBitmap
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.layout.structure import Structure
from qcow2inspect.layout.word import Word
from qcow2inspect.rules import examine
from qcow2inspect.survey.deep import look_deep
from qcow2inspect.survey.survey import take_survey
from tests.cipher.volumes import Volume
from tests.images import image_of, noise, read_or_error

MIB = 1 << 20
CLUSTER = 4096
PASSPHRASE = b"secret"


def _luks() -> bytes:
    """A LUKS header that :data:`PASSPHRASE` opens, with its key material."""
    volume = Volume(key_size=32)
    header = volume.header
    area = bytearray(2048 * 512)
    head = header.fields.encode() + b"".join(slot.encode() for slot in header.slots)
    area[: len(head)] = head
    at = header.slots[0].key_material_offset * 512
    area[at : at + len(volume.material[0])] = volume.material[0]
    return bytes(area)


MIXED: dict[int, Cluster] = {
    0: Data(noise(1, CLUSTER)),
    1: Compressed(noise(2, 3000).ljust(CLUSTER, b"\0")),
    2: Zero(),
    3: Zero(bytes(16)),
    4: Data(noise(3, CLUSTER)),
    5: Compressed(b"text " * 99),
    6: Data(noise(4, CLUSTER)),
    511: Data(b"last"),
}
TABLES = Layout(size=3 * MIB + MIB // 2, cluster_bits=12)
TAKEN = (
    Snapshot(b"first", {0: Data(b"newer"), 4: Zero()}, date_sec=1_000_000_000),
    Snapshot(b"second", {6: Data(b"newest")}, date_sec=1_100_000_000),
)
BASES: dict[str, Recipe] = {
    "plain": Recipe(TABLES, MIXED),
    "v2": Recipe(replace(TABLES, version=2), {0: Data(noise(1, CLUSTER)), 1: Compressed(b"text "), 600: Data(b"b")}),
    "zstd": Recipe(replace(TABLES, compression=CompressionType.ZSTD), MIXED),
    "extended": Recipe(
        Layout(size=16 * MIB, cluster_bits=14, extended_l2=True),
        {
            0: Subclusters(0x0000_F0F0_0000_0F0F, noise(4, 1 << 14)),
            1: Subclusters(0xFF << 32),
            2: Compressed(b"packed"),
            3: Data(noise(5, 1 << 14)),
        },
    ),
    "snapshots": Recipe(TABLES, MIXED, TAKEN),
    "overlay": Recipe(replace(TABLES, backing_name=b"base.raw", backing_format=b"raw"), MIXED),
    "data file": Recipe(
        Layout(size=MIB, cluster_bits=12, data_file=b"data.raw"),
        {0: Data(b"a"), 1: Zero(), 3: Zero(bytes(9)), 4: Data(b"b")},
    ),
    "bitmaps": Recipe(
        TABLES, MIXED, bitmaps=(DirtyBitmap(b"one", (0, 3, 15)), DirtyBitmap(b"two", (1,), granularity_bits=12))
    ),
    "LUKS": Recipe(
        replace(TABLES, crypt_method=CryptMethod.LUKS, luks_header=_luks()),
        {0: Data(noise(6, CLUSTER)), 600: Data(b"b")},
    ),
    "AES": Recipe(replace(TABLES, crypt_method=CryptMethod.AES), {0: Data(noise(6, CLUSTER))}, passphrase=PASSPHRASE),
    "refcounts of 1 bit": Recipe(replace(TABLES, refcount_order=0), {0: Data(b"a"), 600: Data(b"b")}),
}
"""Sound images that together have every structure."""


_SOUND = "one value is as sound as the other: nothing else in the image says which is right"
_KEYS = "only a passphrase that ought to open the volume and does not tells"
_BITMAP = "guest data and map stay as they are; nothing else in the image says what the bitmap should be"
EXCEPTIONS: dict[str, str] = {
    "HeaderV2.size": f"as long as tables and data fit the disk, {_SOUND}",
    "HeaderV2.crypt_method": f"AES or none: {_SOUND}",
    "L2Entry.reads_as_zero": f"{_SOUND}, unless data lies below the flag",
    "L2Entry.copied": "at guest offset 0 of a data file the flag alone says that the cluster is there",
    "SubclusterBitmap.reads_as_zero": _SOUND,
    "SubclusterBitmap.allocated": _SOUND,
    "LuksHeaderFields.mk_digest": _KEYS,
    "LuksHeaderFields.mk_digest_salt": _KEYS,
    "LuksHeaderFields.mk_digest_iterations": _KEYS,
    "LuksKeySlot.iterations": _KEYS,
    "LuksKeySlot.salt": _KEYS,
    "BitmapDirectoryEntry.granularity_bits": _BITMAP,
    "BitmapDirectoryEntry.name_size": _BITMAP,
    "text.bitmap name": _BITMAP,
}
"""Fields of which some changes are neither found nor harmless, and why no program could find them."""


# -- where the declared fields lie ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """One declared field, or bit field, in one image.

    Attributes:
        structure: name of the declaration.
        name: name of the field.
        at: host offset of the number, or of the bytes, that hold it.
        size: bytes of those.
        low, high: the bits that it has of them.
        what: which of several structures of the kind.
    """

    structure: str
    name: str
    at: int
    size: int
    low: int
    high: int
    what: str = ""

    @property
    def field(self) -> str:
        """Declaration and name."""
        return f"{self.structure}.{self.name}"

    def __str__(self) -> str:
        return f"{self.what} {self.field}".strip()


def _of_word(word: type[Word[Any]], at: int, what: str = "", name: str = "") -> Iterator[Site]:
    for bits in word.FIELDS:
        yield Site(name or word.__name__, bits.name, at, word.WIDTH // 8, bits.low, bits.high, what)


def _of_structure(value: Structure, at: int, what: str = "", *, stop: int = 1 << 62) -> Iterator[Site]:
    """The rows of a structure before byte ``stop``; those that are words as their bit fields too."""
    for row in value.ROWS:
        if row.at >= stop:
            return
        declared = next(kind for kind in reversed(type(value).__mro__) if row in getattr(kind, "ROWS", ()))
        yield Site(declared.__name__, row.name, at + row.at, row.size, 0, 8 * row.size - 1, what)
        field = getattr(value, row.name)
        if isinstance(field, Word):
            yield from _of_word(type(field), at + row.at, what)


def _of_text(name: str, at: int, size: int, what: str = "") -> Iterator[Site]:
    if size:
        yield Site("text", name, at, size, 0, 8 * size - 1, what)


def sites(image: Image) -> Iterator[Site]:
    """All fields of an image, of tables the first entries of each kind."""
    yield from _of_structure(image.header, 0, stop=image.header.stored_size)
    yield from _of_text("backing name", image.header.backing_file_offset, len(image.backing_name))
    yield from _extensions(image)
    yield from _mapping(image, image.header.l1_table_offset, "active")
    for index, snapshot in enumerate(image.snapshots):
        what = f"snapshot {index}"
        yield from _of_structure(snapshot.entry, snapshot.at, what)
        at = snapshot.at + snapshot.entry.SIZE
        yield from _of_structure(snapshot.extra, at, what)
        yield from _of_text("id", at + snapshot.extra_size, len(snapshot.id), what)
        yield from _of_text("name", at + snapshot.extra_size + len(snapshot.id), len(snapshot.name), what)
        if not index:
            yield from _mapping(image, snapshot.entry.l1_table_offset, what)
    yield from _refcounts(image)
    yield from _bitmaps(image)
    if image.luks is not None:
        yield from _of_structure(image.luks.fields, image.luks.at)
        for index in (0, 1):
            slot = image.luks.slots[index]
            at = image.luks.at + image.luks.fields.SIZE + index * slot.SIZE
            yield from _of_structure(slot, at, f"slot {index}")


def _extensions(image: Image) -> Iterator[Site]:
    for extension in image.extensions.extensions:
        yield from _of_structure(extension.record, extension.at, extension.TITLE)
        at = int(extension.data_at)
        if isinstance(extension, FeatureNames):
            for index in (0, len(extension.names) - 1):
                yield from _of_structure(extension.names[index], at + index * FeatureName.SIZE, f"name {index}")
        elif isinstance(extension, (Bitmaps, EncryptionHeader)) and extension.pointer is not None:
            yield from _of_structure(extension.pointer, at)
        else:
            yield from _of_text(extension.TITLE, at, len(extension.data))
    if image.extensions.end_marker is not None:
        end = image.extensions.end_marker
        yield from _of_structure(Record.parse(image.read(end, Record.SIZE)), end, "end marker")


def _mapping(image: Image, at: int, what: str) -> Iterator[Site]:
    """The first and the last L1 entry, and the first L2 entry of each type of the first L2 table."""
    count = image.header.l1_size
    for index in sorted({0, count - 1}):
        yield from _of_word(L1Entry[int], at + 8 * index, f"{what} L1[{index}]")
    table = image.l2_table(L1Entry(int.from_bytes(image.read(at, 8), "big")).l2_table_offset)
    seen = set()
    for index in range(len(table)):
        raw = table[index].raw
        kind = (raw >> 62, raw & 1, raw & int(L2Entry.host_cluster_offset.mask) != 0, *table.words()[index, 1:])
        if kind in seen:
            continue
        seen.add(kind)
        where, name = int(table.where(index).start), f"{what} L2[{index}]"
        if raw & L2Entry.compressed.mask:
            declared = compressed_descriptor(image.geometry.cluster_bits)
            yield from _of_word(declared, where, name, CompressedDescriptor.__name__)
        else:
            yield from _of_word(standard_entry(table.extended), where, name)
        if table.extended:
            yield from _of_word(SubclusterBitmap[int], where + 8, name)


def _refcounts(image: Image) -> Iterator[Site]:
    table = image.refcount_table
    for index in (0, len(table) - 1):
        yield from _of_word(RefcountTableEntry[int], table.at + 8 * index, f"rt[{index}]")
    bits = image.geometry.refcount_bits
    for cluster in range(-(-image.end // image.geometry.cluster_size) + 2):
        where = image.refcount_where(cluster)
        if where is not None and (cluster < 24 or cluster * image.geometry.cluster_size >= image.end):
            low = cluster * bits % 8 if bits < 8 else 0
            yield Site("refcount", "refcount", int(where.start), where.size, low, low + bits - 1, f"ref[{cluster}]")


def _bitmaps(image: Image) -> Iterator[Site]:
    for index, bitmap in enumerate(image.bitmaps):
        what = f"bitmap {index}"
        yield from _of_structure(bitmap.entry, bitmap.at, what)
        yield from _of_text("bitmap name", bitmap.at + bitmap.entry.SIZE, len(bitmap.name), what)
        yield from _of_word(BitmapTableEntry[int], bitmap.entry.bitmap_table_offset, what)


# -- mutations --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutation:
    """A field with another value."""

    site: Site
    value: int

    def apply(self, data: bytes) -> bytes:
        """The image with the value."""
        site = self.site
        old = int.from_bytes(data[site.at : site.at + site.size], "big")
        mask = (1 << site.high + 1) - (1 << site.low)
        new = old & ~mask | self.value << site.low
        return data[: site.at] + new.to_bytes(site.size, "big") + data[site.at + site.size :]

    def __str__(self) -> str:
        return f"{self.site} = {self.value:#x}"


def mutations(image: Image, *, full: bool) -> Iterator[Mutation]:
    """All mutations of an image, in order of place."""
    chance = random.Random(1)
    places = _places(image)
    for site in sites(image):
        width = site.high - site.low + 1
        old = int.from_bytes(image.read(site.at, site.size), "big") >> site.low & (1 << width) - 1
        values = {old ^ 1 << bit for bit in _bits(width, full=full, chance=chance)}
        if width > 1 and site.structure != "text":
            values |= {0, (1 << width) - 1, (old + 1) % (1 << width), (old - 1) % (1 << width)}
        if "offset" in site.name:
            shift = site.low if site.structure != "CompressedDescriptor" else 0
            values |= {place >> shift for place in places if place >> shift < 1 << width}
        yield from (Mutation(site, value) for value in sorted(values - {old}))


def sample(image: Image, most: int) -> list[Mutation]:
    """At least one mutation of each field, others at random up to ``most``; always the same."""
    chosen = list(mutations(image, full=False))
    random.Random(2).shuffle(chosen)
    first = {mutation.site: mutation for mutation in chosen}
    return list(dict.fromkeys([*first.values(), *chosen]))[: max(most, len(first))]


def _bits(width: int, *, full: bool, chance: random.Random) -> Sequence[int]:
    """All bits of small fields, the outer and some inner ones of wide fields."""
    if full or width <= 8:
        return range(width)
    return sorted({0, 3, 7, 12, width - 1, *chance.sample(range(width), 3)} & set(range(width)))


def _places(image: Image) -> list[int]:
    """Where structures and data lie."""
    header, size = image.header, image.geometry.cluster_size
    places = {0, int(header.l1_table_offset), int(header.refcount_table_offset), int(image.end), 1 << 40}
    places |= {int(image.l1[0].l2_table_offset), int(image.refcount_table[0].refcount_block_offset)}
    places |= {snapshot.entry.l1_table_offset for snapshot in image.snapshots}
    places |= {int(header.snapshots_offset), int(image.end) - size}
    return sorted(places)


# -- judgement --------------------------------------------------------------------------------------------------

FOUND, HARMLESS, MISSED, EXCEPTED = "found", "harmless", "missed", "excepted"


class Judge:
    """Says what becomes of mutations of one image.

    Args:
        data: the image.
        folder: where the files lie that it names.
    """

    def __init__(self, data: bytes, folder: Path) -> None:
        self._path = folder / "top.qcow2"
        self._data = data
        self._counts, self._all_counts = Counter[str](), Counter[str]()
        with self._opened(data) as chain:
            self._counts = self._codes(chain, deep=False)
            self._all_counts = self._codes(chain, deep=True)

    def _opened(self, data: bytes) -> Chain:
        self._path.write_bytes(data)
        return open_chain(self._path, OpenGate(Follow.FOLDER))

    @staticmethod
    def _codes(chain: Chain, *, deep: bool) -> Counter[str]:
        survey = take_survey(chain.qcow2, chain=chain)
        if deep:
            survey.deep = look_deep(survey)
        found = Counter[str]()
        for finding in examine(survey):
            found[finding.code] += finding.count
        return found

    @cached_property
    def _seen(self) -> list[object]:
        with self._opened(self._data) as chain:
            return seen(chain)

    def judge(self, mutation: Mutation) -> tuple[str, str]:
        """What becomes of a mutation, and the codes that found it, or what it changed."""
        try:
            chain = self._opened(mutation.apply(self._data))
        except Qcow2InspectError as error:
            return FOUND, getattr(error, "code", "") or type(error).__name__
        with chain:
            if new := self._codes(chain, deep=False) - self._counts:
                return FOUND, " ".join(sorted(new))
            if new := self._codes(chain, deep=True) - self._all_counts:
                return FOUND, " ".join(sorted(new))
            now = seen(chain)
        if now == self._seen:
            return HARMLESS, ""
        return EXCEPTED if mutation.site.field in EXCEPTIONS else MISSED, ", ".join(
            f"{str(was)[-60:]} -> {str(new)[-60:]}" for was, new in itertools.zip_longest(self._seen, now) if was != new
        )


def seen(chain: Chain) -> list[object]:
    """All that a reader gets: map and content of every state, VM states, bitmaps."""
    image = chain.qcow2
    if chain.is_encrypted:
        chain.layers[0].cipher = _unlocked(chain)
    states = [None, *range(len(image.snapshots))]
    found = [part for state in states for part in _state(chain, state)]
    for bitmap in image.bitmaps:
        found += [bitmap.name, _bits_of(image, bitmap)]
    return found


def _unlocked(chain: Chain) -> Any:
    layer = chain.layers[0]
    luks = chain.qcow2.luks
    if luks and max(luks.fields.mk_digest_iterations, *(slot.iterations for slot in luks.slots)) > 1 << 12:
        return Qcow2InspectError("takes too long")
    try:
        layer.unlock(PASSPHRASE)
    except Qcow2InspectError as error:
        return error
    return layer.cipher


def _state(chain: Chain, state: int | None) -> Iterator[object]:
    try:
        disk = chain.disk(state)
    except Qcow2InspectError as error:
        yield type(error)
        return
    yield disk.size
    step = 1 << 40
    for extent in itertools.islice(disk.extents(), 1000):
        size = min(step, extent.guest.size)
        content = b"" if extent.reads_as_zero else read_or_error(disk, extent.guest.start, min(size, 16 * MIB))
        yield extent.guest, extent.kind, extent.host, extent.layer, extent.past_end, content
    if state is not None and chain.qcow2.snapshots[state].vm_state_size:
        yield read_or_error(chain.vm_state(state), 0, MIB)


def _bits_of(image: Image, bitmap: Any) -> object:
    try:
        return list(itertools.islice(StoredBitmap(image, bitmap).dirty_ranges(), 100))
    except Qcow2InspectError as error:
        return type(error)


def prepare(folder: Path) -> None:
    """The files that the images name."""
    (folder / "base.raw").write_bytes(noise(9, 4 * MIB))
    (folder / "data.raw").write_bytes(noise(8, MIB))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--show", action="append", default=[MISSED])
    parser.add_argument("name", nargs="*", default=list(BASES))
    options = parser.parse_args(arguments)
    total = Counter[str]()
    with TemporaryDirectory() as folder:
        prepare(Path(folder))
        for name in options.name:
            data = build(BASES[name])
            judge, counts = Judge(data, Path(folder)), Counter[str]()
            for mutation in mutations(image_of(data), full=options.full):
                outcome, why = judge.judge(mutation)
                counts[outcome] += 1
                if outcome in options.show:
                    print(f"{name}: {outcome}: {mutation}: {why}")
            print(f"{name}: {dict(counts)}")
            total += counts
    print(dict(total))
    return int(bool(total[MISSED]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
