"""The coverage-guided fuzzer's targets do what they say, without the fuzzer."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import targets
from tests.fuzz.targets import LARGEST, TARGETS, inputs, mutate_words


@pytest.mark.parametrize("name", TARGETS)
def test_targets_take_all_inputs_and_odd_ones(name: str) -> None:
    chance = random.Random(name)
    for data in inputs():
        assert len(data) <= LARGEST
        TARGETS[name](data)
        TARGETS[name](mutate_words(data, chance))
    for data in (b"", b"QFI\xfb", b"QFI\xfb\0\0\0\3", bytes(600)):
        TARGETS[name](data)


@pytest.mark.parametrize(
    ("name", "part"), [("open", "info_document"), ("survey", "examine"), ("read", "map_entries"), ("report", "render")]
)
def test_targets_let_crashes_through(name: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> Callable[[], None]:
        raise ZeroDivisionError

    monkeypatch.setattr(targets, part, crash)
    with pytest.raises(ZeroDivisionError):
        TARGETS[name](inputs()[0])


def test_every_target_has_its_program() -> None:
    programs = {path.stem.removeprefix("atheris_") for path in Path(__file__).parent.glob("atheris_*.py")}
    assert programs == set(TARGETS)


def test_mutations_keep_the_size_and_are_repeatable() -> None:
    data = inputs()[0]
    for number in range(50):
        changed = mutate_words(data, random.Random(number))
        assert changed == mutate_words(data, random.Random(number))
        assert len(data) <= len(changed) <= len(data) + 8
