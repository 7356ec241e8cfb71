"""Images made to exhaust a reader, through the command line, in a process with limits on memory and processor time.

Each is a few kilobytes or megabytes on disk and claims far more. The limits are far above what is needed and far below
what the image asks for: a reader that believes it does not come to an end within them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.snapshot import SnapshotEntry
from qcow2inspect.units import HostOffset
from tests.images import ROOT

M, T = 1 << 20, 1 << 40
MEMORY = 1500 * M
SECONDS = 120
OUTPUT = 8 * M
VERBS = [("info",), ("map",), ("map", "--json-compat", "qemu-img"), ("report",), ("check",)]
COPIED = 1 << 63
Piece = tuple[int, bytes]

LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
from qcow2inspect.__main__ import main
sys.exit(main())
"""


LITTLE = 150_000_000
MEASURED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
from qcow2inspect.__main__ import main
try:
    code = main()
finally:
    sys.stdout.flush()
    print("VmHWM:" + open("/proc/self/status").read().partition("VmHWM:")[2], file=sys.stderr, flush=True)
sys.exit(code)
"""


def front(bits: int = 16, **fields: int) -> bytes:
    """A small sound image with other header fields."""
    damage: dict[str, int | bytes] = {f"hdr.{name}": value for name, value in fields.items()}
    return build(Recipe(Layout(M, cluster_bits=bits), {0: Data(b"x"), 1: Compressed(b"y")}, damage=damage))


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "big") for value in values)


def sixteen_tebibytes() -> tuple[list[Piece], int]:
    data = build(Recipe(Layout(16 * T), {0: Data(b"x"), 16 * T // 65536 - 1: Data(b"y")}))
    return [(0, data)], len(data)


def tables_in_holes() -> tuple[list[Piece], int]:
    """A file of 8 TiB that holds nothing, and 65,536 L2 tables all over it; a disk of 32 TiB."""
    count, at = 65536, 16 * M
    l1 = words(*(64 * M + index * (8 * T // count) | COPIED for index in range(count)))
    return [(0, front(size=count << 29, l1_size=count, l1_table_offset=at)), (at, l1)], 8 * T + 64 * M


def largest_l1() -> tuple[list[Piece], int]:
    """32 MiB of L1 entries without a table."""
    return [(0, front(bits=21, size=(1 << 62), l1_size=4_194_304, l1_table_offset=16 * M))], 48 * M


def alias_bomb() -> tuple[list[Piece], int]:
    """Two exbibytes of guest data in one cluster: every entry of every table names the same."""
    count, at = 4_194_304, 16 * M
    table = words((2 * M) | COPIED) * 8192
    return [
        (0, front(size=count << 29, l1_size=count, l1_table_offset=at)),
        (M, table),
        (at, words(M | COPIED) * count),
    ], at + 8 * count


def loop() -> tuple[list[Piece], int]:
    """The L1 table is its own L2 table, whose entries are tables again."""
    at = 4 * M
    return [(0, front(size=8 << 29, l1_size=8, l1_table_offset=at)), (at, words(at | COPIED) * 8)], 5 * M


def snapshots_of_the_largest_l1() -> tuple[list[Piece], int]:
    entry = SnapshotEntry(HostOffset(64 * M), 4_194_304, 0, 0, 0, 0, 0, 0, 0).encode()
    return [(0, front(bits=9, nb_snapshots=65536, snapshots_offset=M)), (M, entry * 65536)], 96 * M


def largest_snapshot_table() -> tuple[list[Piece], int]:
    entry = SnapshotEntry(HostOffset(0), 0, 488, 488, 0, 0, 0, 0, 0).encode() + b"n" * 976
    entry = entry.ljust(-(-len(entry) // 8) * 8, b"\0")
    return [(0, front(nb_snapshots=65536, snapshots_offset=M)), (M, entry * 65536)], M + 65536 * len(entry)


def eight_gibibytes_of_names() -> tuple[list[Piece], int]:
    entry = SnapshotEntry(HostOffset(0), 0, 65535, 65535, 0, 0, 0, 0, 1024).encode()
    size = -(-(len(entry) + 1024 + 2 * 65535) // 8) * 8
    pieces = [(M + size * index, entry) for index in range(2000)]
    return [(0, front(nb_snapshots=65536, snapshots_offset=M)), *pieces], M + 65536 * size


def deep_json() -> tuple[list[Piece], int]:
    layout = Layout(M, cluster_bits=21, data_file=b"json:" + b'{"a":' * 12_000)
    data = build(Recipe(layout))
    return [(0, data)], len(data)


def bitmaps_of_one_table() -> tuple[list[Piece], int]:
    """65,535 bitmaps that share a table of 8,192 entries, all of which name one cluster."""
    entry = words(16 * M) + (8192).to_bytes(4, "big") + bytes(4) + b"\x01\x09\x00\x06" + bytes(4)
    directory = b"".join(entry + b"%06d\0\0" % index for index in range(65_535))
    pointer = (65_535).to_bytes(4, "big") + bytes(4) + words(len(directory), M)
    recipe = Recipe(Layout(T, extra_extensions=((0x2385_2875, pointer),)), damage={"hdr.autoclear_features": 1})
    return [(0, build(recipe)), (M, directory), (16 * M, words(32 * M) * 8192)], 64 * M


def l1_of(count: int, first: int, step: int) -> bytes:
    """An L1 table whose entries lead to tables ``step`` bytes apart."""
    return b"".join((first + index * step | COPIED).to_bytes(8, "big") for index in range(count))


def four_million_tables() -> tuple[list[Piece], int]:
    """2 PiB of disk: as many L2 tables as an L1 table can name, all in a hole."""
    count, at = 4_194_304, 16 * M
    data = front(size=count << 29, l1_size=count, l1_table_offset=at)
    return [(0, data), (at, l1_of(count, 64 * M, 65536))], 64 * M + (count << 16)


def four_million_crooked_tables() -> tuple[list[Piece], int]:
    """The same, at places where no table can be."""
    count, at = 4_194_304, 16 * M
    return [(0, front(size=count << 29, l1_size=count, l1_table_offset=at)), (at, l1_of(count, 512, 512))], 64 * M


def four_million_entries() -> tuple[list[Piece], int]:
    """512 L2 tables, full, in no order: 256 GiB of fragmented disk."""
    count, at = 512, 16 * M
    body = ((np.random.default_rng(3).permutation(count * 8192) + 4096 << 16).astype(np.uint64) | COPIED).astype(">u8")
    l1 = (at, l1_of(count, 64 * M, 65536))
    return [(0, front(size=count << 29, l1_size=count, l1_table_offset=at)), l1, (64 * M, body.tobytes())], 257 << 30


def four_million_lost_entries() -> tuple[list[Piece], int]:
    """The same, and every L1 entry is crooked."""
    (head, (at, l1), body), size = four_million_entries()
    return [head, (at, l1_of(len(l1) // 8, 512, 512)), body], size


def quarter_of_a_million_extensions() -> tuple[list[Piece], int]:
    data = bytearray(front(bits=21))
    records = words(0x1234_5678 << 32) * 261_000
    data[112 : 112 + len(records)] = records
    return [(0, bytes(data))], len(data)


def forty_thousand_feature_names() -> tuple[list[Piece], int]:
    data, count = bytearray(front(bits=21)), 43_000
    names = b"".join(bytes((index % 4, index % 70)) + (b"%d" % index).ljust(46, b"\0") for index in range(count))
    record = (0x6803_F857).to_bytes(4, "big") + len(names).to_bytes(4, "big") + names
    data[112 : 112 + len(record) + 8] = record + bytes(8)
    return [(0, bytes(data))], len(data)


def bitmaps_of_their_own_tables() -> tuple[list[Piece], int]:
    """65,535 bitmaps whose tables overlap, full of ones."""
    count, tail = 65_535, (8192).to_bytes(4, "big") + bytes(4) + b"\x01\x09\x00\x06" + bytes(4)
    directory = b"".join(words(16 * M + 65536 * (index % 512)) + tail + b"%06d\0\0" % index for index in range(count))
    pointer = count.to_bytes(4, "big") + bytes(4) + words(len(directory), M)
    recipe = Recipe(Layout(T, extra_extensions=((0x2385_2875, pointer),)), damage={"hdr.autoclear_features": 1})
    return [(0, build(recipe)), (M, directory), (16 * M, words(17 * M) * 8192 * 520)], 64 * M


def bitmaps_of_long_names() -> tuple[list[Piece], int]:
    """65,535 bitmaps that QEMU would take, each with a table of its own, in the largest directory."""
    count, size, at = 65_535, 1000, 512 * M
    tail = (32).to_bytes(4, "big") + bytes(4) + b"\x01\x10" + size.to_bytes(2, "big") + bytes(4)
    directory = b"".join(words(at + 65536 * index) + tail + (b"%d" % index).ljust(size, b"n") for index in range(count))
    pointer = count.to_bytes(4, "big") + bytes(4) + words(len(directory), M)
    recipe = Recipe(Layout(T, extra_extensions=((0x2385_2875, pointer),)), damage={"hdr.autoclear_features": 1})
    return [(0, build(recipe)), (M, directory)], at + 65536 * count


BOMBS: list[Callable[[], tuple[list[Piece], int]]] = [
    sixteen_tebibytes,
    tables_in_holes,
    largest_l1,
    alias_bomb,
    loop,
    snapshots_of_the_largest_l1,
    largest_snapshot_table,
    eight_gibibytes_of_names,
    deep_json,
    bitmaps_of_one_table,
]


Verbs = list[tuple[str, ...]]
TIGHT: list[tuple[Callable[[], tuple[list[Piece], int]], Verbs]] = [
    (four_million_tables, [("check",), ("l1",), ("map",), ("report",), ("export", "--dry-run")]),
    (four_million_crooked_tables, [("check",), ("info", "--assume", "auto")]),
    (four_million_entries, [("info", "--assume", "auto")]),
    (four_million_lost_entries, [("info", "--assume", "auto")]),
    (quarter_of_a_million_extensions, [("check",), ("header",)]),
    (forty_thousand_feature_names, [("check",), ("header",)]),
    (bitmaps_of_their_own_tables, [("bitmaps",), ("check",)]),
    (bitmaps_of_one_table, [("bitmaps",)]),
    (bitmaps_of_long_names, [("bitmaps",), ("check",)]),
    (largest_snapshot_table, [("check",), ("report",)]),
    (tables_in_holes, [("info", "--assume", "auto")]),
    (snapshots_of_the_largest_l1, [("info", "--assume", "auto")]),
    (alias_bomb, [("check",)]),
]
"""Bombs and verbs that need neither much time nor much memory, and say what they have left out."""
LEFT_OUT = {
    ("four_million_tables", "check"): "The result is partial",
    ("bitmaps_of_their_own_tables", "check"): "520,085,504 bitmap table entries",
    ("four_million_crooked_tables", "check"): "The result is partial",
    ("quarter_of_a_million_extensions", "check"): "252,808 header extensions",
    ("quarter_of_a_million_extensions", "header"): "252,808 more header extensions are not shown",
    ("forty_thousand_feature_names", "header"): "",
    ("bitmaps_of_their_own_tables", "bitmaps"): "64,535 more bitmaps are not shown",
    ("bitmaps_of_long_names", "bitmaps"): "64,535 more bitmaps are not shown",
    ("bitmaps_of_one_table", "bitmaps"): "64,535 more bitmaps are not shown",
}


def written(path: Path, pieces: list[Piece], size: int) -> Path:
    with path.open("wb") as file:
        for at, data in pieces:
            file.seek(at)
            file.write(data)
        file.truncate(size)
    return path


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and complaints of a command whose output is read up to a limit, as by ``head``."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIMITED, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as out, process.stderr as complaints:
        out.read(OUTPUT)
        out.close()
        said = complaints.read().decode()
    return process.wait(), said


def measured(*arguments: str | Path) -> tuple[int, str, int]:
    """Exit code, all output, and the most memory in bytes of a command with little processor time."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    said, _, peak = done.stdout.decode().rpartition("VmHWM:")
    return done.returncode, said, int(peak.split()[0]) * 1024 if peak else -1


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("bomb", "verbs"), TIGHT, ids=lambda value: getattr(value, "__name__", ""))
def test_it_takes_little_and_says_what_it_left_out(
    bomb: Callable[[], tuple[list[Piece], int]], verbs: Verbs, tmp_path: Path
) -> None:
    path = written(tmp_path / "bomb.qcow2", *bomb())
    for verb in verbs:
        target = [tmp_path / "disk.raw"] if verb[0] == "export" else []
        code, said, peak = measured(*verb, path, *target)
        assert code >= 0, f"{verb}: ended by signal {-code}"
        assert "Traceback" not in said, f"{verb}: {said[-1500:]}"
        assert "not enough memory" not in said
        assert 0 < peak < LITTLE, f"{verb}: {peak:,} bytes"
        assert LEFT_OUT.get((bomb.__name__, verb[0]), "") in " ".join(said.split())


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: str(bomb.__name__))
def test_it_ends_within_its_limits(bomb: Callable[[], tuple[list[Piece], int]], tmp_path: Path) -> None:
    path = written(tmp_path / "bomb.qcow2", *bomb())
    for verb in VERBS:
        code, said = run(*verb, path)
        assert "Traceback" not in said, f"{verb}: {said[-1500:]}"
        assert code >= 0, f"{verb}: ended by signal {-code}"
        assert len(said) < 100_000


@pytest.mark.parametrize(
    "verb", [("map", "--follow", "any"), ("info", "--follow", "any"), ("check", "--follow", "any")]
)
def test_a_chain_that_bites_its_tail(verb: tuple[str, ...], tmp_path: Path) -> None:
    for name, other in (("a", b"b"), ("b", b"a")):
        (tmp_path / name).write_bytes(build(Recipe(Layout(M, backing_name=other, backing_format=b"qcow2"))))
    code, said = run(*verb, tmp_path / "a")
    assert code >= 0
    assert "Traceback" not in said
