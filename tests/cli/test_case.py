"""A case folder keeps what was done, and replay does it again to the same bytes; whoever edits the log is found out."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from qcow2inspect.build.demo import write_demo
from qcow2inspect.cli.main import run

TIME = "1700000000"


class Desk:
    """A folder in which somebody works on the command line."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self._monkeypatch.setenv("SOURCE_DATE_EPOCH", TIME)
        self._monkeypatch.setattr(sys, "argv", ["qcow2inspect", *words])
        code = run(list(words))
        out, err = self._capfd.readouterr()
        return code, out, err

    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / "c/actions.jsonl").read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    write_demo(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, monkeypatch, capfd)


@pytest.fixture
def worked(desk: Desk) -> Desk:
    """A day's work: facts, two reports with notes and marks, an export."""
    assert desk("info", "demo.qcow2", "--case", "c")[0] == 0
    report = ("report", "demo.qcow2", "--case", "c", "-o")
    assert desk(*report, "first.html", "--note", "came in a bag", "--mark", "L1[0]=look here")[0] == 0
    assert desk(*report, "second.txt", "--note", "the bag was torn")[0] == 0
    assert desk("export", "demo.qcow2", "disk.raw", "--case", "c", "--hash", "sha256")[0] == 0
    assert desk("check", "demo-damaged.qcow2", "--case", "c")[0] == 2
    return desk


def test_the_folder_keeps_notes_marks_outputs_and_what_was_done(worked: Desk) -> None:
    case = worked.folder / "c"
    assert (case / "notes.txt").read_text() == "came in a bag\nthe bag was torn\n"
    assert (case / "marks.txt").read_text() == "L1[0]=look here\n"
    assert sorted(path.name for path in (case / "exports").iterdir()) == [
        "disk.raw",
        "disk.raw.manifest.json",
        "disk.raw.manifest.txt",
    ]
    second = (case / "reports/second.txt").read_text()
    assert "came in a bag" in second
    assert "look here" in second
    log = worked.log()
    assert [line["exit"] for line in log] == [0, 0, 0, 0, 2]
    assert {line["time"] for line in log} == {"2023-11-14T22:13:20Z"}
    assert "2023-11-14T22:13:20Z" in second, "the log and the report have one time"


def test_replay_gives_the_same_bytes(worked: Desk) -> None:
    code, out, err = worked("replay", "c")
    assert (code, err) == (0, ""), out
    assert out.count("    same       ") == 5
    assert out.count("    same body  ") == 2, "manifests name the folder that they are in"
    assert "the log is whole: 5 lines" in out
    assert not {"DIFFERENT", "MISSING", "NEW"} & set(out.replace("\n", "  ").split("  "))
    assert not list(worked.folder.glob("c/.replay*"))


def test_an_image_that_lies_elsewhere_is_named_as_before(worked: Desk) -> None:
    shutil.move("demo.qcow2", "elsewhere.qcow2")
    log = worked.folder / "c/actions.jsonl"
    code, out, _ = worked("replay", "c")
    assert code == 1
    assert "demo.qcow2: there is no such file" in out
    assert worked("replay", "c", "--check")[0] == 0
    assert log.read_text().count("\n") == 5
    code, out, _ = worked("replay", "c", "elsewhere.qcow2")
    assert "same       standard output" in out
    assert "same body  c/reports/first.html" in out or "same       c/reports/first.html" in out
    assert "DIFFERENT  demo-damaged.qcow2 has changed" in out, "it is another image"


def test_a_changed_image_is_named(worked: Desk) -> None:
    data = bytearray(Path("demo.qcow2").read_bytes())
    data[-1] ^= 1
    Path("demo.qcow2").write_bytes(data)
    code, out, _ = worked("replay", "c")
    assert code == 1
    assert out.count("DIFFERENT  demo.qcow2 has changed: SHA-256") == 4
    with open("demo.qcow2", "ab") as file:
        file.write(b"!")
    assert "demo.qcow2 has changed: 4,653,057 bytes, 4,653,056 in the log" in worked("replay", "c")[1]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda lines: [lines[0].replace('"exit": 0', '"exit": 1'), *lines[1:]], "breaks at line 2"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3 says that it is line 4"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 says that it is line 2"),
        (lambda lines: [*lines[:4], lines[4].replace('"exit": 2', '"exit": 0')], "the last line is not the one"),
        (lambda lines: lines[:4], "the last line is not the one"),
        (lambda lines: [*lines[:3], "rubbish", lines[4]], "line 4 is no action"),
    ],
)
def test_a_tampered_log_is_found_at_its_first_line(worked: Desk, edit, says: str) -> None:  # type: ignore[no-untyped-def]
    log = worked.folder / "c/actions.jsonl"
    log.write_text("".join(f"{line}\n" for line in edit(log.read_text().splitlines())))
    for words in (("replay", "c"), ("replay", "c", "--check"), ("info", "demo.qcow2", "--case", "c")):
        code, out, err = worked(*words)
        assert (code, out) == (1, "")
        assert says in err


def test_a_report_that_would_come_out_otherwise_is_named(worked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcow2inspect.dossier.report._HOW", "Another method.")
    code, out, _ = worked("replay", "c")
    assert code == 1
    assert out.count("DIFFERENT") == 2
    monkeypatch.undo()
    os.chdir(worked.folder)
    monkeypatch.setattr("platform.python_version", lambda: "3.99")
    code, out, _ = worked("replay", "c")
    assert code == 0
    assert out.count("same body") == 2 + 2, "only the volatile facts of reports and manifests differ"


def test_what_failed_is_logged_too(desk: Desk) -> None:
    assert desk("export", "demo-encrypted.qcow2", "x.raw", "--case", "c")[0] == 77
    assert desk("export", "demo.qcow2", "-", "--case", "c")[0] == 64
    assert [line["exit"] for line in desk.log()] == [77]
    assert desk("replay", "c")[0] == 0


def test_a_full_disk_leaves_the_log_as_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk("info", "demo.qcow2", "--case", "c")[0] == 0
    before = {path.name: path.read_bytes() for path in Path("c").glob("actions.*")}
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    code, _, err = desk("info", "demo.qcow2", "--case", "c")
    monkeypatch.undo()
    os.chdir(desk.folder)
    assert (code, "No space left" in err, "nothing was added" in err) == (74, True, True)
    assert {path.name: path.read_bytes() for path in Path("c").glob("actions.*")} == before


def test_two_at_once_make_one_chain(tmp_path: Path) -> None:
    import threading

    from qcow2inspect.case import Case, read_log

    cases = [Case(str(tmp_path)) for _ in range(2)]

    def work(case: Case) -> None:
        for _ in range(10):
            case.record(["note"], image=None, outputs=(), facts={})

    threads = [threading.Thread(target=work, args=(case,)) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [action["line"] for action in read_log(str(tmp_path))] == list(range(1, 21))


def test_a_folder_without_a_log_is_no_case(desk: Desk) -> None:
    code, _, err = desk("replay", ".")
    assert (code, "there is no log in it" in err) == (66, True)
    Path("file").touch()
    assert desk("info", "demo.qcow2", "--case", "file")[0] == 74
