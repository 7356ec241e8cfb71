"""What the rules say of QEMU: which images it refuses, what check makes of them, and that its own are sound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.image.image import Image
from qcow2inspect.rules import examine
from qcow2inspect.survey.survey import take_survey
from tests.images import Ran, check_by_qemu, qemu_img, qemu_io, run_qemu
from tests.rules.recipes import BAD

pytestmark = pytest.mark.oracle

SECRET = "secret,id=key,data=passphrase"


def bad_codes(path: Path) -> set[str]:
    with Image.open(path) as image:
        return {finding.code for finding in examine(take_survey(image)) if finding.severity.is_bad}


def open_by_qemu(path: Path, image: Image) -> Ran:
    """Open an image; where it needs another file, no further than that."""
    if image.header.backing_file_offset or image.has_data_file:
        return run_qemu("qemu-img", "info", "-f", "qcow2", path)
    options = f"driver=qcow2,file.filename={path}"
    if image.header.crypt_method is not CryptMethod.NONE:
        options += ",encrypt.key-secret=key"
    return run_qemu("qemu-io", "-r", "--object", SECRET, "--image-opts", options, "-c", "length")


@pytest.mark.parametrize("code", BAD)
def test_qemu_refuses_an_image_if_and_only_if_it_has_an_obstacle(
    code: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    path = tmp_path / "bad.qcow2"
    path.write_bytes(BAD[code]())
    with Image.open(path) as image:
        ran = open_by_qemu(path, image)
        accepted = ran.code == 0 or "Invalid password" in ran.error
        assert accepted == (not image.obstacles), ran.error
    record_property("cells rules", 1)


CLEAN, CORRUPT, LEAKS = 0, 2, 3
CHECKED = {
    "QCOW-BMP-BIT-NOEXT": CLEAN,
    "QCOW-BMP-INUSE": CLEAN,
    "QCOW-BMP-STALE": LEAKS,
    "QCOW-BMP-TAILBITS": CLEAN,
    "QCOW-EXT-DUP": CLEAN,
    "QCOW-EXT-FEATNAME-ODD": CLEAN,
    "QCOW-EXT-NOEND": CLEAN,
    "QCOW-EXT-PADDING": CLEAN,
    "QCOW-EXT-UNKNOWN": CLEAN,
    "QCOW-HDR-AUTOCLEAR-UNKNOWN": CLEAN,
    "QCOW-HDR-COMPAT-UNKNOWN": CLEAN,
    "QCOW-HDR-L1-EXCESS": CLEAN,
    "QCOW-HDR-PADDING": CLEAN,
    "QCOW-HDR-SIZE-HIDES": CLEAN,
    "QCOW-HDR-SLACK": CLEAN,
    "QCOW-HDR-UNKNOWN-FIELDS": CLEAN,
    "QCOW-SNAP-DISKSIZE": CLEAN,
    "QCOW-SNAP-EXTRA-SHORT": CORRUPT,
    "QCOW-SNAP-ID-DUP": CLEAN,
    "QCOW-SNAP-ID-EMPTY": CLEAN,
    "QCOW-SNAP-L1-EOF": CORRUPT,
    "QCOW-SNAP-L1-IS-ACTIVE": CORRUPT,
    "QCOW-SNAP-L1-LARGE": CORRUPT,
    "QCOW-SNAP-L1-SMALL": LEAKS,
    "QCOW-SNAP-L1-UNALIGNED": CORRUPT,
    "QCOW-SNAP-NAME-DUP": CLEAN,
    "QCOW-SNAP-TABLE-EOF": CORRUPT,
    "QCOW-SNAP-TABLE-OVERRUN": CORRUPT,
    "QCOW-SNAP-TIME": CLEAN,
    "QCOW-SNAP-UNKNOWN-EXTRA": CLEAN,
    "QCOW-SNAP-VMSTATE": CLEAN,
    "QCOW-SNAP-VMSTATE-BAD": CLEAN,
}
"""What qemu-img check returns, as the explanations say."""


@pytest.mark.parametrize("code", CHECKED)
def test_qemu_check_says_what_the_explanation_says(code: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.qcow2"
    path.write_bytes(BAD[code]())
    assert check_by_qemu(path) == CHECKED[code]


@pytest.mark.parametrize("field", ["l1_table_offset", "refcount_table_offset"])
def test_qemu_accepts_tables_at_offset_zero(field: str, tmp_path: Path) -> None:
    path = tmp_path / "zero.qcow2"
    recipe = Recipe(Layout(1 << 20), {0: Data(b"x")}, damage={f"hdr.{field}": 0})
    path.write_bytes(build(recipe))
    assert run_qemu("qemu-img", "convert", "-O", "raw", path, tmp_path / "raw").code == 0
    assert check_by_qemu(path) == CORRUPT
    code = {"l1_table_offset": "QCOW-HDR-L1-OFFSET", "refcount_table_offset": "QCOW-HDR-RT-OFFSET"}[field]
    assert code in bad_codes(path)


def test_qemu_takes_the_header_for_a_name_in_it(tmp_path: Path) -> None:
    path = tmp_path / "name.qcow2"
    recipe = Recipe(Layout(1 << 20), damage={"hdr.backing_file_offset": 50, "hdr.backing_file_size": 3})
    path.write_bytes(build(recipe))
    assert run_qemu("qemu-img", "info", path).code == 0
    assert "QCOW-BACK-OFFSET" in bad_codes(path)


def test_qemu_loads_a_snapshot_with_its_first_name(tmp_path: Path) -> None:
    path = tmp_path / "names.qcow2"
    taken = (Snapshot(b"one", {0: Data(b"new")}), Snapshot(b"one", {0: Data(b"newer")}))
    path.write_bytes(build(Recipe(Layout(1 << 20), {0: Data(b"old")}, taken)))
    qemu_img("convert", "-l", "snapshot.name=one", "-O", "raw", path, tmp_path / "raw")
    assert (tmp_path / "raw").read_bytes().startswith(b"oldold")
    assert bad_codes(path) == {"QCOW-SNAP-NAME-DUP"}


def test_qemu_does_not_snapshot_a_data_file(tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/data.raw", path, "1M")
    assert run_qemu("qemu-img", "snapshot", "-c", "one", path).code == 1


# -- images of QEMU -----------------------------------------------------------------------------------------------

MADE = {
    "compat=0.10": set[str](),
    "compat=1.1,lazy_refcounts=on": set[str](),
    "cluster_size=512": set[str](),
    "cluster_size=2M,refcount_bits=64": set[str](),
    "refcount_bits=8,preallocation=metadata": set[str](),
    "preallocation=full": set[str](),
    "extended_l2=on,cluster_size=128k": set[str](),
    "compression_type=zstd": set[str](),
    "backing_file=base.raw,backing_fmt=raw": set[str](),
    "compat=0.10,backing_file=base.raw,backing_fmt=raw": set[str](),
    "backing_file=../FOLDER/base.raw,backing_fmt=raw": {"QCOW-BACK-TRAVERSAL"},
    "backing_file=TMP/base.raw,backing_fmt=raw": {"QCOW-BACK-ABS"},
    "data_file=TMP/data.raw": {"QCOW-DF-PATH"},
    "data_file=TMP/data.raw,data_file_raw=on": {"QCOW-DF-PATH"},
    "encrypt.format=aes,encrypt.key-secret=key": {"QCOW-CRY-AES"},
    "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10": set[str](),
    "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10,compat=0.10": set[str](),
}


def made_by_qemu(path: Path, options: str, size: str = "4M") -> None:
    (path.parent / "base.raw").write_bytes(bytes(4 << 20))
    asked = options.replace("TMP", str(path.parent)).replace("FOLDER", path.parent.name)
    for _ in range(10):  # QEMU times its key derivation and gives up when the machine is too busy to tell
        ran = run_qemu("qemu-img", "create", "-q", "--object", SECRET, "-f", "qcow2", "-o", asked, path, size)
        if "CPU usage" not in ran.error:
            break
    assert ran.code == 0, ran.error


@pytest.mark.parametrize("options", MADE)
def test_images_of_qemu_are_sound(options: str, tmp_path: Path) -> None:
    path = tmp_path / "made.qcow2"
    made_by_qemu(path, options)
    if "encrypt" not in options:
        qemu_io(path, "write -q -P 1 0 100k", "write -q -z 1M 64k")
    with Image.open(path) as image:
        assert image.obstacles == ()
    assert bad_codes(path) == MADE[options]


def test_a_history_of_qemu_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "history.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", path, "4M")
    qemu_img("bitmap", "--add", "-f", "qcow2", path, "daily")
    qemu_img("bitmap", "--add", "-g", "512", "-f", "qcow2", path, "fine")
    for name in ("one", "two", "three"):
        qemu_io(path, f"write -q -P {len(name)} 0 1M")
        qemu_img("snapshot", "-c", name, path)
    qemu_img("snapshot", "-d", "one", path)
    assert bad_codes(path) == set()
    qemu_img("bitmap", "--remove", "-f", "qcow2", path, "daily")
    qemu_img("bitmap", "--remove", "-f", "qcow2", path, "fine")
    qemu_img("snapshot", "-a", "two", path)
    qemu_img("snapshot", "-d", "two", path)
    qemu_img("snapshot", "-d", "three", path)
    qemu_img("resize", "-q", path, "1G")
    qemu_io(path, "write -q -P 9 900M 1M")
    qemu_img("resize", "-q", "--shrink", path, "2M")
    assert bad_codes(path) == set()


def test_a_key_slot_that_qemu_erased_holds_noise(tmp_path: Path) -> None:
    path = tmp_path / "luks.qcow2"
    made_by_qemu(path, "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10")
    second = "secret,id=second,data=other"
    options = f"driver=qcow2,encrypt.key-secret=key,file.filename={path}"
    secrets = ("--object", SECRET, "--object", second)
    add = "encrypt.new-secret=second,encrypt.state=active,encrypt.iter-time=10"
    for _ in range(10):
        ran = run_qemu("qemu-img", "amend", *secrets, "-o", add, "--image-opts", options)
        if "CPU usage" not in ran.error:
            break
    assert ran.code == 0, ran.error
    assert "QCOW-CRY-SLOT-RESIDUE" not in all_codes(path)
    erase = "encrypt.old-secret=second,encrypt.state=inactive"
    qemu_img("amend", *secrets, "-o", erase, "--image-opts", options)
    assert "QCOW-CRY-SLOT-RESIDUE" in all_codes(path)
    assert bad_codes(path) == set()


def all_codes(path: Path) -> set[str]:
    with Image.open(path) as image:
        return {finding.code for finding in examine(take_survey(image))}


def test_lenient_reads_what_qemu_refuses(tmp_path: Path) -> None:
    recipe = Recipe(Layout(1 << 20), {0: Data(b"x")}, damage={"ext[0].length": 70_000})
    path, sound = tmp_path / "refused.qcow2", tmp_path / "sound.qcow2"
    path.write_bytes(build(recipe))
    sound.write_bytes(build(dataclasses.replace(recipe, damage={})))
    qemu_img("convert", "-O", "raw", sound, tmp_path / "raw")
    with Image.open(path) as image:
        assert image.active_disk(lenient=True).read_at(0, 1 << 20) == (tmp_path / "raw").read_bytes()
