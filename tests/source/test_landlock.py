"""The kernel's own lock: what is asked of it, what it then refuses, and what is said where it does not exist."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qcow2inspect.source import landlock
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.landlock import Confinement, confine, write_within
from qcow2inspect.source.protection import badge, guards_of, protection_words
from tests.images import ROOT

WRITE, TRUNCATE, REFER, MAKE = 1 << 1, 1 << 14, 1 << 13, 1 << 8


def abi() -> int:
    try:
        return landlock._Linux().version()
    except OSError:
        return 0


class Fake:
    """A kernel on paper."""

    def __init__(self, version: int = 7, *, fails: str = "") -> None:
        self.known = version
        self.fails = fails
        self.handled = 0
        self.allowed: dict[str, int] = {}
        self.enforced = False

    def _try(self, name: str) -> None:
        if name == self.fails:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    def version(self) -> int:
        self._try("version")
        return self.known

    def create(self, handled: int) -> int:
        self._try("create")
        self.handled = handled
        return os.open("/dev/null", os.O_RDONLY)

    def allow(self, ruleset: int, rights: int, place: int) -> None:
        self._try("allow")
        self.allowed[os.readlink(f"/proc/self/fd/{place}")] = rights

    def enforce(self, ruleset: int) -> None:
        self._try("enforce")
        self.enforced = True


def test_only_the_places_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "file").touch()
    kernel = Fake()
    found = confine([str(tmp_path / "out"), str(tmp_path / "file"), str(tmp_path / "out/not/yet")], kernel)
    out, file = str(tmp_path / "out"), str(tmp_path / "file")
    assert found == Confinement(7, (out, file))
    assert kernel.enforced
    assert kernel.allowed[out] == kernel.handled
    assert kernel.allowed[file] == kernel.allowed["/dev/null"] == WRITE | TRUNCATE
    assert kernel.handled & (WRITE | TRUNCATE | REFER | MAKE) == WRITE | TRUNCATE | REFER | MAKE
    assert not kernel.handled & ((1 << 0) | (1 << 2) | (1 << 3)), "running, reading and listing stay free"
    assert found.covers(str(tmp_path / "image"))
    assert not found.covers(f"{out}/image")
    assert not found.covers(file)
    assert found.covers(f"{out}side")


@pytest.mark.parametrize(("version", "lacks"), [(1, TRUNCATE | REFER), (2, TRUNCATE), (3, 0)])
def test_an_old_kernel_is_asked_for_what_it_knows(version: int, lacks: int) -> None:
    kernel = Fake(version)
    assert confine([], kernel).abi == version
    assert kernel.handled & (TRUNCATE | REFER) == (TRUNCATE | REFER) & ~lacks
    assert kernel.allowed["/dev/null"] & ~kernel.handled == 0


@pytest.mark.parametrize("step", ["version", "create", "allow", "enforce"])
def test_a_kernel_without_it_is_said(step: str) -> None:
    found = confine([], Fake(fails=step))
    assert found.abi == 0
    assert "Operation not supported" in found.why_not
    assert not found.covers("/anything")
    assert found.places == ()


def test_another_system_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert confine([]).why_not == "this kernel has no Landlock (there is no Landlock on darwin)"


def test_without_a_doorkeeper_a_task_runs_where_it_is() -> None:
    assert write_within(["/nowhere"], lambda: 5) == 5


def test_the_words_of_each_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"x")
    with FileSource(path) as source:
        assert [guard.holds for guard in guards_of(source)] == [True, False, False]
        assert badge([source]) == ("read-only", False)
        monkeypatch.setattr("qcow2inspect.source.shield._raised", True)
        assert badge([source]) == ("read-only, changes refused", False)
        monkeypatch.setattr(landlock, "_holds", Confinement(7, (str(tmp_path),)))
        assert badge([source]) == ("read-only, changes refused", False)
        assert f"files shall be written to {tmp_path}" in protection_words(source)
        monkeypatch.setattr(landlock, "_holds", Confinement(7, ("/nowhere",)))
        assert badge([source]) == ("write-blocked (kernel)", True)
        assert protection_words(source).startswith("read-only, access time kept; audit hook: refuses")


REAL = """
import json, os, subprocess, sys, threading
from qcow2inspect.source.landlock import confine_process, write_within
image, inside, outside = sys.argv[1:]
held = confine_process([inside], asks_later=True)
outcome = {"covers": held.covers(image)}

def tried(name, attempt):
    try:
        attempt()
        outcome[name] = "done"
    except OSError as error:
        outcome[name] = error.strerror

def touch(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))

tried("read", lambda: open(image, "rb").read())
tried("write", lambda: os.open(image, os.O_WRONLY))
tried("truncate", lambda: os.truncate(image, 0))
tried("unlink", lambda: os.unlink(image))
tried("rename", lambda: os.rename(image, inside + "/x"))
tried("make", lambda: touch(os.path.dirname(image) + "/new"))
tried("inside", lambda: (touch(inside + "/a"), os.rename(inside + "/a", inside + "/b"), os.unlink(inside + "/b")))
tried("nowhere", lambda: os.open(os.devnull, os.O_WRONLY))
thread = threading.Thread(target=tried, args=("thread", lambda: os.open(image, os.O_WRONLY)))
thread.start()
thread.join()
child = subprocess.run(["sh", "-c", 'echo x >> "$1"', "sh", image], capture_output=True)
outcome["child"] = "done" if child.returncode == 0 else "refused"
child = subprocess.run(["sh", "-c", 'cat "$1"', "sh", image], capture_output=True)
outcome["child reads"] = child.stdout.decode()
tried("outside", lambda: touch(outside + "/a"))
tried("outside later", lambda: write_within([outside], lambda: touch(outside + "/b")))
tried("outside afterwards", lambda: touch(outside + "/c"))
tried("image later", lambda: write_within([outside], lambda: os.open(image, os.O_WRONLY)))
print(json.dumps(outcome))
"""


@pytest.mark.skipif(not abi(), reason="this kernel has no Landlock; what would be asked of one is tested above")
def test_the_kernel_refuses(tmp_path: Path) -> None:
    for name in ("evidence", "inside", "outside"):
        (tmp_path / name).mkdir()
    image = tmp_path / "evidence/image"
    image.write_bytes(b"bytes")
    done = subprocess.run(
        [sys.executable, "-c", REAL, image, tmp_path / "inside", tmp_path / "outside"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    no = "Permission denied"
    truncated = no if abi() >= 3 else "done"
    assert outcome == {
        "covers": True,
        "read": "done",
        "write": no,
        "truncate": truncated,
        "unlink": no,
        "rename": no,
        "make": no,
        "inside": "done",
        "nowhere": "done",
        "thread": no,
        "child": "refused",
        "child reads": "bytes" if truncated == no else "",
        "outside": no,
        "outside later": "done",
        "outside afterwards": no,
        "image later": no,
    }
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["b"]
