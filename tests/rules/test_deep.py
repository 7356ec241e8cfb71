"""The rules about content: each finds its damage and nothing else, and only after a deep look."""

from __future__ import annotations

import pytest

from qcow2inspect.build.recipe import build
from qcow2inspect.findings import Finding
from qcow2inspect.image.address import resolve
from qcow2inspect.image.tree import Tree
from qcow2inspect.rules import examine
from qcow2inspect.survey.deep import look_deep
from qcow2inspect.survey.survey import take_survey
from tests.images import image_of
from tests.rules import recipes
from tests.rules.deep import DEEP, PACKED


def findings(data: bytes) -> dict[str, Finding]:
    survey = take_survey(image_of(data))
    survey.deep = look_deep(survey)
    return {finding.code: finding for finding in examine(survey)}


@pytest.mark.parametrize("code", sorted(DEEP))
def test_the_rule_finds_exactly_its_damage(code: str) -> None:
    found = findings(DEEP[code]())
    assert set(found) & set(DEEP) == {code}
    assert {other for other in found if found[other].severity.is_bad} <= {code}
    assert found[code].count == 1


@pytest.mark.parametrize("code", sorted(DEEP))
def test_nothing_is_said_without_a_deep_look(code: str) -> None:
    assert not {finding.code for finding in examine(take_survey(image_of(DEEP[code]())))} & set(DEEP)


@pytest.mark.parametrize("code", sorted(DEEP))
def test_evidence_is_where_the_finding_says(code: str) -> None:
    image = image_of(DEEP[code]())
    (evidence,) = findings(DEEP[code]())[code].evidence
    assert int.from_bytes(image.read(evidence.where.start, min(8, evidence.where.size)), "big") == evidence.raw
    if evidence.path.startswith("0x"):
        assert evidence.path == str(evidence.where.start)
        assert evidence.raw >> 56
    else:
        assert evidence.path == "L1[0].L2[1]"
        assert resolve(Tree(image), evidence.path).node.where == evidence.where


@pytest.mark.parametrize("name", recipes.SOUND_ONES)
def test_sound_images_have_sound_streams(name: str) -> None:
    found = findings(build(recipes.SOUND_ONES[name]))
    assert not {code for code in found if code.startswith("QCOW-CMP-")} - {"QCOW-CMP-PRESENT"}
    assert not [code for code in found if found[code].severity.is_bad]


def test_the_plain_image_has_no_odd_content() -> None:
    assert not set(findings(build(PACKED))) & set(DEEP)
