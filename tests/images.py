"""What the tests share: images from recipes, a toy model of what a guest reads, and QEMU as the oracle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.header import CompressionType
from qcow2inspect.format.luks import LUKS_MAGIC, LuksHeaderFields, LuksKeySlot, SlotState
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.image.view import View
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import HostRange

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("QCOW2INSPECT_CORPUS", ROOT.parent / "shared" / "corpus"))


# -- our side ---------------------------------------------------------------------------------------------------


class CountingSource:
    """A source in memory that counts how often and how much is read, and may pretend to be larger than it is."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self._data = data
        self.name = "counted"
        self.size = len(data) if size is None else size
        self.allocated = len(data)
        self.identity: tuple[int, int] | None = None
        self.reads = 0
        self.bytes = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads += 1
        size = min(size, max(0, self.size - offset))
        self.bytes += size
        return self._data[offset : offset + size].ljust(size, b"\0")

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        yield within.clip(0, len(self._data))


def image_of(recipe: Recipe | bytes) -> Image:
    """The image of a recipe, in memory."""
    return Image(MemorySource(recipe if isinstance(recipe, bytes) else build(recipe)))


def tree_of(recipe: Recipe | bytes) -> Tree:
    """The tree of the image of a recipe."""
    return Tree(image_of(recipe))


def read_all(view: View, step: int = 1 << 20) -> bytes:
    """All bytes of a view, read from the first to the last."""
    return b"".join(view.read_at(at, step) for at in range(0, view.size, step))


def read_or_error(view: View, offset: int, size: int) -> bytes | type[Qcow2InspectError]:
    """The bytes, or the kind of error that stands in their way."""
    try:
        return view.read_at(offset, size)
    except Qcow2InspectError as error:
        return type(error)


def noise(seed: int, size: int) -> bytes:
    """Bytes that no codec makes shorter, the same for the same seed."""
    import random

    return random.Random(seed).randbytes(size)


def luks_area(length: int = 4040 * 512, slots: Mapping[int, Mapping[str, int]] | None = None, **fields: Any) -> bytes:
    """A LUKS header that is sound but that no passphrase opens, and room for its key material.

    Args:
        length: bytes of the area.
        slots: key slot -> fields that differ from those of a sound header.
        fields: fields of the header that differ.
    """
    values: dict[str, Any] = {
        "magic": LUKS_MAGIC,
        "version": 1,
        "cipher_name": b"aes".ljust(32, b"\0"),
        "cipher_mode": b"xts-plain64".ljust(32, b"\0"),
        "hash_spec": b"sha256".ljust(32, b"\0"),
        "payload_offset": 4040,
        "key_bytes": 64,
        "mk_digest": bytes(20),
        "mk_digest_salt": bytes(32),
        "mk_digest_iterations": 1000,
        "uuid": b"3b0d2e4a-0000-4000-8000-000000000000".ljust(40, b"\0"),
    }
    header = LuksHeaderFields(**{**values, **fields}).encode()
    for index in range(8):
        slot: dict[str, Any] = {
            "active": SlotState.DISABLED if index else SlotState.ENABLED,
            "iterations": 0 if index else 1000,
            "salt": bytes(32),
            "key_material_offset": 8 + index * 504,
            "stripes": 4000,
        }
        header += LuksKeySlot(**{**slot, **(slots or {}).get(index, {})}).encode()
    return header.ljust(length, b"\0")


# -- the toy model ----------------------------------------------------------------------------------------------


def state_of(recipe: Recipe) -> dict[int, Cluster]:
    """Guest cluster number -> what it is at last."""
    state = dict(recipe.clusters)
    for snapshot in recipe.snapshots:
        state.update(snapshot.then)
    return state


def model(recipe: Recipe, state: Mapping[int, Cluster] | None = None) -> bytes:
    """What a guest reads, worked out cluster by cluster without a look at any table."""
    size = recipe.layout.geometry.cluster_size
    disk = bytearray(-(-recipe.layout.size // size) * size)
    for index, cluster in (state_of(recipe) if state is None else state).items():
        disk[index * size : (index + 1) * size] = _seen(cluster, size)
    return bytes(disk[: recipe.layout.size])


def _seen(cluster: Cluster, size: int) -> bytes:
    if isinstance(cluster, Zero):
        return bytes(size)
    data = (cluster.data * -(-size // len(cluster.data)))[:size] if cluster.data else bytes(size)
    if not isinstance(cluster, Subclusters):
        return data
    part = size // 32
    return b"".join(
        data[i * part : (i + 1) * part] if cluster.bitmap >> i & 1 and cluster.data else bytes(part) for i in range(32)
    )


# -- recipes at random ------------------------------------------------------------------------------------------

_FILL = st.binary(min_size=1, max_size=9)


def _bitmaps(stored: bool) -> st.SearchStrategy[int]:
    """Subcluster bitmaps that do not contradict themselves."""

    def make(allocated: int, zero: int) -> int:
        return (zero & ~allocated) << 32 | allocated if stored else zero << 32

    half = st.integers(0, 0xFFFF_FFFF) | st.sampled_from([0, 1, 0x8000_0000, 0xFFFF, 0xFFFF_FFFF])
    return st.builds(make, half, half)


def clusters_for(layout: Layout) -> st.SearchStrategy[Cluster]:
    """Every kind of guest cluster that the layout allows."""
    kinds: list[st.SearchStrategy[Cluster]] = [st.builds(Data, _FILL)]
    if not layout.data_file:
        kinds.append(st.builds(Compressed, _FILL))
    if layout.version >= 3:
        kinds += [st.just(Zero()), st.builds(Zero, _FILL)]
    if layout.extended_l2:
        kinds += [st.builds(Subclusters, _bitmaps(stored=True), _FILL), st.builds(Subclusters, _bitmaps(stored=False))]
    return st.one_of(kinds)


@st.composite
def layouts(draw: st.DrawFn, *, wide: bool = False) -> Layout:
    """Cluster sizes of 512 bytes to 64 KiB, both versions; ``wide`` disks have several L2 tables."""
    extended = draw(st.booleans())
    version = 3 if extended else draw(st.sampled_from([2, 3]))
    bits = draw(st.integers(14, 16) if extended else st.integers(9, 16))
    span = Layout(512, version, bits, extended_l2=extended).geometry.l2_span
    most = 3 * span if wide else min(3 * span, 1 << 20)
    return Layout(
        size=draw(st.integers(1, most // 512)) * 512,
        version=version,
        cluster_bits=bits,
        refcount_order=4 if version == 2 else draw(st.integers(3, 6)),
        compression=CompressionType.ZLIB if version == 2 else draw(st.sampled_from(CompressionType)),
        extended_l2=extended,
    )


@st.composite
def recipes(draw: st.DrawFn, *, wide: bool = False) -> Recipe:
    """Sound images of any kind, with or without snapshots."""
    layout = draw(layouts(wide=wide))
    count = -(-layout.size // layout.geometry.cluster_size)
    edge = layout.geometry.l2_entries
    places = st.integers(0, min(count - 1, 20)) | st.integers(max(0, count - 3), count - 1)
    if count > edge:
        places |= st.integers(edge - 2, min(count - 1, edge + 2))
    some = st.dictionaries(places, clusters_for(layout), max_size=10)
    snapshots = st.lists(st.builds(Snapshot, st.just(b"before"), some), max_size=2)
    return Recipe(layout, draw(some), tuple(draw(snapshots)))


@st.composite
def damages(draw: st.DrawFn, recipe: Recipe) -> dict[str, int]:
    """Odd L1 and L2 entries for a recipe."""
    tree = tree_of(recipe)
    l1 = tree.active.l1
    used = [index for index in range(len(l1)) if l1[index].l2_table_offset]
    cluster = recipe.layout.geometry.cluster_size
    end = tree.image.end
    odd = st.sampled_from([0, 1, 1 << 63, 1 << 62, 0x200, cluster, cluster | 1, end, end + 7 * cluster, 1 << 55])
    values = odd | st.builds(lambda a, b: a ^ b, odd, st.integers(0, 63).map(lambda bit: 1 << bit))
    places = [f"L1[{index}].L2[{entry}]" for index in used for entry in range(20)]
    places += [f"L1[{index}]" for index in range(min(3, len(l1)))]
    chosen = draw(st.lists(st.sampled_from(places), max_size=4, unique=True))
    return {place: draw(values) for place in chosen}


# -- QEMU's side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """How a program ended."""

    code: int
    out: str
    error: str


def run_qemu(tool: str, *arguments: str | Path) -> Ran:
    """Run ``qemu-img`` or ``qemu-io``; a machine without them fails the test, it does not skip it.

    On a busy machine QEMU may fail to measure the time of its key derivation; it is then run once more.
    """
    program = shutil.which(tool)
    if program is None:
        pytest.fail(f"{tool} is not installed: the oracle tests need it (Debian: apt-get install qemu-utils)")
    for _ in range(20):
        done = subprocess.run(
            [program, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=120, check=False
        )
        if "accurate CPU usage" not in done.stderr:
            break
    return Ran(done.returncode, done.stdout, done.stderr)


def qemu_img(*arguments: str | Path) -> str:
    """What ``qemu-img`` prints; it must succeed."""
    ran = run_qemu("qemu-img", *arguments)
    assert ran.code == 0, f"qemu-img {' '.join(map(str, arguments))}: exit {ran.code}: {ran.error}{ran.out}"
    return ran.out


def qemu_json(*arguments: str | Path) -> Any:
    """What ``qemu-img`` prints as JSON; it must succeed."""
    return json.loads(qemu_img(*arguments, "--output=json"))


def qemu_io(path: Path | str, *commands: str, how: tuple[str, ...] = ("-f", "qcow2")) -> None:
    """Let ``qemu-io`` write into an image, opened as ``how`` says; it must succeed."""
    asked = [word for command in commands for word in ("-c", command)]
    ran = run_qemu("qemu-io", *how, *asked, path)
    assert ran.code == 0, f"qemu-io {commands}: exit {ran.code}: {ran.error}{ran.out}"
    assert "failed" not in ran.out, ran.out


def raw_by_qemu(path: Path, source_format: str = "qcow2") -> bytes | None:
    """The guest disk as ``qemu-img convert`` writes it; None if QEMU refuses or fails."""
    target = path.with_name(path.name + ".raw-by-qemu")
    ran = run_qemu("qemu-img", "convert", "-f", source_format, "-O", "raw", path, target)
    if ran.code:
        return None
    data = target.read_bytes()
    target.unlink()
    return data


def check_by_qemu(path: Path) -> int:
    """Exit code of ``qemu-img check``: 0 clean, 2 corrupt, 3 leaks."""
    return run_qemu("qemu-img", "check", "-f", "qcow2", path).code
