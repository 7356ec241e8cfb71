"""What a report says: four words for nothing, what was not checked and why, evidence as it lies, keys never."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.demo import damaged_recipe, demo_recipe, encrypted_recipe
from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.dossier import clusters, compile_dossier
from qcow2inspect.dossier.clusters import UNREADABLE, cluster_map
from qcow2inspect.dossier.report import bare_report, compile_report, examine_chain
from qcow2inspect.dossier.section import Report, Table
from qcow2inspect.dossier.values import Nothing, Size, Time, words
from qcow2inspect.dossier.wishes import SECTIONS, Wishes, report_time
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.follow import chain_of, open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.reports import formats, render
from qcow2inspect.rules import all_rules, examine_header
from qcow2inspect.units import HostOffset
from tests.image.v1_images import V1Recipe
from tests.images import image_of, luks_area, noise
from tests.reports.samples import RECIPES, report_of
from tests.rules.recipes import OVERLAY


def table(report: Report, section: str, key: str) -> Table:
    found = report.section(section)
    assert found is not None
    return next(item for item in found.tables if item.key == key)


def field(report: Report, section: str, key: str) -> object:
    found = report.section(section)
    assert found is not None
    return next(item.value for item in found.fields if item.key == key)


def test_words_for_values() -> None:
    said = [words(value) for value in (0, Size(0), HostOffset(0), True, 1234567, Size(1024), "a\x1b", Time(1))]
    assert said == [
        "zero",
        "zero",
        "0x0",
        "yes",
        "1,234,567",
        "1,024 B (1 KiB)",
        "a\\x1b",
        "1970-01-01T00:00:00.000000001Z",
    ]
    assert {words(value) for value in Nothing} == {"absent", "unreadable", "not checked"}
    assert words(Time(10**30)).endswith("seconds after 1970")


def test_all_sections_come_in_order() -> None:
    report = report_of(demo_recipe(), wishes=Wishes(case={"Case": "1"}, time=1.0))
    assert report.provenance is not None
    assert [*(section.key for section in report.sections), report.provenance.key] == list(SECTIONS)


@pytest.mark.parametrize("key", sorted(set(SECTIONS) - {"case", "provenance"}))
def test_a_section_can_be_chosen(key: str) -> None:
    report = report_of(damaged_recipe(), wishes=Wishes(sections=frozenset({key})))
    assert [section.key for section in report.sections] == [key]
    assert report.provenance is None
    assert bool(report.findings) == (key == "findings")
    assert (report.map is not None) == (key == "map")


def test_absent_zero_unreadable_and_not_checked_are_told_apart() -> None:
    report = report_of(demo_recipe())
    assert table(report, "bitmaps", "bitmaps").nothing is Nothing.ABSENT
    assert table(report, "exhibit", "hashes").nothing is Nothing.NOT_CHECKED
    assert table(report, "snapshots", "snapshots").rows[0][4] == 0  # no VM state
    cut = replace(demo_recipe(), damage={"hdr.snapshots_offset": 1 << 40})
    broken = table(report_of(cut), "snapshots", "snapshots")
    assert (broken.rows, broken.nothing) == ((), Nothing.UNREADABLE)
    assert field(report_of(cut), "snapshots", "stated") == 1


def test_before_the_tables_are_read_nothing_is_claimed() -> None:
    image = image_of(damaged_recipe())
    dossier = compile_dossier(image, None, examine_header(image))
    report = compile_report(chain_of(image), dossier)
    assert table(report, "allocation", "clusters").nothing is Nothing.NOT_CHECKED
    assert field(report, "allocation", "l2_tables") is Nothing.NOT_CHECKED
    assert report.map is None
    outcomes = {row[0]: row[1] for row in table(report, "checks", "rules").rows}
    assert outcomes["QCOW-L2-EOF"] == "not checked"
    assert outcomes["QCOW-HDR-CORRUPT"] == "found"
    assert outcomes["QCOW-HDR-DIRTY"] == "nothing found"
    assert "L1, L2 and refcount tables" in [row[0] for row in table(report, "completeness", "not_checked").rows]


def test_a_dossier_alone_makes_a_report() -> None:
    image = image_of(damaged_recipe())
    report = bare_report(compile_dossier(image, None, examine_header(image)))
    assert [section.key for section in report.sections] == ["summary", "findings", "completeness"]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_map_counts_what_the_survey_counts(name: str) -> None:
    image = image_of(RECIPES[name]())
    figure = cluster_map(image)
    counts = examine_chain(chain_of(image)).counts
    assert figure is not None
    assert counts is not None
    sums = {kind: sum(cell[place] for cell in figure.cells) for place, kind in enumerate(figure.kinds)}
    lost = sums.pop(UNREADABLE)
    sums[ClusterType.NORMAL.word] += lost
    assert {kind: count for kind, count in sums.items() if count} == counts
    assert lost == (2 if name == "damaged" else 0)


def test_the_map_of_a_large_disk_has_few_cells() -> None:
    figure = cluster_map(image_of(Recipe(Layout(size=1 << 40), {0: Data(b"a"), (1 << 24) - 1: Data(b"b")})))
    assert figure is not None
    assert len(figure.cells) == 1024
    assert (figure.kind(0), figure.kind(1), figure.kind(1023)) == ("normal", "unallocated", "normal")
    assert sum(map(sum, figure.cells)) == 1 << 24


def test_the_map_names_what_it_did_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """No L2 table after the limit is read, and none of them is shown as unallocated."""
    monkeypatch.setattr(clusters, "_MOST_TABLES", 1)
    recipe = Recipe(Layout(size=1 << 40), {0: Data(b"a"), (1 << 24) - 1: Data(b"b")})
    figure = cluster_map(image_of(recipe))
    assert figure is not None
    assert (figure.kind(0), figure.kind(1), figure.kind(1023)) == ("normal", "unallocated", clusters.NOT_READ)
    assert sum(map(sum, figure.cells)) == 1 << 24


def test_evidence_is_shown_as_it_lies() -> None:
    recipe = damaged_recipe()
    data, report = build(recipe), report_of(recipe)
    shown = [proof for proofs in report.proofs.values() for proof in proofs if proof.excerpt]
    assert len(shown) > 4
    for proof in shown:
        excerpt = proof.excerpt
        assert excerpt is not None
        assert excerpt.data == data[excerpt.start : excerpt.start + excerpt.size]
        low, high = excerpt.marked
        assert (excerpt.start + low, high - low) == (proof.evidence.where.start, proof.evidence.where.size)


def test_key_material_is_never_shown() -> None:
    start, size = (8 + 504) * 512, 64 * 4000
    material = noise(1, size)
    area = luks_area()
    area = area[:start] + material + area[start + size :]
    layout = Layout(size=1 << 20, cluster_bits=12, crypt_method=CryptMethod.LUKS, luks_header=area)
    report = report_of(Recipe(layout, {0: Data(b"a")}), wishes=Wishes(time=1.0))
    number = [finding.code for finding in report.findings].index("QCOW-CRY-SLOT-RESIDUE")
    (proof,) = report.proofs[number]
    assert proof.hidden
    assert proof.excerpt is not None
    low, high = proof.excerpt.marked
    assert {proof.excerpt.at(index) for index in range(low, high)} == {None}
    for name in formats():
        text = render(report, name).decode().replace(" ", "")
        assert material[:4].hex() not in text, name
    assert field(report, "encryption", "key") is Nothing.ABSENT
    assert [row[1] for row in table(report, "encryption", "slots").rows] == ["enabled", *["disabled"] * 7]
    assert not any("salt" in str(cell) for item in report.sections for cell in item.fields)


def test_a_chain_is_reported_with_its_end(tmp_path: Path) -> None:
    base = replace(demo_recipe(), snapshots=())
    (tmp_path / "base.qcow2").write_bytes(build(base))
    layout = replace(base.layout, backing_name=b"base.qcow2", backing_format=b"qcow2")
    path = tmp_path / "overlay.qcow2"
    path.write_bytes(build(Recipe(layout, {0: Data(b"new")})))
    with open_chain(path) as chain:
        closed = compile_report(chain, examine_chain(chain))
    with open_chain(path, OpenGate(Follow.FOLDER)) as chain:
        opened = compile_report(chain, examine_chain(chain))
    assert field(closed, "chain", "next") is Nothing.NOT_CHECKED
    assert field(opened, "chain", "next") is Nothing.ABSENT
    assert len(table(closed, "chain", "layers").rows) == 1
    assert len(table(opened, "chain", "layers").rows) == 2
    assert str(field(closed, "summary", "backing_file")).endswith("not opened")
    assert str(field(opened, "summary", "backing_file")).endswith("opened read-only")
    outcomes = [{row[0]: row[1] for row in table(report, "checks", "rules").rows} for report in (closed, opened)]
    assert [outcome["QCOW-BACK-SIZE"] for outcome in outcomes] == ["not checked", "nothing found"]
    assert "what lies behind the last layer of the chain" in [
        row[0] for row in table(closed, "completeness", "not_checked").rows
    ]


def test_an_encrypted_image_says_that_its_content_was_not_read() -> None:
    rows = table(report_of(encrypted_recipe()), "completeness", "not_checked").rows
    assert "guest data (encrypted) of layer 0" in [row[0] for row in rows]


def test_version_1_has_a_report_of_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "old.qcow"
    path.write_bytes(V1Recipe(1 << 20, {0: b"a" * 4096}).build())
    with open_chain(path) as chain:
        report = compile_report(chain, examine_chain(chain))
    assert report.dossier.verdict == "NOT CHECKED"
    assert {row[1] for row in table(report, "checks", "rules").rows} == {"not checked"}
    assert table(report, "header", "fields").rows[0][3] == "514649fb"


def test_a_file_that_changes_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "live.qcow2"
    path.write_bytes(build(demo_recipe()))
    with open_chain(path) as chain:
        dossier = examine_chain(chain)
        assert field(compile_report(chain, dossier), "exhibit", "changed") is False
        with path.open("ab") as live:
            live.write(b"more")
        report = compile_report(chain, dossier)
    assert report.dossier.verdict == "CHANGED WHILE IT WAS READ"
    assert report.findings[0].code == "QCOW-FILE-CHANGED"
    assert field(report, "exhibit", "changed") is True


def test_how_it_was_opened_is_what_the_kernel_says(tmp_path: Path) -> None:
    path = tmp_path / "demo.qcow2"
    path.write_bytes(build(demo_recipe()))
    with open_chain(path) as chain:
        report = compile_report(chain, examine_chain(chain))
    assert report.provenance is not None
    (row,) = report.provenance.tables[0].rows
    assert str(row[-1]).startswith("read-only, access time kept")


def test_the_time_of_a_report_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert report_time() == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    assert report_time() > 1_700_000_000


def test_rules_that_look_behind_an_image_do_not_run_without_its_files(tmp_path: Path) -> None:
    path = tmp_path / "top.qcow2"
    path.write_bytes(build(OVERLAY))
    with open_chain(path) as chain:
        rows = table(compile_report(chain, examine_chain(chain)), "checks", "rules").rows
    silent = {row[0] for row in rows if row[1] == "not checked"}
    assert silent >= {rule.code for rule in all_rules() if rule.needs_chain}
