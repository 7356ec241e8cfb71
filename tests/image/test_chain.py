"""Chains: what is there stays readable whatever the rest is like, and what is not there says so."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Cluster, Data, Recipe, Subclusters, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import CannotRead, NeedsFile, NeedsKey, Qcow2InspectError, Unsupported
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.chain import Chain, Layer
from qcow2inspect.image.follow import chain_of, open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.progress import Cancelled
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset, GuestRange
from tests.image.chains import K, agree, chains, layout, over, write
from tests.image.v1_images import V1Recipe
from tests.images import damages, image_of, luks_area, noise, raw_by_qemu, read_all, recipes, run_qemu

ANY = OpenGate(Follow.ANY)
LOST = NeedsFile("the base is lost")


@given(chains(), st.data())
def test_chains_read_as_the_model_says(made: tuple[Chain, bytes], data: st.DataObject) -> None:
    chain, expected = made
    disk = chain.disk()
    assert read_all(disk, data.draw(st.sampled_from([1 << 20, 4113]))) == expected
    for extent in disk.extents():
        stored = expected[extent.guest.start : extent.guest.end]
        assert disk.read_extent(extent) == stored
        source = disk.plain_source(extent)
        if source is not None:
            assert source.read_at(extent.host_start, extent.size).ljust(extent.size, b"\0") == stored
    agree(disk)
    low = data.draw(st.integers(0, len(expected)))
    part = GuestRange.at(low, data.draw(st.integers(0, len(expected))))
    assert b"".join(map(disk.read_extent, disk.extents(part))) == expected[part.start : part.end]


@given(chains(), st.booleans())
def test_absent_is_said_of_every_byte_that_is_not_there(made: tuple[Chain, bytes], as_zero: bool) -> None:
    chain, _ = made
    if chain.layers[-1].image is None:
        chain.layers.pop()
    held = chain.disk()
    chain.layers[-1].end = LOST
    disk = chain.disk(absent_as_zero=as_zero)
    agree(disk)
    last = len(chain.layers) - 1
    bottom = chain.layer_disk(last).size
    for extent in disk.extents():
        lies_behind = extent.layer == last and extent.kind in (ClusterType.UNALLOCATED, ClusterType.UNALLOCATED_ALLOC)
        assert extent.absent == (lies_behind and as_zero)
        assert (extent.error is LOST) == (lies_behind and not as_zero)
        if extent.readable:
            assert disk.read_extent(extent) == held.read_at(extent.guest.start, extent.guest.size)
        else:
            assert extent.guest.start < bottom or last == 0


@given(st.data())
def test_lookup_and_extents_agree_in_damaged_chains(data: st.DataObject) -> None:
    layers = []
    for _ in range(data.draw(st.integers(1, 3))):
        recipe = data.draw(recipes())
        image = build(replace(recipe, damage=data.draw(damages(recipe))))
        end = data.draw(st.integers(512, len(image)) | st.just(len(image)))
        layers.append(Layer(MemorySource(image[:end]), "qcow2", Image(MemorySource(image[:end]))))
    agree(Chain(layers).disk(absent_as_zero=data.draw(st.booleans())))


# -- files --------------------------------------------------------------------------------------------------------


TOP = Recipe(layout(), {0: Data(b"top"), 5: Zero()})
BASE = Recipe(Layout(8 * K), {0: Data(b"hidden"), 1: Data(b"base"), 5: Data(b"hidden too")})


def test_a_missing_format_is_probed_as_qemu_does(tmp_path: Path) -> None:
    files: dict[str, bytes] = {
        "qcow2": build(BASE),
        "qcow": V1Recipe(8 * K, {1: b"old"}).build(),
        "raw": noise(1, 8 * K),
    }
    for stated, data in files.items():
        write(tmp_path / "base", data)
        top = write(tmp_path / "top", Recipe(layout(stated=b""), TOP.clusters))
        with open_chain(top, ANY) as chain:
            assert [layer.format for layer in chain.layers] == ["qcow2", stated]
            assert read_all(chain.disk()) == raw_by_qemu(top)


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"KDMV", "vmdk"),
        (b"# Disk DescriptorFile\nversion=1\n", "vmdk"),
        (b"conectix", "vpc"),
        (b"vhdxfile", "vhdx"),
        (b"QED\0", "qed"),
        (b"LUKS\xba\xbe\0\1", "luks"),
        (b"LUKS\xba\xbe\0\2", "raw"),
        (b"# version=1", "raw"),
        (bytes(64) + b"\x7f\x10\xda\xbe", "vdi"),
    ],
)
def test_probing_other_formats(start: bytes, found: str, tmp_path: Path) -> None:
    base = write(tmp_path / "base", start.ljust(8 * K, b"\0"))
    told = run_qemu("qemu-img", "info", base)
    assert (found == "raw") == ("file format: raw" in told.out)
    with open_chain(write(tmp_path / "top", Recipe(layout(stated=b""), TOP.clusters)), ANY) as chain:
        if found == "raw":
            assert chain.layers[1].format == "raw"
            return
        assert isinstance(chain.end, Unsupported)
        assert f"of format “{found}” behind an image" in chain.end.what
        assert chain.layers[0].end_code == "QCOW-BACK-FMT-MISMATCH"
        assert chain.disk().read_at(0, 3) == b"top"


def test_a_stated_format_is_not_questioned(tmp_path: Path) -> None:
    base = write(tmp_path / "base", BASE)
    top = write(tmp_path / "top", Recipe(layout(stated=b"raw")))
    with open_chain(top, ANY) as chain:
        assert chain.layers[1].format == "raw"
        assert chain.disk().read_at(0, 4) == b"QFI\xfb"
        assert read_all(chain.disk()) == raw_by_qemu(top)
    base.write_bytes(noise(2, 8 * K))
    with open_chain(write(top, Recipe(layout(stated=b"qcow2"), TOP.clusters)), ANY) as chain:
        assert "is not a qcow2 image" in str(chain.end)
        assert chain.layers[0].end_code == "QCOW-BACK-FMT-MISMATCH"
        assert chain.disk().read_at(0, 3) == b"top"
        with pytest.raises(Qcow2InspectError, match="is not a qcow2 image"):
            chain.disk().read_at(K, 1)
    for stated in (b"vmdk", b"luks", b"\x1b[2J", b"host_device"):
        with open_chain(write(top, Recipe(layout(stated=stated), TOP.clusters)), ANY) as chain:
            assert isinstance(chain.end, Unsupported)
            assert str(chain.end).isprintable()


def test_the_stated_format_outweighs_that_of_a_json_name(tmp_path: Path) -> None:
    base = write(tmp_path / "base", BASE)
    for inside, stated, found in (("raw", b"qcow2", "qcow2"), ("qcow2", b"raw", "raw"), ("raw", b"", "raw")):
        name = f'json:{{"driver": "{inside}", "file.filename": "{base}"}}'
        top = write(tmp_path / "top", Recipe(layout(name, stated=stated)))
        with open_chain(top, ANY) as chain:
            assert chain.layers[1].format == found
            assert read_all(chain.disk()) == raw_by_qemu(top)


@pytest.mark.parametrize("damage", [{"hdr.l1_size": 0}, {"hdr.cluster_bits": 40}, {"hdr.version": 9}])
def test_a_damaged_header_in_the_middle(damage: dict[str, int], tmp_path: Path) -> None:
    write(tmp_path / "base", BASE)
    write(tmp_path / "middle", replace(TOP, damage=damage))
    top = write(tmp_path / "top", replace(TOP, layout=layout("middle")))
    with open_chain(top, ANY) as chain:
        disk, patched = chain.disk(), chain.disk(absent_as_zero=True)
        agree(disk)
        assert disk.read_at(0, 3) == b"top"
        assert disk.read_at(5 * K, K) == bytes(K)
        with pytest.raises(Qcow2InspectError, match="middle") as caught:
            disk.read_at(K - 1, 2)
        assert caught.value.exit_code == 65
        assert patched.read_at(K, 2) == b"\0\0"
        assert patched.lookup(GuestOffset(K)).absent
    assert raw_by_qemu(top) is None


@pytest.mark.parametrize("size", [0, 512, K, 3 * K + 512, 8 * K, 20 * K])
@pytest.mark.parametrize("bits", [(9, 16), (16, 9), (21, 14)])
@pytest.mark.parametrize("as_raw", [False, True])
def test_bases_of_other_sizes(size: int, bits: tuple[int, int], as_raw: bool, tmp_path: Path) -> None:
    count = -(-size >> bits[1])
    filled = Recipe(Layout(size, cluster_bits=bits[1]), {number: Data(b"base%d" % number) for number in range(count)})
    write(tmp_path / "base", noise(size, size) if as_raw else filled)
    stated = b"raw" if as_raw else b"qcow2"
    top = write(tmp_path / "top", Recipe(layout(size=8 * K, bits=bits[0], stated=stated), {0: Data(b"top")}))
    with open_chain(top, ANY) as chain:
        disk = chain.disk()
        agree(disk)
        assert read_all(disk) == raw_by_qemu(top)


def test_a_base_that_was_replaced_by_a_shorter_file(tmp_path: Path) -> None:
    base = write(tmp_path / "base", BASE)
    with open_chain(write(tmp_path / "top", TOP), ANY) as chain:
        where = chain.disk().lookup(GuestOffset(K))
        assert where.host is not None
        os.truncate(base, where.host.start)
    with open_chain(tmp_path / "top", ANY) as chain:
        disk = chain.disk()
        agree(disk)
        assert disk.lookup(GuestOffset(K)).past_end
        assert disk.read_at(K, K) == bytes(K)
        assert disk.read_at(0, 3) == b"top"
        assert read_all(disk) == raw_by_qemu(tmp_path / "top")


def test_subclusters_over_a_base(tmp_path: Path) -> None:
    write(tmp_path / "base", Recipe(Layout(8 * K), {number: Data(b"base%d" % number) for number in range(7)}))
    clusters: dict[int, Cluster] = {
        0: Subclusters(0x0000_0F00_0000_00F3, b"top"),
        1: Subclusters(0xFFFF_0000_0000_0000),
        2: Subclusters(0, b"kept"),
        6: Subclusters(1 << 31, b"last"),
    }
    recipe = Recipe(replace(layout(), extended_l2=True), clusters)
    top = write(tmp_path / "top", recipe)
    with open_chain(top, ANY) as chain:
        disk = chain.disk()
        agree(disk)
        assert read_all(disk) == raw_by_qemu(top)
        assert [extent.layer for extent in disk.extents(GuestRange.at(0, K))][:3] == [0, 1, 0]
    with open_chain(top) as chain:
        agree(chain.disk())
        absent = [extent for extent in chain.disk(absent_as_zero=True).extents() if extent.absent]
        assert {extent.kind for extent in absent} == {ClusterType.UNALLOCATED, ClusterType.UNALLOCATED_ALLOC}


# -- external data files ------------------------------------------------------------------------------------------

EXTERNAL = Recipe(Layout(8 * K, data_file=b"data"), {0: Data(b"x"), 3: Data(b"y"), 4: Zero()})


@pytest.mark.parametrize("size", [0, 100, 3 * K, 3 * K + 7, 8 * K, 9 * K])
def test_data_files_of_any_size(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where QEMU looks for it
    stored = noise(3, size)
    write(tmp_path / "data", stored)
    path = write(tmp_path / "image", EXTERNAL)
    with open_chain(path, ANY) as chain:
        disk = chain.disk()
        agree(disk)
        assert read_all(disk) == raw_by_qemu(path)
        assert disk.read_at(3 * K, K) == stored[3 * K : 4 * K].ljust(K, b"\0")
        assert disk.lookup(GuestOffset(3 * K)).past_end == (size <= 3 * K)
        assert [source.name for source in disk.sources] == [str(path), str(tmp_path / "data")]


def test_a_missing_data_file(tmp_path: Path) -> None:
    path = write(tmp_path / "image", EXTERNAL)
    for gate, said in ((OpenGate(), "nothing is opened unless allowed"), (ANY, "cannot be opened")):
        with open_chain(path, gate) as chain:
            disk = chain.disk(absent_as_zero=True)
            agree(disk)
            for at in (0, 3 * K):
                with pytest.raises(NeedsFile, match=said):
                    disk.read_at(at, 1)
            assert disk.read_at(4 * K, 4 * K) == bytes(4 * K)
    nameless = replace(EXTERNAL.layout, data_file=b"", extra_extensions=())
    data = bytearray(build(Recipe(nameless, {4: Zero()}, damage={"hdr.incompatible_features": 4})))
    with open_chain(write(path, bytes(data)), ANY) as chain:
        assert "(not named)" in str(chain.layers[0].data_file)


# -- keys ---------------------------------------------------------------------------------------------------------


LOCKED = luks_area()[:4096] + noise(9, 4040 * 512 - 4096)
"""A LUKS header whose key material no passphrase opens."""


def test_what_a_passphrase_does_not_open_keeps_its_reason() -> None:
    aes = Recipe(Layout(8 * K, crypt_method=CryptMethod.AES), {0: Data(b"top")}, passphrase=b"abc")
    luks = Recipe(Layout(8 * K, crypt_method=CryptMethod.LUKS, luks_header=LOCKED), {1: Data(b"base")})
    chain = Chain([Layer(image.source, "qcow2", image) for image in (image_of(aes), image_of(luks), image_of(BASE))])
    chain.unlock(b"abc")
    disk = chain.disk()
    assert disk.read_at(0, 3) == b"top"
    with pytest.raises(NeedsKey, match="passphrase"):
        disk.read_at(K, 1)
    assert disk.read_at(5 * K, 6) == b"hidden"
    assert chain.layers[2].cipher is None
    with pytest.raises(NeedsKey, match="passphrase"):
        Chain(chain.layers[1:]).unlock(b"abc")


def test_unlocking_can_be_stopped() -> None:
    class Impatient:
        def begin(self, what: str, total: int | None) -> None: ...

        def advance(self, amount: int) -> None:
            raise Cancelled

    image = image_of(Recipe(Layout(K, crypt_method=CryptMethod.LUKS, luks_header=LOCKED)))
    with pytest.raises(Cancelled):
        Chain([Layer(image.source, "qcow2", image)]).unlock(b"abc", Impatient())


@pytest.mark.parametrize("cut", [0, 3 * 512, K - 100, K, K + 5 * 512])
def test_encrypted_clusters_past_the_end_of_the_file(cut: int, tmp_path: Path) -> None:
    """QEMU decrypts the zeros that it reads past the end of a file, and hands out the noise that comes of it.

    A cluster of which nothing is there reads as zeros here, and its extent says that it lies past the end: there is
    nothing to decrypt. A cluster of which a part is there is read as QEMU reads it.
    """
    recipe = Recipe(
        Layout(4 * K, crypt_method=CryptMethod.AES),
        {0: Data(b"one"), 1: Data(b"two"), 2: Data(b"three")},
        passphrase=b"abc",
    )
    image = build(recipe)
    chain = chain_of(Image(MemorySource(image)))
    chain.unlock(b"abc")
    end = max(int(extent.host.end) for extent in chain.disk().extents() if extent.host)
    path = write(tmp_path / "image", image[: end - cut])
    secret = (
        "--object",
        "secret,id=k,data=abc",
        "--image-opts",
        f"driver=qcow2,encrypt.key-secret=k,file.filename={path}",
    )
    assert run_qemu("qemu-img", "convert", *secret, "-O", "raw", tmp_path / "raw").code == 0
    theirs = (tmp_path / "raw").read_bytes()
    with open_chain(path) as chain:
        chain.unlock(b"abc")
        disk = chain.disk()
        agree(disk)
        for at in range(0, disk.size, K):
            ours, said = disk.read_at(at, K), disk.lookup(GuestOffset(at))
            if said.past_end:
                assert ours == bytes(K)
                assert theirs[at : at + K].count(0) < K // 64
            else:
                assert ours == theirs[at : at + K]
        assert [disk.lookup(GuestOffset(at)).past_end for at in (0, K, 2 * K)] == [False, False, cut >= K]


# -- the chain as a whole -----------------------------------------------------------------------------------------


def test_errors_do_not_pile_up_what_raised_them() -> None:
    disk = chain_of(image_of(TOP)).disk()
    depths = set()
    for _ in range(5):
        with pytest.raises(NeedsFile) as caught:
            disk.read_at(K, 1)
        depths.add(len(caught.traceback))
    assert len(depths) == 1


def test_evidence_is_every_file_opened_or_named(tmp_path: Path) -> None:
    base, top = write(tmp_path / "base", BASE), write(tmp_path / "top", TOP)
    image, data = write(tmp_path / "image", EXTERNAL), write(tmp_path / "data", noise(5, 8 * K))

    def identities(*files: Path) -> set[tuple[int, int]]:
        return {(file.stat().st_dev, file.stat().st_ino) for file in files}

    for gate in (OpenGate(), ANY):
        with open_chain(top, gate) as chain:
            assert chain.evidence == identities(top, base)
        with open_chain(image, gate) as chain:
            assert chain.evidence == identities(image, data)
    assert chain_of(image_of(BASE)).evidence == set()


def test_all_files_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "base", BASE)
    top, bad = write(tmp_path / "top", TOP), write(tmp_path / "bad", noise(6, K))
    before = set(os.listdir("/proc/self/fd"))
    with open_chain(top, ANY):
        pass
    with pytest.raises(Qcow2InspectError):
        open_chain(bad)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qcow2inspect.image.follow.needs_key", stop)
    with pytest.raises(KeyboardInterrupt):
        open_chain(top, ANY)
    assert set(os.listdir("/proc/self/fd")) == before


def test_the_image_itself_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(CannotRead, match="no such file"):
        open_chain(tmp_path / "gone")


def test_random_reads_agree_with_sequential_ones(tmp_path: Path) -> None:
    chance = random.Random(7)
    write(tmp_path / "base", noise(7, 7 * K + 100))
    recipe = Recipe(layout(stated=b"raw", bits=12), {number: Data(noise(number, 50)) for number in range(3, 90, 7)})
    with open_chain(write(tmp_path / "top", recipe), ANY) as chain:
        disk = chain.disk()
        whole = read_all(disk)
        assert whole == over(recipe, noise(7, 7 * K + 100).ljust(7 * K + 512, b"\0"))
        for _ in range(200):
            at, size = chance.randrange(len(whole)), chance.randrange(20_000)
            assert disk.read_at(at, size) == whole[at : at + size]
