"""Damage as it was reported of real images: a few findings with the right names, and exactly what a guest loses."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.raw import export
from qcow2inspect.findings import Finding
from qcow2inspect.rules import examine
from qcow2inspect.rules.outlook import repair_outlook
from qcow2inspect.survey.survey import Survey, take_survey
from tests.images import image_of
from tests.rules import incidents
from tests.rules.incidents import CLUSTER, SPAN

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
    assert "refcount block content" in found["QCOW-L2-LOOKS-REFBLOCK"].message
    assert found["QCOW-L2-LOOKS-DATA"].count == 16
    assert "2 host clusters" in found["QCOW-L2-SHARED"].message
    assert "by L1[4].L2[0] and L1[7].L2[50]" in found["QCOW-L2-SHARED"].message
    assert survey.qemu.corruption_count > 5_000  # what the same image looks like entry by entry
    assert any("134 overwritten L2 tables would be believed" in line for line in repair_outlook(survey))


def test_what_a_guest_loses_is_what_an_export_lists(tmp_path: Path) -> None:
    survey, found = surveyed("double_allocation")
    out = tmp_path / "out.raw"
    export(survey.image.active_disk(), str(out), Choices(on_error=OnError.ZERO))
    listed = json.loads((tmp_path / "out.raw.errors.json").read_text())["ranges"]
    marked = {at for row in listed for at in range(row["guest_offset"], row["guest_offset"] + row["size"], CLUSTER)}
    findings = (found["QCOW-L2-LOOKS-REFBLOCK"], found["QCOW-L2-LOOKS-DATA"])
    lost = {at for finding in findings for part in finding.guest for at in range(part.start, part.end, CLUSTER)}
    assert len(lost) == 134 * SPAN
    assert marked == lost


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
