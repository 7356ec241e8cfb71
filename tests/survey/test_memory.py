"""How much memory a survey takes, counted byte by byte: what its description promises."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from qcow2inspect.build.recipe import Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.image import Image
from qcow2inspect.rules import examine
from qcow2inspect.survey.survey import take_survey
from tests.benchmarks.metadata import Mapped
from tests.images import CountingSource

M, T = 1 << 20, 1 << 40
FIXED = 32 * M


def peak_of(image: Image) -> int:
    """The most memory that a survey and its rules take, in bytes."""
    gc.collect()
    tracemalloc.start()
    examine(take_survey(image))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """Modules that are loaded once are not counted."""
    examine(take_survey(Image(CountingSource(build(Recipe(Layout(M)))))))


def test_fragmented_images_take_two_bytes_for_each_host_cluster(tmp_path: Path) -> None:
    counts = (1 << 18, 1 << 21)
    peaks = []
    for count in counts:
        path = Mapped(count << 12, 12, shuffled=True).write(tmp_path / f"{count}")
        with Image.open(path) as image:
            peaks.append(peak_of(image))
    assert peaks[0] < FIXED + 2 * counts[0]
    assert peaks[1] - peaks[0] < 2 * (counts[1] - counts[0])


def test_images_in_order_take_nothing_for_each_host_cluster(tmp_path: Path) -> None:
    with Image.open(Mapped(T // 4).write(tmp_path / "large")) as image:
        assert peak_of(image) < FIXED


def test_tables_far_apart_take_nothing_for_what_lies_between() -> None:
    count, at = 4096, 4 * M
    damage: dict[str, int | bytes] = {"hdr.size": count << 29, "hdr.l1_size": count, "hdr.l1_table_offset": at}
    l1 = (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(64 * T // (count + 2) // 65536 * 65536)).astype(">u8")
    data = build(Recipe(Layout(M), damage=damage)).ljust(at, b"\0") + l1.tobytes()
    assert peak_of(Image(CountingSource(data, 64 * T))) < FIXED
