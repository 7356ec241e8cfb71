"""Every rule finds its damage, exactly that, and stays silent on sound images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.findings import Finding, Severity
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.layout.node import Node
from qcow2inspect.rules import all_rules, examine, examine_header, finding_of
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey.survey import take_survey
from tests.rules import recipes
from tests.rules.chains import CHAINS, CHANGING
from tests.rules.deep import DEEP, HOLES

RULES = {rule.code: rule for rule in all_rules()}


def findings(data: bytes) -> list[Finding]:
    return examine(take_survey(Image(MemorySource(data, "test.qcow2"))))


def test_every_rule_has_an_image_that_triggers_it() -> None:
    assert set(recipes.BAD) | set(CHAINS) | set(DEEP) | set(HOLES) | set(recipes.UNOPENED) | CHANGING == set(RULES)
    assert set(DEEP) | set(HOLES) == {code for code, rule in RULES.items() if rule.needs_deep}
    assert set(CHAINS) == {code for code, rule in RULES.items() if rule.needs_chain}
    assert set(recipes.UNOPENED) == {code for code, rule in RULES.items() if rule.at_open}
    assert len(RULES) > 140


@pytest.mark.parametrize("code", sorted(recipes.UNOPENED))
def test_what_cannot_be_opened_has_one_finding(code: str) -> None:
    with pytest.raises(Qcow2InspectError) as caught:
        findings(recipes.UNOPENED[code]())
    found = finding_of(caught.value)
    assert (found.code, found.severity, found.message) == (code, Severity.FATAL, caught.value.what)


@pytest.mark.parametrize("code", sorted(recipes.BAD))
def test_the_rule_finds_exactly_its_damage(code: str) -> None:
    found = {finding.code: finding for finding in findings(recipes.BAD[code]())}
    assert code in found
    others = {other for other in found if (other != code and found[other].severity.is_bad) or other == code}
    assert others <= {code} | recipes.COMPANIONS.get(code, set())


@pytest.mark.parametrize("name", recipes.SOUND_ONES)
def test_sound_images_have_no_bad_findings(name: str) -> None:
    found = findings(build(recipes.SOUND_ONES[name]))
    assert [finding for finding in found if finding.severity.is_bad] == []


@pytest.mark.parametrize("code", sorted(recipes.BAD))
def test_evidence_is_where_the_finding_says(code: str) -> None:
    data = recipes.BAD[code]()
    image = Image(MemorySource(data, "test.qcow2"))
    tree = Tree(image)
    for finding in findings(data):
        for evidence in finding.evidence:
            assert int.from_bytes(image.read(evidence.where.start, min(8, evidence.where.size)), "big") == evidence.raw
            if evidence.path.startswith("0x"):  # bytes that no structure names
                assert evidence.path == str(evidence.where.start)
            else:
                assert resolve(tree, evidence.path).node.where == evidence.where


@pytest.mark.parametrize("code", sorted(RULES))
def test_the_explanation_is_complete(code: str) -> None:
    text = RULES[code].explanation
    assert text.splitlines()[0].endswith(".")
    assert len(text) > 250
    assert "What else could explain it:" in text
    assert "QEMU" in text
    assert RULES[code].spec


@pytest.mark.parametrize("code", sorted(code for code in recipes.BAD if not RULES[code].needs_tables))
def test_header_rules_need_no_tables(code: str) -> None:
    image = Image(MemorySource(recipes.BAD[code](), "test.qcow2"))
    assert code in {finding.code for finding in examine_header(image)}


def test_findings_come_heaviest_first() -> None:
    ranks = [finding.severity.rank for finding in findings(recipes.broken(hdr__incompatible_features=0xFF))]
    assert ranks == sorted(ranks)
    assert ranks[0] == Severity.FATAL.rank


def test_many_equal_entries_are_one_finding() -> None:
    recipe = recipes.SOUND
    data = build(replace(recipe, damage={f"L1[0].L2[{index}]": 0x8000_0000_0000_5200 for index in range(100, 200)}))
    found = [finding for finding in findings(data) if finding.code == "QCOW-L2-UNALIGNED"]
    assert [(finding.count, len(finding.evidence), finding.more) for finding in found] == [(100, 32, 68)]
    assert [(int(part.start), int(part.end)) for part in found[0].guest] == [(100 * 4096, 200 * 4096)]
    assert "100 L2 entries" in found[0].message


def places_of(recipe: Recipe) -> dict[str, int]:
    """Address and size of every number in header, extensions, snapshot table, bitmaps and LUKS header."""
    tree = Tree(Image(MemorySource(build(recipe))))
    nodes = [node for top in tree.top if top.path in ("hdr", "ext", "snap", "bitmap", "luks") for node in leaves(top)]
    return {node.path: node.where.size for node in nodes if 0 < node.where.size <= 8 and node.path != "hdr.magic"}


def leaves(node: Node) -> Iterator[Node]:
    parts = [child for child in node.children() if child.bits is None]
    yield from (leaf for part in parts for leaf in leaves(part)) if parts else (node,)


BASES = {
    **recipes.SOUND_ONES,
    "two snapshots": replace(recipes.SNAPSHOTS, snapshots=(Snapshot(b"one"), Snapshot(b"two"))),
}
PLACES = {name: places_of(recipe) for name, recipe in BASES.items()}
ODD = st.integers(0, 1 << 64) | st.sampled_from(
    [0, 1, 0x200, 0x1000, 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 8, 1 << 63]
)


@settings(max_examples=150)
@given(st.data())
def test_no_damage_stops_the_rules(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(BASES)))
    chosen = data.draw(st.lists(st.sampled_from(sorted(PLACES[name])), min_size=1, max_size=3, unique=True))
    damage = {place: data.draw(ODD) % (1 << 8 * PLACES[name][place]) for place in chosen}
    image = build(replace(BASES[name], damage={**BASES[name].damage, **damage}))
    with contextlib.suppress(Qcow2InspectError):
        for finding in findings(image):
            assert finding.message.isprintable()
            assert len(finding.message) < 7000  # a name of 1023 bytes, each escaped


@pytest.mark.parametrize(
    ("size", "severity"),
    [(1 << 40, None), (2 << 40, Severity.NOTE), (1 << 57, Severity.WARNING)],
    ids=["1 TiB", "2 TiB", "128 PiB"],
)
def test_large_disks(size: int, severity: Severity | None) -> None:
    found = {finding.code: finding.severity for finding in findings(build(Recipe(Layout(size, cluster_bits=21))))}
    assert found.get("QCOW-HDR-SIZE-HUGE") == severity


def test_the_layout_of_e2image() -> None:
    data = recipes.broken(recipes.V2, hdr__l1_table_offset=0x1000)
    found = [finding.message for finding in findings(data) if finding.code == "QCOW-HDR-LAYOUT"]
    assert found == ["version 2, L1 table in cluster 1, no header extensions: as e2image writes it"]


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        (b"base.raw", set[str]()),
        (b"sub/base.raw", set[str]()),
        (b"a..b/base", set[str]()),
        (b"/a/../b", {"QCOW-BACK-ABS", "QCOW-BACK-TRAVERSAL"}),
        (b"//dev/sda", {"QCOW-BACK-DEVICE"}),
        (b"/device/x", {"QCOW-BACK-ABS"}),
        (b'json:{"file":{}}', {"QCOW-BACK-PROTO"}),
        (b"dir/a:b", set[str]()),
        (b"b\xff.raw", {"QCOW-BACK-NUL"}),
        ("base-ä.raw".encode(), set[str]()),
        (b"a\x1b[2J", {"QCOW-BACK-NUL"}),
    ],
)
def test_backing_file_names(name: bytes, codes: set[str]) -> None:
    found = {finding.code for finding in findings(recipes.overlay(name))}
    assert {code for code in found if code.startswith("QCOW-BACK-")} == codes | {"QCOW-BACK-PRESENT"}
