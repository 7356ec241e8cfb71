"""The check verb: text, JSON, selection, exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import build
from tests.cli.conftest import Run
from tests.rules import recipes
from tests.rules.deep import DEEP, HOLES, PACKED


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.qcow2"
    path.write_bytes(recipes.BAD["QCOW-L2-LOOKS-REFBLOCK"]())
    return path


def test_the_verdict_comes_first(run: Run, bad: Path) -> None:
    done = run("check", bad)
    lines = done.out.splitlines()
    assert done.code == 2
    assert lines[0].endswith("bad.qcow2: DAMAGED")
    assert lines[2] == "qemu-img check: 512 corruptions, 4 leaks, exit code 2"
    assert "ERROR   An L2 table was overwritten with refcounts" in lines
    assert "    where   L1[0] at 0x3000..0x3008: 0x8000000000005000" in lines
    assert any(line.startswith("    guest   0x0..0x100000 (1 MiB)") for line in lines)
    assert any("can still be put back" in line for line in lines)
    assert lines[-3].endswith("other checks passed.") or lines[-2].endswith("other checks passed.")
    assert max(map(len, lines)) <= 100


def test_a_sound_image_is_told_in_a_few_lines(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(build(recipes.SOUND))
    done = run("check", path)
    assert done.code == 0
    assert done.out.splitlines()[0].endswith("NO DAMAGE FOUND")
    assert "qemu-img check: no errors, exit code 0" in done.out
    assert len(done.out.splitlines()) <= 14


def test_json_holds_findings_and_qemus_counters(run: Run, bad: Path) -> None:
    document = json.loads(run("check", bad, "--json").out)
    assert document["schema"] == "qcow2inspect/check"
    assert document["findings"][0]["code"] == "QCOW-L2-LOOKS-REFBLOCK"
    counters = document["qemu_img_check"]["counters"]
    assert (counters["corruptions"], counters["leaks"]) == (512, 4)
    assert sum(document["qemu_img_check"]["corruptions_by_kind"].values()) == 512
    assert document["qemu_img_check"]["differences"]


def test_jsonl_has_one_finding_a_line(run: Run, bad: Path) -> None:
    codes = [json.loads(line)["code"] for line in run("check", bad, "--jsonl").out.splitlines()]
    assert codes[:2] == ["QCOW-L2-LOOKS-REFBLOCK", "QCOW-REF-ORPHAN"]


def test_only_some_checks(run: Run, bad: Path) -> None:
    done = run("check", bad, "--jsonl", "--only", "qcow-ref,QCOW-L2-LOOKS-DATA")
    assert [json.loads(line)["code"] for line in done.out.splitlines()] == ["QCOW-REF-ORPHAN"]
    assert run("check", bad, "--only", "QCOW-NOTHING").code == 64


def test_strict_follows_the_findings(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(recipes.BAD["QCOW-HDR-SIZE-HIDES"]())
    assert run("check", path).code == 0
    assert run("check", path, "--strict").code == 2


def test_a_deep_check_looks_at_content(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(DEEP["QCOW-CMP-BADSTREAM"]())
    shallow, deep = run("check", path), run("check", path, "--deep")
    assert shallow.out.splitlines()[0].endswith("NO DAMAGE FOUND")
    assert "Not checked: content of compressed clusters;" in shallow.out
    assert deep.out.splitlines()[0].endswith("DAMAGED")
    assert "QCOW-CMP-BADSTREAM" in deep.out
    assert "content of compressed clusters" not in deep.out
    assert (shallow.code, deep.code, run("check", path, "--deep", "--strict").code) == (0, 0, 2)  # QEMU does not look


def test_more_checks_pass_if_more_were_made(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(build(PACKED))

    def passed(*options: str) -> int:
        line = next(line for line in run("check", path, *options).out.splitlines() if line.endswith("checks passed."))
        return int(line.split()[0])

    assert passed("--deep") == passed() + len(DEEP) + len(HOLES)


def test_a_check_of_content_alone_wants_a_deep_check(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(DEEP["QCOW-CMP-SHORT"]())
    refused = run("check", path, "--only", "QCOW-CMP-SHORT")
    assert refused.code == 64
    assert "--deep" in refused.err
    lines = run("check", path, "--only", "QCOW-CMP-SHORT", "--deep", "--jsonl").out.splitlines()
    assert [json.loads(line)["code"] for line in lines] == ["QCOW-CMP-SHORT"]


def test_what_a_deep_check_left_out_is_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(build(replace(PACKED, damage={"hdr.compression_type": 7})))
    said = json.loads(run("check", path, "--deep", "--json").out)["not_checked"]
    assert said[0] == "content of compressed clusters: compression type 7 (header byte 104) is unknown"


def test_a_file_that_is_no_image_has_one_finding(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(recipes.UNOPENED["QCOW-HDR-CLUSTERBITS"]())
    done = run("check", path, "--json")
    document = json.loads(done.out)
    assert (done.code, document["verdict"], document["complete"]) == (1, "CANNOT BE READ", False)
    assert [finding["code"] for finding in document["findings"]] == ["QCOW-HDR-CLUSTERBITS"]
    assert "explain QCOW-HDR-CLUSTERBITS" in run("check", path).err


def test_residues_are_listed_and_can_be_read(run: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "x.qcow2", tmp_path / "residue"
    path.write_bytes(build(recipes.SOUND) + b"appended")
    assert "trailing: content behind the last cluster in use, 8 B: 0x9000..0x9008" in run("check", path, "--deep").out
    assert "Residues" not in run("check", path).out
    (listed,) = [
        each
        for each in json.loads(run("check", path, "--deep", "--json").out)["residues"]
        if each["kind"] == "trailing"
    ]
    assert listed["ranges"] == [{"start": 0x9000, "end": 0x9008}]
    assert "|appended|" in run("hexdump", path, "0", "--residue", "trailing").out.replace("  ", "")
    assert run("export", path, out, "--residue", "trailing").code == 0
    assert out.read_bytes() == b"appended"
    refused = run("export", path, out, "--residue", "leaked")
    assert refused.code == 64
    assert "it has" in refused.err
    assert run("hexdump", path, "0", "--residue", "nonsense").code == 64
