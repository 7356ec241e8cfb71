"""A file that is written to while it is inspected: a finding or an error of the tree, whatever has become of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.errors import BadAddress, CannotRead
from qcow2inspect.findings import Finding
from qcow2inspect.image.image import Image
from qcow2inspect.rules import all_rules, examine
from qcow2inspect.survey.survey import Survey, take_survey
from tests.rules import recipes


def shrunk(path: Path) -> None:
    os.truncate(path, 100)


def wiped(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def torn(path: Path) -> None:
    """Every second table is gone."""
    data = bytearray(path.read_bytes())
    for at in range(512, len(data), 1024):
        data[at : at + 512] = b"\xa5" * len(data[at : at + 512])
    path.write_bytes(data)


def _refused(code: str, change: Callable[[Path], None], folder: Path) -> bool:
    """True if the rules refuse to look at a file that was changed after its tables were read."""
    path = folder / code
    path.write_bytes(recipes.BAD[code]())
    os.utime(path, (0, 0))
    with Image.open(path) as image:
        survey = take_survey(image)
        assert not survey.skipped
        change(path)
        try:
            examine(survey)
        except CannotRead as error:
            return "was changed while it was inspected" in str(error)
        return False


@pytest.mark.parametrize("change", [shrunk, wiped, torn])
def test_between_the_tables_and_the_rules(change: Callable[[Path], None], tmp_path: Path) -> None:
    for code in recipes.BAD:
        _refused(code, change, tmp_path)


def test_a_rule_that_is_lost_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(survey: Survey) -> Iterator[Finding]:
        yield from ()
        raise BadAddress("L1[7]: the image has 1 L1 entry")

    rule = replace(all_rules()[0], needs_tables=False, needs_deep=False, check=lost)
    monkeypatch.setattr("qcow2inspect.rules.all_rules", lambda: (rule,))
    code = next(iter(recipes.BAD))
    assert _refused(code, shrunk, tmp_path)
    (tmp_path / "x").write_bytes(recipes.BAD[code]())
    with Image.open(tmp_path / "x") as image, pytest.raises(BadAddress):  # nobody wrote to it: that is our mistake
        examine(take_survey(image))


@pytest.mark.parametrize("change", [shrunk, wiped, torn])
def test_between_the_opening_and_the_tables(change: Callable[[Path], None], tmp_path: Path) -> None:
    for code, recipe in recipes.BAD.items():
        path = tmp_path / code
        path.write_bytes(recipe())
        os.utime(path, (0, 0))
        with Image.open(path) as image:
            change(path)
            survey = take_survey(image)
            assert any("somebody wrote to it" in part for part in survey.skipped)
            examine(survey)
