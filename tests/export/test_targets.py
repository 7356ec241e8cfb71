"""Where an export goes, what is hashed on the way, and what is found when it is read back."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from qcow2inspect.build.demo import demo_disk, demo_recipe
from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import CannotExport, Damaged
from qcow2inspect.export import kin
from qcow2inspect.export import target as targets
from qcow2inspect.export.choices import HASHES, Choices, OnError, Sparse
from qcow2inspect.export.hashes import Hashes
from qcow2inspect.export.names import part_names
from qcow2inspect.export.raw import export, preflight
from qcow2inspect.export.target import FileTarget, Part, PipeTarget
from qcow2inspect.image.image import Image
from qcow2inspect.image.view import View
from qcow2inspect.output import Output
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset, GuestRange, HostRange
from tests.images import noise


@pytest.fixture(scope="module")
def image_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "demo.qcow2"
    path.write_bytes(build(demo_recipe()))
    return path


@pytest.fixture
def disk(image_file: Path) -> View:
    return Image.open(image_file).active_disk()


def test_hashes_are_those_of_the_file(disk: View, tmp_path: Path) -> None:
    out = tmp_path / "out.raw"
    result = export(disk, str(out), Choices(hashes=HASHES, verify=True, hash_sources=True), command=("x", "a b"))
    assert result.hashes == {name: hashlib.new(name, demo_disk()).hexdigest() for name in HASHES}
    assert out.read_bytes() == demo_disk()
    sums = subprocess.run(["sha256sum", str(out)], capture_output=True, text=True, check=True).stdout
    assert sums.split()[0] == result.hashes["sha256"]
    manifest = json.loads((tmp_path / "out.raw.manifest.json").read_text())
    assert manifest["hashes"] == result.hashes
    evidence = Path(disk.sources[0].name)
    assert manifest["sources"][0]["sha256"] == hashlib.sha256(evidence.read_bytes()).hexdigest()
    assert (manifest["verified"], manifest["substituted"]["ranges"], manifest["command"]) == (True, 0, ["x", "a b"])
    text = (tmp_path / "out.raw.manifest.txt").read_text()
    assert "command   x 'a b'" in text
    assert "every byte is what the guest had" in text
    assert f"sha256 {result.hashes['sha256']}" in text


def test_the_same_export_gives_the_same_manifest(disk: View, tmp_path: Path) -> None:
    texts = []
    for _ in range(2):
        export(disk, str(tmp_path / "out.raw"), Choices(force=True, manifest=True))
        texts.append((tmp_path / "out.raw.manifest.json").read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("policy", [OnError.ZERO, OnError.PATTERN])
def test_what_stands_in_for_damage_is_hashed_too(policy: OnError, tmp_path: Path) -> None:
    recipe = Recipe(Layout(1 << 20, backing_name=b"lost"), {3: Data(b"x")})
    lost = Image(MemorySource(build(recipe))).active_disk()
    result = export(lost, str(tmp_path / "out.raw"), Choices(on_error=policy, hashes=("sha256",)))
    assert result.hashes["sha256"] == hashlib.sha256((tmp_path / "out.raw").read_bytes()).hexdigest()
    assert "917,504 B (896 KiB) not" not in (tmp_path / "out.raw.manifest.txt").read_text()
    assert "983,040 B unreadable; listed in out.raw.errors.json" in (tmp_path / "out.raw.manifest.txt").read_text()


def test_a_disk_that_forgets_is_found_out(disk: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Output.flush

    def forget(output: Output) -> None:
        real(output)
        os.pwrite(output.fd, b"\xff", 0x100000)

    monkeypatch.setattr(Output, "flush", forget)
    with pytest.raises(CannotExport, match="reading back gave sha256"):
        export(disk, str(tmp_path / "out.raw"), Choices(verify=True))
    assert os.listdir(tmp_path) == []


def test_hashes_of_pieces_and_zeros_in_any_order() -> None:
    rng, data, hashes = random.Random(5), bytearray(), Hashes(HASHES, Silent())
    for _ in range(200):
        if rng.random() < 0.5:
            size = rng.choice([0, 1, 4095, 3 << 20])
            hashes.update_zeros(size)
            data += bytes(size)
        else:
            piece = rng.randbytes(rng.choice([1, 511, 70_000]))
            hashes.update(piece, 5000, b"end")
            data += piece + bytes(5000) + b"end"
    assert hashes.digests() == {name: hashlib.new(name, data).hexdigest() for name in HASHES}


def test_waiting_for_a_hash_can_be_stopped() -> None:
    class Impatient(Silent):
        def advance(self, amount: int) -> None:
            raise Cancelled

    hashes = Hashes(("md5",), Impatient())
    with pytest.raises(Cancelled):
        hashes.update_zeros(1 << 50)
    hashes.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hash-")]


# -- targets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "count"), [(1 << 20, 64), (10_000_001, 7), (64 << 20, 1), (1 << 40, 1)])
@pytest.mark.parametrize("refused", [True, False])
def test_parts_make_the_disk(
    disk: View, tmp_path: Path, split: int, count: int, refused: bool, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if refused:

        def refuse(*_: object) -> int:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "copy_file_range", refuse)
    result = export(disk, str(tmp_path / "out.raw"), Choices(split=split, verify=True))
    parts = sorted(path for path in tmp_path.iterdir() if path.suffix[1:].isdigit())
    assert [str(part) for part in parts] == list(result.files[:count])
    assert len(parts) == count
    assert b"".join(part.read_bytes() for part in parts) == demo_disk()


def test_bytes_arrive_where_they_belong(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that touch, leave gaps, are longer than the buffer, and cross from one file into the next."""
    monkeypatch.setattr(targets, "_PIECE", 4096)
    content, rng = noise(7, 100_000), random.Random(7)
    (tmp_path / "in").write_bytes(content)
    parts, at = [], 0
    while at < 150_000:
        size = rng.choice([1, 511, 4096, 4097, 9000, 20_000])
        parts.append((at, HostRange.at(rng.randrange(len(content) - size), size)))
        at += size + rng.choice([0, 0, 1, 5000])
    expected = bytearray(at)
    for to, host in parts:
        expected[to : to + host.size] = content[host.start : host.end]
    target = FileTarget(str(tmp_path / "out"), at, Choices(split=65_537), ())
    target.set_size()
    with FileSource(str(tmp_path / "in")) as source:
        assert target.in_kernel == (way == "kernel")
        assert target.copy([Part(to, source, int(host.start), int(host.end)) for to, host in parts])
        assert not target.copy([Part(0, source, 99_000, 101_000)])  # the file has no such bytes
    target.commit()
    written = b"".join(Path(name).read_bytes() for name in part_names(str(tmp_path / "out"), at, 65_537))
    assert written[2000:] == bytes(expected[2000:])


def test_what_cannot_be_read_on_the_way_is_read_again(
    disk: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The quick way that fails gives over to the slow one, which can tell what is wrong."""
    name = "copy_file_range" if way == "kernel" else "preadv"
    real, calls = getattr(os, name), []

    def fails_once(*arguments: Any) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return int(real(*arguments))

    monkeypatch.setattr(os, name, fails_once)
    result = export(disk, str(tmp_path / "out.raw"), Choices(on_error=OnError.ZERO))
    assert len(calls) >= 2
    assert (tmp_path / "out.raw").read_bytes() == demo_disk()
    assert result.written == export(disk, str(tmp_path / "again.raw"), Choices()).written


def test_where_zeros_are_listed_zeros_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A medium that gives bytes once, and not when they are asked for again."""
    image, out = tmp_path / "image.qcow2", tmp_path / "out.raw"
    image.write_bytes(build(Recipe(Layout(size=1 << 20), {index: Data(noise(index, 65536)) for index in range(16)})))
    real = {name: getattr(os, name) for name in ("copy_file_range", "preadv", "pread")}
    inode = image.stat().st_ino
    copied: list[int] = []
    monkeypatch.setattr(targets, "_PIECE", 1 << 18)

    def fails(fd: int) -> None:
        if copied and os.fstat(fd).st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def copy(fd: int, to: int, size: int, *places: int) -> int:
        fails(fd)
        copied.append(size)
        return int(real["copy_file_range"](fd, to, size // 2, *places))

    def read_into(fd: int, buffers: list[memoryview], at: int) -> int:
        fails(fd)
        copied.extend(len(buffer) for buffer in buffers if len(buffer) == 1 << 18)
        return int(real["preadv"](fd, buffers, at))

    def read(fd: int, *arguments: int) -> bytes:
        fails(fd)
        return bytes(real["pread"](fd, *arguments))

    with Image.open(image) as opened:
        disk = opened.active_disk()
        for name, call in (("copy_file_range", copy), ("preadv", read_into), ("pread", read)):
            monkeypatch.setattr(os, name, call)
        export(disk, str(out), Choices(on_error=OnError.ZERO))
        monkeypatch.undo()
    assert copied
    listed = json.loads((tmp_path / "out.raw.errors.json").read_text())["ranges"]
    assert {entry["written"] for entry in listed} == {"zeros"}
    assert out.read_bytes() == bytes(1 << 20)


def test_too_many_parts_are_refused() -> None:
    assert part_names("x", 1 << 30, 1 << 28) == ["x.001", "x.002", "x.003", "x.004"]
    assert part_names("x", 1000, 1)[-1] == "x.1000"
    with pytest.raises(CannotExport, match="files, more than"):
        part_names("x", 1 << 40, 512)


@pytest.mark.parametrize(("start", "end"), [(0, 512), (0x100000 - 7, 0x900001), (5, 6), (60 << 20, 64 << 20)])
def test_a_range(disk: View, tmp_path: Path, start: int, end: int) -> None:
    within = GuestRange(GuestOffset(start), GuestOffset(end))
    result = export(disk, str(tmp_path / "out.raw"), Choices(within=within, hashes=("md5",)))
    assert (tmp_path / "out.raw").read_bytes() == demo_disk()[start:end]
    assert result.hashes["md5"] == hashlib.md5(demo_disk()[start:end]).hexdigest()
    export(disk, str(tmp_path / "copied.raw"), Choices(within=within))
    assert (tmp_path / "copied.raw").read_bytes() == demo_disk()[start:end]


def test_the_lists_of_a_range_say_where_in_the_output(tmp_path: Path) -> None:
    recipe = Recipe(Layout(1 << 20, backing_name=b"lost"), {3: Data(b"x"), 5: Data(b"y")})
    lost = Image(MemorySource(build(recipe))).active_disk()
    within = GuestRange(GuestOffset(0x30000), GuestOffset(0x60000))
    export(lost, str(tmp_path / "out.raw"), Choices(within=within, on_error=OnError.ZERO))
    (one,) = json.loads((tmp_path / "out.raw.errors.json").read_text())["ranges"]
    assert (one["output_offset"], one["guest_offset"], one["size"]) == (0x10000, 0x40000, 0x10000)
    assert "0x00010000  0x00010000  -" in (tmp_path / "out.raw.map").read_text()


def test_a_pipe_gets_everything_in_order(disk: View, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    got = bytearray()

    def drain() -> None:
        while data := os.read(reader, 1 << 16):
            got.extend(data)

    thread = threading.Thread(target=drain)
    thread.start()
    monkeypatch.setattr(targets, "PipeTarget", lambda: PipeTarget(writer))
    monkeypatch.setattr(os, "isatty", lambda _: False)
    result = export(disk, "-", Choices(hashes=("sha1",)))
    os.close(writer)
    thread.join()
    os.close(reader)
    assert got == demo_disk()
    assert result.hashes["sha1"] == hashlib.sha1(got).hexdigest()
    assert result.files == ()


def test_a_reader_that_goes_away_is_an_error(disk: View, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(targets, "PipeTarget", lambda: PipeTarget(writer))
    monkeypatch.setattr(os, "isatty", lambda _: False)
    with pytest.raises(CannotExport, match="Broken pipe"):
        export(disk, "-", Choices())
    os.close(writer)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (Choices(split=1 << 20), "--split"),
        (Choices(resume=True), "--resume"),
        (Choices(verify=True), "--verify"),
        (Choices(manifest=True), "--manifest"),
        (Choices(hash_sources=True), "--hash-sources"),
    ],
)
def test_what_a_pipe_cannot_do(disk: View, choices: Choices, words: str) -> None:
    problem = preflight(disk, "-", choices=choices).problem
    assert problem is not None
    assert words in problem.what


def test_detected_zeros_become_holes(tmp_path: Path) -> None:
    block = noise(3, 4096)
    data = b"".join(block if index % 4 == 1 else bytes(4096) for index in range(1024))
    recipe = Recipe(Layout(4 << 20), {i: Data(data[i * 65536 : (i + 1) * 65536]) for i in range(64)})
    disk = Image(MemorySource(build(recipe))).active_disk()
    plain = export(disk, str(tmp_path / "plain.raw"), Choices())
    found = export(disk, str(tmp_path / "found.raw"), Choices(sparse=Sparse.DETECT, verify=True))
    assert (tmp_path / "found.raw").read_bytes() == (tmp_path / "plain.raw").read_bytes() == data
    assert (plain.written, found.written) == (4 << 20, 1 << 20)
    assert (tmp_path / "found.raw").stat().st_blocks * 512 <= 2 << 20
    odd = GuestRange(GuestOffset(777), GuestOffset(3 << 20))
    export(disk, str(tmp_path / "odd.raw"), Choices(sparse=Sparse.DETECT, within=odd))
    assert (tmp_path / "odd.raw").read_bytes() == data[777 : 3 << 20]


def test_space_is_reserved_before_the_first_byte(disk: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    export(disk, str(tmp_path / "out.raw"), Choices(preallocate=True))
    assert (tmp_path / "out.raw").read_bytes() == demo_disk()
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(CannotExport, match=r"reserving .* failed: No space left"):
        export(disk, str(tmp_path / "full.raw"), Choices(preallocate=True))
    assert os.listdir(tmp_path) == ["out.raw"]


def test_files_beside_the_output_are_not_replaced_unasked(disk: View, tmp_path: Path) -> None:
    (tmp_path / "out.raw.manifest.txt").write_text("mine")
    with pytest.raises(CannotExport, match=r"manifest\.txt exists"):
        export(disk, str(tmp_path / "out.raw"), Choices(manifest=True))
    assert os.listdir(tmp_path) == ["out.raw.manifest.txt"]


# -- block devices --------------------------------------------------------------------------------------------------


@pytest.fixture
def device(tmp_path: Path) -> str:
    """A loop device over a file of 65 MiB that is not empty."""
    if os.geteuid() != 0:
        pytest.skip("only root may set up a loop device")
    (tmp_path / "backing").write_bytes(b"\xaa" * (65 << 20))
    found = subprocess.run(
        ["losetup", "--find", "--show", str(tmp_path / "backing")], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"no loop device: {found.stderr}")
    return found.stdout.strip()


def test_a_block_device_is_written_only_when_asked(disk: View, device: str, tmp_path: Path) -> None:
    try:
        with pytest.raises(CannotExport, match=r"is a block device: 65 MiB, .*backing, not mounted"):
            export(disk, device, Choices())
        result = export(disk, device, Choices(device=True, verify=True, hashes=("sha256",)))
        with open(device, "rb") as file:
            data = file.read()
        assert data == demo_disk() + b"\xaa" * (1 << 20)
        assert result.hashes["sha256"] == hashlib.sha256(demo_disk()).hexdigest()
        for choices in (Choices(device=True, split=1 << 20), Choices(device=True, manifest=True)):
            with pytest.raises(CannotExport, match="needs a file, not a block device"):
                export(disk, device, choices)
        with pytest.raises(CannotExport, match="too small"):
            export(Image(MemorySource(build(Recipe(Layout(66 << 20), {})))).active_disk(), device, Choices(device=True))
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def test_a_loop_device_over_evidence_is_evidence(device: str, tmp_path: Path) -> None:
    """Over the image, over the file that it names, over a file that may lie behind that one."""
    image = tmp_path / "overlay.qcow2"
    image.write_bytes(build(Recipe(Layout(1 << 20, backing_name=b"backing", backing_format=b"raw"), {})))
    before = hashlib.sha256((tmp_path / "backing").read_bytes()).hexdigest()
    try:
        with (
            Image.open(image) as opened,
            pytest.raises(CannotExport, match="is, or holds, the image or a file that it"),
        ):
            export(opened.active_disk(), device, Choices(device=True, on_error=OnError.ZERO))
        image.write_bytes(build(Recipe(Layout(1 << 20, backing_name=b"elsewhere"), {})))
        with (
            Image.open(image) as opened,
            pytest.raises(CannotExport, match=r"is not written to: .* may be a file behind it"),
        ):
            export(opened.active_disk(), device, Choices(device=True, on_error=OnError.ZERO))
        (tmp_path / "backing").write_bytes(build(Recipe(Layout(1 << 20), {})).ljust(65 << 20, b"\0"))
        before = hashlib.sha256((tmp_path / "backing").read_bytes()).hexdigest()
        with Image.open(tmp_path / "backing") as opened, pytest.raises(CannotExport, match="is, or holds, the image"):
            export(opened.active_disk(), device, Choices(device=True))
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
    assert hashlib.sha256((tmp_path / "backing").read_bytes()).hexdigest() == before


def test_which_devices_share_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with two partitions; a volume on the second and on another disk; a loop device."""
    (tmp_path / "file").touch()
    places = {"sda": 0, "sda/sda1": 1, "sda/sda2": 2, "sdb": 16, "dm-0": 90, "loop0": 70}
    for name, minor in places.items():
        place = tmp_path / "devices" / name
        (place / "slaves").mkdir(parents=True)
        (place / "holders").mkdir()
        (place / "dev").write_text(f"8:{minor}\n")
        if "/" in name:
            (place / "partition").write_text("1\n")
        (tmp_path / f"8:{minor}").symlink_to(place)
    for lower in ("sda/sda2", "sdb"):
        lower_place, volume = tmp_path / "devices" / lower, tmp_path / "devices/dm-0"
        (volume / "slaves" / lower_place.name).symlink_to(lower_place)
        (lower_place / "holders/dm-0").symlink_to(volume)
    (tmp_path / "devices/loop0/loop").mkdir()
    (tmp_path / "devices/loop0/loop/backing_file").write_text(f"{tmp_path}/file\n")
    monkeypatch.setattr(kin, "_DEVICES", str(tmp_path))
    expected = {0: {0, 1, 2, 90}, 1: {0, 1}, 2: {0, 2, 90}, 16: {16, 90}, 90: {0, 2, 16, 90}, 70: {70}, 99: {99}}
    for minor, kin_minors in expected.items():
        devices, files = kin.kin_of(os.makedev(8, minor))
        assert devices == {os.makedev(8, number) for number in kin_minors}
        status = (tmp_path / "file").stat()
        assert files == ({(status.st_dev, status.st_ino)} if minor == 70 else set())


def test_damage_stops_a_pipe_before_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    from qcow2inspect.build.demo import damaged_recipe

    monkeypatch.setattr(os, "isatty", lambda _: False)
    with pytest.raises(Damaged, match="cannot be read, first"):
        export(Image(MemorySource(build(damaged_recipe()))).active_disk(), "-", Choices())
