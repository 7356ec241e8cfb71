"""The text report: the same for the same image, complete, and harmless on every terminal."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.demo import damaged_recipe, demo_recipe
from qcow2inspect.build.recipe import Recipe, Snapshot, build
from qcow2inspect.dossier import Dossier, compile_dossier
from qcow2inspect.dossier.wishes import Wishes
from qcow2inspect.errors import CannotExport
from qcow2inspect.image.image import Image
from qcow2inspect.reports.printout import render_pages
from qcow2inspect.reports.text import render_text, write_report
from qcow2inspect.rules import examine, examine_header
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey.survey import take_survey
from tests.reports.samples import report_of

EVIL = b"\x1b[31m[bold]\r\n<b>=1+1\xff\xe2\x80\xae"


def dossier(recipe: Recipe, name: str = "evidence.qcow2") -> Dossier:
    image = Image(MemorySource(build(recipe), name))
    survey = take_survey(image)
    return compile_dossier(image, survey, examine(survey))


def test_the_same_image_gives_the_same_report() -> None:
    assert render_text(dossier(damaged_recipe())) == render_text(dossier(damaged_recipe()))


def test_it_says_what_was_seen_and_what_was_not_checked() -> None:
    text = render_text(report_of(damaged_recipe(), wishes=Wishes(time=1.0)))
    for words in (
        "DAMAGED",
        "corrupt     yes       corrupt bit set, 4 other findings",
        "QCOW-L2-EOF",
        "L1[0].L2[41] at ",
        "Not checked",
        "3e0140  80 00 00 00 00 20 10 00[80 00 00 00 40 00 00 00] ..... ......@...",
    ):
        assert words in text
    assert max(map(len, text.splitlines())) <= 80


def test_pages_have_one_size_and_a_number_each() -> None:
    pages = render_pages(report_of(damaged_recipe())).split("\f")
    assert pages.pop() == ""
    assert len(pages) > 3
    for number, page in enumerate(pages, 1):
        lines = page.splitlines()
        assert len(lines) == 58
        assert max(map(len, lines)) <= 80
        assert lines[0].endswith(f"page {number} of {len(pages)}")
    shown = [line for page in pages for line in page.splitlines()[2:] if line]
    assert shown == [line for line in render_text(report_of(damaged_recipe())).splitlines() if line]


def test_before_the_tables_are_read_it_claims_nothing() -> None:
    image = Image(MemorySource(build(demo_recipe()), "evidence.qcow2"))
    text = render_text(compile_dossier(image, None, examine_header(image)))
    assert re.search(r"compressed +not checked\n", text)
    assert re.search(r"corrupt +not checked\n", text)
    assert re.search(r"  L1, L2 and refcount tables +not looked at", text)
    assert "NO DAMAGE" not in text


def test_text_from_the_image_cannot_steer_a_terminal() -> None:
    base = demo_recipe()
    recipe = replace(base, layout=replace(base.layout, backing_name=EVIL), snapshots=(Snapshot(EVIL),))
    text = render_text(dossier(recipe, name="a\x1b]0;b\x07\n.qcow2"))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "\\x1b[31m[bold]" in text


def test_reports_never_replace_or_hit_evidence(tmp_path: Path) -> None:
    path = tmp_path / "evidence.qcow2"
    path.write_bytes(build(demo_recipe()))
    status = path.stat()
    with pytest.raises(CannotExport, match="is evidence: the image"):
        write_report(dossier(demo_recipe()), str(path), force=True, evidence=[(status.st_dev, status.st_ino)])
    with pytest.raises(CannotExport, match="exists"):
        write_report(dossier(demo_recipe()), str(path))
    assert path.read_bytes() == build(demo_recipe())
