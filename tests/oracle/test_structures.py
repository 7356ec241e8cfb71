"""Snapshots, bitmaps, encryption, headers: what we show is what qemu-img shows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import NeedsKey
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.luks import SlotState
from qcow2inspect.image.address import resolve
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.units import HostOffset
from tests.image.test_guard import ACCEPTED, REFUSED
from tests.image.test_tree import check_node, walk
from tests.images import (
    Ran,
    image_of,
    model,
    qemu_img,
    qemu_io,
    qemu_json,
    raw_by_qemu,
    read_all,
    run_qemu,
    tree_of,
)

pytestmark = pytest.mark.oracle

SECRET = "secret,id=key,data=passphrase"


def info(path: Path) -> Any:
    return qemu_json("info", "-f", "qcow2", path)


@pytest.mark.parametrize("name", REFUSED)
def test_qemu_refuses_each_obstacle_with_these_words(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    path = tmp_path / "refused.qcow2"
    path.write_bytes(build(REFUSED[name].recipe))
    ran = open_by_qemu(path)
    assert ran.code == 1
    assert re.search(REFUSED[name].qemu, ran.error), ran.error
    record_property("cells refused images", 1)


def open_by_qemu(path: Path) -> Ran:
    """Open an image to read its guest data, with a key."""
    options = f"driver=qcow2,file.filename={path}"
    with Image.open(path) as image:
        if image.header.crypt_method is not CryptMethod.NONE:
            options += ",encrypt.key-secret=key"
    return run_qemu("qemu-io", "-r", "--object", SECRET, "--image-opts", options, "-c", "length")


@pytest.mark.parametrize("name", ACCEPTED)
def test_qemu_accepts_what_is_no_obstacle(name: str, tmp_path: Path) -> None:
    path = tmp_path / "accepted.qcow2"
    path.write_bytes(build(ACCEPTED[name]))
    ran = open_by_qemu(path)
    assert ran.code == 0 or "Invalid password" in ran.error, ran.error


PAIRS = [(one, two) for one in REFUSED for two in REFUSED if one < two]


@pytest.mark.parametrize("first", sorted(REFUSED))
def test_the_first_obstacle_is_qemus_first_complaint(
    first: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two things wrong at once: QEMU stops at the one that comes first in our list."""
    path, cells = tmp_path / "two.qcow2", 0
    by_code: dict[str, list[str]] = {}
    for case in REFUSED.values():
        by_code.setdefault(case.code, []).append(case.qemu)
    for other in (two for one, two in PAIRS if one == first):
        one, two = REFUSED[first], REFUSED[other]
        if set(one.damage) & set(two.damage) or one.base != two.base:
            continue
        path.write_bytes(build(dataclasses.replace(one.recipe, damage={**one.damage, **two.damage})))
        obstacles = image_of(path.read_bytes()).obstacles
        ran = open_by_qemu(path)
        said = f"{first} and {other}: we say {obstacles[:1]}, QEMU says {ran.error}"
        assert bool(obstacles) == bool(ran.code), said  # two errors may make each other right
        if obstacles:
            assert any(re.search(words, ran.error) for words in by_code[obstacles[0].code]), said
        cells += 1
    record_property("cells refused images", cells)


# -- backing file names -----------------------------------------------------------------------------------------

NAMES: dict[str, dict[str, int | bytes]] = {
    "no length": {"hdr.backing_file_offset": 0x200},
    "empty string": {"hdr.backing_file_offset": 0x8000, "hdr.backing_file_size": 5},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_backing_file_without_a_name_is_none(name: str, tmp_path: Path) -> None:
    recipe = Recipe(Layout(1 << 20), {1: Data(b"x")}, damage=NAMES[name])
    path = tmp_path / "nameless.qcow2"
    path.write_bytes(build(recipe))
    assert raw_by_qemu(path) == model(recipe)
    assert read_all(image_of(path.read_bytes()).active_disk()) == model(recipe)


# -- snapshots --------------------------------------------------------------------------------------------------


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    path = tmp_path / "snapshots.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", path, "8M")
    for index in range(5):
        qemu_io(path, f"write -q -P {index + 1} {index * 4096} 9000")
        qemu_img("snapshot", "-c", f"état {index}", path)
    qemu_img("snapshot", "-d", "état 2", path)
    return path


def test_snapshots_of_qemu(snapshots: Path) -> None:
    shown = info(snapshots)["snapshots"]
    with Image.open(snapshots) as image:
        assert image.header.nb_snapshots == 4
        for ours, theirs in zip(image.snapshots, shown, strict=True):
            assert (ours.id.decode(), ours.name.decode()) == (theirs["id"], theirs["name"])
            assert (ours.entry.date_sec, ours.entry.date_nsec) == (theirs["date-sec"], theirs["date-nsec"])
            assert ours.vm_state_size == theirs["vm-state-size"]
            assert ours.disk_size == 8 << 20
            assert ours.icount == theirs.get("icount")


def test_the_tree_of_an_image_with_snapshots(snapshots: Path) -> None:
    _check_tree(snapshots, more_than=300)


def test_our_snapshots_are_what_qemu_reads(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    recipe = Recipe(
        Layout(1 << 20, cluster_bits=12),
        {0: Data(b"a"), 1: Compressed(b"b"), 2: Zero(b"c"), 200: Data(b"far")},
        (Snapshot(b"one", {0: Data(b"n"), 1: Zero()}), Snapshot(b"two", {2: Compressed(b"m"), 200: Zero()})),
    )
    path = tmp_path / "ours.qcow2"
    path.write_bytes(build(recipe))
    state = dict(recipe.clusters)
    for snapshot in recipe.snapshots:
        target = tmp_path / "raw"
        asked = f"snapshot.name={snapshot.name.decode()}"
        qemu_img("convert", "-f", "qcow2", "-l", asked, "-O", "raw", path, target)
        assert target.read_bytes() == model(recipe, state)
        state.update(snapshot.then)
    assert raw_by_qemu(path) == model(recipe) == read_all(image_of(recipe).active_disk())
    record_property("cells snapshots", 3)


# -- bitmaps ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bitmaps(tmp_path: Path) -> Path:
    path = tmp_path / "bitmaps.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "64M")
    for name, grain in (("daily", "64k"), ("weekly-Ä", "1M"), ("x", "512")):
        qemu_img("bitmap", "--add", "-g", grain, "-f", "qcow2", path, name)
    qemu_img("bitmap", "--disable", "-f", "qcow2", path, "weekly-Ä")
    qemu_io(path, "write -q -P 1 0 1M", "write -q -P 2 40M 100k")
    return path


def test_bitmaps_of_qemu(bitmaps: Path) -> None:
    shown = info(bitmaps)["format-specific"]["data"]["bitmaps"]
    with Image.open(bitmaps) as image:
        assert image.header.autoclear_features.bitmaps
        ours = {
            bitmap.name.decode(): (1 << bitmap.entry.granularity_bits, bitmap.entry.flags.auto)
            for bitmap in image.bitmaps
        }
    assert ours == {each["name"]: (each["granularity"], "auto" in each["flags"]) for each in shown}


def test_the_tree_of_an_image_with_bitmaps(bitmaps: Path) -> None:
    tree = _check_tree(bitmaps, more_than=150)
    assert "Bitmaps" in [node.name for node in tree.top]
    entry = resolve(tree, "bitmap[0].table[0]")
    assert tree.locate(entry.offset).path == "bitmap[0].table[0]"
    assert tree.locate(HostOffset(resolve(tree, "bitmap[1].name").offset + 2)).path == "bitmap[1].name"


# -- encryption -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def luks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("luks") / "luks.qcow2"
    options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"
    for _ in range(10):  # QEMU times its key derivation and gives up when the machine is too busy to tell
        ran = run_qemu("qemu-img", "create", "-q", "--object", SECRET, "-f", "qcow2", "-o", options, path, "4M")
        if "CPU usage" not in ran.error:
            break
    assert ran.code == 0, ran.error
    return path


def test_luks_headers_of_qemu(luks: Path) -> None:
    shown = info(luks)["format-specific"]["data"]["encrypt"]
    with Image.open(luks) as image:
        header = image.luks
        assert header is not None
        fields = header.fields
        assert image.header.crypt_method is CryptMethod.LUKS
        assert fields.uuid.rstrip(b"\0").decode() == shown["uuid"]
        assert fields.mk_digest_iterations == shown["master-key-iters"]
        assert fields.hash_spec.rstrip(b"\0").decode() == shown["hash-alg"]
        assert fields.payload_offset * 512 == shown["payload-offset"]
        assert fields.cipher_name.rstrip(b"\0").decode() == shown["cipher-alg"].split("-")[0]
        assert fields.cipher_mode.rstrip(b"\0").decode() == f"{shown['cipher-mode']}-{shown['ivgen-alg']}"
        for ours, theirs in zip(header.slots, shown["slots"], strict=True):
            assert (ours.active is SlotState.ENABLED) == theirs["active"]
            assert ours.active.known
            assert ours.key_material_offset * 512 == theirs["key-offset"]
            if theirs["active"]:
                assert (ours.iterations, ours.stripes) == (theirs["iters"], theirs["stripes"])


def test_the_tree_of_an_encrypted_image(luks: Path) -> None:
    tree = _check_tree(luks, more_than=120)
    assert tree.locate(resolve(tree, "luks.slot[3].salt").offset).path == "luks.slot[3].salt"


def test_encrypted_guest_data_needs_a_key(luks: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(luks.read_bytes())
    ran = run_qemu(
        "qemu-io",
        "--object",
        SECRET,
        "--image-opts",
        f"driver=qcow2,encrypt.key-secret=key,file.filename={copy}",
        "-c",
        "write -q -P 7 65536 65536",
    )
    assert ran.code == 0, ran.error
    with Image.open(copy) as image:
        disk = image.active_disk()
        assert disk.read_at(0, 65536) == bytes(65536)
        with pytest.raises(NeedsKey, match="LUKS"):
            disk.read_at(65536, 1)


def test_our_legacy_encryption_is_qemus(tmp_path: Path) -> None:
    layout = Layout(1 << 20, crypt_method=CryptMethod.AES)
    recipe = Recipe(layout, {0: Data(b"secret text"), 9: Data(b"more"), 2: Zero()}, passphrase=b"passphrase")
    path, target = tmp_path / "aes.qcow2", tmp_path / "raw"
    path.write_bytes(build(recipe))
    options = f"driver=qcow2,encrypt.key-secret=key,file.filename={path}"
    qemu_img("convert", "--object", SECRET, "--image-opts", options, "-O", "raw", target)
    plain = target.read_bytes()
    expected = model(recipe)
    assert plain[:131072] == expected[:131072][:65536] + plain[65536:131072]
    assert plain[:65536] == expected[:65536]
    assert plain[9 * 65536 : 10 * 65536] == expected[9 * 65536 : 10 * 65536]
    assert plain[2 * 65536 : 3 * 65536] == bytes(65536)


# -- headers ----------------------------------------------------------------------------------------------------

OPTIONS = [
    "compat=0.10",
    "compat=1.1,lazy_refcounts=on",
    "cluster_size=2M,refcount_bits=64",
    "extended_l2=on,cluster_size=128k",
    "compression_type=zstd",
    "backing_file=base.raw,backing_fmt=raw",
    "compat=0.10,backing_file=base.raw,backing_fmt=raw",
    "data_file=data.raw,data_file_raw=on",
]


@pytest.mark.parametrize("options", OPTIONS)
def test_headers_of_qemu(options: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    (tmp_path / "base.raw").write_bytes(bytes(4 << 20))
    path = tmp_path / "x.qcow2"
    asked = options.replace("data.raw", str(tmp_path / "data.raw"))
    qemu_img("create", "-q", "-f", "qcow2", "-o", asked, path, "4M")
    shown = info(path)
    facts = shown["format-specific"]["data"]
    with Image.open(path) as image:
        header = image.header
        assert image.obstacles == ()
        assert header.size == shown["virtual-size"]
        assert image.geometry.cluster_size == shown["cluster-size"]
        assert header.version == (2 if facts["compat"] == "0.10" else 3)
        assert image.geometry.refcount_bits == facts["refcount-bits"]
        assert header.compatible_features.lazy_refcounts == facts.get("lazy-refcounts", False)
        assert image.geometry.extended_l2 == facts.get("extended-l2", False)
        assert header.compression_type.name.lower() == facts["compression-type"]
        assert image.backing_name.decode() == shown.get("backing-filename", "")
        assert image.backing_format.decode() == shown.get("backing-filename-format", "")
        assert image.data_file_name.decode() == facts.get("data-file", "")
        assert header.autoclear_features.raw_data_file == facts.get("data-file-raw", False)
        assert image.extensions.end_marker is not None
        assert image.extensions.overrun is None
    _check_tree(path, more_than=40)
    record_property("cells headers", 1)


def _check_tree(path: Path, *, more_than: int) -> Tree:
    tree = tree_of(path.read_bytes())
    nodes = list(walk(tree.root))
    assert len(nodes) > more_than
    for node in nodes:
        check_node(tree, node)
        if node.where and node.bits is None and node.kind not in ("data", "compressed"):
            assert node.where.start in tree.locate(node.where.start).where
    return tree
