"""The rules about the files behind an image: each finds its chain, and only where somebody followed the names."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcow2inspect.image.chain import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.rules import examine
from qcow2inspect.survey.survey import take_survey
from tests.rules.chains import CHAINS, CHANGING, sound


def codes(path: Path, follow: Follow) -> dict[str, str]:
    with open_chain(path, OpenGate(follow)) as chain:
        found = examine(take_survey(chain.qcow2, chain=chain))
    return {finding.code: finding.message for finding in found}


@pytest.mark.parametrize("code", sorted(CHAINS))
def test_each_chain_is_found(code: str, tmp_path: Path) -> None:
    path = CHAINS[code](tmp_path)
    found = codes(path, Follow.FOLDER)
    assert set(found) & set(CHAINS) == {code}
    assert str(tmp_path) in found[code]


@pytest.mark.parametrize("code", sorted(CHAINS))
def test_nothing_is_said_about_files_that_are_not_opened(code: str, tmp_path: Path) -> None:
    assert not set(codes(CHAINS[code](tmp_path), Follow.NONE)) & set(CHAINS)


def test_a_sound_chain(tmp_path: Path) -> None:
    assert not set(codes(sound(tmp_path), Follow.FOLDER)) & set(CHAINS)


def test_a_file_that_changes_while_it_is_open(tmp_path: Path) -> None:
    path = sound(tmp_path)
    with open_chain(path, OpenGate(Follow.FOLDER)) as chain:
        survey = take_survey(chain.qcow2, chain=chain)
        assert not {finding.code for finding in examine(survey)} & CHANGING
        with (tmp_path / "base.qcow2").open("ab") as live:
            live.write(b"more")
        (found,) = [finding for finding in examine(survey) if finding.code in CHANGING]
    assert "base.qcow2 changed" in found.message
