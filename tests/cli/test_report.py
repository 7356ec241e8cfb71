"""The verbs report, hash and verify as a user runs them; the commands of a report's method work."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from qcow2inspect.build.demo import demo_disk
from qcow2inspect.cli.main import run as run_here
from qcow2inspect.schemas import read_schema
from tests.cli.conftest import ROOT, Ran, Run


def in_shell(*words: str, cwd: Path, **env: str) -> Ran:
    """A command with an environment of its own."""
    command = [sys.executable, "-m", "qcow2inspect", *words]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, timeout=60, check=False)
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_the_format_follows_the_name(demo: Path, run: Run, tmp_path: Path) -> None:
    starts = {"r.html": b"<!DOCTYPE", "r.md": b"# qcow", "r.json": b"{", "r.csv": b'"section"', "r.dfxml": b"<?xml"}
    for name, start in starts.items():
        assert run("report", demo / "demo.qcow2", "-o", tmp_path / name).code == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    assert run("report", demo / "demo.qcow2").out.startswith("qcow2inspect report: demo.qcow2\n")
    assert "╭" in run("report", demo / "demo.qcow2", "--format", "console").out


def test_the_same_command_gives_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    words = ("report", str(demo / "demo-damaged.qcow2"), "--format", "json")
    runs = [
        in_shell(*words, cwd=tmp_path, SOURCE_DATE_EPOCH="1700000000", PYTHONHASHSEED=seed).out for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert json.loads(runs[0])["provenance"]["fields"]["time"] == "2023-11-14T22:13:20Z"


def numbers_in(text: str) -> set[int]:
    """Every number that a text holds, read as decimal and as hexadecimal."""
    words = re.findall(r"(?:0x)?[0-9a-f]+", text.replace(",", "").lower())
    return {int(word, base) for word in words for base in (10, 16) if base == 16 or word.isdecimal()}


def facts_of(section: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Every number of a section: label, value; offsets and hashes are numbers too."""
    rows = [row for table in section.get("tables", {}).values() for row in table["rows"]]
    for key, value in [*section.get("fields", {}).items(), *(pair for row in rows for pair in row.items())]:
        if isinstance(value, str) and re.fullmatch("0x[0-9a-f]+|[0-9a-f]{32,64}", value):
            yield key, int(value, 16)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield key, value


@pytest.mark.parametrize("name", ["demo.qcow2", "demo-damaged.qcow2", "demo-encrypted.qcow2"])
def test_the_commands_print_every_number_again(
    name: str, demo: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo)

    def told(command: str) -> str:
        run_here(shlex.split(command)[1:])
        return capfd.readouterr().out

    document = json.loads(told(f"qcow2inspect report {name} --format json --hash sha256,md5"))
    cluster = 1 << 16
    seen = 0
    for key, section in document["sections"].items():
        commands = section.get("commands", [])
        if key == "map" or not commands:  # a figure is made of what the allocation says
            continue
        found = numbers_in("".join(map(told, commands)))
        for label, value in facts_of(section):
            derived = label == "guest_bytes" and value // cluster in found
            assert value in found or derived or not value, (
                f"{key}: {label} {value:,} is not in the output of {commands}"
            )
            seen += 1
    assert seen > 60


@pytest.mark.parametrize("name", ["demo-damaged.qcow2"])
def test_the_commands_of_evidence_print_its_bytes_again(
    name: str, demo: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo)
    data = (demo / name).read_bytes()
    run_here(["report", name, "--format", "json"])
    document = json.loads(capfd.readouterr().out)
    evidence = [evidence for finding in document["findings"] for evidence in finding["evidence"]]
    assert len(evidence) > 8
    for item in evidence:
        run_here(shlex.split(item["command"])[1:])
        shown = re.findall(r"\b[0-9a-f]{2}\b", capfd.readouterr().out)
        wanted = [f"{byte:02x}" for byte in data[item["offset"] : item["offset"] + min(item["size"], 96)]]
        assert " ".join(wanted) in " ".join(shown), item["command"]


def test_sections_can_be_chosen_and_left_out(demo: Path, run: Run) -> None:
    image = demo / "demo.qcow2"
    chosen = json.loads(run("report", image, "--format", "json", "--sections", "summary,findings").out)
    assert list(chosen["sections"]) == ["summary", "findings"]
    assert "provenance" not in chosen
    most = json.loads(run("report", image, "--format", "json", "--without", "provenance,checks").out)
    assert "provenance" not in most
    assert "checks" not in most["sections"]
    assert "header" in most["sections"]
    wrong = run("report", image, "--sections", "everything")
    assert (wrong.code, wrong.out) == (64, "")
    assert "there is no section “everything”" in wrong.err


def test_what_the_examiner_adds_is_in_it(demo: Path, run: Run) -> None:
    words = (
        "--case-id",
        "2026-117",
        "--examiner",
        "A. N. Other",
        "--note",
        "one",
        "--note",
        "two",
        "--mark",
        "L1[0]=x",
    )
    out = run("report", demo / "demo.qcow2", *words).out
    for said in ("2026-117", "A. N. Other", "one", "two", "L1[0]"):
        assert said in out
    assert run("report", demo / "demo.qcow2", "--mark", "nothing").code == 64


def test_a_report_with_hashes_has_those_of_the_file_and_of_its_content(demo: Path, run: Run) -> None:
    image = demo / "demo.qcow2"
    out = run("report", image, "--format", "json", "--hash", "sha256", "--hash-content").out
    rows = json.loads(out)["sections"]["exhibit"]["tables"]["hashes"]["rows"]
    sums = subprocess.run(["sha256sum", image, demo / "demo.raw"], capture_output=True, text=True, check=True).stdout
    assert [row["value"] for row in rows] == [line.split()[0] for line in sums.splitlines()]
    assert [row["scope"] for row in rows] == ["container file", "guest content"]


@pytest.mark.parametrize("name", ["demo.qcow2", "demo-damaged.qcow2", "demo-encrypted.qcow2"])
def test_every_command_of_the_method_works(demo: Path, run: Run, name: str) -> None:
    document = json.loads(run("report", demo / name, "--format", "json").out)
    rows = document["sections"]["method"]["tables"]["commands"]["rows"]
    commands = {row["command"] for row in rows}
    commands |= {evidence["command"] for finding in document["findings"] for evidence in finding["evidence"]}
    assert len(commands) > 10
    for command in sorted(commands):
        program, *words = shlex.split(command)
        assert program == "qcow2inspect"
        ran = run(*words)
        refused = name == "demo-damaged.qcow2" and words[0] in ("info", "check")
        assert ran.code in ((0, 2, 65) if refused else (0, 3)), f"{command}: {ran.err}"
        assert ran.out


def test_evidence_is_printed_again_by_its_command(demo: Path, run: Run) -> None:
    document = json.loads(run("report", demo / "demo-damaged.qcow2", "--format", "json").out)
    finding = next(finding for finding in document["findings"] if finding["code"] == "QCOW-L2-EOF")
    evidence = finding["evidence"][0]
    printed = run(*shlex.split(evidence["command"])[1:]).out
    assert int(evidence["raw"], 16).to_bytes(8, "big").hex(" ") in printed


def test_a_report_goes_nowhere_it_must_not(demo: Path, run: Run, tmp_path: Path) -> None:
    image = tmp_path / "evidence.qcow2"
    shutil.copy(demo / "demo.qcow2", image)
    before = image.read_bytes()
    for words in (("-o", image, "--force"), ("-o", tmp_path / "none" / "r.txt"), ("-o", "/dev/full", "--force")):
        ran = run("report", image, *words)
        assert ran.code in (74, 77), words
        assert ran.err.count("\n") == 1
    assert image.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["evidence.qcow2"]


def test_hidden_names_are_hidden(tmp_path: Path, demo: Path, run: Run) -> None:
    image = tmp_path / "secret-image.qcow2"
    shutil.copy(demo / "demo.qcow2", image)
    for name in ("text", "json", "html", "case", "sarif", "dfxml"):
        out = run("report", image, "--redact", "--format", name, "--note", "secret-note").out
        assert "secret" not in out
        assert str(tmp_path) not in out
        assert "before the change" not in out
        assert b"before".hex() not in out


# -- hash and verify --------------------------------------------------------------------------------------------------


def test_hash_prints_what_other_programs_print(demo: Path, run: Run) -> None:
    out = run("hash", demo / "demo.qcow2", "--both").out
    for tool in ("md5sum", "sha1sum", "sha256sum"):
        for path in (demo / "demo.qcow2", demo / "demo.raw"):
            value = subprocess.run([tool, path], capture_output=True, text=True, check=True).stdout.split()[0]
            assert value in out
    assert (demo / "demo.raw").read_bytes() == demo_disk()


def test_hash_of_every_snapshot(demo: Path, run: Run, tmp_path: Path) -> None:
    assert run("export", demo / "demo.qcow2", tmp_path / "snap.raw", "--snapshot", "1").code == 0
    value = subprocess.run(["sha256sum", tmp_path / "snap.raw"], capture_output=True, text=True, check=True).stdout
    document = json.loads(run("hash", demo / "demo.qcow2", "--snapshot", "all", "--json", "--hash", "sha256").out)
    entries = {entry["what"]: entry["hashes"]["sha256"] for entry in document["entries"]}
    assert list(entries) == ["active state", "snapshot 1"]
    assert entries["snapshot 1"] == value.split()[0]
    assert entries["active state"] != entries["snapshot 1"]


def test_hash_needs_what_it_needs(demo: Path, run: Run) -> None:
    assert run("hash", demo / "demo-encrypted.qcow2").code == 0
    assert run("hash", demo / "demo-encrypted.qcow2", "--content").code == 77
    assert run("hash", demo / "demo-damaged.qcow2", "--content").code == 65
    for words in (("--hash", "crc32"), ("--piecewise", "64K"), ("--json", "--piecewise", "3"), ("--snapshot", "none")):
        assert run("hash", demo / "demo.qcow2", *words).code == 64


@pytest.mark.parametrize("form", ["--json", "--sums"])
def test_verify_says_same_and_different(demo: Path, run: Run, tmp_path: Path, form: str) -> None:
    image = tmp_path / "demo.qcow2"
    shutil.copy(demo / "demo.qcow2", image)
    pieces = ("--piecewise", "64K") if form == "--json" else ()
    written = run("hash", image, "--both", form, *pieces)
    manifest = tmp_path / "manifest"
    manifest.write_text(written.out)
    if form == "--json":
        Draft202012Validator(read_schema("manifest")).validate(json.loads(written.out))
    same = run("verify", image, "--against", manifest)
    assert (same.code, same.out.count("same "), same.err) == (0, 2, "")
    data = bytearray(image.read_bytes())
    data[0x50010] ^= 1
    image.write_bytes(data)
    changed = run("verify", image, "--against", manifest)
    assert changed.code == 1
    assert "DIFFERENT container file" in changed.out
    assert ("differs at 0x50000..0x60000" in changed.out) == (form == "--json")
    document = json.loads(run("verify", image, "--against", manifest, "--json").out)
    Draft202012Validator(read_schema("verify")).validate(document)
    assert document["same"] is False


def test_verify_takes_lines_of_coreutils(demo: Path, run: Run, tmp_path: Path) -> None:
    lines = subprocess.run(["sha256sum", "demo.qcow2"], cwd=demo, capture_output=True, text=True, check=True).stdout
    (tmp_path / "SHA256SUMS").write_text(lines)
    assert run("verify", demo / "demo.qcow2", "--against", tmp_path / "SHA256SUMS").code == 0
    assert run("verify", demo / "demo-damaged.qcow2", "--against", tmp_path / "SHA256SUMS").code == 1
    assert run("verify", demo / "demo.qcow2", "--against", tmp_path / "none").code == 66
    assert run("verify", demo / "demo.qcow2", "--against", demo / "demo.qcow2").code == 65
