"""Assumptions on the command line: what is damaged is overlaid, named everywhere, and never written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import BadAddress
from qcow2inspect.image.assume import read_assumptions
from qcow2inspect.image.assumed import Assumption, Assumptions
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import HostRange
from tests.cli.conftest import Run
from tests.images import model

K = 1 << 12
RECIPE = Recipe(Layout(3 << 20, cluster_bits=12), {0: Data(b"first"), 5: Compressed(b"text"), 600: Data(b"last")})
SOUND = build(RECIPE)
DISK = model(RECIPE)

FIELDS = {
    "magic": (0, 4, 0, 0x514649FB),
    "version": (4, 4, 7, 3),
    "cluster_bits": (20, 4, 255, 12),
    "size": (24, 8, 1 << 63, 3 << 20),
    "crypt_method": (32, 4, 9, 0),
    "l1_size": (36, 4, 1, 2),
    "l1_table_offset": (40, 8, 77, 3 * K),
    "refcount_table_offset": (48, 8, 5, K),
    "refcount_table_clusters": (56, 4, 0, 1),
    "snapshots_offset": (64, 8, 3, 0),
    "nb_snapshots": (60, 4, 1 << 31, 0),
    "incompatible_features": (72, 8, 1 << 40, 0),
    "refcount_order": (96, 4, 9, 4),
    "header_length": (100, 4, 3, 112),
    "compression_type": (104, 1, 9, 0),
    "backing_file_offset": (8, 8, 1 << 40, 0),
}
"""Field -> where it lies, its size, a value that QEMU refuses, the right one."""


def broken(field: str) -> bytes:
    at, size, wrong, _ = FIELDS[field]
    return SOUND[:at] + wrong.to_bytes(size, "big") + SOUND[at + size :]


@pytest.mark.parametrize("field", FIELDS)
def test_every_header_field_can_be_assumed(field: str) -> None:
    source = MemorySource(broken(field))
    right = FIELDS[field][3]
    assumed = read_assumptions(source, [f"{field}={right}"])
    image = Image(source, assumed)
    assert image.active_disk().read_at(0, len(DISK)) == DISK
    assert assumed.shown.startswith(f"{field}=")
    assert assumed.all[0].stored == FIELDS[field][2]
    assert source.read_at(0, 112) == broken(field)[:112]


@pytest.mark.parametrize("text", ["cluster_bits", "cluster_bits=x", "cluster_bits=0x100000000", "nothing=3", "L1=5"])
def test_what_is_no_assumption_is_refused(text: str) -> None:
    with pytest.raises(BadAddress, match="--assume"):
        read_assumptions(MemorySource(SOUND), [text])


def test_entries_of_tables_are_overlaid_and_data_is_not() -> None:
    table = Image(MemorySource(SOUND)).l1[0].raw
    data = bytearray(SOUND)
    data[3 * K : 3 * K + 8] = bytes(8)
    source = MemorySource(bytes(data))
    assumed = read_assumptions(source, [f"L1[0]={table:#x}", "hdr.size=1M"])
    image = Image(source, assumed)
    assert image.active_disk().read_at(0, 1 << 20) == DISK[: 1 << 20]
    assert image.host_file().read_at(3 * K, 8) == bytes(8)
    assert Assumptions((Assumption("x", HostRange.at(10, 4), 0x01020304, 0),)).over(12, b"abcd") == b"\3\4cd"


def test_every_verb_reads_with_an_assumption_and_names_it(run: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "disk.qcow2", tmp_path / "out.raw"
    path.write_bytes(broken("cluster_bits"))
    before = hashlib.sha256(path.read_bytes()).digest()
    word = "--assume=cluster_bits=12"
    assert run("info", path).code == 65
    for verb in (
        ("info", path),
        ("header", path),
        ("map", path),
        ("check", path),
        ("l1", path),
        ("l2", path, "0"),
        ("hexdump", path, "L1[0].L2[0].data"),
        ("refcount", path),
        ("hash", path, "--content"),
        ("report", path),
        (path,),
        ("export", path, out, "--hash=sha256"),
    ):
        ran = run(*verb, word)
        assert ran.code == 0, (verb, ran.err)
        assert "ASSUMED cluster_bits=12 (stored is 255)" in ran.err, verb
        if verb[0] in ("info", "report", path):
            assert "ASSUMED" in ran.out, verb
    assert out.read_bytes() == DISK
    manifest = json.loads((tmp_path / "out.raw.manifest.json").read_text())
    assert manifest["assumed"] == ["cluster_bits=12 (stored is 255)"]
    assert word in manifest["command"]
    assert "ASSUMED   cluster_bits=12" in (tmp_path / "out.raw.manifest.txt").read_text()
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_best_reads_on_where_guest_data_does_not_depend_on_what_is_wrong(run: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "disk.qcow2", tmp_path / "out.raw"
    path.write_bytes(broken("refcount_order"))
    assert run("export", path, out).code == 65
    ran = run("export", path, out, "--on-error=best")
    assert ran.code == 0
    assert "refcount order is 9" in ran.err
    assert out.read_bytes() == DISK
