"""Images as writers with bugs left them: what was reported of them, made small."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass, replace

from qcow2inspect.build.recipe import Data, Recipe, build, patch
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.image import Image
from tests.images import image_of

CLUSTER = 512
SPAN = 64
TABLES = 200
EACH = 6
COPIED = 1 << 63
COUNTS = b"\0\1" * 4
"""Four refcounts of one: as an L2 entry, a cluster that reads as zeros and lies far past the end of the file."""
WHOLE = Recipe(
    Layout(size=TABLES * SPAN * CLUSTER, cluster_bits=9),
    {table * SPAN + 7 * index: Data(b"%d/%d " % (table, index)) for table in range(TABLES) for index in range(EACH)},
)


def table_at(image: Image, index: int) -> int:
    """Host offset of the L2 table of an L1 entry."""
    return int(image.l1[index].l2_table_offset)


def written_by_guest(seed: int, size: int) -> bytes:
    """Text of letters alone: none of it looks like an L2 entry that a reader would accept."""
    chance = random.Random(seed)
    return "".join(chance.choices(string.ascii_letters, k=size)).encode()


@dataclass(frozen=True)
class DoubleAllocation:
    """A writer took clusters that were in use: L2 tables became refcount blocks or guest data, others are used twice.

    Attributes:
        tables: L2 tables in all.
        blocks: how many of them became refcount blocks.
        guest: how many of them became guest data.
        cluster_bits: log2 of the cluster size.
        block: refcounts that are repeated over a refcount block.
        half: True if only the first half of what was written is other than zero.
        claimed: True if the refcount table and other L2 entries lead to what was written.
        refcount_order: log2 of the width of a refcount.
        letters: what stands where a guest wrote, repeated; empty for letters in no order.
    """

    tables: int = TABLES
    blocks: int = 118
    guest: int = 16
    cluster_bits: int = 9
    block: bytes = COUNTS
    half: bool = False
    claimed: bool = False
    refcount_order: int = 4
    letters: bytes = b""

    def image(self) -> bytes:
        """The image file."""
        size = 1 << self.cluster_bits
        span = size // 8
        layout = Layout(self.tables * span * size, cluster_bits=self.cluster_bits, refcount_order=self.refcount_order)
        places = [table * span + index * span // 8 for table in range(self.tables) for index in range(EACH)]
        data = bytearray(build(Recipe(layout, {at: Data(b"%d " % at) for at in places})))
        image = image_of(bytes(data))
        hit = random.Random(self.tables).sample(range(self.tables), self.blocks + self.guest)
        for number, table in enumerate(hit):
            at, written = table_at(image, table), size // 2 if self.half else size
            content = self.block * (written // 8) if number < self.blocks else self._guest(number, written)
            data[at : at + size] = content.ljust(size, b"\0")
        free = sorted(set(range(self.tables)) - set(hit))
        first = image.l2_table(image.l1[free[0]].l2_table_offset)
        patch(data, {f"L1[{free[1]}].L2[{span - 2 - index}]": first[index * span // 8].raw for index in (0, 1)})
        if self.claimed:
            patch(data, {f"rt[{3 + n}]": table_at(image, table) for n, table in enumerate(hit[: self.blocks][:4])})
            guest = [COPIED | table_at(image, table) for table in hit[self.blocks :][:4]]
            patch(data, {f"L1[{free[1]}].L2[{span - 8 - n}]": raw for n, raw in enumerate(guest)})
        return bytes(data)

    def _guest(self, number: int, size: int) -> bytes:
        return (self.letters * size)[:size] if self.letters else written_by_guest(number, size)


def double_allocation() -> bytes:
    """Of 200 L2 tables 118 became refcount blocks and 16 guest data; two clusters of data are used twice."""
    return DoubleAllocation().image()


def claimed_by_refcounts() -> bytes:
    """An L2 table lies where a refcount table entry says a refcount block is, and holds one."""
    data = bytearray(build(replace(WHOLE, clusters={0: Data(b"a"), SPAN: Data(b"b")})))
    at = table_at(image_of(bytes(data)), 1)
    data[at : at + CLUSTER] = COUNTS * 40 + bytes(CLUSTER - 320)
    patch(data, {"rt[1]": at})
    return bytes(data)


def punched() -> bytes:
    """Three L2 tables were punched out of the file: they are zeros now, and what they mapped is left behind."""
    data = bytearray(build(WHOLE))
    image = image_of(bytes(data))
    for index in (20, 21, 90):
        at = table_at(image, index)
        data[at : at + CLUSTER] = bytes(CLUSTER)
    return bytes(data)
