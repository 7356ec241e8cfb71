"""Every format: the same bytes for the same image, one golden file each, and nothing that an image's names can do."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from qcow2inspect.build.demo import damaged_recipe
from qcow2inspect.dossier.section import Report
from qcow2inspect.dossier.wishes import SECTIONS, HashRow, Wishes
from qcow2inspect.errors import CannotExport
from qcow2inspect.reports import format_for, formats, render, write_report
from qcow2inspect.reports.console import render_console
from qcow2inspect.reports.dfxml import DFXML, OWN
from qcow2inspect.schemas import read_schema
from tests.reports.samples import EVIL, RECIPES, STABLE, evil_path, evil_recipe, evil_wishes, report_of

GOLDENS = Path(__file__).parent / "goldens"
NAMES = ["case", "console", "csv", "dfxml", "html", "json", "jsonl", "markdown", "print", "sarif", "text"]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def compare(name: str, found: str) -> None:
    """The text equals the stored one; ``QCOW2INSPECT_UPDATE_GOLDENS=1`` stores it."""
    path = GOLDENS / name
    if os.environ.get("QCOW2INSPECT_UPDATE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(found.encode())
    wanted = path.read_bytes().decode()
    lines = difflib.unified_diff(wanted.split("\n"), found.split("\n"), "golden", "found", lineterm="")
    assert found == wanted, "\n".join(lines)


def golden_report(image: str) -> Report:
    wishes = Wishes(
        sections=STABLE,
        case={"Case": "2026-117", "Exhibit": "EX-3"},
        notes=("Received sealed.",),
        marks=(("L1[0]", "look here"),),
        hashes=(HashRow("container file", "evidence.qcow2", 4653056, "sha256", "5a" * 32),),
    )
    return report_of(RECIPES[image](), wishes=wishes)


def test_the_formats_are_these() -> None:
    assert sorted(formats()) == NAMES
    suffixes = [item.suffix for item in formats().values() if item.suffix]
    assert len(suffixes) == len(set(suffixes))
    assert [format_for(f"r{suffix}") for suffix in suffixes] == [item for item in formats().values() if item.suffix]
    assert format_for("r.docx") is None


@pytest.mark.parametrize("name", NAMES)
def test_golden_of_the_damaged_image(name: str) -> None:
    compare(f"damaged.{name}", render(golden_report("damaged"), name).decode())


@pytest.mark.parametrize("image", ["demo", "encrypted"])
@pytest.mark.parametrize("name", ["text", "json"])
def test_golden_of_sound_images(image: str, name: str) -> None:
    compare(f"{image}.{name}", render(golden_report(image), name).decode())


def test_golden_of_a_wide_console() -> None:
    compare("damaged.console-120", render_console(golden_report("damaged"), 120, colour=False))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_image_gives_the_same_bytes(name: str) -> None:
    wishes = Wishes(time=1_700_000_000, command=("qcow2inspect", "report", "evidence.qcow2"))
    first, second = (render(report_of(damaged_recipe(), wishes=wishes), name) for _ in range(2))
    assert first == second


BLOCKS = {
    "text": ("-----BEGIN PROVENANCE", "-----END PROVENANCE"),
    "markdown": ("<!-- BEGIN PROVENANCE", "<!-- END PROVENANCE"),
    "html": ("<!-- BEGIN PROVENANCE", "<!-- END PROVENANCE"),
}


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_what_differs_from_run_to_run_stands_in_one_block(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    first = render(report_of(damaged_recipe(), wishes=Wishes(time=1.0, command=("a",))), name).decode()
    monkeypatch.chdir(tmp_path)
    second = render(report_of(damaged_recipe(), wishes=Wishes(time=2e9, command=("b", "c"))), name).decode()
    assert first != second
    begin, end = BLOCKS[name]
    outside = [re.sub(f"{begin}.*{end}", "", text, flags=re.DOTALL) for text in (first, second)]
    assert outside[0] == outside[1]
    assert outside[0] != first


def test_what_differs_from_run_to_run_has_one_key_in_json() -> None:
    documents = [json.loads(render(report_of(damaged_recipe(), wishes=Wishes(time=t)), "json")) for t in (1.0, 2.0)]
    assert documents[0].pop("provenance") != documents[1].pop("provenance")
    assert documents[0] == documents[1]


# -- schemas ----------------------------------------------------------------------------------------------------------


def samples() -> Iterator[Report]:
    yield from (report_of(recipe(), wishes=Wishes(time=1.0)) for recipe in RECIPES.values())
    yield report_of(evil_recipe(), evil_path(), evil_wishes())
    yield report_of(damaged_recipe(), wishes=Wishes(redact=True, time=1.0, command=("qcow2inspect", "report")))


@pytest.mark.parametrize("name", ["report", "report-lines", "manifest", "verify"])
def test_the_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(read_schema(name))


def test_json_is_as_its_schema_says() -> None:
    for report in samples():
        Draft202012Validator(read_schema("report")).validate(json.loads(render(report, "json")))


def test_json_lines_are_as_their_schema_says_and_complete() -> None:
    validator = Draft202012Validator(read_schema("report-lines"))
    for report in samples():
        lines = render(report, "jsonl").decode().splitlines()
        for line in lines:
            validator.validate(json.loads(line))
        assert json.loads(lines[0])["type"] == "report"
        assert json.loads(lines[-1]) == {"type": "end", "lines": len(lines), "findings": len(report.findings)}


def test_large_numbers_have_a_string_beside_them() -> None:
    base = damaged_recipe()
    recipe = replace(base, damage={"hdr.snapshots_offset": (1 << 60) + 0x200, "snap[0].l1_table_offset": 3})
    recipe = replace(recipe, damage={"snap[0].vm_clock_nsec": (1 << 60) + 1, "snap[0].extra.disk_size": (1 << 63) + 3})
    row = json.loads(render(report_of(recipe), "json"))["sections"]["snapshots"]["tables"]["snapshots"]["rows"][0]
    assert row["vm_clock_nsec"] == (1 << 60) + 1
    assert row["vm_clock_nsec_hex"] == "0x1000000000000001"
    assert row["disk_size_hex"] == "0x8000000000000003"
    assert "l1_offset_hex" not in row


def test_sarif_points_at_bytes_and_rules() -> None:
    run = json.loads(render(report_of(damaged_recipe()), "sarif"))["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
    eof = next(result for result in run["results"] if result["ruleId"] == "QCOW-L2-EOF")
    assert eof["locations"][0]["physicalLocation"]["region"] == {"byteOffset": 0x3E0148, "byteLength": 8}
    assert eof["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "L1[0].L2[41]"


def test_dfxml_has_the_order_that_its_schema_wants() -> None:
    wishes = Wishes(time=1.0, hashes=(HashRow("container file", "evidence.qcow2", 9, "sha1", "11" * 20),))
    root = ET.fromstring(render(report_of(damaged_recipe(), wishes=wishes), "dfxml"))
    assert [child.tag for child in root] == [
        f"{{{DFXML}}}{tag}" for tag in ("metadata", "creator", "source", "diskimageobject")
    ]
    image = root[-1]
    own = [child.tag.startswith(f"{{{OWN}}}") for child in image]
    assert own == sorted(own, reverse=True)  # what the schema does not know comes first
    assert [child.tag for child in image if not child.tag.startswith(f"{{{OWN}}}")] == [
        f"{{{DFXML}}}byte_runs",
        f"{{{DFXML}}}sector_size",
    ]
    digest = image.find(f"{{{DFXML}}}byte_runs/{{{DFXML}}}byte_run/{{{DFXML}}}hashdigest")
    assert digest is not None
    assert (digest.get("type"), digest.text) == ("sha1", "11" * 20)
    found = {child.get("code") for child in image.iter(f"{{{OWN}}}finding")}
    assert {"QCOW-L2-EOF", "QCOW-HDR-CORRUPT"} <= found


def test_case_names_everything_once_and_refers_to_what_is_there() -> None:
    graph = json.loads(render(report_of(damaged_recipe(), wishes=Wishes(time=1.0)), "case"))["@graph"]
    names = [node["@id"] for node in graph]
    assert len(names) == len(set(names))
    action = next(node for node in graph if node["@type"] == "case-investigation:InvestigativeAction")
    for key in ("uco-action:instrument", "uco-action:object"):
        assert action[key]["@id"] in names
    assert {result["@id"] for result in action["uco-action:result"]} <= set(names)
    assert len(action["uco-action:result"]) == sum(node["@type"] == "uco-core:Annotation" for node in graph)


# -- names that nobody wishes to meet ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evil() -> Report:
    return report_of(evil_recipe(), evil_path(), evil_wishes())


@pytest.mark.parametrize("name", NAMES)
def test_no_format_passes_a_control_character_on(name: str, evil: Report) -> None:
    text = render(evil, name).decode()
    odd = {char for char in text if not char.isprintable()} - {"\n"}
    assert odd <= ({"\f"} if name == "print" else {"\r"} if name == "csv" else set())
    assert "calc" in text


def test_colours_come_from_the_format_alone(evil: Report) -> None:
    text = render_console(evil, 100, colour=True)
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "[bold]red" in re.sub(r"\x1b\[[0-9;]*m|\s", "", text)


def test_no_cell_is_a_formula(evil: Report) -> None:
    rows = list(csv.reader(io.StringIO(render(evil, "csv").decode(), newline="")))
    assert {len(row) for row in rows} == {5}
    assert not [cell for row in rows for cell in row if cell.lstrip()[:1] in ("=", "+", "-", "@")]
    assert any(cell.startswith("'=cmd") for row in rows for cell in row)


class Tags(HTMLParser):
    """Gathers what is in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def test_html_has_no_tag_of_the_image_and_no_way_out(evil: Report) -> None:
    page = render(evil, "html").decode()
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    assert not parser.tags & {"script", "img", "iframe", "link", "object", "form", "input"}
    assert not [name for name in parser.attributes if name.startswith("on") or name in ("src", "srcset")]
    assert "</script><script>alert(1)</script>" in parser.text
    assert "default-src 'none'" in page
    assert set(re.findall(r'href="([^"]*)"', page)) == {f"#{key}" for key in SECTIONS}
    assert "url(" not in page
    assert "@import" not in page


def test_markdown_has_no_mark_of_the_image(evil: Report) -> None:
    text = render(evil, "markdown").decode()
    outside = re.sub(r"(?ms)^ *(`{3,})text$.*?^ *\1$", "", text)
    assert "<script" not in outside
    assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(", outside)
    assert "`code`" not in outside.replace("\\`", "")
    for line in outside.splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert cells in range(2, 12)


def test_xml_holds_what_xml_cannot(evil: Report) -> None:
    root = ET.fromstring(render(evil, "dfxml"))
    text = "".join(root.itertext())
    assert "]]> <!-- & -->" in text
    assert "\\x1b]0;title" in text


@pytest.mark.parametrize("name", NAMES)
def test_redaction_leaves_no_name(name: str) -> None:
    secret = [b"secret-base.img", b"secret-snapshot", b"secret-bitmap", b"secret-note"]
    base = evil_recipe()
    recipe = replace(
        base,
        layout=replace(base.layout, backing_name=b"/srv/" + secret[0], backing_format=b"secret-format"),
        snapshots=tuple(replace(base.snapshots[0], name=secret[1]) for _ in range(2)),
        bitmaps=tuple(replace(base.bitmaps[0], name=secret[2]) for _ in range(2)),
    )
    wishes = Wishes(
        redact=True,
        time=1.0,
        notes=("secret-note",),
        case={"Examiner": "secret-person"},
        command=("qcow2inspect", "report", "/home/secret-user/secret-image.qcow2", "--note", "secret-note"),
    )
    report = report_of(recipe, "/home/secret-user/secret-image.qcow2", wishes)
    assert any(finding.code == "QCOW-BACK-ABS" for finding in report.findings)
    text = render(report, name).decode()
    assert "secret" not in text
    for word in (*secret[:3], b"/srv/"):
        assert word.hex() not in text
        assert word[:8].hex() not in text.replace(" ", "")
    plain = render(report_of(recipe, "/home/secret-user/secret-image.qcow2", replace(wishes, redact=False)), name)
    assert b"secret" in plain


def test_every_odd_name_is_in_the_report(evil: Report) -> None:
    document = json.loads(render(evil, "json"))
    rows = document["sections"]["snapshots"]["tables"]["snapshots"]["rows"]
    assert len({row["name"] for row in rows}) == len(EVIL)
    assert {row["name"] for row in document["sections"]["bitmaps"]["tables"]["bitmaps"]["rows"]} == {
        row["name"] for row in rows
    }


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    report = report_of(damaged_recipe())
    write_report(report, str(tmp_path / "r.html"), name="html")
    assert (tmp_path / "r.html").read_bytes() == render(report, "html")
    with pytest.raises(CannotExport, match="exists"):
        write_report(report, str(tmp_path / "r.html"), name="html")
    with pytest.raises(CannotExport, match="for a screen"):
        write_report(report, str(tmp_path / "r.txt"), name="console")
    assert sorted(os.listdir(tmp_path)) == ["r.html"]
