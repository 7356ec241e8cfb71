"""Compressed streams of every odd kind: QEMU's verdict on each is the one that the codecs are tested against."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Compressed, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.codec import codec_for
from qcow2inspect.errors import BadStream
from qcow2inspect.format.header import CompressionType
from qcow2inspect.units import GuestOffset
from tests.codec.test_codecs import SIZE, SUBTLE, TEXT, ZSTD_STREAMS, raw_deflate
from tests.images import image_of, noise, raw_by_qemu

pytestmark = pytest.mark.oracle


def image_with(kind: CompressionType, stream: bytes, bits: int = 16) -> bytes:
    """An image whose first guest cluster holds ``stream``, padded with zeros to its last sector."""
    layout = Layout(1 << 20, cluster_bits=bits, compression=kind)
    data = bytearray(build(Recipe(layout, {0: Compressed(noise(9, 1 << bits))})))
    run = image_of(bytes(data)).active_disk().lookup(GuestOffset(0)).host
    assert run is not None
    assert len(stream) <= run.size
    data[run.start : run.end] = stream.ljust(run.size, b"\0")
    return bytes(data)


def by_qemu(path: Path, kind: CompressionType, stream: bytes) -> bytes | None:
    path.write_bytes(image_with(kind, stream))
    raw = raw_by_qemu(path)
    return None if raw is None else raw[:SIZE]


def by_us(kind: CompressionType, stream: bytes) -> bytes | None:
    disk = image_of(image_with(kind, stream)).active_disk()
    try:
        return disk.read_at(0, SIZE)
    except BadStream:
        return None


@pytest.mark.parametrize("name", ZSTD_STREAMS)
def test_zstd_streams(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    stream, good = ZSTD_STREAMS[name]
    verdict = by_qemu(tmp_path / "x.qcow2", CompressionType.ZSTD, stream)
    assert verdict == (TEXT if good else None)
    assert by_us(CompressionType.ZSTD, stream) == verdict
    record_property("cells streams", 1)


def synced(tail: bytes) -> bytes:
    """A stream that gives the whole cluster, then goes on with ``tail``."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(TEXT) + packer.flush(zlib.Z_SYNC_FLUSH) + tail


FAR = (noise(4, 20000) * 4)[:SIZE]
DEFLATE_STREAMS: dict[str, tuple[bytes, bytes | None]] = {
    "4 KiB window": (raw_deflate(TEXT, -12), TEXT),
    "32 KiB window": (raw_deflate(TEXT), TEXT),
    "far distances": (raw_deflate(FAR), FAR),
    "stored blocks": (raw_deflate(TEXT[:60000] + bytes(5536), level=0)[:65000], None),
    "fixed codes": (raw_deflate(TEXT, level=1), TEXT),
    "goes on with another block": (synced(b"\x03\0"), TEXT),
    "goes on with zeros": (synced(b""), None),  # an empty stored block with a wrong check
    "70,000 bytes": (raw_deflate((TEXT + TEXT)[:70000]), TEXT),
    "60,000 bytes": (raw_deflate(TEXT[:60000]), None),
    "one byte too few": (raw_deflate(TEXT[:-1]), None),
    "zlib header": (zlib.compress(TEXT), None),
    "gzip header": (b"\x1f\x8b\x08\0\0\0\0\0\0\3" + raw_deflate(TEXT), None),
    "nothing": (b"", None),
    "noise": (noise(7, 1000), None),
}


@pytest.mark.parametrize("name", DEFLATE_STREAMS)
def test_deflate_streams(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    stream, expected = DEFLATE_STREAMS[name]
    assert by_qemu(tmp_path / "x.qcow2", CompressionType.ZLIB, stream) == expected
    assert by_us(CompressionType.ZLIB, stream) == expected
    record_property("cells streams", 1)


@pytest.mark.parametrize("chunk", range(4))
def test_what_stands_right_behind_the_last_byte(
    chunk: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """QEMU's inflate looks one symbol ahead; whether it minds what it sees there is not ours to judge."""
    for seed in range(chunk * 20, chunk * 20 + 20):
        stream = synced(random.Random(seed).randbytes(30))
        assert by_us(CompressionType.ZLIB, stream) == by_qemu(tmp_path / "x.qcow2", CompressionType.ZLIB, stream), seed
    record_property("cells streams", 20)


@pytest.mark.parametrize("name", SUBTLE)
def test_subtle_damage(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    stream, size = SUBTLE[name]
    path = tmp_path / "x.qcow2"
    path.write_bytes(image_with(CompressionType.ZLIB, stream, size.bit_length() - 1))
    assert raw_by_qemu(path) is None
    with pytest.raises(BadStream):
        image_of(path.read_bytes()).active_disk().read_at(0, size)
    record_property("cells streams", 1)


@pytest.mark.parametrize("kind", list(CompressionType))
def test_flipped_bits_in_streams(
    kind: CompressionType, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    content = noise(5, 3000) + TEXT[:40000] + noise(6, SIZE - 43000)
    whole = codec_for(kind).compress(content)
    for seed in range(60):
        chance = random.Random(seed)
        stream = bytearray(whole)
        for _ in range(chance.choice([1, 2])):
            stream[chance.choice([chance.randrange(40), chance.randrange(len(stream)), -1 - chance.randrange(9)])] ^= (
                1 << chance.randrange(8)
            )
        verdict = by_qemu(tmp_path / "x.qcow2", kind, bytes(stream))
        assert by_us(kind, bytes(stream)) == verdict, seed
    record_property("cells streams", 60)
