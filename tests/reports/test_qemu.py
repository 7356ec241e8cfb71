"""The qemu-img compatible JSON is qemu-img's, field by field, over many kinds of images."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.reports.qemu import info_document, map_entries, map_lines
from tests.image.v1_images import V1Recipe
from tests.images import qemu_img, qemu_io

pytestmark = pytest.mark.oracle


def create(path: Path, size: str, *options: str) -> None:
    words = [word for option in options for word in ("-o", option)]
    qemu_img("create", "-q", "-f", "qcow2", *words, path, size)


def mixed(path: Path, *options: str) -> None:
    create(path, "64M", *options)
    qemu_io(
        path,
        "write -P 1 0 200k",
        "write -z 1M 128k",
        "write -P 3 2M 64k",
        "write -z 2M 64k",
        "discard 64k 64k",
        "write -P 9 63M 1M",
    )


def compressed(path: Path, *options: str) -> None:
    mixed(path, *options)
    qemu_io(path, "write -c -P 7 4M 64k", "write -c -P 8 5M 64k")


def snapshots(path: Path) -> None:
    mixed(path)
    qemu_img("snapshot", "-c", "first", path)
    qemu_io(path, "write -P 5 0 64k")
    qemu_img("snapshot", "-c", "second one", path)


def bitmaps(path: Path) -> None:
    mixed(path)
    qemu_img("bitmap", "--add", path, "b0")
    qemu_img("bitmap", "--add", "-g", "128k", path, "b1")
    qemu_img("bitmap", "--disable", path, "b1")


def luks(path: Path) -> None:
    secret = ("--object", "secret,id=s,data=abc")
    options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    qemu_img("create", "-q", "-f", "qcow2", *secret, "-o", options, path, "8M")


def aes(path: Path) -> None:
    secret = ("--object", "secret,id=s,data=abc")
    qemu_img("create", "-q", "-f", "qcow2", *secret, "-o", "encrypt.format=aes,encrypt.key-secret=s", path, "8M")


def overlay(path: Path) -> None:
    base = path.with_name("base.qcow2")
    create(base, "4M")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", path)


def data_file(path: Path, raw: str = "off") -> None:
    create(path, "1M", f"data_file={path}.data,data_file_raw={raw}")


def preallocated(path: Path, *options: str) -> None:
    create(path, "5M", "preallocation=metadata", *options)
    qemu_io(path, "write -P 1 100k 300k")


def old(path: Path) -> None:
    create(path, "10M", "compat=0.10")
    qemu_io(path, "write -P 4 0 1M")


def odd_size(path: Path) -> None:
    create(path, "1000k", "cluster_size=2M")
    qemu_io(path, "write 1k 3k")


def extended(path: Path) -> None:
    compressed(path, "extended_l2=on")
    qemu_io(path, "write -P 2 10M 3k", "write -z 10500k 2k", "discard 10M 2k")


def truncated(path: Path) -> None:
    mixed(path)
    os.truncate(path, 400_000)


IMAGES: dict[str, Callable[[Path], object]] = {
    "v3": mixed,
    "v2": old,
    "zlib": compressed,
    "zstd": lambda path: compressed(path, "compression_type=zstd"),
    "512-byte clusters": lambda path: compressed(path, "cluster_size=512"),
    "2 MiB clusters": lambda path: mixed(path, "cluster_size=2M"),
    "extended L2": extended,
    "lazy refcounts, 1 bit": lambda path: mixed(path, "lazy_refcounts=on", "refcount_bits=1"),
    "64-bit refcounts": lambda path: mixed(path, "refcount_bits=64"),
    "empty": lambda path: create(path, "1M"),
    "no disk": lambda path: create(path, "0"),
    "odd size": odd_size,
    "snapshots": snapshots,
    "preallocated": preallocated,
    "preallocated, 4 KiB clusters": lambda path: preallocated(path, "cluster_size=4k"),
    "preallocated, extended L2": lambda path: preallocated(path, "extended_l2=on"),
    "falloc": lambda path: create(path, "3M", "preallocation=falloc"),
    "full": lambda path: create(path, "1M", "preallocation=full,cluster_size=512"),
    "truncated": truncated,
    "own writer": lambda path: path.write_bytes(build(demo_recipe())),
}
INFO_ONLY: dict[str, Callable[[Path], object]] = {
    "bitmaps": bitmaps,
    "LUKS": luks,
    "AES": aes,
    "overlay": overlay,
    "data file": data_file,
    "raw data file": lambda path: data_file(path, "on"),
}


@pytest.mark.parametrize("name", [*IMAGES, *INFO_ONLY])
@pytest.mark.parametrize("absolute", [True, False])
def test_info(name: str, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.qcow2"
    (IMAGES | INFO_ONLY)[name](path)
    monkeypatch.chdir(tmp_path)
    given = str(path) if absolute else path.name
    with Image.open(given) as image:
        assert info_document(image) == json.loads(qemu_img("info", "--output=json", given))


@pytest.mark.parametrize("name", IMAGES)
def test_map(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    IMAGES[name](path)
    theirs = qemu_img("map", "--output=json", path)
    with Image.open(path) as image:
        ours = "".join(map_lines(map_entries(image.active_disk(), [image])))
    assert json.loads(ours) == json.loads(theirs)


def test_map_stops_where_qemu_stops(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    overlay(path)
    with Image.open(path) as image, pytest.raises(Exception, match=r"backing file “base\.qcow2”"):
        list(map_entries(image.active_disk(), [image]))


# -- names --------------------------------------------------------------------------------------------------------

NAMES = [
    "base one ü.qcow2", "./x", "../case/x", "sub/../x", "/gone/x", "//a//b", "file:base", "file:/a/b",
    "nbd:localhost:10809", "nbd://h/x", "http://h/a/b?c", 'json:{"driver":"qcow2","file.filename":"/a"}',
    'json:{"driver":"nbd","host":"x"}',
    "json:{", "json:", "a:b", "./a:b", "sub/a:b", ":x", "fat:/tmp", "~/x", "x\ty", 'x"y', "x\\y", "ssh://u@h/p", " ",
    "C:/x", "a#b%20c", "sub/", "/", ".", "x" * 900,
]  # fmt: skip
ODD_BYTES = [
    b"\xff\xfe.q", b"a\xc3\xff", b"\xe2\x82", b"\xe2\x82x", b"\xf0\x9f\x98\x80", b"\xf0\x9f",
    b"\xed\xa0\x80", b"\x7f\x1b[2J",
    b"a\0b", b"\0", b"\xc0\x80", b"\xc0\xaf", b"\xc2", b"\xe0\x80\xaf", b"\xef\xbf\xbf", b"\xef\xb7\x90",
    b"\xf0\x9f\xbf\xbe",
    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80z", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\x80\x80",
]  # fmt: skip


@pytest.mark.parametrize("name", [*map(str.encode, NAMES), *ODD_BYTES], ids=ascii)
def test_info_of_backing_names(name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, away = tmp_path / "case", tmp_path / "away"
    (case / "sub").mkdir(parents=True)
    away.mkdir()
    for stated in (b"qcow2", b"r\xff", b"x\0y", b""):
        (case / "top").write_bytes(build(Recipe(Layout(1 << 16, backing_name=name, backing_format=stated))))
        for folder, given in (
            (tmp_path, "case/top"),
            (tmp_path, "case//top"),
            (tmp_path, "case/sub/../top"),
            (case, "top"),
            (case, "./top"),
            (away, "../case/top"),
            (away, str(case / "top")),
        ):
            monkeypatch.chdir(folder)
            same_info(given)


def same_info(path: str | Path) -> None:
    theirs = json.loads(qemu_img("info", "--output=json", path))
    with open_chain(path) as chain:
        assert json.loads(json.dumps(info_document(chain.top))) == theirs


def test_info_of_odd_names_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "image"
    names = [b"plain", "ünï".encode(), b"a\xffb", b"tab\there", b"cut\0here"]
    snapshots = tuple(Snapshot(name, ident=b"%d" % number) for number, name in enumerate(names, 1))
    path.write_bytes(build(Recipe(Layout(1 << 16), snapshots=snapshots)))
    same_info(path)
    for name in names:
        path.write_bytes(build(Recipe(Layout(1 << 16, data_file=name))))
        same_info(path)
        path.write_bytes(V1Recipe(1 << 16, backing=name).build())
        same_info(path)
    qemu_img("create", "-q", "-f", "qcow", path, "3M")
    same_info(path)
    secret = ("--object", "secret,id=s,data=abc")
    qemu_img("create", "-q", "-f", "qcow", *secret, "-o", "encrypt.format=aes,encrypt.key-secret=s", path, "3M")
    same_info(path)


# -- chains -------------------------------------------------------------------------------------------------------


FILED = Recipe(Layout(1 << 20, data_file=b"data.raw"), {0: Data(b"a")})


@pytest.mark.parametrize(
    "recipe",
    [
        replace(FILED, damage={"hdr.incompatible_features.data_file": 0}),
        replace(FILED, snapshots=(Snapshot(b"one"),)),
        Recipe(Layout(1 << 20, backing_name=b"base", backing_format=b"\0aw")),
    ],
    ids=["data file without its bit", "data file and snapshots", "empty backing format"],
)
def test_info_of_images_that_contradict_themselves(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "odd.qcow2"
    path.write_bytes(build(recipe))
    (tmp_path / "data.raw").write_bytes(bytes(1 << 20))
    same_info(path)


def _holes(chance: random.Random, path: Path) -> None:
    size = chance.choice([0, 1, 100, 511, 512, 5000, 200_007, 700_000])
    with path.open("wb") as file:
        for _ in range(6):
            at = chance.randrange(max(1, size)) & -chance.choice([1, 512, 4096])
            file.seek(at)
            file.write(chance.randbytes(min(size - at, chance.choice([1, 100, 4096, 40_000]))))
        file.truncate(size)


def _image(chance: random.Random, size: int, below: tuple[str, Path] | None) -> tuple[str, bytes]:
    """A qcow2 or a qcow image with a bit of everything."""
    extended = chance.random() < 0.3
    bits = chance.choice([14, 16]) if extended else chance.choice([9, 12, 16, 21])
    name = below[1].name.encode() if below else b""
    if chance.random() < 0.3:
        # QEMU's map ORs the place in the cluster to where a qcow cluster lies instead of adding it, which is wrong
        # where clusters are not aligned to their size; QEMU itself aligns them, and ours are aligned to 512 bytes.
        old = V1Recipe(size, cluster_bits=9, l2_bits=chance.choice([6, 9, 13]), backing=name)
        for stored in (old.clusters, old.packed):
            for _ in range(4):
                stored.setdefault(chance.randrange(-(-size // 512)), chance.randbytes(40))
        old.packed = {number: data for number, data in old.packed.items() if number not in old.clusters}
        return "qcow", old.build()
    kinds: list[Cluster] = [Data(b"x"), Data(b"\0"), Compressed(b"y"), Zero(), Zero(b"z")]
    if extended:
        kinds += [Subclusters(chance.getrandbits(32), b"s"), Subclusters(chance.getrandbits(32) << 32)]
    count = -(-size >> bits)
    clusters = {chance.randrange(count): chance.choice(kinds) for _ in range(8)}
    stated = below[0].encode() if below and chance.random() < 0.7 else b""
    layout = Layout(size, cluster_bits=bits, extended_l2=extended, backing_name=name, backing_format=stated)
    return "qcow2", build(Recipe(layout, clusters))


def _chain(chance: random.Random, folder: Path) -> Path:
    """The top of a chain of up to four files, some with holes, some cut off."""
    below: tuple[str, Path] | None = None
    for level in range(chance.randrange(4), -1, -1):
        path = folder / f"layer{level}"
        if level and below is None and chance.random() < 0.5:
            _holes(chance, path)
            below = "raw", path
            continue
        kind, data = _image(chance, chance.choice([512, 100 * 512, 200_192, 1 << 19, 5 << 18]), below)
        if chance.random() < 0.4 and len(data) > 2000:
            data = data[: chance.randrange(700, len(data))]
        path.write_bytes(data)
        below = kind, path
    assert below is not None
    return below[1]


@pytest.mark.parametrize("seed", range(60))
def test_chains(seed: int, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    path = _chain(random.Random(seed), tmp_path)
    theirs = json.loads(qemu_img("map", "--output=json", path))
    with open_chain(path, OpenGate(Follow.ANY)) as chain:
        assert list(map_entries(chain.disk(), [layer.image for layer in chain.layers])) == theirs
    same_info(path)
    record_property("cells random chains", 2)
