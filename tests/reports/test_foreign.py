"""Reports are as public schemas say: CASE/UCO by its own validator, DFXML by the facts of its XSD.

The XSD is not shipped by any package, so what it says of the elements in use stands here as a table; ``python
tests/reports/test_foreign.py DFXML.XSD`` validates the same documents against the file itself (it needs lxml).
"""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from qcow2inspect.dossier.section import Report
from qcow2inspect.dossier.wishes import Wishes
from qcow2inspect.reports import render
from qcow2inspect.reports.dfxml import DFXML, OWN
from tests.reports.samples import RECIPES, evil_path, evil_recipe, evil_wishes, report_of


def samples() -> dict[str, Report]:
    """The demo's images, and one with odd names wherever a name can be."""
    found = {name: report_of(recipe(), wishes=Wishes(time=1.0)) for name, recipe in RECIPES.items()}
    return found | {"evil": report_of(evil_recipe(), evil_path(), evil_wishes())}


SAMPLES = samples()


def case_validate(*paths: Path) -> subprocess.CompletedProcess[str]:
    """The public validator, with the ontology that it brings."""
    command = [str(Path(sys.executable).with_name("case_validate")), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_case_conforms(tmp_path: Path) -> None:
    for name, report in SAMPLES.items():
        (tmp_path / f"{name}.jsonld").write_bytes(render(report, "case"))
    done = case_validate(*sorted(tmp_path.iterdir()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Conforms: True" in done.stdout
    assert "warning" not in done.stderr.lower()


def test_the_validator_of_case_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonld"
    text = render(SAMPLES["demo"], "case").decode()
    wrong = text.replace("xsd:integer", "xsd:string")
    assert wrong != text
    path.write_text(wrong)
    assert case_validate(path).returncode != 0


SEQUENCES = {
    "creator": ("program", "version", "build_environment", "execution_environment", "library"),
    "dfxml": ("metadata", "creator", "configuration", "source", "diskimageobject"),
    "diskimageobject": ("byte_runs", "sector_size", "partitionsystemobject", "volume", "fileobject", "error"),
    "byte_runs": ("byte_run",),
    "byte_run": ("hashdigest",),
}
"""Element -> the children that the XSD allows, in its order, as far as they are of use here."""
ATTRIBUTES = {
    "file_offset": r"\d+",
    "len": r"\d+",
    "name": ".+",
    "type": "md5|sha1|sha256",
    "version": ".+",
}
"""Attribute -> the values that the XSD allows."""


def local(element: ET.Element, space: str = DFXML) -> str:
    """The name of an element of a name space; empty for others."""
    found, _, name = element.tag.removeprefix("{").partition("}")
    return name if found == space else ""


@pytest.mark.parametrize("name", SAMPLES)
def test_dfxml_has_what_the_schema_allows(name: str) -> None:
    root = ET.fromstring(render(SAMPLES[name], "dfxml"))
    assert local(root) == "dfxml"
    seen = set()
    for element in root.iter():
        parent = local(element)
        seen.add(parent)
        children = [local(child) for child in element if local(child)]
        if parent in SEQUENCES:
            places = [SEQUENCES[parent].index(child) for child in children]
            assert places == sorted(places), f"{parent}: {children}"
        for key, value in element.attrib.items() if parent else ():
            assert key in ATTRIBUTES, f"{parent} {key}"
            assert re.fullmatch(ATTRIBUTES[key], value), f"{parent} {key}={value}"
    assert {"metadata", "creator", "source", "diskimageobject", "byte_run"} <= seen
    assert any(local(element, OWN) == "finding" for element in root.iter()) == bool(SAMPLES[name].findings)


def main(schema: str) -> int:
    """Validate against the XSD itself."""
    from lxml import etree

    checker = etree.XMLSchema(etree.parse(schema))
    failed = 0
    for name, report in SAMPLES.items():
        valid = checker.validate(etree.fromstring(render(report, "dfxml")))
        failed += not valid
        print(f"{name}: {'valid' if valid else checker.error_log}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
