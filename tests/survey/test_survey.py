"""The survey counts what the map shows, once for each guest cluster, and reads no table twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.image import Image
from qcow2inspect.progress import Cancelled
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey.survey import KEPT, Odd, Survey, take_survey


def survey_of(data: bytes) -> Survey:
    return take_survey(Image(MemorySource(data)))


class CountingSource(MemorySource):
    """Counts the bytes that are read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.count = 0

    def read_at(self, offset: int, size: int) -> bytes:
        data = super().read_at(offset, size)
        self.count += len(data)
        return data


class Stop:
    """Progress that asks to stop at once."""

    def begin(self, what: str, total: int | None) -> None:
        pass

    def advance(self, amount: int) -> None:
        raise Cancelled


KINDS = st.sampled_from([Data(b"d"), Compressed(b"c"), Zero(), Zero(b"keep")])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 299), KINDS, max_size=20), st.integers(1, 300 * 512 // 512))
def test_counts_are_those_of_the_extents(clusters: dict[int, Cluster], sectors: int) -> None:
    size = max([sectors, *(index + 1 for index in clusters)]) * 512
    image = Image(MemorySource(build(Recipe(Layout(size=size, cluster_bits=9), clusters))))
    counted: dict[ClusterType, int] = {}
    for extent in image.active_disk().extents():
        counted[extent.kind] = counted.get(extent.kind, 0) + -(-extent.guest.size // 512)
    assert {kind: n for kind, n in take_survey(image).clusters.items() if n} == counted


def test_snapshots_do_not_count_as_active_clusters() -> None:
    survey = survey_of(build(demo_recipe()))
    assert sum(survey.clusters.values()) == 1024
    assert survey.clusters[ClusterType.COMPRESSED] == 48
    assert survey.l2_tables == 2
    assert survey.l1_used == 1


def test_an_l2_table_is_read_once_however_many_entries_lead_to_it() -> None:
    recipe = Recipe(Layout(size=64 * 512 * 4000, cluster_bits=9), {0: Data(b"x")})
    honest = build(recipe)
    entry = honest[Image(MemorySource(honest)).l1.at :][:8]
    aliased = bytearray(honest)
    at = int(Image(MemorySource(honest)).l1.at)
    aliased[at : at + 8 * 4000] = entry * 4000
    source = CountingSource(bytes(aliased))
    survey = take_survey(Image(source))
    assert survey.l2_tables == 1
    assert survey.clusters[ClusterType.NORMAL] == 4000
    assert source.count < 3 * len(aliased)


def test_kept_entries_are_bounded_and_the_count_is_true() -> None:
    recipe = Recipe(Layout(size=64 << 20, cluster_bits=16), {0: Data(b"x")})
    data = bytearray(build(recipe))
    table = Image(MemorySource(bytes(data))).l1[0].l2_table_offset
    data[table : table + 65536] = (0x8000_0000_0000_1200).to_bytes(8, "big") * 8192
    survey = survey_of(bytes(data))
    assert survey.odd_count[Odd.L2_UNALIGNED] == 8192
    assert len(survey.odd[Odd.L2_UNALIGNED]) == KEPT


def test_it_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        take_survey(Image(MemorySource(build(demo_recipe()))), Stop())


@pytest.mark.parametrize("end", [0x10000, 0x20000, 0x30000, 0x30004, 0x40001, 0x3E0000])
def test_truncated_images_are_surveyed(end: int) -> None:
    survey = survey_of(build(replace(demo_recipe(), end=end)))
    assert survey.complete
    assert sum(survey.clusters.values()) == 1024
