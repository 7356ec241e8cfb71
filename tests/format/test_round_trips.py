"""Every declared structure and word: encode is the inverse of parse, whatever the bytes are."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qcow2inspect.format
from qcow2inspect.format.geometry import CLUSTER_BITS
from qcow2inspect.format.mapping import compressed_descriptor
from qcow2inspect.format.v1 import compressed_descriptor_v1
from qcow2inspect.layout.structure import Structure
from qcow2inspect.layout.word import Word


def below(base: type[Any]) -> Iterator[type[Any]]:
    """All subclasses that the format package declares."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith("qcow2inspect.format"):
            yield kind
        yield from below(kind)


def load_all() -> None:
    for module in pkgutil.walk_packages(qcow2inspect.format.__path__, "qcow2inspect.format."):
        importlib.import_module(module.name)
    for bits in CLUSTER_BITS:
        compressed_descriptor(bits)
    for bits in range(9, 17):
        compressed_descriptor_v1(bits)


load_all()
STRUCTURES: list[type[Structure]] = sorted(set(below(Structure)), key=lambda kind: kind.__name__)
WORDS: list[type[Word[Any]]] = sorted({k for k in below(Word) if k.FIELDS}, key=lambda kind: kind.__name__)


def test_everything_is_found() -> None:
    assert {"Header", "SnapshotEntry", "LuksKeySlot", "FeatureName", "HeaderV1"} <= {k.__name__ for k in STRUCTURES}
    assert {"L1Entry", "L2Entry", "CompressedDescriptor21", "BitmapFlags"} <= {k.__name__ for k in WORDS}


@pytest.mark.parametrize("kind", STRUCTURES)
@given(data=st.data())
def test_structures(kind: type[Structure], data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=kind.SIZE, max_size=kind.SIZE))
    parsed = kind.parse(raw)
    assert parsed.encode() == raw
    assert kind.parse(parsed.encode()) == parsed


@pytest.mark.parametrize("kind", STRUCTURES)
@given(data=st.data())
def test_each_row_reads_exactly_its_bytes(kind: type[Structure], data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=kind.SIZE, max_size=kind.SIZE))
    parsed = kind.parse(raw)
    for row in kind.ROWS:
        value = getattr(parsed, row.name)
        there = raw[row.at : row.at + row.size]
        assert (value if row.is_bytes else int(value).to_bytes(row.size, "big")) == there


@pytest.mark.parametrize("kind", STRUCTURES)
@given(data=st.data())
def test_nodes_cover_the_structure_and_are_safe_to_print(kind: type[Structure], data: st.DataObject) -> None:
    nodes = kind.parse(data.draw(st.binary(min_size=kind.SIZE, max_size=kind.SIZE))).nodes(0x100, "x", "header")
    assert sum(node.where.size for node in nodes) == kind.SIZE
    assert all(node.shown.isprintable() and node.doc for node in nodes)


@pytest.mark.parametrize("kind", WORDS)
@given(data=st.data())
def test_words(kind: type[Word[Any]], data: st.DataObject) -> None:
    raw = data.draw(st.integers(0, (1 << kind.WIDTH) - 1))
    assert kind.make(**kind(raw).values()) == raw


@pytest.mark.parametrize("kind", [kind for kind in WORDS if kind.WIDTH == 64])
@given(raws=st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=8))
def test_columns_say_what_single_words_say(kind: type[Word[Any]], raws: list[int]) -> None:
    column = kind(np.array(raws, dtype=np.uint64))
    for bits in kind.FIELDS:
        assert [int(value) for value in getattr(column, bits.name)] == [getattr(kind(raw), bits.name) for raw in raws]
