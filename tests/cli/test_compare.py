"""compare: exit codes, what is listed, what is said about what could not be compared."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_exit_codes_and_words(demo: Path, run: Run, tmp_path: Path) -> None:
    image, raw = demo / "demo.qcow2", tmp_path / "demo.raw"
    assert run("export", image, raw).code == 0
    same = run("compare", image, raw)
    assert (same.code, same.err) == (0, "")
    assert "SAME: 0 B differ" in same.out
    assert f"B  {raw}, raw disk" in same.out
    assert run("compare", image).code == 64
    assert run("compare", image, demo / "none").code == 66
    with raw.open("r+b") as file:
        file.seek(0x700001)
        file.write(b"x")
    unlike = run("compare", image, raw)
    assert unlike.code == 1
    assert "0x700001     0x700002   1" in unlike.out
    with raw.open("ab") as file:
        file.write(bytes(512))
    assert "different sizes" in run("compare", image, raw).err
    raw.write_bytes(raw.read_bytes()[:0x700001] + bytes(1) + raw.read_bytes()[0x700002:])
    assert run("compare", image, raw).code == 0
    assert run("compare", image, raw, "--strict").code == 1


def test_states_of_one_image(demo: Path, run: Run) -> None:
    image = demo / "demo.qcow2"
    found = run("compare", image, "--snapshot", "1", "--json")
    assert found.code == 1
    document = json.loads(found.out)
    assert document["result"] == "different"
    assert document["ranges"] == 1
    assert document["listed"][0]["start"] == 0x80000
    assert document["bytes"]["same_by_bytes"] == 0
    assert run("compare", image, "--snapshot", "1", "--b-snapshot", "1").code == 0
    mapping = run("compare", image, "--snapshot", "1", "--what", "mapping", "--limit", "0")
    assert "... and 1 more range" in mapping.out
    fields = run("compare", image, "--snapshot", "1", "--what", "fields")
    assert "L1 table offset" in fields.out


def test_what_cannot_be_compared(demo: Path, run: Run, tmp_path: Path) -> None:
    locked = demo / "demo-encrypted.qcow2"
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(locked.read_bytes())
    trouble = run("compare", locked, copy)
    assert trouble.code == 2
    assert "could not be compared" in trouble.err
    damaged = run("compare", demo / "demo.qcow2", demo / "demo-damaged.qcow2", "--what", "fields", "--json")
    assert damaged.code == 1
    assert {"field": "hdr.incompatible_features.corrupt", "a": "0", "b": "1"} in json.loads(damaged.out)["fields"]
    assert run("compare", demo / "demo.qcow2", demo / "demo.raw", "--what", "fields").code == 64
