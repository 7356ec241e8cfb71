"""Every verb does on the demo images what its help says."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcow2inspect.build.demo import DEFECTS, demo_disk
from qcow2inspect.cli import main
from qcow2inspect.cli.main import EXIT_CODES, VERBS
from tests.cli.conftest import ROOT, Run


def test_demo_runs_the_main_job(demo: Path) -> None:
    assert sorted(os.listdir(demo)) == ["demo-damaged.qcow2", "demo-encrypted.qcow2", "demo.qcow2", "demo.raw"]
    assert (demo / "demo.raw").read_bytes() == demo_disk()


def test_demo_can_be_repeated_and_is_the_same(demo: Path, run: Run, tmp_path: Path) -> None:
    assert run("demo", tmp_path).code == 0
    assert run("demo", tmp_path).code == 0
    for name in os.listdir(demo):
        assert (tmp_path / name).read_bytes() == (demo / name).read_bytes()


def test_a_bare_image_prints_its_info_where_there_is_no_terminal(demo: Path, run: Run) -> None:
    assert run(demo / "demo.qcow2").out == run("info", demo / "demo.qcow2").out


def test_info_flags_the_three_states(demo: Path, run: Run) -> None:
    plain = run("info", demo / "demo.qcow2")
    assert "compressed        YES  48 clusters" in plain.out
    assert "encrypted         no" in plain.out
    assert "corrupt           no   no damage seen" in plain.out
    assert "encrypted         YES  AES (legacy), key needed" in run("info", demo / "demo-encrypted.qcow2").out
    damaged = run("info", demo / "demo-damaged.qcow2").out
    assert "corrupt           YES  corrupt bit set, 4 other findings" in damaged
    assert "verdict           DAMAGED" in damaged
    assert "not checked:" in plain.out


def test_info_finds_each_planted_defect(demo: Path, run: Run) -> None:
    document = json.loads(run("info", demo / "demo-damaged.qcow2", "--json").out)
    found = {evidence["path"] for finding in document["findings"] for evidence in finding["evidence"]}
    for address in DEFECTS:
        entry = address.removesuffix(".corrupt").removesuffix(".reserved_low")
        assert entry in found


def test_info_json(demo: Path, run: Run) -> None:
    document = json.loads(run("info", demo / "demo.qcow2", "--json").out)
    assert document["schema_version"] == "1.0"
    assert document["header"]["size"] == 64 << 20
    assert document["guest_clusters"] == {
        "unallocated": 914,
        "zero-plain": 8,
        "zero-alloc": 4,
        "normal": 50,
        "compressed": 48,
    }
    assert document["states"]["snapshots"]["on"] is True


def test_map_covers_the_disk(demo: Path, run: Run) -> None:
    extents = json.loads(run("map", demo / "demo.qcow2", "--json").out)
    at = 0
    for extent in extents:
        assert extent["start"] == at
        at += extent["length"]
    assert at == 64 << 20
    assert {extent["type"] for extent in extents} == {"normal", "compressed", "zero-plain", "zero-alloc", "unallocated"}


def test_map_says_what_cannot_be_read(demo: Path, run: Run) -> None:
    ran = run("map", demo / "demo-damaged.qcow2")
    assert ran.code == 0
    assert "cannot be read: guest 0x280000..0x290000" in ran.out
    assert "missing: the file ends before it, reads as zeros" in ran.out


def test_tables_in_use_and_ranges(demo: Path, run: Run) -> None:
    image = demo / "demo.qcow2"
    assert [line.split()[0] for line in run("l1", image).out.splitlines()] == ["entry", "L1[0]"]
    lines = run("l2", image, "0", "39:42").out.splitlines()
    assert [line.split()[0] for line in lines] == ["entry", "L1[0].L2[39]", "L1[0].L2[40]", "L1[0].L2[41]"]
    assert "unallocated" in lines[1]
    assert "0x280000..0x290000" in lines[2]
    assert "... 103 more rows" in run("l2", image, "0", "--limit", "12").out
    assert run("refcount", image, "4:6").out.splitlines()[1].split()[:5] == ["ref[4]", "0x20008", "0002", "shared", "2"]
    rows = json.loads(run("l2", image, "0", "128:130", "--json").out)
    assert [row["state"] for row in rows] == ["compressed", "compressed"]
    assert rows[0]["fields"]["additional_sectors"] == "0"


def test_tables_of_a_snapshot(demo: Path, run: Run) -> None:
    image = demo / "demo.qcow2"
    active = json.loads(run("l2", image, "0", "8", "--json").out)
    kept = json.loads(run("l2", image, "0", "8", "--snapshot", "before the change", "--json").out)
    assert kept[0]["path"] == "snap[0].L1[0].L2[8]"
    assert kept[0]["target"] != active[0]["target"]
    missing = run("l1", image, "--snapshot", "nothing")
    assert missing.code == 64
    assert "before the change" in missing.err


def test_header_names_every_byte_up_to_the_end_marker(demo: Path, run: Run) -> None:
    rows = json.loads(run("header", demo / "demo.qcow2", "--json").out)
    at = 0
    for row in rows:
        assert row["offset"] == at, row
        at += row["size"]
    assert rows[-1]["path"] == "ext.end"
    assert all(row["meaning"] for row in rows)


def test_header_of_version_1(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "old.qcow"
    path.write_bytes(b"QFI\xfb\0\0\0\1" + bytes(16) + (1 << 30).to_bytes(8, "big") + bytes([12, 9]) + bytes(30))
    out = run("header", path).out
    assert "hdr.l2_bits" in out
    assert "1,073,741,824 B (1 GiB)" in out


def test_hexdump_names_fields_and_guest_data(demo: Path, run: Run) -> None:
    image = demo / "demo.qcow2"
    out = run("hexdump", image, "hdr.cluster_bits").out
    assert out == (
        "0x0000000014  00 00 00 10                                       |....            |  "
        "hdr.cluster_bits = 16 (65,536 B (64 KiB))\n"
    )
    guest = run("hexdump", image, "G0x280000", "-n", "32").out
    assert "|guest cluster 40|  L1[0].L2[40].data" in guest
    assert run("hexdump", image, "0xffffff").out.endswith("end of the file\n")
    assert run("hexdump", image, "L9[1]").code == 64
    parts = json.loads(run("hexdump", image, "L1[0].L2[0]", "-n", "16", "--json").out)
    assert [part["path"] for part in parts] == ["L1[0].L2[0]", "L1[0].L2[1]"]


def test_export(demo: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "disk.raw"
    ran = run("export", demo / "demo.qcow2", out)
    assert (ran.code, ran.out) == (0, "")
    assert out.read_bytes() == demo_disk()
    assert out.stat().st_blocks * 512 < 10 << 20
    again = run("export", demo / "demo.qcow2", out)
    assert again.code == 77
    assert "exists" in again.err
    assert run("export", demo / "demo.qcow2", out, "--force", "--no-sparse").code == 0
    assert out.read_bytes() == demo_disk()
    assert out.stat().st_blocks * 512 >= 64 << 20
    assert os.listdir(tmp_path) == ["disk.raw"]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("demo-encrypted.qcow2", 77, "encrypted (AES) and no passphrase"),
        ("demo-damaged.qcow2", 65, "65,536 B (64 KiB) of 64 MiB cannot be read, first: guest 0x280000..0x290000"),
    ],
)
def test_export_says_what_stops_it(name: str, code: int, words: str, demo: Path, run: Run, tmp_path: Path) -> None:
    ran = run("export", demo / name, tmp_path / "out.raw")
    assert ran.code == code
    assert words in ran.err
    assert os.listdir(tmp_path) == []


def test_export_never_writes_onto_the_evidence(demo: Path, run: Run, tmp_path: Path) -> None:
    image = tmp_path / "evidence.qcow2"
    image.write_bytes((demo / "demo.qcow2").read_bytes())
    (tmp_path / "hard").hardlink_to(image)
    (tmp_path / "soft").symlink_to(image)
    (tmp_path / "x.raw.part").symlink_to(image)
    for target in (image, tmp_path / "hard", tmp_path / "soft", tmp_path / "x.raw"):
        ran = run("export", image, target, "--force")
        assert ran.code == 77, target
        assert "is evidence: the image" in ran.err
    assert image.read_bytes() == (demo / "demo.qcow2").read_bytes()


def test_report(demo: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "report.txt"
    printed = run("report", demo / "demo-damaged.qcow2", "--without", "provenance")
    assert run("report", demo / "demo-damaged.qcow2", "--without", "provenance", "-o", out).code == 0
    assert out.read_text() == printed.out
    assert "DAMAGED" in printed.out
    assert "QCOW-L2-UNALIGNED" in printed.out
    assert "L1[0].L2[40] at " in printed.out
    assert "Not checked" in printed.out
    assert run("report", demo / "demo.qcow2", "-o", out).code == 77
    assert run("report", demo / "demo.qcow2", "-o", out, "--force").code == 0
    assert run("report", demo / "demo.qcow2", "-o", demo / "demo.qcow2", "--force").code == 77


def test_help_names_every_verb_and_exit_code(run: Run) -> None:
    text = run("--help").out
    for verb in VERBS:
        assert f"\n    {verb} " in text or f"\n    {verb}\n" in text
    assert EXIT_CODES.strip() in text
    assert run("--version").out.startswith("qcow2inspect ")
    for verb in VERBS:
        assert EXIT_CODES.strip() in run(verb, "--help").out


def test_a_closed_pipe_is_no_error(demo: Path) -> None:
    command = f"{sys.executable} -m qcow2inspect refcount {demo / 'demo.qcow2'} :30000 --limit 0 | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("entry")


HYGIENE = """
import sys
from qcow2inspect.cli import verb_info
seen = []
verb_info.take_dossier = lambda image: seen.extend(sys.modules) or (_ for _ in ()).throw(KeyboardInterrupt)
try:
    verb_info.print_info(sys.argv[1])
except KeyboardInterrupt:
    pass
heavy = {"numpy", "textual", "rich", "isal", "cryptography", "asyncio"} & set(seen)
assert seen and not heavy, heavy
"""


def test_header_facts_are_printed_before_anything_heavy_is_imported(demo: Path) -> None:
    command = [sys.executable, "-c", HYGIENE, str(demo / "demo.qcow2")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "virtual size" in done.stdout


def test_the_command_line_never_imports_textual(demo: Path) -> None:
    code = "import sys; from qcow2inspect.cli.main import run; run(sys.argv[1:]); assert 'textual' not in sys.modules"
    for verb in ("info", "map", "header", "l1", "refcount", "report"):
        command = [sys.executable, "-c", code, verb, str(demo / "demo.qcow2")]
        assert subprocess.run(command, capture_output=True, cwd=ROOT, timeout=60, check=False).returncode == 0, verb


def test_a_signal_inside_the_import_system_comes_again() -> None:
    """Raised there it would be lost in a callback, or leave a lock behind for which other threads wait for ever."""
    code = "def there():\n    raise_signal(SIGTERM)\n    done.append(True)"
    names: dict[str, Any] = {"raise_signal": signal.raise_signal, "SIGTERM": signal.SIGTERM, "done": []}
    exec(compile(code, "<frozen importlib._bootstrap>", "exec"), names)
    previous = signal.signal(signal.SIGTERM, main._interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            _have_patience(names["there"])
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert names["done"]


MODULE = """
import signal
class Named:
    def __set_name__(self, owner, name):
        signal.raise_signal(signal.SIGTERM)
class Owner:
    named = Named()
"""


def test_a_signal_while_a_module_is_imported_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class in the making would turn the interruption into another error."""
    (tmp_path / "signalled_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    previous = signal.signal(signal.SIGTERM, main._interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            _have_patience(lambda: importlib.import_module("signalled_module"))
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert sys.modules.pop("signalled_module").Owner


def _have_patience(work: Callable[[], object]) -> None:
    """Do it, then wait for the signal."""
    work()
    time.sleep(5)
