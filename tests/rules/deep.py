"""Images with odd content, one for each rule that speaks after a deep look only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Zero, build, patch
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


def with_slack() -> bytes:
    """Something stands behind the end of the stream of guest cluster 1, in its last sector."""
    data = bytearray(build(PACKED))
    run = image_of(bytes(data)).active_disk().lookup(GuestOffset(SIZE)).host
    assert run is not None
    data[run.end - 8 : run.end] = b"hidden !"
    return bytes(data)


def nested_streams() -> bytes:
    """The stream of guest cluster 1 holds the stream of guest cluster 5, byte for byte."""
    inner = raw_deflate(TEXT)
    recipe = replace(PACKED, clusters={0: Data(b"a"), 1: Compressed((noise(4, 2000) + inner).ljust(SIZE, b"\xa5"))})
    outer = raw_deflate((noise(4, 2000) + inner).ljust(SIZE, b"\xa5"), level=0)
    data = bytearray(build(recipe))
    host = image_of(bytes(data)).active_disk().lookup(GuestOffset(SIZE)).host
    assert host is not None
    at = host.start + outer.index(inner)
    streams = {1: (int(host.start), len(outer)), 5: (at, len(inner))}
    data[host.start : host.start + len(outer)] = outer
    patched = bytearray(bytes(data).ljust(-(-len(data) // SIZE) * SIZE, b"\0"))
    counts = Counter[int]()
    for index, (start, size) in streams.items():
        counts.update(range(start // SIZE, (start + size - 1) // SIZE + 1))
        sectors = (start + size - 1) // 512 - start // 512
        patch(patched, {f"L1[0].L2[{index}]": 1 << 62 | sectors << 58 | start})
    patch(patched, {f"ref[{cluster}]": count for cluster, count in counts.items()})
    return bytes(patched)


def far() -> bytes:
    """A stream that refers back by 20,000 bytes, as no writer with a window of 4 KiB does."""
    start = noise(5, 20_000)
    data = (start + start).ljust(1 << 16, b"\0")
    recipe = Recipe(Layout(size=1 << 20), {0: Compressed(noise(6, 40_000).ljust(1 << 16, b"\0"))})
    image = bytearray(build(recipe))
    run = image_of(bytes(image)).active_disk().lookup(GuestOffset(0)).host
    assert run is not None
    stream = raw_deflate(data)
    image[run.start : run.end] = stream.ljust(run.size, b"\0")
    patch(image, {"L1[0].L2[0].additional_sectors": (run.start % 512 + len(stream) - 1) // 512 << 54})
    return bytes(image)


DEEP: dict[str, Callable[[], bytes]] = {
    "QCOW-CMP-BADSTREAM": lambda: with_stream(noise(2, 2000)),
    "QCOW-CMP-LONG": lambda: exact(raw_deflate(TEXT + noise(3, 1000))),
    "QCOW-CMP-OVERSIZED": lambda: with_stream(raw_deflate(TEXT)),
    "QCOW-CMP-OVERLAP": nested_streams,
    "QCOW-CMP-SHORT": lambda: exact(raw_deflate(TEXT[:-1])),
    "QCOW-CMP-SLACK": with_slack,
    "QCOW-CMP-WINDOW": far,
    "QCOW-CMP-WRONGTYPE": lambda: exact(codec_for(CompressionType.ZSTD).compress(TEXT)),
    "QCOW-IMG-FREE-CONTENT": freed,
    "QCOW-IMG-ZERO-STALE": lambda: build(
        replace(PACKED, clusters={0: Data(b"a"), 1: Zero(b"kept"), 2: Zero(bytes(8))})
    ),
}
"""Code -> what makes an image that triggers it."""
COUNTS = {"QCOW-CMP-OVERLAP": 2, "QCOW-CMP-SLACK": 8}
"""Code -> how many streams or bytes its image has; one if it is not here."""


def with_hole(folder: Path) -> Path:
    """An image file of which the file system stores nothing of guest cluster 0."""
    path, data = folder / "holes.qcow2", build(replace(PACKED, layout=replace(PACKED.layout, cluster_bits=16)))
    host = image_of(data).active_disk().lookup(GuestOffset(0)).host
    assert host is not None
    with path.open("wb") as file:
        file.write(data[: host.start])
        file.truncate(host.start + (1 << 16))
        file.seek(host.start + (1 << 16))
        file.write(data[host.start + (1 << 16) :])
    return path


HOLES: dict[str, Callable[[Path], Path]] = {"QCOW-IMG-SPARSE-HOLES": with_hole}
"""Code -> what makes a file that triggers it: only a file has holes."""
