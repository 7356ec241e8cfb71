"""Written files: complete under their name or not there at all, and never over evidence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.errors import CannotExport
from qcow2inspect.output import Output, check_target, free_space
from tests.images import ROOT


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def write(path: Path, data: bytes = b"data", *, force: bool = False) -> None:
    with Output(str(path), force=force) as output:
        output.write_at(0, data)
        output.commit()


def test_the_name_appears_only_with_commit(tmp_path: Path) -> None:
    target = tmp_path / "disk.raw"
    with Output(str(target)) as output:
        output.write_at(5, b"world")
        output.write_at(0, b"hello")
        output.truncate(16)
        assert output.read_at(3, 4) == b"lowo"
        assert names(tmp_path) == ["disk.raw.part"]
        output.commit()
        assert names(tmp_path) == ["disk.raw"]
    assert target.read_bytes() == b"helloworld" + bytes(6)


def test_everything_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "link", "rename"):
        real = getattr(os, name)

        def spy(*arguments: object, name: str = name, real: Callable[..., None] = real) -> None:
            done.append(name)
            real(*arguments)

        monkeypatch.setattr(os, name, spy)
    write(tmp_path / "a")
    assert done == ["fsync", "link", "fsync"]
    done.clear()
    write(tmp_path / "a", force=True)
    assert done == ["fsync", "rename", "fsync"]


def test_leaving_without_commit_leaves_nothing(tmp_path: Path) -> None:
    with Output(str(tmp_path / "a")) as output:
        output.write_at(0, b"x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_an_error_or_a_cancel_leaves_nothing(tmp_path: Path, kind: type[BaseException]) -> None:
    def fail() -> None:
        with Output(str(tmp_path / "a")) as output:
            output.write_at(0, b"x")
            raise kind

    with pytest.raises(kind):
        fail()
    assert names(tmp_path) == []


def test_discard_after_commit_keeps_the_file(tmp_path: Path) -> None:
    with Output(str(tmp_path / "a")) as output:
        output.commit()
        output.discard()
    assert names(tmp_path) == ["a"]


def test_partial_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[:3], at))
    write(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


# -- what is there already --------------------------------------------------------------------------------------


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(CannotExport, match=r"a exists; choose another name, or say --force"):
        write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert names(tmp_path) == ["a"]


def test_force_replaces_and_keeps_the_old_file_until_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with Output(str(target), force=True) as output:
        output.write_at(0, b"new!")
        assert target.read_bytes() == b"old"
        output.commit()
    assert target.read_bytes() == b"new!"
    assert names(tmp_path) == ["a"]


def test_a_left_over_part_file_is_named_and_replaced_by_force(tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"half")
    with pytest.raises(CannotExport, match=r"a\.part exists .left over from an unfinished run."):
        write(tmp_path / "a")
    assert (tmp_path / "a.part").read_bytes() == b"half"
    write(tmp_path / "a", force=True)
    assert names(tmp_path) == ["a"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with Output(str(target)) as output:
        target.write_bytes(b"theirs")
        with pytest.raises(CannotExport, match="appeared meanwhile"):
            output.commit()
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_a_file_that_appears_meanwhile_is_kept_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "b")
    assert names(tmp_path) == ["b"]
    with Output(str(tmp_path / "a")) as output:
        (tmp_path / "a").write_bytes(b"theirs")
        with pytest.raises(CannotExport, match="appeared meanwhile"):
            output.commit()
    assert names(tmp_path) == ["a", "b"]


def test_a_part_file_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    (tmp_path / "a.part").symlink_to(victim)
    write(tmp_path / "a", force=True)
    assert victim.read_bytes() == b"keep"
    assert not (tmp_path / "a").is_symlink()


# -- evidence ---------------------------------------------------------------------------------------------------


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    path = tmp_path / "evidence.qcow2"
    path.write_bytes(b"QFI\xfb")
    return path


def _two_links(evidence: Path, target: Path) -> None:
    between = evidence.with_name("between")
    between.symlink_to(evidence)
    target.symlink_to(between)


LINKS: dict[str, Callable[[Path, Path], object]] = {
    "hard link": os.link,
    "symbolic link": lambda evidence, target: target.symlink_to(evidence),
    "link to a link": _two_links,
    "part file": lambda evidence, target: os.link(evidence, f"{target}.part"),
}


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("force", [False, True])
def test_evidence_is_never_a_target(kind: str, force: bool, tmp_path: Path, evidence: Path) -> None:
    target = tmp_path / "target"
    LINKS[kind](evidence, target)
    status = evidence.stat()
    before = names(tmp_path)
    with pytest.raises(CannotExport, match="is evidence: the image") as caught:
        Output(str(target), force=force, evidence={(status.st_dev, status.st_ino)})
    assert caught.value.exit_code == 77
    assert evidence.read_bytes() == b"QFI\xfb"
    assert evidence.stat().st_mtime_ns == status.st_mtime_ns
    assert names(tmp_path) == before


def test_evidence_itself_and_by_another_spelling(tmp_path: Path, evidence: Path) -> None:
    status = evidence.stat()
    for name in (str(evidence), f"{tmp_path}/./evidence.qcow2", f"{tmp_path}/../{tmp_path.name}/evidence.qcow2"):
        with pytest.raises(CannotExport, match="is evidence: the image"):
            check_target(name, force=True, evidence={(status.st_dev, status.st_ino)})


# -- where nothing can be written -------------------------------------------------------------------------------

TARGETS: dict[str, tuple[str, str]] = {
    "missing folder": ("nothere/a", "the folder .*nothere does not exist"),
    "a folder": ("folder", "folder is a folder"),
    "a folder with slash": ("folder/", "is a folder"),
    "a FIFO": ("fifo", "is no regular file"),
    "part is a folder": ("blocked", r"blocked\.part is a folder"),
    "below a file": ("file/a", "cannot be a target|does not exist"),
    "name too long": ("x" * 300, "too long for the system"),
    "only the part name too long": ("x" * 252, "too long for the system"),
    "null byte": ("a\0b", "null"),
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("force", [False, True])
def test_impossible_targets(kind: str, force: bool, tmp_path: Path) -> None:
    name, message = TARGETS[kind]
    (tmp_path / "folder").mkdir()
    (tmp_path / "blocked.part").mkdir()
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo")
    before = names(tmp_path)
    with pytest.raises(CannotExport, match=message):
        Output(f"{tmp_path}/{name}", force=force)
    assert names(tmp_path) == before


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(CannotExport):
        check_target("", force=False)


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotExport, match="exists"):
        write(tmp_path / "a")
    write(tmp_path / "a", force=True)
    assert names(tmp_path) == ["a"]


NO_PERMISSION = """
import os, sys
from qcow2inspect.errors import CannotExport
from qcow2inspect.output import Output
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    Output(sys.argv[1])
except CannotExport as error:
    print(error.exit_code, error)
"""


def run_python(code: str, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def test_no_permission() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        said = run_python(NO_PERMISSION, f"{folder}/a")
    assert said.startswith("77 ")
    assert "no permission to write into" in said


# -- a full disk ------------------------------------------------------------------------------------------------

LIMITED = """
import resource, sys
from qcow2inspect.errors import CannotExport
from qcow2inspect.output import Output
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with Output(sys.argv[1]) as output:
        {action}
        output.commit()
except CannotExport as error:
    print(error.exit_code, error)
"""


@pytest.mark.parametrize("action", ["output.write_at(0, bytes(10000))", "output.truncate(10000)"])
def test_a_file_that_may_not_grow_is_removed(tmp_path: Path, action: str) -> None:
    said = run_python(LIMITED.format(action=action), str(tmp_path / "a"))
    assert said.startswith("74 ")
    assert "File too large; the unfinished file is removed" in said
    assert "raise the limit of this process for the size of a file (ulimit -f), now 4,096 bytes" in said
    assert "--resume" not in said
    assert names(tmp_path) == []


@pytest.mark.parametrize("call", ["pwrite", "fsync", "ftruncate", "link"])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def work() -> None:
        with Output(str(tmp_path / "a")) as output:
            output.write_at(0, b"x")
            output.truncate(10)
            output.commit()

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        if call == "link":  # then the file is renamed, and that fails, too
            patch.setattr(os, "rename", full)
        with pytest.raises(CannotExport, match="No space left on device") as caught:
            work()
    assert caught.value.exit_code == 74
    assert "free some space" in caught.value.hint
    assert names(tmp_path) == []


def test_no_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(CannotExport, match="created: Too many open files") as caught:
            Output(str(tmp_path / "a"))
    assert caught.value.exit_code == 74


def test_free_space(tmp_path: Path) -> None:
    assert free_space(str(tmp_path / "a")) > 0
    assert free_space("a") > 0
