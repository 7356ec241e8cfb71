"""Images as writers with bugs left them: what was reported of them, made small."""

from __future__ import annotations

import random
import string
from dataclasses import replace

from qcow2inspect.build.recipe import Data, Recipe, build, patch
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.image import Image
from tests.images import image_of

CLUSTER = 512
SPAN = 64
TABLES = 200
EACH = 6
COUNTS = b"\0\1" * 4
"""Four refcounts of one: as an L2 entry, a cluster that reads as zeros and lies far past the end of the file."""
WHOLE = Recipe(
    Layout(size=TABLES * SPAN * CLUSTER, cluster_bits=9),
    {table * SPAN + 7 * index: Data(b"%d/%d " % (table, index)) for table in range(TABLES) for index in range(EACH)},
)


def table_at(image: Image, index: int) -> int:
    """Host offset of the L2 table of an L1 entry."""
    return int(image.l1[index].l2_table_offset)


def written_by_guest(seed: int) -> bytes:
    """Text of letters alone: none of it looks like an L2 entry that a reader would accept."""
    chance = random.Random(seed)
    return "".join(chance.choices(string.ascii_letters, k=CLUSTER)).encode()


def double_allocation() -> bytes:
    """Of 200 L2 tables 118 became refcount blocks and 16 guest data; two clusters of data are used twice."""
    data = bytearray(build(WHOLE))
    image = image_of(bytes(data))
    for index in range(134):
        place = (index * 3) % 199  # scattered, each once
        at = table_at(image, place)
        data[at : at + CLUSTER] = COUNTS * (CLUSTER // 8) if index < 118 else written_by_guest(index)
    first, second = sorted(set(range(TABLES)) - {(index * 3) % 199 for index in range(134)})[:2]
    raws = [image.l2_table(image.l1[first].l2_table_offset)[7 * index].raw for index in (0, 1)]
    patch(data, {f"L1[{second}].L2[{50 + index}]": raw for index, raw in enumerate(raws)})
    return bytes(data)


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
