"""Counters, JSON and exit codes of the check are those of ``qemu-img check``, on sound, broken and mutated images."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Cluster, Data, Recipe, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.image import Image
from qcow2inspect.reports.qemu_check import check_json
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey.survey import take_survey
from tests.images import ROOT, noise, qemu_img, qemu_io, run_qemu
from tests.oracle.test_matrix import MAKERS, TAIL, Options, rows
from tests.oracle.test_mutations import BASES
from tests.rules import recipes
from tests.rules.deep import DEEP
from tests.rules.incidents import claimed_by_refcounts, double_allocation, punched

pytestmark = pytest.mark.oracle

Count = Callable[[str, object], None]

# What QEMU says when it stops before it checks anything, for a reason that is not in the image's own metadata, and what
# that reason is. A check of the structure needs none of what QEMU misses, and goes on.
NEEDS_MORE = {
    "Could not open backing file": "the backing file is missing",
    "key-secret' is required": "a key is asked for",
    "Could not open '/srv/": "the external data file is missing",
}
DATA_FILE = b"data.raw"


def ours(data: bytes, name: str) -> tuple[int, str]:
    """Exit code and JSON, as the verb gives them."""
    check = take_survey(Image(MemorySource(data, name))).qemu
    return check.exit_code, "" if check.failed else check_json(name, check)


def same(path: Path, data: bytes, what: str) -> None:
    path.write_bytes(data)
    ran = run_qemu("qemu-img", "check", "-f", "qcow2", "--output=json", path)
    assert ours(data, str(path)) == (ran.code, ran.out), f"{what}: {ran.error[:2000]}"


@pytest.mark.parametrize("options", rows(), ids=str)
def test_matrix(options: Options, tmp_path: Path, record_property: Count) -> None:
    cells = 0
    for maker, tail in itertools.product(MAKERS, {0, TAIL % options.cluster}):
        path = tmp_path / f"{maker}-{tail}.qcow2"
        MAKERS[maker](options, 11 * options.cluster + tail, path)
        same(path, path.read_bytes(), maker)
        cells += 1
    record_property("cells check matrix", cells)


@pytest.mark.parametrize(
    "name", [b"\xc3\xbc\xe2\x80\x9c\xf0\x9f\x98\x80", b'a\xff\x7f\x1b\\u00fc"\\', b"\xed\xa0\x80\t"], ids=ascii
)
def test_names(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    same(path, path.read_bytes(), "a name")


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("bits", [9, 12, 16])
def test_refcount_widths_and_snapshots(width: int, bits: int, tmp_path: Path, record_property: Count) -> None:
    path = tmp_path / "x.qcow2"
    asked = f"refcount_bits={width},cluster_size={1 << bits}"
    qemu_img("create", "-q", "-f", "qcow2", "-o", asked, path, "2M")
    qemu_io(path, "write -q -P 0x12 0 300000")
    if width > 1:
        qemu_img("snapshot", "-c", "one", path)
        qemu_io(path, "write -q -P 0x13 100000 70000")
    if width > 2:
        qemu_img("snapshot", "-c", "two", path)
        qemu_img("snapshot", "-d", "one", path)
    same(path, path.read_bytes(), f"width {width}")
    record_property("cells check widths", 1)


def test_bitmaps(tmp_path: Path, record_property: Count) -> None:
    path = tmp_path / "x.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", path, "64M")
    qemu_img("bitmap", "--add", "-g", "65536", path, "one")
    qemu_img("bitmap", "--add", "-g", "512", path, "two")
    qemu_io(path, "write -q -P 1 0 5M")
    same(path, path.read_bytes(), "bitmaps")
    record_property("cells check bitmaps", 1)


def test_data_file(tmp_path: Path, record_property: Count) -> None:
    path = tmp_path / "x.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/data.raw", path, "8M")
    qemu_io(path, "write -q -P 1 0 1M", "write -q -z 1M 1M", "write -q -P 2 5M 100k")
    same(path, path.read_bytes(), "data file")
    record_property("cells check data file", 1)


def test_luks(tmp_path: Path, record_property: Count) -> None:
    """QEMU wants a key; with one its counters are those that need none here."""
    path = tmp_path / "x.qcow2"
    secret = ("--object", "secret,id=s,data=abc")
    options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    qemu_img("create", "-q", *secret, "-f", "qcow2", "-o", options, path, "8M")
    asked = f"driver=qcow2,file.filename={path},encrypt.key-secret=s"
    ran = run_qemu("qemu-img", "check", *secret, "--image-opts", "--output=json", asked)
    code, text = ours(path.read_bytes(), asked)
    assert (code, text.replace(asked, "")) == (ran.code, ran.out.replace(asked, ""))
    record_property("cells check luks", 1)


CORRUPTED: dict[str, Callable[[], bytes]] = {
    **recipes.BAD,
    **DEEP,
    **{make.__name__: make for make in (double_allocation, claimed_by_refcounts, punched)},
}
"""Every image with damage that there is, but for those that cannot be opened and those of several files."""


@pytest.mark.parametrize("code", sorted(CORRUPTED))
def test_every_bad_image(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Count) -> None:
    monkeypatch.chdir(tmp_path)  # QEMU takes a relative data file name from here
    (tmp_path / DATA_FILE.decode()).write_bytes(bytes(recipes.MIB))
    path, data = tmp_path / "bad.qcow2", CORRUPTED[code]()
    path.write_bytes(data)
    ran = run_qemu("qemu-img", "check", "-f", "qcow2", path)
    needs = [reason for words, reason in NEEDS_MORE.items() if words in ran.error]
    if ran.code == 1 and needs:
        record_property(f"not compared: {needs[0]}", 1)
    else:
        same(path, data, code)
        record_property("cells check bad images", 1)


def test_every_exception_stands_in_the_table() -> None:
    table = (ROOT / "docs" / "validation.md").read_text().partition("## Where `check`")[2]
    for reason in NEEDS_MORE.values():
        assert f"| {reason} |" in table


SMALL: dict[int, Cluster] = {0: Data(b"a"), 1: Zero(), 2: Zero(b"k"), 3: Data(b"b"), 5: Data(b"q")}
MUTATED = {
    **BASES,
    **{f"width-{1 << n}": Recipe(Layout(60 << 10, cluster_bits=12, refcount_order=n), SMALL) for n in range(7)},
    "many tables": Recipe(Layout(600 << 10, cluster_bits=9), {i: Data(b"a") for i in range(0, 1200, 3)}),
    "data file": Recipe(Layout(1 << 20, data_file=DATA_FILE), SMALL),
}


def spots(image: Image) -> list[int]:
    """Bytes of all kinds of tables, those of small ones more often."""
    size, places = image.geometry.cluster_size, []
    tables = [int(entry.l2_table_offset) for entry in (image.l1[i] for i in range(len(image.l1)))]
    places += list(range(image.l1.at, image.l1.at + 8 * len(image.l1))) * max(1, 25 // len(image.l1))
    for at in filter(None, tables):
        places += range(at, at + min(size, 16 * image.geometry.l2_entry_size))
    places += list(range(image.refcount_table.at, image.refcount_table.at + 16)) * 6
    block = int(image.refcount_table[0].refcount_block_offset)
    places += list(range(block, block + min(40, size))) * 2
    for snapshot in image.snapshots:
        l1 = int(snapshot.entry.l1_table_offset)
        places += [*range(snapshot.at, snapshot.at + snapshot.size), *list(range(l1, l1 + 16)) * 4]
    return places


def word(chance: random.Random, image: Image) -> int:
    """A table entry that leads somewhere interesting."""
    size, end = image.geometry.cluster_size, int(image.end)
    kinds: list[Callable[[], int]] = [
        lambda: chance.randrange(12) * size | 1 << 63,
        lambda: chance.randrange(12) * size,
        lambda: chance.randrange(64) * 512,
        lambda: chance.choice([0, 1, 1 << 63]),
        lambda: 1 << 62 | chance.randrange(20 * size),
        lambda: end // 512 * 512 + chance.randrange(-3, 4) * 512,
        lambda: 1 << 62 | chance.randrange(4) << chance.randrange(40, 62) | max(0, end - chance.randrange(3 * size)),
        lambda: chance.getrandbits(64),
        lambda: 1 << chance.randrange(64),
    ]
    return chance.choice(kinds)()


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to three entries or bytes changed; now and then the end cut off, or something appended."""
    image, out = Image(MemorySource(data)), bytearray(data)
    places = spots(image)
    for _ in range(chance.choice([1, 1, 2, 3])):
        at = chance.choice(places)
        if chance.random() < 0.5:
            out[at & ~7 : (at & ~7) + 8] = word(chance, image).to_bytes(8, "big")
        else:
            out[at] ^= chance.choice([1 << chance.randrange(8), 255, out[at]])
    end = chance.random()
    if end < 0.08:
        del out[chance.randrange(len(out) // 2, len(out)) :]
    elif end < 0.16:
        out += noise(1, chance.randrange(1, 20000))
    return bytes(out)


@pytest.mark.parametrize("name", MUTATED)
def test_mutations(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Count) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / DATA_FILE.decode()).write_bytes(bytes(1 << 20))
    data = build(MUTATED[name])
    for seed in range(60):
        same(tmp_path / "mutated.qcow2", mutated(data, random.Random(f"{name} {seed}")), f"{name}, seed {seed}")
    record_property("cells check mutations", 60)


def verb(*arguments: str | Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "qcow2inspect", "check", *map(str, arguments)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout


FILES = {
    "clean": build(recipes.SOUND),
    "corrupt": recipes.BAD["QCOW-REF-ZERO"](),
    "leaks": recipes.BAD["QCOW-REF-ORPHAN"](),
    "refused": recipes.BAD["QCOW-HDR-L1-SMALL"](),
    "raw": noise(1, 100_000),
    "empty": b"",
    "cut off": build(recipes.SOUND)[:60],
    "version 5": b"QFI\xfb\0\0\0\x05" + bytes(65536),
}


@pytest.mark.parametrize("name", FILES)
def test_the_verb_ends_like_qemu_img(name: str, tmp_path: Path, record_property: Count) -> None:
    path = tmp_path / "x.qcow2"
    path.write_bytes(FILES[name])
    ran = run_qemu("qemu-img", "check", "--output=json", path)
    assert verb("--json-compat", "qemu-img", path) == (ran.code, ran.out)
    assert verb(path)[0] == ran.code
    record_property("cells check exit codes", 2)


def test_a_missing_file_ends_like_qemu_img(tmp_path: Path) -> None:
    assert verb(tmp_path / "nothing")[0] == run_qemu("qemu-img", "check", tmp_path / "nothing").code
