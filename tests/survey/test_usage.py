"""Owners, faults and hostile images: what the survey finds, and what it refuses to be drawn into."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.dossier.gist import compile_dossier
from qcow2inspect.image.image import Image
from qcow2inspect.reports.check import render_check
from qcow2inspect.rules import examine
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey import refcounts
from qcow2inspect.survey.claims import Owner
from qcow2inspect.survey.faults import Fault
from qcow2inspect.survey.survey import Survey, take_survey
from tests.images import CountingSource, noise
from tests.rules import recipes


def survey_of(data: bytes) -> Survey:
    return take_survey(Image(MemorySource(data)))


def test_owners_of_a_small_image() -> None:
    survey = survey_of(build(recipes.SOUND))
    assert survey.usage is not None
    metadata = survey.usage.metadata
    found = {(Owner(owner), start) for owner, start in zip(metadata.owner, metadata.start, strict=True)}
    assert found == {
        (Owner.HEADER, 0),
        (Owner.REFCOUNT_TABLE, 1),
        (Owner.REFCOUNT_BLOCK, 2),
        (Owner.L1, 3),
        (Owner.L2, 5),
    }
    rows = [row for part in survey.usage.stretches() for row in zip(part.start, part.active, part.packed, strict=True)]
    assert [int(start) for start, active, _ in rows if active] == [4, 7]
    assert [int(start) for start, _, packed in rows if packed] == [6]


@pytest.mark.parametrize("order", range(7))
def test_refcounts_of_every_width_fit_the_use(order: int) -> None:
    recipe = Recipe(Layout(1 << 20, cluster_bits=12, refcount_order=order), {i: Data(b"a") for i in range(0, 200, 2)})
    if order:
        recipe = replace(recipe, snapshots=(Snapshot(b"s", {0: Data(b"b")}),))
    survey = survey_of(build(recipe))
    assert survey.faults.count == {}
    assert survey.qemu.exit_code == 0


@pytest.mark.parametrize("count", [40, 3000])
def test_many_compressed_clusters_share_host_clusters(count: int) -> None:
    recipe = Recipe(Layout(count << 12, cluster_bits=12), {i: Compressed(noise(i, 700)) for i in range(count)})
    assert survey_of(build(recipe)).faults.count == {}


def test_an_overwritten_table_is_one_finding() -> None:
    findings = examine(survey_of(recipes.BAD["QCOW-L2-LOOKS-DATA"]()))
    assert [finding.code for finding in findings if finding.severity.is_bad] == [
        "QCOW-L2-LOOKS-DATA",
        "QCOW-REF-ORPHAN",
    ]
    assert findings[0].message.startswith("1 L2 table overwritten by other data, as a guest writes it: L1[0]")


def test_both_owners_are_named() -> None:
    findings = {finding.code: finding for finding in examine(survey_of(recipes.BAD["QCOW-L2-INTO-META"]()))}
    message = findings["QCOW-L2-INTO-META"].message
    assert "refcount block rb[0] and guest data L1[0].L2[0]" in message


def test_references_are_found_again() -> None:
    survey = survey_of(recipes.BAD["QCOW-L2-SHARED"]())
    assert [(entry.l1_index, entry.l2_index) for entry in survey.referrers[4]] == [(0, 0), (0, 9)]
    assert survey.faults.count[Fault.SHARED] == 1


def test_one_block_behind_the_whole_refcount_table_is_read_once() -> None:
    data = bytearray(build(recipes.SOUND))
    data[0x1000:0x2000] = (0x2000).to_bytes(8, "big") * 512
    source = CountingSource(bytes(data))
    survey = take_survey(Image(source))
    assert source.bytes < 20 * len(data)
    assert survey.faults.count[Fault.PAST_END] == 511 * 9


def test_a_file_that_claims_to_be_huge_takes_no_memory() -> None:
    source = CountingSource(build(recipes.SOUND), size=1 << 60)
    survey = take_survey(Image(source))
    assert survey.faults.count == {}
    assert survey.qemu.exit_code == 0
    assert source.bytes < 1 << 20


def test_unaligned_tables_are_not_followed_without_end() -> None:
    recipe = Recipe(Layout(8 << 30, cluster_bits=12), {0: Data(b"a")})
    data = bytearray(build(recipe))
    at = int(Image(MemorySource(bytes(data))).l1.at)
    count = 4096
    data[at : at + 8 * count] = b"".join((0x200 + 0x1000 * i).to_bytes(8, "big") for i in range(count))
    survey = survey_of(bytes(data))
    assert survey.odd_count
    assert not survey.skipped


def test_refcount_blocks_that_are_led_to_too_often_are_said_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(Layout(size=1 << 20, cluster_bits=12), {0: Data(b"x")})
    data = bytearray(build(recipe))
    at = int(Image(MemorySource(bytes(data))).refcount_table.at)
    data[at : at + 4096] = data[at : at + 8] * 512
    assert survey_of(bytes(data)).skipped == []
    monkeypatch.setattr(refcounts, "_REPEATED", 3)
    survey = survey_of(bytes(data))
    (said,) = survey.skipped
    assert said.startswith("508 entries of the refcount table")  # 3 of 511: all clusters in use are one stretch
    dossier = compile_dossier(survey.image, survey, [])
    assert said in dossier.not_checked
    assert not survey.complete
    assert not dossier.complete
    assert dossier.verdict == "NO DAMAGE SEEN IN A PART"
    lines = list(render_check(survey, [], not_checked=dossier.not_checked, passed=0))
    assert lines[0].endswith("NO DAMAGE FOUND IN A PART")
    assert any("The result is partial" in line for line in lines)
