"""Nothing that is written takes the place of evidence: not of a file of its chain that nobody opened, by no name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Cluster, Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.cli.main import run
from qcow2inspect.errors import CannotExport
from qcow2inspect.export.raw import export_raw
from qcow2inspect.image.image import Image
from tests.images import qemu_img

Facts = dict[str, tuple[object, ...]]

SIZE = 1 << 20


def image(path: Path, backing: str = "", backing_format: bytes = b"") -> None:
    layout = Layout(SIZE, backing_name=os.fsencode(backing), backing_format=backing_format)
    clusters: dict[int, Cluster] = {len(backing): Data(os.fsencode(path.name))}
    path.write_bytes(build(Recipe(layout, clusters, (Snapshot(b"then", clusters),))))


def facts(folder: Path) -> Facts:
    """All that tells whether a file was touched; times first, for reading changes them."""
    found: Facts = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        times = (status.st_ino, status.st_mtime_ns, status.st_atime_ns, status.st_mode)
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else os.path.islink(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
        found[str(path.relative_to(folder))] = (*times, content)
    return found


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes overlay.qcow2 over middle.qcow2 over a file of any name, in the working directory."""
    monkeypatch.chdir(tmp_path)

    def make(base: str) -> None:
        image(tmp_path / "overlay.qcow2", "middle.qcow2")
        image(tmp_path / "middle.qcow2", base)
        image(tmp_path / base)

    return make


WRITERS = {
    "export": ("export overlay.qcow2 OUT --layer 0", ["", ".part", ".journal", ".map", ".errors.json", ".pieces"]),
    "manifest": ("export overlay.qcow2 OUT --layer 0 --manifest", ["", ".manifest.json", ".manifest.txt.part"]),
    "zeros": ("export overlay.qcow2 OUT --missing zero --on-error zero", ["", ".map", ".errors.json.part"]),
    "parts": ("export overlay.qcow2 OUT --layer 0 --split 524288", [".001", ".002", ".002.part"]),
    "mapped": ("export overlay.qcow2 OUT --layer 0 --format mapped", ["", ".pieces"]),
    "host bytes": ("export overlay.qcow2 OUT --at 0x0 -n 512", [""]),
    "report": ("report overlay.qcow2 -o OUT --format html", ["", ".part"]),
    "create": ("create raw OUT --backing overlay.qcow2", ["", ".part"]),
    "snapshot": ("create overlay.qcow2 OUT --from-snapshot 1", [""]),
    "create over the bytes of an image": ("create overlay.qcow2 OUT", [""]),
}
"""What writes a file -> the command, and what stands behind OUT in the names that it writes or removes."""


@pytest.mark.parametrize(("writer", "suffix"), [(name, end) for name, (_, ends) in WRITERS.items() for end in ends])
def test_a_file_that_may_be_behind_the_image_is_not_replaced(
    writer: str, suffix: str, chain: Callable[[str], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chain(f"base{suffix}")
    (tmp_path / "raw").write_bytes(bytes(512))
    before = facts(tmp_path)
    words = WRITERS[writer][0].replace("OUT", "base").split()
    assert run([*words, "--force"]) == 77
    said = capfd.readouterr().err
    assert f"base{suffix} exists and is not replaced: overlay.qcow2 names the backing file “middle.qcow2”" in said
    assert "--follow any" in said
    assert facts(tmp_path) == before


def test_a_whole_chain_a_new_name_and_a_removed_file_are_no_hindrance(
    chain: Callable[[str], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chain("base.qcow2")
    before = facts(tmp_path)
    assert run(["export", "overlay.qcow2", "old.raw", "--follow", "any"]) == 0  # a new name
    assert run(["report", "overlay.qcow2", "-o", "old.txt"]) == 0
    assert run(["report", "overlay.qcow2", "-o", "old.txt", "--force"]) == 77
    for name in ("base.qcow2", "middle.qcow2"):  # now they are open
        capfd.readouterr()
        assert run(["export", "overlay.qcow2", name, "--follow", "any", "--force"]) == 77
        assert f"{name} is evidence: the image, or a file that it names" in capfd.readouterr().err
    for verb in (["export", "overlay.qcow2", "old.raw"], ["report", "overlay.qcow2", "-o", "old.txt"]):
        assert run([*verb, "--follow", "any", "--force"]) == 0
        assert run([*verb, "--backing", "middle.qcow2=middle.qcow2", "--follow", "folder", "--force"]) == 0
    os.unlink("old.txt")
    assert run(["report", "overlay.qcow2", "-o", "old.txt", "--force"]) == 0
    after = facts(tmp_path)
    assert {name: after[name] for name in before} == before


def test_where_nothing_can_be_behind_a_name_force_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A raw file names nothing, and it is known itself; but a raw file that is not there may be anywhere."""
    monkeypatch.chdir(tmp_path)
    image(tmp_path / "overlay.qcow2", "disk.raw", backing_format=b"raw")
    (tmp_path / "disk.raw").write_bytes(bytes(SIZE))
    (tmp_path / "old.txt").write_bytes(b"old")
    assert run(["report", "overlay.qcow2", "-o", "old.txt", "--force"]) == 0
    assert run(["report", "overlay.qcow2", "-o", "disk.raw", "--force"]) == 77
    os.rename("disk.raw", "moved.raw")
    assert run(["report", "overlay.qcow2", "-o", "old.txt", "--force"]) == 77
    assert run(["report", "overlay.qcow2", "-o", "moved.raw", "--force"]) == 77
    assert (tmp_path / "moved.raw").read_bytes() == bytes(SIZE)


def test_the_data_file_of_an_image_that_was_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/data.raw", "middle.qcow2", "1M")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "overlay.qcow2")
    before = facts(tmp_path)
    for name in ("data.raw", "middle.qcow2"):
        assert run(["export", "overlay.qcow2", name, "--missing", "zero", "--force"]) == 77
        assert run(["export", "middle.qcow2", name, "--on-error", "zero", "--force"]) == 77
        assert run(["export", "overlay.qcow2", name, "--follow", "any", "--force"]) == 77
    assert facts(tmp_path) == before


def test_the_library_knows_it_too(chain: Callable[[str], None], tmp_path: Path) -> None:
    chain("base.qcow2")
    with Image.open(tmp_path / "overlay.qcow2") as opened:
        for name, message in {
            "base.qcow2": "may be a file behind it",
            "middle.qcow2": "is evidence: the image",
        }.items():
            with pytest.raises(CannotExport, match=message):
                export_raw(opened.active_disk(), str(tmp_path / name), force=True)
    image(tmp_path / "sound.qcow2")
    with Image.open(tmp_path / "sound.qcow2") as opened:  # what is closed names nothing any more
        export_raw(opened.active_disk(), str(tmp_path / "base.qcow2"), force=True)
