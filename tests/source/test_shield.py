"""The audit hook: whatever would change evidence is refused, by whatever name; everything else works as ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qcow2inspect import evidence
from qcow2inspect.errors import CannotExport
from qcow2inspect.source import shield
from qcow2inspect.source.file import FileSource
from tests.images import ROOT

TRY = """
import json, mmap, os, shutil, sys
from qcow2inspect.errors import CannotExport
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.shield import raise_shield
folder = sys.argv[1]
at = lambda name: os.path.join(folder, name)
raise_shield()
raise_shield()
source = FileSource(at("image"))
fd = source.fd
folder_fd = os.open(folder, os.O_RDONLY)
tries = {
    "append": lambda: open(at("image"), "ab"),
    "update": lambda: open(at("image"), "r+b"),
    "hard link": lambda: open(at("hard"), "wb"),
    "symbolic link": lambda: open(at("soft"), "wb"),
    "os.open": lambda: os.open(at("image"), os.O_RDWR),
    "read and truncate": lambda: os.open(at("image"), os.O_RDONLY | os.O_TRUNC),
    "bytes": lambda: open(os.fsencode(at("image")), "wb"),
    "descriptor's file": lambda: open(f"/proc/self/fd/{fd}", "wb"),
    "truncate": lambda: os.truncate(at("image"), 0),
    "ftruncate": lambda: os.ftruncate(fd, 0),
    "unlink": lambda: os.unlink(at("image")),
    "unlink in a folder": lambda: os.unlink("image", dir_fd=folder_fd),
    "unlink a hard link": lambda: os.unlink(at("hard")),
    "rename": lambda: os.rename(at("image"), at("x")),
    "replace": lambda: os.replace(at("other"), at("image")),
    "replace in a folder": lambda: os.rename("other", "image", src_dir_fd=folder_fd, dst_dir_fd=folder_fd),
    "link": lambda: os.link(at("image"), at("y")),
    "utime": lambda: os.utime(at("image")),
    "chmod": lambda: os.chmod(at("image"), 0o600),
    "fchmod": lambda: os.fchmod(fd, 0o600),
    "chown": lambda: os.chown(at("image"), -1, -1),
    "setxattr": lambda: os.setxattr(at("image"), "user.x", b"1"),
    "copy over": lambda: shutil.copyfile(at("other"), at("image")),
    "move over": lambda: shutil.move(at("other"), at("image")),
    "map": lambda: mmap.mmap(fd, 0, access=mmap.ACCESS_READ),
}
outcome = {}
for name, attempt in tries.items():
    try:
        attempt()
        outcome[name] = "done"
    except CannotExport as error:
        outcome[name] = "refused" if "evidence" in str(error) else str(error)
    except Exception as error:
        outcome[name] = repr(error)
with open(at("other"), "ab") as file:
    file.write(b"!")
os.rename(at("other"), at("new"))
read = source.read_at(0, 5).decode()
source.close()
with open(at("image"), "ab"):
    pass
print(json.dumps([outcome, read]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "image").write_bytes(b"bytes")
    os.link(tmp_path / "image", tmp_path / "hard")
    (tmp_path / "soft").symlink_to(tmp_path / "image")
    (tmp_path / "other").write_bytes(b"other")
    return tmp_path


def test_every_way_to_change_evidence_is_refused(folder: Path) -> None:
    """In a process of its own: a hook cannot be taken away again. A closed file is evidence no more."""
    before = (folder / "image").stat()
    done = subprocess.run(
        [sys.executable, "-c", TRY, folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome, read = json.loads(done.stdout)
    assert {name: how for name, how in outcome.items() if how != "refused"} == {}
    assert len(outcome) == 25
    after = (folder / "image").stat()
    assert read == "bytes"
    assert (after.st_ctime_ns, after.st_mtime_ns, after.st_nlink) == (before.st_ctime_ns, before.st_mtime_ns, 2)
    assert (folder / "new").read_bytes() == b"other!"


def test_a_file_is_evidence_as_often_as_it_is_open(folder: Path) -> None:
    identity = shield.identities_of((folder / "image").stat())[0]
    with FileSource(folder / "image"):
        with FileSource(folder / "hard"):
            assert identity in evidence._held
        assert identity in evidence._held
    assert identity not in evidence._held


def test_what_we_wrote_ourselves_is_no_evidence(folder: Path) -> None:
    with FileSource(folder / "image", is_ours=True) as source:
        assert source.read_at(0, 5) == b"bytes"
        assert shield.identities_of((folder / "image").stat())[0] not in evidence._held


def test_a_file_that_cannot_be_opened_is_no_evidence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise MemoryError

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(MemoryError):
        FileSource(folder / "image")
    monkeypatch.undo()
    assert shield.identities_of((folder / "image").stat())[0] not in evidence._held


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_led_into_the_evidence_is_refused(folder: Path, stream: str) -> None:
    from qcow2inspect.build.demo import demo_recipe
    from qcow2inspect.build.recipe import build

    image = folder / "demo.qcow2"
    image.write_bytes(build(demo_recipe()))
    with open(image, "ab") as end:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: end}
        command = [sys.executable, "-m", "qcow2inspect", "header", image]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=env, text=True, timeout=60, check=False, **streams)  # type: ignore[call-overload]
    assert done.returncode == 77
    if stream == "stdout":
        assert image.read_bytes() == build(demo_recipe())
        assert "where the output of this command goes" in done.stderr


def test_standard_output_elsewhere_is_no_trouble(folder: Path) -> None:
    shield.require_apart("x", [(1, 1)])
    status = os.fstat(1)
    with pytest.raises(CannotExport, match="never written"):
        shield.require_apart("x", [(status.st_dev, status.st_ino)])
