"""The image file: read-only, never hanging, never surprised by holes, ends and odd kinds of files."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qcow2inspect.errors import CannotRead
from qcow2inspect.source.file import CHANGED, FileSource
from qcow2inspect.source.protocol import read_padded
from qcow2inspect.units import HostRange
from tests.images import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(bytes(range(256)) * 40)
    return path


def test_the_file_is_opened_read_only(path: Path) -> None:
    with FileSource(path) as source:
        assert fcntl.fcntl(source.fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        assert fcntl.fcntl(source.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(source.fd, b"x")


def test_reading_leaves_no_trace(path: Path) -> None:
    before, data = path.stat(), path.read_bytes()
    with FileSource(path) as source:
        source.read_at(0, 1 << 20)
        list(source.data_ranges(HostRange.at(0, source.size)))
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_size) == (
        before.st_mtime_ns,
        before.st_ctime_ns,
        before.st_size,
    )
    assert path.read_bytes() == data


def test_the_access_time_stays(path: Path) -> None:
    os.utime(path, (1, path.stat().st_mtime))
    with FileSource(path) as source:
        source.read_at(0, 4096)
    assert path.stat().st_atime == 1


LIMIT = 10240
READS = [
    (0, 4, bytes(range(4))),
    (LIMIT - 2, 10, b"\xfe\xff"),
    (LIMIT, 1, b""),
    (LIMIT + 5, 1, b""),
    (5, 0, b""),
    ((1 << 63) - 1, 16, b""),
    (1 << 63, 16, b""),
    (1 << 200, 16, b""),
    (0, 1 << 200, bytes(range(256)) * 40),
]


@pytest.mark.parametrize(("offset", "size", "expected"), READS)
def test_reads(path: Path, offset: int, size: int, expected: bytes) -> None:
    with FileSource(path) as source:
        assert source.read_at(offset, size) == expected
        if size < 1 << 20:
            assert read_padded(source, offset, size) == expected.ljust(size, b"\0")


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, -1)])
def test_negative_numbers_are_a_mistake_of_the_caller(path: Path, offset: int, size: int) -> None:
    with FileSource(path) as source, pytest.raises(ValueError, match="cannot read"):
        source.read_at(offset, size)


def test_short_reads_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real(fd, min(size, 7), at))
    with FileSource(path) as source:
        assert source.read_at(3, 100) == path.read_bytes()[3:103]


def test_a_failing_disk_is_an_error_with_place_and_advice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with FileSource(path) as source, pytest.raises(CannotRead, match="0x200 failed: Input/output error") as caught:
        source.read_at(512, 16)
    assert caught.value.exit_code == 74
    assert "ddrescue" in caught.value.hint


def test_a_file_that_shrinks_gives_less(path: Path) -> None:
    with FileSource(path) as source:
        assert not source.changed
        os.truncate(path, 100)
        assert source.read_at(0, 200) == bytes(range(100))
        assert source.changed


def test_a_file_that_had_changed_when_it_was_closed_is_kept_in_mind(path: Path) -> None:
    CHANGED.clear()
    FileSource(path).close()
    assert not CHANGED
    with FileSource(path) as source:
        os.truncate(path, 100)
    assert {source.name} == CHANGED
    CHANGED.clear()


def test_a_file_that_is_written_to_has_changed(path: Path) -> None:
    os.utime(path, ns=(0, 0))
    with FileSource(path) as source, path.open("r+b") as file:
        assert not source.changed
        file.write(b"other")
        file.flush()
        assert source.changed


def test_identity_tells_links_from_copies(path: Path, tmp_path: Path) -> None:
    os.link(path, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(path)
    (tmp_path / "copy").write_bytes(path.read_bytes())
    with FileSource(path) as source:
        same = [_identity(tmp_path / name) == source.identity for name in ("hard", "soft", "copy")]
    assert same == [True, True, False]


def _identity(path: Path) -> tuple[int, int]:
    with FileSource(path) as source:
        return source.identity


def test_closing_twice_is_harmless(path: Path) -> None:
    source = FileSource(path)
    source.close()
    source.close()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


ODD: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "directory": (Path.mkdir, "is a directory", 66),
    "fifo": (os.mkfifo, "is a FIFO", 66),
    "socket": (_socket, "is a socket", 66),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a character device", 66),
    "missing": (lambda path: None, "there is no such file", 66),
    "loop": (lambda path: path.symlink_to(path), "cannot be opened", 66),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.timeout(60)
def test_what_is_no_disk_image_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    make, message, code = ODD[kind]
    path = tmp_path / "x"
    make(path)
    with pytest.raises(CannotRead, match=message) as caught:
        FileSource(path)
    assert caught.value.exit_code == code
    assert caught.value.hint


@pytest.mark.parametrize("name", ["a\0b", "", "x" * 300, "nothere/x"])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(CannotRead):
        FileSource(name)


@pytest.mark.timeout(60)
def test_a_fifo_that_takes_the_place_of_the_file_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking at the file and opening it somebody may swap it."""
    regular, fifo = tmp_path / "regular", tmp_path / "fifo"
    regular.write_bytes(b"x")
    os.mkfifo(fifo)
    seen = regular.stat()
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda path: seen)
        with pytest.raises(CannotRead):
            FileSource(fifo)


DROPPED = """
import os, sys
from qcow2inspect.errors import CannotRead
from qcow2inspect.source.file import CHANGED, FileSource
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    FileSource(sys.argv[1])
except CannotRead as error:
    print(error.exit_code, error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_no_permission(open_folder: Path) -> None:
    path = open_folder / "secret.qcow2"
    path.write_bytes(b"QFI\xfb")
    path.chmod(0)
    ran = subprocess.run(
        [sys.executable, "-c", DROPPED, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.match(r"77 .*secret.qcow2: no permission to read it; ask for read permission", ran.stdout), ran


def test_another_users_file_can_be_read_with_its_access_time_updated(open_folder: Path) -> None:
    """O_NOATIME is for the owner alone; others read without it."""
    path = open_folder / "disk.qcow2"
    path.write_bytes(b"QFI\xfb")
    code = DROPPED.replace("FileSource(sys.argv[1])", "print(FileSource(sys.argv[1]).read_at(0, 4))")
    ran = subprocess.run(
        [sys.executable, "-c", code, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == repr(b"QFI\xfb"), ran


# -- holes ------------------------------------------------------------------------------------------------------

PAGE = 1 << 16


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """Data at 1 and 3 MiB, holes around, a hole at the end."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for at in (1 << 20, 3 << 20):
            file.seek(at)
            file.write(b"x" * PAGE)
        file.truncate(4 << 20)
    return path


WINDOWS = [
    ((0, 4 << 20), [(1 << 20, PAGE), (3 << 20, PAGE)]),
    ((0, 1 << 60), [(1 << 20, PAGE), (3 << 20, PAGE)]),
    ((0, 1 << 20), []),
    (((1 << 20) + 5, 10), [((1 << 20) + 5, 10)]),
    (((1 << 20) + 5, 2 << 20), [((1 << 20) + 5, PAGE - 5), (3 << 20, 5)]),
    (((3 << 20) + PAGE, 1 << 20), []),
    ((5 << 20, 100), []),
    ((0, 0), []),
]


@pytest.mark.parametrize(("window", "expected"), WINDOWS)
def test_data_ranges(sparse: Path, window: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    with FileSource(sparse) as source:
        found = list(source.data_ranges(HostRange.at(*window)))
        assert found == [HostRange.at(*each) for each in expected]
        assert source.allocated < source.size


def test_data_ranges_without_help_of_the_file_system(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    with FileSource(path) as source:
        monkeypatch.setattr(os, "lseek", fail)
        assert list(source.data_ranges(HostRange.at(100, 200))) == [HostRange.at(100, 200)]
