"""Damage as it was reported of real images: a few findings with the right names, and exactly what a guest loses."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from qcow2inspect.build.recipe import Data, Recipe, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.damage import find_damage
from qcow2inspect.export.plan import Plan, make_plan
from qcow2inspect.export.raw import export
from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.image.view import Extent
from qcow2inspect.image.windows import coarse_extents
from qcow2inspect.rules import all_rules, examine
from qcow2inspect.rules.causes import causes
from qcow2inspect.rules.outlook import repair_outlook
from qcow2inspect.survey.survey import Survey, take_survey
from qcow2inspect.units import bytes_of
from tests.images import image_of
from tests.rules import incidents
from tests.rules.incidents import CLUSTER, SPAN, DoubleAllocation, table_at

MOST = 6


@cache
def surveyed(name: str) -> tuple[Survey, dict[str, Finding]]:
    survey = take_survey(image_of(getattr(incidents, name)()))
    return survey, {finding.code: finding for finding in examine(survey) if finding.severity.is_bad}


def test_tables_overwritten_by_two_intruders() -> None:
    survey, found = surveyed("double_allocation")
    assert set(found) == {
        "QCOW-L2-LOOKS-REFBLOCK",
        "QCOW-L2-LOOKS-DATA",
        "QCOW-L2-SHARED",
        "QCOW-REF-LOW",
        "QCOW-REF-ORPHAN",
    }
    assert len(found) <= MOST
    assert found["QCOW-L2-LOOKS-REFBLOCK"].count == 118
    assert found["QCOW-L2-LOOKS-REFBLOCK"].brief == "118 L2 tables overwritten by refcount block content"
    assert found["QCOW-L2-LOOKS-DATA"].brief.startswith("16 L2 tables overwritten by other data")
    assert "2 host clusters" in found["QCOW-L2-SHARED"].message
    assert re.search(r"by L1\[\d+\]\.L2\[0\] and L1\[\d+\]\.L2\[62\]", found["QCOW-L2-SHARED"].message)
    assert survey.qemu.corruption_count > 5_000  # what the same image looks like entry by entry
    assert any("134 overwritten L2 tables would be believed" in line for line in repair_outlook(survey))


@pytest.mark.parametrize("name", ["double_allocation", "punched"])
def test_tables_are_counted_though_few_of_their_entries_are_kept(name: str) -> None:
    survey, found = surveyed(name)
    with mock.patch("qcow2inspect.rules.tables.KEPT", 3):
        again = {finding.code: finding for finding in examine(survey)}
    told = [code for code in found if code.startswith("QCOW-L2-LOOKS") or code == "QCOW-L2-WIPED"]
    assert told
    for code in told:
        assert replace(again[code], evidence=found[code].evidence) == found[code]


CASES = {
    "as reported": DoubleAllocation(),
    "blocks of twos": DoubleAllocation(block=b"\0\2" * 4),
    "blocks in part": DoubleAllocation(block=b"\0\1\0\0\0\0\0\2", half=True),
    "claimed": DoubleAllocation(claimed=True),
    "larger clusters": DoubleAllocation(tables=40, blocks=21, guest=6, cluster_bits=12, half=True, claimed=True),
    "few": DoubleAllocation(tables=7, blocks=1, guest=1),
    "refcounts of one bit": DoubleAllocation(block=b"\xff" * 8, refcount_order=0),
    "refcounts of four bits": DoubleAllocation(block=b"\x11" * 8, refcount_order=2),
    "refcounts as wide as entries": DoubleAllocation(block=b"\0" * 7 + b"\1", refcount_order=6),
    "guest data all alike": DoubleAllocation(blocks=30, letters=b"\xff", cluster_bits=12),
    "guest data of few letters": DoubleAllocation(blocks=30, letters="größe".encode("utf-16-le"), cluster_bits=12),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_guest_loses_is_what_an_export_marks(case: str, tmp_path: Path) -> None:
    """Whatever took the place of the tables: the blast radius that is told is the error map that an export writes."""
    image = image_of(CASES[case].image())
    survey, disk = take_survey(image), image.active_disk()
    damage = find_damage(disk, survey)
    findings = {finding.code: finding for finding in examine(survey)}
    overwritten = [findings[f"QCOW-L2-LOOKS-{kind}"] for kind in ("REFBLOCK", "DATA")]
    assert len(causes(list(findings.values()))) <= MOST
    assert [finding.count for finding in overwritten] == [CASES[case].blocks, CASES[case].guest]
    assert sum(finding.guest_bytes for finding in overwritten) <= bytes_of(damage.marked)
    assert damage.lost_bytes + damage.suspect_bytes == bytes_of(damage.marked)
    assert damage.intact_bytes == disk.size - bytes_of(damage.marked)
    out = tmp_path / "out.raw"
    export(disk, str(out), Choices(on_error=OnError.BEST if CASES[case].claimed else OnError.ZERO))
    assert marked(Path(f"{out}.errors.json")) == [(int(part.start), int(part.end)) for part in damage.marked]
    assert out.stat().st_size == disk.size


@pytest.mark.parametrize("case", ["blocks of twos", "claimed", "larger clusters", "guest data of few letters"])
def test_what_many_extents_amount_to_is_counted_without_them(case: str) -> None:
    disk = image_of(CASES[case].image()).active_disk()
    whole = make_plan(disk)
    with mock.patch("qcow2inspect.export.plan._KEPT", 3):
        full = make_plan(disk)
    assert full.is_full
    assert sums(full) == sums(whole)


def sums(plan: Plan) -> tuple[int, ...]:
    return plan.plain, plan.compressed, plan.past_end, plan.absent, plan.unreadable


def test_garbage_in_tables_is_few_extents_however_many_entries_it_makes() -> None:
    """At the size in which it was reported: a million entries that lead anywhere, and little work for each table."""
    case = DoubleAllocation(cluster_bits=16)
    image = image_of(case.image())
    survey, disk, span = take_survey(image), image.active_disk(), image.geometry.l2_span
    count = 0

    def counted(extents: Iterable[Extent]) -> Iterator[Extent]:
        nonlocal count
        for count, extent in enumerate(extents, 1):  # noqa: B007 - what is left of it is the number
            yield extent

    with mock.patch("qcow2inspect.export.damage.coarse_extents", lambda *args: counted(coarse_extents(*args))):
        tracemalloc.start()
        damage = find_damage(disk, survey)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert case.tables < count < 20 * case.tables
    assert peak < 32 << 20
    assert damage.lost_bytes == case.blocks * span
    assert damage.suspect_bytes == case.guest * span + 4 * image.geometry.cluster_size  # two clusters, owned twice


def marked(path: Path) -> list[tuple[int, int]]:
    """The guest ranges of an error map, neighbours joined."""
    made: list[tuple[int, int]] = []
    for row in json.loads(path.read_text())["ranges"]:
        start, end = row["guest_offset"], row["guest_offset"] + row["size"]
        if made and made[-1][1] == start:
            made[-1] = (made[-1][0], end)
        else:
            made.append((start, end))
    return made


def test_a_wiped_table_is_marked_too(tmp_path: Path) -> None:
    survey, found = surveyed("punched")
    damage = find_damage(survey.image.active_disk(), survey)
    assert damage.marked == found["QCOW-L2-WIPED"].guest
    export(survey.image.active_disk(), str(tmp_path / "o.raw"), Choices(on_error=OnError.ZERO))
    ranges = [(int(part.start), int(part.end)) for part in damage.marked]
    assert marked(tmp_path / "o.raw.errors.json") == ranges


def test_wiped_tables_beside_overwritten_ones_are_marked_too(tmp_path: Path) -> None:
    """What nothing points to may have been lost by either kind of table: zeros are never believed in silence."""
    case = DoubleAllocation(letters=b"\0")
    image = image_of(case.image())
    survey = take_survey(image)
    found = {finding.code: finding for finding in examine(survey)}
    assert (found["QCOW-L2-LOOKS-REFBLOCK"].count, found["QCOW-L2-WIPED"].count) == (case.blocks, case.guest)
    damage = find_damage(image.active_disk(), survey)
    assert bytes_of(damage.marked) >= (case.blocks + case.guest) * SPAN * CLUSTER
    export(image.active_disk(), str(tmp_path / "o.raw"), Choices(on_error=OnError.BEST))
    assert marked(tmp_path / "o.raw.errors.json") == [(int(part.start), int(part.end)) for part in damage.marked]


def test_zero_clusters_are_refcounts_only_where_clusters_are_lost() -> None:
    recipe = Recipe(Layout(size=SPAN * CLUSTER, cluster_bits=9, refcount_order=6), dict.fromkeys(range(SPAN), Zero()))
    assert take_survey(image_of(build(recipe))).overwritten == {}


def test_what_seem_to_be_entries_is_no_data_that_the_file_has_no_room_for() -> None:
    case = DoubleAllocation(cluster_bits=16, tables=12, blocks=8, guest=1)
    assert "QCOW-IMG-ALIAS-BOMB" not in {finding.code for finding in examine(take_survey(image_of(case.image())))}


def test_overwritten_tables_of_a_disk_in_a_data_file_are_named(tmp_path: Path) -> None:
    """Refcounts lead past the end of no file there; what gives them away is that they lead to foreign places."""
    clusters = {index: Data(b"%d" % index) for index in range(SPAN)}
    recipe = Recipe(Layout(size=SPAN * CLUSTER, cluster_bits=9, data_file=b"data.raw"), clusters)
    data = bytearray(build(recipe))
    at = table_at(image_of(bytes(data)), 0)
    data[at : at + CLUSTER] = incidents.COUNTS * SPAN
    assert list(take_survey(image_of(bytes(data))).overwritten.values()) == ["refcounts"]


def test_a_sound_image_has_no_blast_radius() -> None:
    image = image_of(build(incidents.WHOLE))
    damage = find_damage(image.active_disk(), take_survey(image))
    assert (damage.marked, damage.elsewhere, damage.intact_bytes) == ((), (), image.header.size)


def test_bytes_of_another_file_are_elsewhere_not_lost() -> None:
    recipe = Recipe(Layout(size=1 << 20, backing_name=b"base.raw"), {3: Data(b"own")})
    image = image_of(build(recipe))
    damage = find_damage(image.active_disk(), take_survey(image))
    assert damage.marked == ()
    assert bytes_of(damage.elsewhere) == (1 << 20) - image.geometry.cluster_size


def test_groups_are_few_whatever_the_rules_find() -> None:
    """Each finding stands in one group; sound images and small lists are not grouped at all."""
    everything = [Finding(rule.code, rule.severity, rule.category, rule.title) for rule in all_rules()]
    groups = causes(everything)
    assert 2 <= len(groups) <= MOST
    assert sorted(one.code for group in groups for one in group.findings) == sorted(rule.code for rule in all_rules())
    assert [group.severity.rank for group in groups] == sorted(group.severity.rank for group in groups)
    assert all(group.why for group in groups if len(group.findings) > 1)
    assert [group.findings for group in causes(everything[:6])] == sorted(
        ((one,) for one in everything[:6]), key=lambda group: (group[0].severity.rank, group[0].code)
    )


@pytest.mark.parametrize(
    ("message", "brief"),
    [
        ("3 clusters past the end: they are missing (guest 0x0..0x200, 512 B)", "3 clusters past the end"),
        ("8 guest clusters (3 MiB) stored compressed", "8 guest clusters (3 MiB) stored compressed"),
        ("2 tables (first: 3) (guest 0x0)", "2 tables"),
        ("all is well", "all is well"),
    ],
)
def test_a_brief_says_what_is_observed_and_no_more(message: str, brief: str) -> None:
    assert Finding("QCOW-X", Severity.NOTE, Category.FORENSIC, message).brief == brief


def test_the_refcount_block_that_took_the_place_of_a_table_is_named() -> None:
    _, found = surveyed("claimed_by_refcounts")
    assert "refcount block rb[1] in the same place" in found["QCOW-L2-LOOKS-REFBLOCK"].message
    assert "L2 table L1[1].L2 and refcount block rb[1]" in found["QCOW-RB-INTO-META"].message
    assert len(found) <= MOST


def test_tables_punched_out_of_the_file() -> None:
    survey, found = surveyed("punched")
    assert set(found) == {"QCOW-L2-WIPED", "QCOW-REF-ORPHAN"}
    wiped = found["QCOW-L2-WIPED"]
    assert (wiped.count, found["QCOW-REF-ORPHAN"].count) == (3, 3 * incidents.EACH)
    spans = [(part.start // CLUSTER // SPAN, part.end // CLUSTER // SPAN) for part in wiped.guest]
    assert spans == [(20, 22), (90, 91)]
    assert survey.qemu.exit_code == 3  # leaks only: nothing to worry about, says qemu-img check
    assert any("guest data that can still be put back" in line for line in repair_outlook(survey))
