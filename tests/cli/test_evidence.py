"""No verb writes to evidence: not its bytes, not its times, not its folder; nothing ever opens it for writing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.cli.main import VERBS, run
from qcow2inspect.survey import survey
from tests.cli.conftest import ROOT

COMMANDS = {
    "info": ["info", "IMAGE", "--follow", "any"],
    "check": ["check", "IMAGE"],
    "map": ["map", "IMAGE", "--follow", "any"],
    "header": ["header", "IMAGE"],
    "l1": ["l1", "IMAGE"],
    "l2": ["l2", "BASE", "0"],
    "refcount": ["refcount", "IMAGE"],
    "hexdump": ["hexdump", "IMAGE", "0x30000"],
    "bitmaps": ["bitmaps", "IMAGE"],
    "export": ["export", "IMAGE", "OUT", "--follow", "any"],
    "report": ["report", "IMAGE", "-o", "OUT", "--format", "html", "--hash", "sha256", "--follow", "any"],
    "hash": ["hash", "IMAGE", "--both", "--follow", "any"],
    "verify": ["verify", "IMAGE", "--against", "SUMS"],
    "compare": ["compare", "IMAGE", "BASE", "--follow", "any"],
    "open": ["IMAGE"],
    "create": ["create", "BASE", "OUT"],
}
"""A command of every verb that reads an image."""

NO_EVIDENCE = {"completion", "demo", "explain", "replay"}
"""Verbs that read no image of the user, or by running the others only."""

WATCH = """
import json, os, sys
seen = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.truncate", "os.rename", "os.remove", "os.utime", "os.chmod", "os.chown", "os.link", "os.symlink",
    "os.setxattr", "os.removexattr", "os.mkdir", "os.rmdir"}

def hook(event, args):
    if event == "open":
        path, mode, flags = args
        seen.append([event, str(path), bool(flags & WRITES) if isinstance(flags, int) else mode not in ("r", "rb")])
    elif event in CHANGES:
        seen.append([event, *(str(arg) for arg in args)])

sys.addaudithook(hook)
from qcow2inspect.cli.main import run
with open(sys.argv[1], "w") as file:  # afterwards the kernel may not allow it any more
    code = run(sys.argv[2:], shielded=True)
    json.dump([code, seen], file)
"""


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """An overlay and its base in a folder that nobody may write to, with an access time of long ago."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    base = folder / "base.qcow2"
    base.write_bytes(build(demo_recipe()))
    overlay = folder / "overlay.qcow2"
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", str(overlay)]
    assert shutil.which("qemu-img"), "qemu-img is not installed (Debian: apt-get install qemu-utils)"
    subprocess.run(create, check=True, timeout=60)
    for path in (base, overlay):
        os.utime(path, (1_000_000_000, 1_100_000_000))
        path.chmod(0o444)
    folder.chmod(0o555)
    return overlay


def times(folder: Path) -> dict[str, tuple[int, ...]]:
    """All that the file system says of the files and of their folder; nothing is read for it."""
    found = {}
    for path in (folder, *sorted(folder.iterdir())):
        status = path.stat()
        at = () if path is folder else (status.st_atime_ns,)
        facts = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode, status.st_nlink)
        found[path.name] = (*at, *facts)
    return found


TRACED = (
    "open,openat,openat2,creat,truncate,ftruncate,unlink,unlinkat,rename,renameat,renameat2,link,linkat,utime,utimes,"
    "utimensat,futimesat,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,setxattr,fsetxattr,lsetxattr,removexattr"
)
"""Every system call that can open a file for writing or change one by its name or descriptor."""

ALL = """
import fcntl, json, os, pty, select, struct, sys, termios, time
from qcow2inspect.cli.main import run
from qcow2inspect.source.shield import raise_shield
raise_shield()
for words in json.loads(sys.argv[1]):
    code = run(words)
    assert code == 0, (words, code)
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm-256color"
    sys.argv[1:] = words = ["open", sys.argv[2], "--case", sys.argv[3]]
    sys.exit(run(words, shielded=True))
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
seen, end = b"", time.monotonic() + 100
keys = [(b"NO DAMAGE", b"2"), (b"magic", b"mx"), (b"mark x set", b"5"), (b"guest", b"r"), (b"Preview: ", b"\\r")]
keys += [(b"report written", b"\\x1b"), (b"report written", b"q")]
while time.monotonic() < end:
    if select.select([terminal], [], [], 0.2)[0]:
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            break
    elif keys and keys[0][0] in seen:  # it shows that, and is quiet
        os.write(terminal, keys.pop(0)[1])
        seen = b""
else:
    os.kill(pid, 9)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert (code, keys) == (0, []), (code, keys, seen)
assert run(["replay", sys.argv[3]]) == 0
"""
"""Every verb in one process, then the interface in a child at a terminal of its own; it writes a report."""


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed; the audit hook saw the same above")
def test_no_system_call_changes_evidence(evidence: Path, tmp_path: Path) -> None:
    """What Python's audit hooks cannot see, the kernel does: no call names evidence but to open it for reading."""
    folder = evidence.parent
    sums = subprocess.run(["sha256sum", evidence], capture_output=True, text=True, check=True).stdout
    (tmp_path / "SUMS").write_text(sums)
    places = {"IMAGE": evidence, "BASE": folder / "base.qcow2", "SUMS": tmp_path / "SUMS"}
    commands = [
        [str({**places, "OUT": tmp_path / f"{verb}.out"}.get(word, word)) for word in words]
        for verb, words in sorted(COMMANDS.items())
        if verb != "open"
    ]
    before = times(folder)
    log = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", f"trace={TRACED}"]
    ran = subprocess.run(
        [*strace, sys.executable, "-c", ALL, json.dumps(commands), str(evidence), str(tmp_path / "case")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    case = tmp_path / "case"
    assert [json.loads(line)["words"][0] for line in (case / "actions.jsonl").read_text().splitlines()] == [
        "note",
        "report",
        "open",
    ]
    assert (case / "marks.txt").read_text() == "hdr.magic=mark x, 0x0\n"
    assert "    same body  " in ran.stdout, (
        "the log writes it again; the parent is under no lock of the kernel, and says so"
    )
    assert times(folder) == before
    touched = [line for line in log.read_text(errors="replace").splitlines() if str(folder) in line]
    assert len([line for line in touched if str(evidence) in line]) > len(commands)
    for line in touched:
        assert "openat(" in line, line
        assert "O_RDONLY" in line or "O_PATH" in line, line


def test_every_verb_is_tried() -> None:
    assert set(COMMANDS) | NO_EVIDENCE == set(VERBS)


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_evidence_is_read_and_nothing_else(verb: str, evidence: Path, tmp_path: Path) -> None:
    folder = evidence.parent
    sums = subprocess.run(["sha256sum", evidence], capture_output=True, text=True, check=True).stdout
    (tmp_path / "SUMS").write_text(sums)
    places = {"IMAGE": evidence, "BASE": folder / "base.qcow2", "OUT": tmp_path / "out", "SUMS": tmp_path / "SUMS"}
    words = [str(places.get(word, word)) for word in COMMANDS[verb]]
    bytes_before = {path: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        os.utime(path, ns=(10**18, 10**18 + 5))
    before = times(folder)
    log = tmp_path / "log"
    ran = subprocess.run(
        [sys.executable, "-c", WATCH, str(log), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert times(folder) == before
    assert {path: path.read_bytes() for path in folder.iterdir()} == bytes_before
    code, seen = json.loads(log.read_text())
    assert code == 0, ran.stderr
    opened = [event for event in seen if event[0] == "open" and os.path.realpath(event[1]).startswith(str(folder))]
    assert opened
    assert not [event for event in opened if event[2]]
    changes = [event for event in seen if event[0] != "open" and any(str(folder) in str(arg) for arg in event[1:])]
    assert changes == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check"], "QCOW-FILE-CHANGED"),
        (["check", "--json"], '"code": "QCOW-FILE-CHANGED"'),
        (["info"], "CHANGED WHILE IT WAS READ"),
        (["info", "--json"], "CHANGED WHILE IT WAS READ"),
        (["report"], "CHANGED WHILE IT WAS READ"),
    ],
)
def test_an_image_that_changes_meanwhile_is_named(
    words: list[str], says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image.qcow2"
    image.write_bytes(build(demo_recipe()))
    take = survey.take_survey

    def meddle(*args: Any, **more: Any) -> Any:
        found = take(*args, **more)
        os.utime(image, (1, 1))
        return found

    monkeypatch.setattr(survey, "take_survey", meddle)
    run([words[0], str(image), *words[1:]])
    assert says in capfd.readouterr().out
