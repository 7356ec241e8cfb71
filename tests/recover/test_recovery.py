"""The share of data that comes back from images with one planted defect each, beside ``qemu-img convert --salvage``."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import Compressed, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.assume import read_assumptions
from qcow2inspect.image.image import Image
from qcow2inspect.recover.propose import propose
from qcow2inspect.source.memory import MemorySource
from tests.images import qemu_img, qemu_io
from tests.recover.corpus import Damaged, Spoiler, bases, corpus
from tests.recover.measure import by_qemu, by_us

GOAL = 0.9
LEAST = 139


@pytest.fixture(scope="module")
def images() -> list[Damaged]:
    return list(corpus())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, if there is one: hundreds of exports need not wait for a disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def test_nine_tenths_come_back_and_nothing_is_wrong_in_silence(images: list[Damaged], folder: Path) -> None:
    assert len(images) >= LEAST
    found = {image.name: by_us(image, folder) for image in images}
    assert [name for name, one in found.items() if one.silent] == []
    assert sum(one.share for one in found.values()) / len(found) >= GOAL
    assert [(name, one.said) for name, one in found.items() if one.share < 1 / 3] == []


def test_no_less_comes_back_than_from_qemu(images: list[Damaged], folder: Path) -> None:
    """Where it was close, and a sample of the rest; the benchmark goes through all of them."""
    worst = [image for image in images if image.group in ("l2_tables", "others")]
    for image in [*worst, *random.Random(5).sample(images, 25)]:
        ours, theirs = by_us(image, folder), by_qemu(image, folder)
        assert ours.right >= theirs.right, image.name


@pytest.mark.parametrize("entry", [1, 0x12345, 1 << 52, 0x8000_0000_0004_0200])
def test_a_header_that_the_refcounts_prove_is_believed_when_the_only_l1_entry_is_lost(entry: int) -> None:
    recipe = Recipe(Layout(8 << 20, extended_l2=True), {index: Compressed(b"x") for index in range(20)})
    sound = Image(MemorySource(build(recipe)))
    damaged = build(Recipe(recipe.layout, recipe.clusters, damage={"L1[0]": entry}))
    assert [one.option for one in propose(MemorySource(damaged)).all] == [f"L1[0]={sound.l1[0].raw:#x}"]


@pytest.mark.parametrize("base", bases())
def test_nothing_is_assumed_of_a_sound_image(base: str) -> None:
    assert propose(MemorySource(build(bases()[base]))).all == ()


def test_nothing_is_assumed_of_what_qemu_writes(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    for options in ("cluster_size=4k", "extended_l2=on", "compat=0.10,cluster_size=512", "refcount_bits=1"):
        qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, "64M")
        assert propose(MemorySource(path.read_bytes())).all == ()
        qemu_io(path, "write -q -P 1 1M 300k", "write -q -P 2 40M 20k", "write -q -z 1M 64k", "discard 40M 8k")
        assert propose(MemorySource(path.read_bytes())).all == (), options
        if options != "refcount_bits=1":
            qemu_img("snapshot", "-c", "one", path)
            qemu_io(path, "write -q -P 3 1100k 300k")
            assert propose(MemorySource(path.read_bytes())).all == (), options


@pytest.mark.parametrize("data", [b"", b"x", bytes(4096), random.Random(3).randbytes(1 << 18)])
def test_what_is_no_image_is_not_made_one(data: bytes) -> None:
    assert all(one.name in ("magic", "version") for one in propose(MemorySource(data)).all)


def test_what_is_given_stays() -> None:
    sound = Spoiler(bases()["plain"]).sound
    given = read_assumptions(MemorySource(sound), ["cluster_bits=11"])
    assert given.all[0] in propose(MemorySource(sound), given).all


def test_the_demo_image_needs_nothing() -> None:
    assert propose(MemorySource(build(demo_recipe()))).all == ()
