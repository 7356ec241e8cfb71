"""The rules about the files behind an image: each finds its chain, and only where somebody followed the names."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcow2inspect.cli.main import run
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.rules import examine
from qcow2inspect.survey.survey import take_survey
from tests.images import qemu_img, run_qemu
from tests.rules.chains import CHAINS, CHANGING, image, sound


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


def test_a_base_of_version_1_that_is_stated_to_be_qcow2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """QEMU refuses the chain; we read by the magic, and say so wherever guest data is read."""
    qemu_img("create", "-q", "-f", "qcow", tmp_path / "base.qcow2", "1M")
    top = image(tmp_path / "top.qcow2", "base.qcow2")
    assert run_qemu("qemu-img", "convert", "-f", "qcow2", "-O", "raw", top, tmp_path / "out.raw").code == 1
    found = codes(top, Follow.FOLDER)["QCOW-BACK-FMT-MISMATCH"]
    assert "base.qcow2 is stated to be qcow2; by its content it is qcow" in found
    assert run(["export", str(top), str(tmp_path / "ours.raw"), "--follow=folder"]) == 0
    assert "is stated to be qcow2 and is read as qcow, as its magic says" in capsys.readouterr().err


def test_a_file_that_changes_while_it_is_open(tmp_path: Path) -> None:
    path = sound(tmp_path)
    with open_chain(path, OpenGate(Follow.FOLDER)) as chain:
        survey = take_survey(chain.qcow2, chain=chain)
        assert not {finding.code for finding in examine(survey)} & CHANGING
        with (tmp_path / "base.qcow2").open("ab") as live:
            live.write(b"more")
        (found,) = [finding for finding in examine(survey) if finding.code in CHANGING]
    assert "base.qcow2 changed" in found.message
