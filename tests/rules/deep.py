"""Images with odd content, one for each rule that speaks after a deep look only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.codec import codec_for
from qcow2inspect.format.header import CompressionType
from qcow2inspect.units import GuestOffset
from tests.codec.test_codecs import raw_deflate
from tests.images import image_of, noise

SIZE = 4096
TEXT = (b"one two three four. " * 500)[:SIZE]
PACKED = Recipe(
    Layout(size=1 << 20, cluster_bits=12),
    {0: Data(b"a"), 1: Compressed(noise(1, 3000).ljust(SIZE, b"\0")), 2: Data(b"b")},
)


def with_stream(stream: bytes, recipe: Recipe = PACKED) -> bytes:
    """An image whose guest cluster 1 has this stream, padded with zeros to its last sector."""
    data = bytearray(build(recipe))
    run = image_of(bytes(data)).active_disk().lookup(GuestOffset(SIZE)).host
    assert run is not None
    assert len(stream) <= run.size
    data[run.start : run.end] = stream.ljust(run.size, b"\0")
    return bytes(data)


def exact(stream: bytes) -> bytes:
    """The same, with the number of sectors that the stream needs."""
    lead = int(image_of(PACKED).l2_table(image_of(PACKED).l1[0].l2_table_offset)[1].raw) % 512
    sectors = (lead + len(stream) - 1) // 512 << 58
    return with_stream(stream, replace(PACKED, damage={"L1[0].L2[1].additional_sectors": sectors}))


def freed() -> bytes:
    """An image in which guest cluster 0 was freed and its host cluster kept what it held."""
    at = int(image_of(PACKED).l2_table(image_of(PACKED).l1[0].l2_table_offset)[0].host_cluster_offset)
    return build(replace(PACKED, damage={"L1[0].L2[0]": 0, f"ref[{at // SIZE}]": 0}))


DEEP: dict[str, Callable[[], bytes]] = {
    "QCOW-CMP-BADSTREAM": lambda: with_stream(noise(2, 2000)),
    "QCOW-CMP-LONG": lambda: exact(raw_deflate(TEXT + noise(3, 1000))),
    "QCOW-CMP-OVERSIZED": lambda: with_stream(raw_deflate(TEXT)),
    "QCOW-CMP-SHORT": lambda: exact(raw_deflate(TEXT[:-1])),
    "QCOW-CMP-WRONGTYPE": lambda: exact(codec_for(CompressionType.ZSTD).compress(TEXT)),
    "QCOW-IMG-FREE-CONTENT": freed,
    "QCOW-IMG-ZERO-STALE": lambda: build(
        replace(PACKED, clusters={0: Data(b"a"), 1: Zero(b"kept"), 2: Zero(bytes(8))})
    ),
}
"""Code -> what makes an image that triggers it."""
