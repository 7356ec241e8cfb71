"""Compressed clusters: whatever the stream, the verdict is QEMU's."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.codec import codec_for
from qcow2inspect.codec.deflate import Deflate
from qcow2inspect.codec.zstd import Zstd
from qcow2inspect.errors import BadStream, Unsupported
from qcow2inspect.format.header import CompressionType
from tests.images import noise

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

SIZE = 65536
TEXT = (b"the quick brown fox jumps over the lazy dog. " * 2000)[:SIZE]
TYPES = list(CompressionType)
CONTENTS = {"zeros": bytes(SIZE), "text": TEXT, "noise": noise(1, SIZE), "half": noise(2, SIZE // 2) + bytes(SIZE // 2)}


def raw_deflate(data: bytes, window: int = -15, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, window)
    return packer.compress(data) + packer.flush()


def verdict(kind: CompressionType, stream: bytes, size: int = SIZE) -> bytes | None:
    try:
        return codec_for(kind).decompress(stream, size)
    except BadStream:
        return None


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("level", [None, 1, 9])
def test_round_trip(kind: CompressionType, name: str, level: int | None) -> None:
    codec = codec_for(kind, level)
    assert codec.decompress(codec.compress(CONTENTS[name]), SIZE) == CONTENTS[name]


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.binary(min_size=1, max_size=2000), tail=st.binary(max_size=600))
def test_what_follows_the_stream_is_ignored(kind: CompressionType, data: bytes, tail: bytes) -> None:
    codec = codec_for(kind)
    assert codec.decompress(codec.compress(data) + tail.ljust(600, b"\0"), len(data)) == data


@pytest.mark.parametrize("kind", TYPES)
def test_too_little_is_refused(kind: CompressionType) -> None:
    stream = codec_for(kind).compress(TEXT[:60000])
    with pytest.raises(BadStream):
        codec_for(kind).decompress(stream + b"\xff" * 512, SIZE)
    with pytest.raises(BadStream, match=r"60,000 bytes, a cluster has 65,536|ends 5,536 bytes before the end"):
        codec_for(kind).decompress(stream, SIZE)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_stream_that_is_cut_off_is_refused(kind: CompressionType, name: str) -> None:
    stream = codec_for(kind).compress(CONTENTS[name])
    assert [verdict(kind, stream[:cut]) for cut in (0, 1, 2, len(stream) // 2)] == [None] * 4


@pytest.mark.parametrize("kind", TYPES)
def test_an_unknown_type_is_named(kind: CompressionType) -> None:
    assert codec_for(kind) is not None
    with pytest.raises(Unsupported, match=r"compression type 7 .header byte 104. is unknown"):
        codec_for(CompressionType(7))


# -- deflate ----------------------------------------------------------------------------------------------------


def test_too_much_deflate_output_is_cut() -> None:
    assert verdict(CompressionType.ZLIB, raw_deflate((TEXT + TEXT)[:70000])) == TEXT


def test_a_zlib_header_is_refused() -> None:
    assert verdict(CompressionType.ZLIB, zlib.compress(TEXT)) is None
    assert verdict(CompressionType.ZLIB, zlib.compress(noise(3, SIZE))) is None


def test_far_distances_are_read() -> None:
    block = noise(4, 20000)
    data = (block * 4)[:SIZE]
    stream = raw_deflate(data)
    assert len(stream) < 25000  # the repeats really are references across 20,000 bytes
    with pytest.raises(zlib.error, match="too far back"):
        zlib.decompressobj(-12).decompress(stream, SIZE)
    assert verdict(CompressionType.ZLIB, stream) == data


def test_we_write_what_every_reader_reads() -> None:
    block = noise(5, 20000)
    stream = Deflate().compress((block * 4)[:SIZE])
    assert zlib.decompressobj(-12).decompress(stream, SIZE) == (block * 4)[:SIZE]


def test_a_deflate_bomb_grows_to_one_cluster_only() -> None:
    assert verdict(CompressionType.ZLIB, raw_deflate(bytes(50 << 20)), 512) == bytes(512)


def by_zlib(stream: bytes, size: int) -> bytes | None:
    try:
        out = zlib.decompressobj(-15).decompress(stream, size)
    except zlib.error:
        return None
    return out if len(out) == size else None


MUTATIONS = st.lists(st.tuples(st.integers(0, 1 << 17), st.integers(0, 7)), min_size=1, max_size=4)


def mutated(stream: bytes, flips: list[tuple[int, int]]) -> bytes:
    out = bytearray(stream)
    for at, bit in flips:
        out[at % len(out)] ^= 1 << bit
    return bytes(out)


@given(st.sampled_from(sorted(CONTENTS)), st.sampled_from([0, 1, 6, 9]), st.sampled_from([512, 4096, SIZE]), MUTATIONS)
def test_damaged_deflate_streams_get_the_verdict_of_zlib(
    name: str, level: int, size: int, flips: list[tuple[int, int]]
) -> None:
    stream = mutated(raw_deflate(CONTENTS[name][:size], level=level) + bytes(40), flips)
    assert verdict(CompressionType.ZLIB, stream, size) == by_zlib(stream, size)


@given(st.binary(max_size=300), st.binary(max_size=80))
def test_damage_right_behind_the_cluster_gets_the_verdict_of_zlib(data: bytes, tail: bytes) -> None:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    stream = packer.compress(TEXT[:512]) + packer.flush(zlib.Z_SYNC_FLUSH) + tail
    assert verdict(CompressionType.ZLIB, stream, 512) == by_zlib(stream, 512)
    assert verdict(CompressionType.ZLIB, data, 16) == by_zlib(data, 16)


def _synced(data: bytes, tail: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH) + tail


# name: stream, cluster size; damage that ISA-L does not see, and zlib, hence QEMU, does
SUBTLE = {
    "incomplete distance code": (bytes.fromhex("edc1010d000000c2a0f74f6d0f8714000000f06e").ljust(50, b"\0"), 4096),
    "broken block behind the cluster": (_synced(TEXT[:512], bytes.fromhex("0400044c")), 512),
}


@pytest.mark.parametrize("name", SUBTLE)
def test_subtle_damage_gets_the_verdict_of_zlib(name: str) -> None:
    stream, size = SUBTLE[name]
    assert by_zlib(stream, size) is None
    assert verdict(CompressionType.ZLIB, stream, size) is None


# -- zstd -------------------------------------------------------------------------------------------------------

FRAME = Zstd().compress(TEXT)
CHECKED = zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1})
SKIPPABLE = bytes.fromhex("502a4d18 04000000") + b"note"
EMPTY = zstd.compress(b"")

# name: stream, whether QEMU reads it (each verdict was taken from qemu-img, see tests/oracle/test_streams.py)
ZSTD_STREAMS = {
    "one frame": (FRAME, True),
    "with checksum": (CHECKED, True),
    "wrong checksum": (CHECKED[:-1] + bytes([CHECKED[-1] ^ 1]), False),
    "two frames": (zstd.compress(TEXT[:100]) + zstd.compress(TEXT[100:]), True),
    "many frames": (b"".join(zstd.compress(TEXT[at : at + 4096]) for at in range(0, SIZE, 4096)), True),
    "skippable frame first": (SKIPPABLE + FRAME, True),
    "empty frame first": (EMPTY + FRAME, True),
    "empty frame between": (zstd.compress(TEXT[:100]) + EMPTY + zstd.compress(TEXT[100:]), True),
    "frame behind": (FRAME + FRAME, True),
    "one byte too many": (zstd.compress(TEXT + b"x"), False),
    "one byte too few": (zstd.compress(TEXT[:-1]), False),
    "second frame too long": (zstd.compress(TEXT[:100]) + FRAME, False),
    "only skippable": (SKIPPABLE, False),
    "raw deflate": (raw_deflate(TEXT), False),
    "nothing": (b"", False),
}


@pytest.mark.parametrize("name", ZSTD_STREAMS)
@pytest.mark.parametrize("padding", [0, 511])
def test_zstd_streams(name: str, padding: int) -> None:
    stream, good = ZSTD_STREAMS[name]
    assert verdict(CompressionType.ZSTD, stream + bytes(padding)) == (TEXT if good else None)


def test_a_zstd_bomb_grows_to_one_cluster_only() -> None:
    bomb = zstd.compress(bytes(200 << 20))
    assert len(bomb) < 1 << 16
    with pytest.raises(BadStream, match="goes on after"):
        Zstd().decompress(bomb, 512)


@pytest.mark.timeout(90)
def test_a_run_of_tiny_frames_takes_no_ages() -> None:
    """A run of 2 MiB full of frames of one byte each: time in proportion, or it takes minutes."""
    tiny = zstd.compress(b"x")
    stream = tiny * ((2 << 20) // len(tiny))
    assert verdict(CompressionType.ZSTD, stream, 2 << 20) is None


@given(st.sampled_from(sorted(CONTENTS)), MUTATIONS)
def test_damaged_zstd_streams_never_give_another_error_or_size(name: str, flips: list[tuple[int, int]]) -> None:
    out = verdict(CompressionType.ZSTD, mutated(Zstd().compress(CONTENTS[name]) + bytes(40), flips))
    assert out is None or len(out) == SIZE


@pytest.mark.parametrize("kind", list(CompressionType))
def test_a_cut_stream_gives_what_came_before_the_cut(kind: CompressionType) -> None:
    codec = codec_for(kind)
    data = b"".join(b"line %d\n" % number for number in range(200_000))[: 1 << 20]
    stream = codec.compress(data)
    assert codec.salvage(stream, len(data)) == data
    half = codec.salvage(stream[: len(stream) // 2], len(data))
    assert data.startswith(half)
    assert len(half) > len(data) // 4
    assert codec.salvage(stream + bytes(500), len(data)) == data
    assert codec.salvage(stream, 1000) == data[:1000]
    assert codec.salvage(b"\xff" * 100, len(data)) == b""
    assert codec.salvage(b"", len(data)) == b""


def test_frames_behind_each_other_are_salvaged() -> None:
    codec = codec_for(CompressionType.ZSTD)
    parts = [bytes([number]) * 30_000 for number in range(1, 4)]
    stream = b"".join(map(codec.compress, parts))
    assert codec.decompress(stream, 90_000) == b"".join(parts)
    assert codec.salvage(stream, 90_000) == b"".join(parts)
    assert codec.salvage(stream[:-3], 90_000).startswith(b"".join(parts[:2]))
