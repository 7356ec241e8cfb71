"""Chains of files: what we read through backing files, data files, snapshots and keys is what qemu-img reads."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from qcow2inspect.image.chain import Chain
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.view import View
from qcow2inspect.reports.qemu import info_document, map_entries
from tests.images import qemu_img, qemu_io, qemu_json, run_qemu

pytestmark = pytest.mark.oracle

Note = Callable[[str, object], None]
ANY = OpenGate(Follow.ANY)
K = 1 << 10
M = 1 << 20


@dataclass(frozen=True)
class Cell:
    """One image of the option space: what qemu-img is asked for."""

    bits: int = 16
    refcount_bits: int = 16
    version: int = 3
    compression: str = "none"
    extended: bool = False
    depth: int = 0
    data_file: str = ""
    crypt: str = ""
    size: int = 3 * M + 512
    base_size: int = 3 * M
    options: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        parts = [f"{1 << self.bits}", f"v{self.version}", f"r{self.refcount_bits}", self.compression]
        parts += ["extended"] * self.extended + [f"depth{self.depth}"] * bool(self.depth)
        parts += [part for part in (self.data_file and f"data-{self.data_file}", self.crypt) if part]
        return "-".join([*parts, f"{self.size}"] + [f"base{self.base_size}"] * (self.base_size != 3 * M))


def cells() -> list[Cell]:
    """Every value of every option, and the pairs that touch each other."""
    found = [
        Cell(bits, version=version, compression=packed, extended=extended, depth=depth)
        for bits, version, packed, extended, depth in itertools.product(
            (9, 12, 14, 16, 18, 21), (2, 3), ("none", "zlib", "zstd"), (False, True), (0, 1, 2, 3)
        )
        if not (version == 2 and (extended or packed == "zstd")) and not (extended and bits < 14)
    ]
    found += [Cell(14, refcount_bits=1 << order, depth=depth) for order in range(7) for depth in (0, 1)]
    found += [
        Cell(bits, data_file=kind, extended=extended, depth=depth)
        for bits, kind, extended, depth in itertools.product((9, 16, 21), ("raw", "plain"), (False, True), (0, 1))
        if not (extended and bits < 14) and not (kind == "raw" and depth)
    ]
    found += [
        Cell(bits, crypt=crypt, depth=depth, extended=extended)
        for bits, crypt, depth, extended in itertools.product((9, 12, 16, 21), ("aes", "luks"), (0, 2), (False, True))
        if not (extended and bits < 14)
    ]
    sizes = (512, 5 * 512, M - 512, M + 512, 5 * M)
    found += [Cell(depth=depth, size=size) for size, depth in itertools.product(sizes, (0, 1, 2))]
    found += [
        Cell(depth=2, base_size=size, extended=extended) for size in (512, M, 7 * M) for extended in (False, True)
    ]
    return found


def _secret(cell: Cell) -> tuple[str, ...]:
    return ("--object", "secret,id=key,data=swordfish") if cell.crypt else ()


def _opts(cell: Cell, path: Path, depth: int) -> str:
    """How qemu-io and qemu-img open an encrypted image and its encrypted backing files."""
    if not cell.crypt:
        return f"driver=qcow2,file.filename={path}"
    parts = [f"driver=qcow2,file.filename={path},encrypt.key-secret=key"]
    parts += [f"{'backing.' * level}encrypt.key-secret=key" for level in range(1, depth + 1)]
    return ",".join(parts)


def make(cell: Cell, folder: Path) -> Path:
    """The top image of a chain of ``depth`` backing files: a raw one at the bottom, of other sizes and options."""
    chance = random.Random(str(cell))
    below: Path | None = None
    for level in range(cell.depth, -1, -1):
        top = level == 0
        path = folder / f"layer{level}.qcow2"
        size = cell.size if top else cell.base_size + level * 64 * K
        if level == cell.depth and cell.depth > 1 and not cell.crypt:
            path = folder / "base.raw"
            path.write_bytes(chance.randbytes(size - 100))
        else:
            _create(cell, path, size, below, top=top)
            _write(cell, path, size, chance, cell.depth - level if cell.crypt else 0, 1 << (cell.bits if top else 16))
        below = path
    assert below is not None
    return below


def _create(cell: Cell, path: Path, size: int, below: Path | None, *, top: bool) -> None:
    asked = [f"compat={'0.10' if cell.version == 2 else '1.1'}", f"cluster_size={1 << (cell.bits if top else 16)}"]
    if cell.version == 3:
        asked += [f"refcount_bits={cell.refcount_bits}", f"extended_l2={'on' if cell.extended and top else 'off'}"]
        asked += [f"compression_type={'zstd' if cell.compression == 'zstd' else 'zlib'}"]
    if cell.data_file and top:
        asked += [
            f"data_file={path.with_suffix('.data')}",
            f"data_file_raw={'on' if cell.data_file == 'raw' else 'off'}",
        ]
    if cell.crypt:
        asked += [f"encrypt.format={cell.crypt}", "encrypt.key-secret=key"]
        asked += ["encrypt.iter-time=10"] if cell.crypt == "luks" else []
    if below is not None:
        kind = "raw" if below.suffix == ".raw" else "qcow2"
        where = f"{below.name}" if size % 2048 else f"{below}"
        asked += [f"backing_file={where}", f"backing_fmt={kind}"]
    arguments: list[str | Path] = [
        "create",
        "-q",
        "-f",
        "qcow2",
        *_secret(cell),
        "-u",
        "-o",
        ",".join(asked),
        path,
        str(size),
    ]
    for _ in range(8):  # LUKS needs the time of the processor, which a busy machine does not always tell
        done = run_qemu("qemu-img", *arguments)
        if done.code == 0:
            return
    raise AssertionError(done.error)


def _write(cell: Cell, path: Path, size: int, chance: random.Random, depth: int, unit: int) -> None:
    commands = []
    if cell.compression != "none" and size >= 2 * unit:  # first: QEMU compresses into clusters nobody wrote before
        at = chance.randrange(size // unit) * unit
        commands.append(f"write -q -c -P 77 {at} {min(unit, size - at)}")
    for _ in range(6):
        at = chance.randrange(size // 512) * 512
        length = min(size - at, chance.choice([512, 4 * K, unit, 3 * unit, 200 * K]))
        length = min(length, 512 * K)
        commands.append(f"write -q -P {chance.randrange(1, 255)} {at} {length}")
    zero_at = chance.randrange(max(1, size // unit)) * unit
    if cell.version == 3 and zero_at + unit <= size:
        commands.append(f"write -q -z {'-u ' * chance.randrange(2)}{zero_at} {unit}")
    opened = _opts(cell, path, depth) + ",cache.no-flush=on"  # nobody pulls the plug here
    qemu_io(opened, *commands, how=(*_secret(cell), "--image-opts"))


def _raw(cell: Cell, path: Path) -> bytes:
    out = path.with_suffix(".out")
    qemu_img("convert", *_secret(cell), "--image-opts", _opts(cell, path, cell.depth), "-O", "raw", out)
    return out.read_bytes()


def same_bytes(view: View, raw: bytes, seed: str) -> None:
    """Sequential reads, random reads, and the extents one by one."""
    assert view.size == len(raw)
    digest = hashlib.sha256()
    for at in range(0, view.size, M):
        digest.update(view.read_at(at, M))
    assert digest.digest() == hashlib.sha256(raw).digest()
    chance = random.Random(seed)
    for _ in range(20):
        at, size = chance.randrange(view.size), chance.choice([1, 511, 4096, 65537])
        assert view.read_at(at, size) == raw[at : at + size]
    end = 0
    for extent in view.extents():
        assert extent.guest.start == end
        end = int(extent.guest.end)
        stored = raw[extent.guest.start : extent.guest.end]
        assert view.read_extent(extent) == stored
        if extent.reads_as_zero:
            assert not any(stored)
    assert end == view.size


def same_map(chain: Chain, view: View, cell: Cell, path: Path) -> None:
    asked = qemu_img("map", *_secret(cell), "--output=json", "--image-opts", _opts(cell, path, cell.depth))
    assert list(map_entries(view, [layer.image for layer in chain.layers])) == json.loads(asked)


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_option_space(cell: Cell, tmp_path: Path, record_property: Note) -> None:
    path = make(cell, tmp_path)
    raw = _raw(cell, path)
    with open_chain(path, ANY) as chain:
        assert len(chain.layers) == cell.depth + 1
        assert chain.end is None
        same_map(chain, chain.disk(), cell, path)
        if cell.crypt:
            chain.unlock(b"swordfish")
        same_bytes(chain.disk(), raw, str(cell))
        assert info_document(chain.qcow2) == qemu_json("info", path)
    record_property("cells option space", 4)


@pytest.mark.parametrize("bits", [9, 12, 16, 21])
@pytest.mark.parametrize("crypt", ["", "luks"])
def test_every_snapshot_is_what_qemu_reverts_to(bits: int, crypt: str, tmp_path: Path, record_property: Note) -> None:
    cell = Cell(bits, crypt=crypt, size=2 * M)
    path = tmp_path / "layer0.qcow2"
    _create(cell, path, cell.size, None, top=True)
    states: list[tuple[str, int]] = []
    size = cell.size
    for number in range(4):
        _write(cell, path, size, random.Random(f"{cell} {number}"), 0, 1 << bits)
        qemu_img("snapshot", *_secret(cell), "-c", f"state {number}", "--image-opts", _opts(cell, path, 0))
        states.append((f"state {number}", size))
        if number == 1:  # QEMU resizes images with snapshots since version 5; their own size stays
            size += M
            qemu_img("resize", *_secret(cell), "-q", "--image-opts", _opts(cell, path, 0), str(size))
    for number, (name, expected) in enumerate(states, 1):
        copy = tmp_path / f"copy{number}.qcow2"
        shutil.copy(path, copy)
        qemu_img("snapshot", *_secret(cell), "-a", name, "--image-opts", _opts(cell, copy, 0))
        with open_chain(path) as chain:
            if crypt:
                chain.unlock(b"swordfish")
            assert chain.disk(name).size == expected
            same_bytes(chain.disk(name), _raw(cell, copy), name)
            assert chain.disk(str(number)).read_at(0, 4 * K) == chain.disk(name).read_at(0, 4 * K)
    record_property("cells snapshots", len(states))


def test_every_layer_alone_is_what_qemu_reads_without_the_others(tmp_path: Path, record_property: Note) -> None:
    cell = Cell(16, depth=3)
    path = make(cell, tmp_path)
    with open_chain(path, ANY) as chain:
        for index, layer in enumerate(chain.layers):
            view = chain.layer_disk(index)
            if layer.image is None:
                expected = Path(layer.name).read_bytes().ljust(view.size, b"\0")
            else:
                copy = tmp_path / "alone.qcow2"
                shutil.copy(layer.name, copy)
                qemu_img("rebase", "-u", "-b", "", copy)
                expected = _raw(Cell(), copy)
            same_bytes(view, expected, f"layer {index}")
            record_property("cells layers", 1)


def test_names_that_qemu_resolves(tmp_path: Path, record_property: Note) -> None:
    base = tmp_path / "base one.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", base, "1M")
    qemu_io(base, "write -q -P 9 0 1M")
    names = [
        "base one.qcow2",
        str(base),
        f"file:{base}",
        json.dumps({"driver": "qcow2", "file": {"driver": "file", "filename": str(base)}}),
        json.dumps({"driver": "qcow2", "file.filename": str(base)}),
    ]
    for number, name in enumerate(names):
        shown = "json:" + name if name.startswith("{") else name
        path = tmp_path / f"over{number}.qcow2"
        qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", shown, "-F", "qcow2", path, "1M")
        with open_chain(path, ANY) as chain:
            assert chain.end is None, shown
            same_bytes(chain.disk(), _raw(Cell(), path), shown)
        record_property("cells backing names", 1)


def test_a_missing_format_is_probed(tmp_path: Path, record_property: Note) -> None:
    raw = tmp_path / "base.img"
    raw.write_bytes(random.Random(1).randbytes(M))
    path = tmp_path / "over.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", path, "1M")
    data = bytearray(path.read_bytes())
    at = data.index((0xE2792ACA).to_bytes(4, "big"))
    data[at : at + 4] = (0x12345678).to_bytes(4, "big")  # now an extension that nobody knows
    path.write_bytes(data)
    with open_chain(path, ANY) as chain:
        assert [layer.format for layer in chain.layers] == ["qcow2", "raw"]
        same_bytes(chain.disk(), _raw(Cell(), path), "probed")
    record_property("cells backing names", 1)


def test_qemu_and_we_refuse_the_same_loops(tmp_path: Path) -> None:
    first, second = tmp_path / "a.qcow2", tmp_path / "b.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", "b.qcow2", "-F", "qcow2", first, "1M")
    qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", "a.qcow2", "-F", "qcow2", second, "1M")
    with open_chain(first, ANY) as chain:
        assert len(chain.layers) == 2
        assert chain.layers[-1].end_code == "QCOW-BACK-LOOP"
    told = run_qemu("qemu-img", "info", "--backing-chain", first)
    assert told.code == 1
    assert "infinite loop" in told.error
