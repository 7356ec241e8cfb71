"""The ways in which the seed of this program lost data without a word; each has a test here that would see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import CannotExport, Damaged, NeedsFile
from qcow2inspect.image.image import Image
from tests.images import check_by_qemu, image_of, noise, qemu_img, qemu_io, raw_by_qemu, read_all

pytestmark = pytest.mark.oracle


def exported(path: Path) -> bytes:
    from qcow2inspect.export.raw import export_raw

    target = path.with_suffix(".exported")
    with Image.open(path) as image:
        export_raw(image.active_disk(), str(target))
        data = target.read_bytes()
        assert read_all(image.active_disk()) == data
    target.unlink()
    return data


@pytest.fixture
def same(tmp_path: Path, record_property: Callable[[str, object], None]) -> Callable[[Path], bytes]:
    """Export an image and compare it with ``qemu-img convert``."""

    def compare(path: Path) -> bytes:
        raw = raw_by_qemu(path)
        assert raw is not None
        assert exported(path) == raw
        record_property("cells seed faults", 1)
        return raw

    return compare


@pytest.mark.parametrize(
    ("size", "options"),
    [(102400, "compat=0.10"), (1 << 20, "compat=0.10,cluster_size=512"), (1 << 20, "cluster_size=512"), (512, "")],
)
def test_seed_host_offset_compared_with_guest_size(
    size: int, options: str, tmp_path: Path, same: Callable[[Path], bytes]
) -> None:
    """Tables and data lie behind the virtual size in the file of a small, full disk: that is no reason to skip them."""
    path = tmp_path / "small.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", *(["-o", options] if options else []), path, str(size))
    qemu_io(path, f"write -q -P 0xa5 0 {size}")
    assert path.stat().st_size > size
    assert same(path) == b"\xa5" * size


@pytest.mark.parametrize("size", [4 << 20, (4 << 20) + 512, 512])
def test_seed_last_byte_overwritten(size: int, tmp_path: Path, same: Callable[[Path], bytes]) -> None:
    """The size of the target is set by truncating, not by writing a zero at its end."""
    path = tmp_path / "full.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, str(size))
    qemu_io(path, f"write -q -P 0xff {size - 512} 512")
    assert same(path)[-1] == 0xFF


@pytest.mark.parametrize("version", [2, 3])
def test_seed_compressed_flag_looked_for_in_l1(version: int, tmp_path: Path, same: Callable[[Path], bytes]) -> None:
    """Compression is a flag of L2 entries; L1 entries have reserved bits there."""
    path = tmp_path / "packed.qcow2"
    path.write_bytes(build(Recipe(Layout(1 << 20, version), {0: Compressed(b"ab"), 3: Compressed(noise(1, 30000))})))
    assert same(path)[:4] == b"abab"
    path.write_bytes(build(Recipe(Layout(1 << 20, version), {0: Data(b"x")}, damage={"L1[0].reserved_high": 1 << 62})))
    assert same(path)[:1] == b"x"


def test_seed_backing_file_ignored(tmp_path: Path) -> None:
    base, path = tmp_path / "base.raw", tmp_path / "overlay.qcow2"
    base.write_bytes(b"B" * (1 << 20))
    qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path)
    with pytest.raises(NeedsFile, match=r"base\.raw"):
        exported(path)
    assert not path.with_suffix(".exported").exists()


def test_seed_version_3_refused(tmp_path: Path, same: Callable[[Path], bytes]) -> None:
    path = tmp_path / "v3.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", "compat=1.1,lazy_refcounts=on", path, "1M")
    qemu_io(path, "write -q -P 3 65536 1000")
    assert same(path)[65536] == 3


def test_seed_zero_flag_reserved_bits_and_alignment_ignored(tmp_path: Path, same: Callable[[Path], bytes]) -> None:
    path = tmp_path / "zero.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "1M")
    qemu_io(path, "write -q -P 9 0 131072", "write -q -z 0 65536")
    assert same(path)[:65536] == bytes(65536)
    damage: dict[str, int | bytes] = {"L1[0].L2[0].reserved_high": 1 << 58}
    path.write_bytes(build(Recipe(Layout(1 << 20), {0: Data(b"r")}, damage=damage)))
    assert same(path)[:1] == b"r"
    path.write_bytes(build(Recipe(Layout(1 << 20), {0: Data(b"r")}, damage={"L1[0].L2[0]": 0x50200})))
    assert raw_by_qemu(path) is None
    with pytest.raises(Damaged, match="0x50200"):
        exported(path)


def test_seed_partial_last_cluster_written_past_the_size(tmp_path: Path, same: Callable[[Path], bytes]) -> None:
    path = tmp_path / "partial.qcow2"
    path.write_bytes(build(Recipe(Layout(65536 + 512), {0: Data(b"a"), 1: Data(b"b")})))
    assert len(same(path)) == 65536 + 512


@pytest.mark.parametrize("bits", [0, 8, 22, 31, 32, 63])
def test_seed_cluster_bits_not_limited(bits: int) -> None:
    data = build(Recipe(Layout(1 << 20)))
    with pytest.raises(Damaged, match="cluster_bits"):
        image_of(data[:20] + bits.to_bytes(4, "big") + data[24:])


def test_seed_writer_leaks_clusters(tmp_path: Path) -> None:
    path = tmp_path / "ours.qcow2"
    path.write_bytes(build(Recipe(Layout(50 << 20, 2, 11), {index * 7: Data(b"x") for index in range(100)})))
    assert check_by_qemu(path) == 0


def test_seed_export_over_the_image(tmp_path: Path) -> None:
    from qcow2inspect.export.raw import export_raw

    path = tmp_path / "disk.qcow2"
    data = build(Recipe(Layout(1 << 20), {0: Data(b"x")}))
    path.write_bytes(data)
    with Image.open(path) as image, pytest.raises(CannotExport, match="is evidence: the image"):
        export_raw(image.active_disk(), str(path), force=True)
    assert path.read_bytes() == data
