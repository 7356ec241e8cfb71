"""The images of ``qcow2inspect demo``: small, always the same, with something of everything."""

from __future__ import annotations

import os

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import CannotExport, CannotRead
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.output import Output
from qcow2inspect.source.file import FileSource

__all__ = ["DEFECTS", "damaged_recipe", "demo_disk", "demo_recipe", "encrypted_recipe", "holds", "write_demo"]

_CLUSTER = 1 << 16
_SIZE = 64 << 20
_PROSE = b"The quick brown fox jumps over the lazy dog, and the cluster compresses well. "
_LATER = b"What was here before lives on in the snapshot. "


def _noise(seed: int) -> bytes:
    """A cluster that does not compress: a multiplicative congruential sequence."""
    words = []
    state = seed * 2 + 1
    for _ in range(_CLUSTER // 8):
        state = state * 6364136223846793005 % (1 << 64)
        words.append((state >> 16).to_bytes(8, "big"))
    return b"".join(words)


_DATA: dict[int, bytes] = {
    **{index: _noise(index) for index in range(24)},
    **{index: b"guest cluster %d\n" % index for index in range(40, 64)},
    **{index: b"page %d: " % index + _PROSE for index in range(128, 176)},
    512: b"alone in the middle of nothing. ",
    1023: b"the last cluster of the disk. ",
}
_ZEROS = range(64, 72)
_KEPT = range(72, 76)
_OVERWRITTEN = range(8, 16)


def _clusters() -> dict[int, Cluster]:
    found: dict[int, Cluster] = {}
    for index, data in _DATA.items():
        found[index] = Compressed(data) if 128 <= index < 176 else Data(data)
    found |= {index: Zero() for index in _ZEROS}
    found |= {index: Zero(b"bytes that a zero cluster hides ") for index in _KEPT}
    return found


def demo_recipe() -> Recipe:
    """A sound image: normal, compressed, zero-plain and zero-alloc clusters, and a snapshot."""
    then: dict[int, Cluster] = {index: Data(_LATER) for index in _OVERWRITTEN}
    snapshot = Snapshot(b"before the change", then, date_sec=1_700_000_000)
    return Recipe(Layout(size=_SIZE), _clusters(), (snapshot,))


def demo_disk() -> bytes:
    """The guest disk of :func:`demo_recipe`."""
    disk = bytearray(_SIZE)
    for index, data in {**_DATA, **dict.fromkeys(_OVERWRITTEN, _LATER)}.items():
        disk[index * _CLUSTER : (index + 1) * _CLUSTER] = (data * -(-_CLUSTER // len(data)))[:_CLUSTER]
    return bytes(disk)


def encrypted_recipe() -> Recipe:
    """The same disk with its normal clusters encrypted."""
    clusters = {index: Data(data) for index, data in _DATA.items() if index < 128}
    return Recipe(Layout(size=_SIZE, crypt_method=CryptMethod.AES), clusters, passphrase=b"demo")


DEFECTS = {
    "hdr.incompatible_features.corrupt": "the corrupt bit is set",
    "L1[0].reserved_low": "a reserved bit of an L1 entry is set",
    "L1[0].L2[40]": "an L2 entry points to no multiple of the cluster size",
    "L1[0].L2[41]": "an L2 entry points past the end of the file",
    "rt[0].reserved_low": "a reserved bit of a refcount table entry is set",
}
"""Address and description of the defects of :func:`damaged_recipe`."""

_VALUES = (1, 0x2, 0x8000_0000_0020_1000, 0x8000_0000_4000_0000, 0x8)


def damaged_recipe() -> Recipe:
    """The same image with five planted defects."""
    sound = demo_recipe()
    return Recipe(sound.layout, sound.clusters, sound.snapshots, damage=dict(zip(DEFECTS, _VALUES, strict=True)))


def holds(path: str, data: bytes) -> bool:
    """True if the file at ``path`` holds exactly this."""
    try:
        with FileSource(path, is_ours=True) as source:
            return source.size == len(data) and source.read_at(0, source.size) == data
    except CannotRead:
        return False


def write_demo(folder: str, *, force: bool = False) -> tuple[str, str, str]:
    """Write the three images into ``folder``; those of an earlier run stay.

    Args:
        folder: made if it is not there.
        force: replace files of these names that hold something else.

    Returns:
        The paths of the sound, the encrypted and the damaged image.

    Raises:
        CannotExport: the folder or a file cannot be written.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise CannotExport(f"{folder}: cannot be made: {error.strerror}", hint="choose another folder") from error
    recipes = {"demo": demo_recipe(), "demo-encrypted": encrypted_recipe(), "demo-damaged": damaged_recipe()}
    paths = []
    for name, recipe in recipes.items():
        path, data = os.path.join(folder, f"{name}.qcow2"), build(recipe)
        paths.append(path)
        if not holds(path, data):
            with Output(path, force=force) as output:
                output.write_at(0, data)
                output.commit()
    return paths[0], paths[1], paths[2]
