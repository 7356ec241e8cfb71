"""The deep look against QEMU: the clusters that QEMU cannot read are those that it finds, all of them and no other."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.codec import codec_for
from qcow2inspect.format.header import CompressionType
from qcow2inspect.image.image import Image
from qcow2inspect.survey.deep import Deep, look_deep
from qcow2inspect.survey.streams import StreamFault
from qcow2inspect.survey.survey import take_survey
from tests.codec.test_codecs import SUBTLE, TEXT, ZSTD_STREAMS
from tests.images import image_of, noise, qemu_img, qemu_io, raw_by_qemu, run_qemu
from tests.oracle.test_streams import DEFLATE_STREAMS, image_with

pytestmark = pytest.mark.oracle

UNREADABLE = {StreamFault.BROKEN, StreamFault.SHORT, StreamFault.WRONG_TYPE}


def deep_of(path: Path) -> Deep:
    with Image.open(path) as image:
        return look_deep(take_survey(image))


def agrees(path: Path, kind: CompressionType, stream: bytes, bits: int = 16) -> bool:
    """True if both can read the only cluster of an image, or neither can."""
    path.write_bytes(image_with(kind, stream, bits))
    return (raw_by_qemu(path) is None) == bool(set(deep_of(path).bad) & UNREADABLE)


@pytest.mark.parametrize("name", DEFLATE_STREAMS)
def test_deflate_streams(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    assert agrees(tmp_path / "x.qcow2", CompressionType.ZLIB, DEFLATE_STREAMS[name][0])
    record_property("cells deep", 1)


@pytest.mark.parametrize("name", ZSTD_STREAMS)
def test_zstd_streams(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    assert agrees(tmp_path / "x.qcow2", CompressionType.ZSTD, ZSTD_STREAMS[name][0])
    record_property("cells deep", 1)


@pytest.mark.parametrize("name", SUBTLE)
def test_subtle_damage(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    stream, size = SUBTLE[name]
    assert agrees(tmp_path / "x.qcow2", CompressionType.ZLIB, stream, size.bit_length() - 1)
    record_property("cells deep", 1)


@pytest.mark.parametrize("kind", list(CompressionType))
def test_a_stream_of_the_other_type(kind: CompressionType, tmp_path: Path) -> None:
    other = next(each for each in CompressionType if each is not kind)
    path = tmp_path / "x.qcow2"
    assert agrees(path, kind, codec_for(other).compress(TEXT))
    assert set(deep_of(path).bad) == {StreamFault.WRONG_TYPE}


def content(seed: int) -> bytes:
    """Bytes that compress well in some places and badly in others."""
    chance = random.Random(seed)
    parts = []
    for number in range(128):
        random_bytes = noise(number, chance.choice([100, 3000, 12000, 16384]))
        parts.append((random_bytes + TEXT)[:16384])
    return b"".join(parts)


def refused_by_qemu(path: Path, size: int, count: int) -> set[int]:
    """The clusters that QEMU cannot read, each read by a command of its own."""
    commands = [word for number in range(count) for word in ("-c", f"read {number * size} {size}")]
    ran = run_qemu("qemu-io", "-f", "qcow2", "-r", *commands, path)
    verdicts = [line for line in (ran.out + ran.error).splitlines() if line.startswith("read ")]
    assert len(verdicts) == count
    return {number for number, line in enumerate(verdicts) if line.startswith("read failed")}


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
@pytest.mark.parametrize("cluster_size", [512, 4096, 65536, 2 << 20])
def test_what_qemu_writes_has_exact_sizes(
    kind: str, cluster_size: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    raw, path = tmp_path / "x.raw", tmp_path / "x.qcow2"
    raw.write_bytes(content(1))
    options = f"compression_type={kind},cluster_size={cluster_size}"
    qemu_img("convert", "-q", "-f", "raw", "-O", "qcow2", "-c", "-o", options, raw, path)
    deep = deep_of(path)
    assert deep.streams > 0
    assert (deep.bad, deep.stale.count, deep.free.count, deep.skipped) == ({}, 0, 0, [])
    record_property("cells deep", 1)


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
@pytest.mark.parametrize("seed", range(4))
def test_the_very_clusters_that_qemu_cannot_read(
    kind: str, seed: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    raw, path, size = tmp_path / "x.raw", tmp_path / "x.qcow2", 16384
    raw.write_bytes(content(seed))
    options = f"compression_type={kind},cluster_size={size}"
    qemu_img("convert", "-q", "-f", "raw", "-O", "qcow2", "-c", "-o", options, raw, path)
    data, chance = bytearray(path.read_bytes()), random.Random(seed)
    for extent in image_of(bytes(data)).active_disk().extents():
        if extent.host is not None and chance.random() < 0.5:
            for at in (chance.randrange(20), chance.randrange(extent.host.size), chance.randrange(extent.host.size)):
                data[min(extent.host.start + at, len(data) - 1)] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    with Image.open(path) as image:
        deep = look_deep(take_survey(image))
    found = {entry.l2_index for fault in UNREADABLE & set(deep.bad) for entry in deep.bad[fault].entries}
    refused = refused_by_qemu(path, size, (2 << 20) // size)
    assert found == refused
    assert len(refused) > 5
    record_property("cells deep", (2 << 20) // size)


def test_zeros_over_data_leave_it_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_io(path, "write -P 65 0 256k", "write -z 64k 128k")
    deep = deep_of(path)
    assert (deep.stale.count, deep.stale.size) == (2, 128 << 10)


def test_zeros_over_a_part_of_a_cluster_leave_it_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "extended_l2=on", path, "1M")
    qemu_io(path, "write -P 65 0 128k", "write -z 4k 16k")
    deep = deep_of(path)
    assert (deep.stale.unit, deep.stale.count) == (2048, 8)


def test_an_overwritten_compressed_cluster_stays_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_io(path, "write -c -P 65 0 64k")
    qemu_io(path, "write -P 66 0 64k")
    deep = deep_of(path)
    assert deep.streams == 0
    assert deep.free.count == 1
