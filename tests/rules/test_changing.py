"""A file that is written to while it is inspected: a finding or an error of the tree, whatever has become of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.errors import CannotRead
from qcow2inspect.image.image import Image
from qcow2inspect.rules import examine
from qcow2inspect.survey.survey import take_survey
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
    refused = [code for code in recipes.BAD if _refused(code, change, tmp_path)]
    assert refused or change is torn


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
