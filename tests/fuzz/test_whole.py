"""Whole images by Hypothesis: nothing but the error tree is raised, and what is read is what QEMU reads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Recipe, build
from qcow2inspect.format.header import Header
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from tests.fuzz.drive import drive
from tests.fuzz.oracle import Oracle
from tests.fuzz.policy import explain
from tests.fuzz.reads import Reads
from tests.fuzz.whole import Made, damaged, made_up, sound, structures
from tests.images import model, read_all

pytestmark = pytest.mark.oracle


def some(examples: int) -> settings:
    """Always the same examples; others, and as many as ``QCOW2INSPECT_EXAMPLES`` says, if it is set."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    more = int(os.environ.get("QCOW2INSPECT_EXAMPLES", "0"))
    kept = {"derandomize": True, "database": None} if not more else {}
    return settings(max_examples=more or examples, deadline=None, suppress_health_check=slow, **kept)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reads]:
    lasting = Reads(Oracle(tmp_path_factory.mktemp("whole")))
    yield lasting
    lasting.qemu.close()


def unexplained(reads: Reads, data: bytes) -> list[str]:
    return [str(found) for found in reads.compare(data) or () if explain(data, found) is None]


@given(recipe=sound())
@some(40)
def test_sound_images_read_as_the_recipe_says_and_as_qemu_reads(reads: Reads, recipe: Recipe) -> None:
    data = build(recipe)
    seen = drive(data, walk=False)
    assert not seen.refused
    assert not seen.stopped
    assert not any(severity == "error" for _, severity in seen.findings), seen.findings
    assert read_all(Image(MemorySource(data)).active_disk()) == model(recipe)
    assert unexplained(reads, data) == []


@given(data=damaged())
@some(40)
def test_damaged_images_raise_nothing_else_and_read_as_qemu_reads(reads: Reads, data: Made) -> None:
    drive(data)
    assert unexplained(reads, data) == []


@given(data=made_up())
@some(60)
def test_made_up_images_raise_nothing_else_and_read_as_qemu_reads(reads: Reads, data: Made) -> None:
    drive(data)
    assert unexplained(reads, data) == []


@given(data=structures(Header, 512, version=3))
def test_structures_are_made_row_by_row(data: bytes) -> None:
    assert len(data) == Header.SIZE
    assert int.from_bytes(data[4:8], "big") == 3


@pytest.mark.parametrize("strategy", [damaged(), made_up()], ids=["damaged", "made up"])
def test_the_strategies_reach_what_they_shall(strategy: st.SearchStrategy[Made]) -> None:
    reached: Counter[str] = Counter()

    @given(data=strategy)
    @settings(some(60), max_examples=60)
    def look(data: Made) -> None:
        seen = drive(data, walk=False)
        reached.update(refused=bool(seen.refused), stopped=bool(seen.stopped))
        reached.update(read=not seen.refused and not seen.stopped)
        reached.update(bad=any(severity == "error" for _, severity in seen.findings))

    look()
    assert reached["stopped"] > 3
    assert reached["bad"] > 15
    assert reached["read"] > 3


def test_an_image_is_shown_so_that_it_can_be_made_again() -> None:
    data = Made(bytes(9000) + b"odd")
    assert eval(repr(data)) == data
    assert len(repr(data)) < 200
