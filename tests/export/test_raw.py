"""Export: right bytes or none, holes kept, cancel and failure leave nothing, the kernel's copy and ours agree."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.demo import damaged_recipe, demo_disk, demo_recipe, encrypted_recipe
from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import CannotExport, Damaged, NeedsFile, NeedsKey
from qcow2inspect.export import target
from qcow2inspect.export.raw import export_raw, preflight
from qcow2inspect.image.image import Image
from qcow2inspect.progress import Cancelled
from qcow2inspect.source.memory import MemorySource


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    path = tmp_path / "demo.qcow2"
    path.write_bytes(build(demo_recipe()))
    return path


class Recorder:
    """Progress that remembers, and asks to stop after some calls."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.work: list[tuple[str, int | None]] = []
        self.done: list[int] = []
        self._calls_left = stop_after

    def begin(self, what: str, total: int | None) -> None:
        self.work.append((what, total))
        self.done.append(0)

    def advance(self, amount: int) -> None:
        self.done[-1] += amount
        if self._calls_left is not None:
            self._calls_left -= 1
            if self._calls_left < 0:
                raise Cancelled


@pytest.mark.parametrize("sparse", [True, False])
def test_the_disk_comes_out(demo: Path, tmp_path: Path, sparse: bool, way: str) -> None:
    assert way
    progress = Recorder()
    out = tmp_path / "out.raw"
    with Image.open(demo) as image:
        result = export_raw(image.active_disk(), str(out), sparse=sparse, progress=progress)
    assert out.read_bytes() == demo_disk()
    assert (result.size, result.warnings) == (64 << 20, ())
    at = next(at for at, (what, _) in enumerate(progress.work) if out.name in what)
    assert progress.done[at] == progress.work[at][1] == 98 * 65536
    assert (out.stat().st_blocks * 512 >= 64 << 20) == (not sparse)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_the_kernels_help(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(target, "devices_of", lambda _: set())
    monkeypatch.setattr(os, "copy_file_range", refuse)
    with Image.open(demo) as image:
        export_raw(image.active_disk(), str(tmp_path / "out.raw"))
    assert (tmp_path / "out.raw").read_bytes() == demo_disk()


def test_holes_of_the_image_file_stay_holes(tmp_path: Path, way: str) -> None:
    assert way
    image_path, out = tmp_path / "sparse.qcow2", tmp_path / "out.raw"
    data = build(Recipe(Layout(size=32 << 20), {index: Data(b"") for index in range(512)}))
    with image_path.open("wb") as file:
        for at in range(0, len(data), 4096):
            part = data[at : at + 4096]
            file.seek(at + len(part) if not any(part) else at)
            if any(part):
                file.write(part)
        file.truncate(len(data))
    with Image.open(image_path) as image:
        result = export_raw(image.active_disk(), str(out))
    assert out.read_bytes() == bytes(32 << 20)
    assert result.written < 1 << 20
    assert out.stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_cancel_leaves_nothing(demo: Path, tmp_path: Path, calls: int) -> None:
    with Image.open(demo) as image, pytest.raises(Cancelled):
        export_raw(image.active_disk(), str(tmp_path / "out.raw"), progress=Recorder(stop_after=calls))
    assert os.listdir(tmp_path) == ["demo.qcow2"]


def test_a_full_disk_leaves_nothing(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range" if way == "kernel" else "pwritev", full)
    with Image.open(demo) as image, pytest.raises(CannotExport, match="No space left") as caught:
        export_raw(image.active_disk(), str(tmp_path / "out.raw"))
    assert caught.value.exit_code == 74
    assert os.listdir(tmp_path) == ["demo.qcow2"]


def test_too_little_space_is_seen_before(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcow2inspect.export.preflight.free_space", lambda path: 1 << 20)
    with Image.open(demo) as image:
        flight = preflight(image.active_disk(), str(tmp_path / "out.raw"))
        assert isinstance(flight.problem, CannotExport)
        assert "6.12 MiB are needed, 1 MiB are free" in flight.problem.what
        assert [check.ok for check in flight.checks] == [True, True, False]
        export_raw(image.active_disk(), str(tmp_path / "out.raw"), force=True)
    assert (tmp_path / "out.raw").read_bytes() == demo_disk()


@pytest.mark.parametrize(
    ("recipe", "error", "words"),
    [
        (encrypted_recipe(), NeedsKey, "encrypted"),
        (damaged_recipe(), Damaged, "cannot be read, first: guest 0x280000"),
        (replace(demo_recipe(), layout=Layout(64 << 20, backing_name=b"base")), NeedsFile, "backing file “base”"),
        (Recipe(Layout(1 << 20, data_file=b"data"), {0: Data(b"x")}), NeedsFile, "data file “data”"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_written(
    recipe: Recipe, error: type[Exception], words: str, tmp_path: Path
) -> None:
    disk = Image(MemorySource(build(recipe), "evidence")).active_disk()
    with pytest.raises(error, match=words):
        export_raw(disk, str(tmp_path / "out.raw"))
    assert os.listdir(tmp_path) == []


def test_an_overlay_that_holds_everything_needs_no_backing_file(tmp_path: Path) -> None:
    recipe = Recipe(Layout(1 << 20, backing_name=b"lost"), {index: Data(b"%d" % index) for index in range(16)})
    export_raw(Image(MemorySource(build(recipe))).active_disk(), str(tmp_path / "out.raw"))
    assert (tmp_path / "out.raw").read_bytes() == b"".join((b"%d" % index * 65536)[:65536] for index in range(16))


def test_what_lies_past_the_end_of_the_file_is_warned_of(tmp_path: Path) -> None:
    whole = build(Recipe(Layout(1 << 20), {index: Data(b"x") for index in range(16)}))
    disk = Image(MemorySource(whole[: len(whole) - 3 * 65536])).active_disk()
    result = export_raw(disk, str(tmp_path / "out.raw"))
    assert (tmp_path / "out.raw").read_bytes() == b"x" * (13 * 65536) + bytes(3 * 65536)
    assert len(result.warnings) == 1
    assert "196,608 B" in result.warnings[0]
    assert "0xd0000" in result.warnings[0]


def test_a_bad_stream_is_found_while_copying_and_leaves_nothing(tmp_path: Path) -> None:
    data = bytearray(build(demo_recipe()))
    image = Image(MemorySource(bytes(data)))
    at = next(e.host.start for e in image.active_disk().extents() if e.kind == 4 and e.host)
    data[at : at + 4] = b"\xff" * 4
    with pytest.raises(Damaged, match=r"guest 0x800000\.\.0x810000: the compressed cluster at host"):
        export_raw(Image(MemorySource(bytes(data))).active_disk(), str(tmp_path / "out.raw"))
    assert os.listdir(tmp_path) == []


def test_a_source_that_changes_meanwhile_is_told(demo: Path, tmp_path: Path) -> None:
    with Image.open(demo) as image:
        disk = image.active_disk()
        os.utime(demo, ns=(1, 1))
        assert "changed while it was read" in export_raw(disk, str(tmp_path / "out.raw")).warnings[0]
