"""The rules about content: each finds its damage and nothing else, and only after a deep look."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcow2inspect.build.recipe import build
from qcow2inspect.findings import Finding
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.rules import examine
from qcow2inspect.survey.deep import look_deep
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.units import GuestOffset
from tests.images import image_of
from tests.rules import recipes
from tests.rules.deep import COUNTS, DEEP, HOLES, PACKED


def findings(data: bytes) -> dict[str, Finding]:
    survey = take_survey(image_of(data))
    survey.deep = look_deep(survey)
    return {finding.code: finding for finding in examine(survey)}


@pytest.mark.parametrize("code", sorted(DEEP))
def test_the_rule_finds_exactly_its_damage(code: str) -> None:
    found = findings(DEEP[code]())
    assert set(found) & set(DEEP) == {code}
    assert {other for other in found if found[other].severity.is_bad} <= {code}
    assert found[code].count == COUNTS.get(code, 1)


@pytest.mark.parametrize("code", sorted(DEEP))
def test_nothing_is_said_without_a_deep_look(code: str) -> None:
    assert not {finding.code for finding in examine(take_survey(image_of(DEEP[code]())))} & set(DEEP)


@pytest.mark.parametrize("code", sorted(DEEP))
def test_evidence_is_where_the_finding_says(code: str) -> None:
    image = image_of(DEEP[code]())
    for evidence in findings(DEEP[code]())[code].evidence:
        assert int.from_bytes(image.read(evidence.where.start, min(8, evidence.where.size)), "big") == evidence.raw
        if evidence.path.startswith("0x"):
            assert evidence.path == str(evidence.where.start)
            assert evidence.raw >> 56
        else:
            assert evidence.path in ("L1[0].L2[0]", "L1[0].L2[1]", "L1[0].L2[5]")
            assert resolve(Tree(image), evidence.path).node.where == evidence.where


@pytest.mark.parametrize("code", sorted(HOLES))
def test_holes_are_seen_where_there_are_files(code: str, tmp_path: Path) -> None:
    path = HOLES[code](tmp_path)
    with Image.open(path) as image:
        survey = take_survey(image)
        assert code not in {finding.code for finding in examine(survey)}
        survey.deep = look_deep(survey)
        (found,) = [finding for finding in examine(survey) if finding.code == code]
        assert found.count == 1
        assert found.evidence[0].where.start == image.active_disk().lookup(GuestOffset(0)).host.start  # type: ignore[union-attr]  # it has one
    assert code not in findings(path.read_bytes())


@pytest.mark.parametrize("name", recipes.SOUND_ONES)
def test_sound_images_have_sound_streams(name: str) -> None:
    found = findings(build(recipes.SOUND_ONES[name]))
    assert not {code for code in found if code.startswith("QCOW-CMP-")} - {"QCOW-CMP-PRESENT"}
    assert not [code for code in found if found[code].severity.is_bad]


def test_the_plain_image_has_no_odd_content() -> None:
    assert not set(findings(build(PACKED))) & set(DEEP)
