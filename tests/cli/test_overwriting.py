"""Nothing that is written takes the place of evidence: not of a file of its chain that nobody opened, by no name."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Cluster, Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.cli.main import run
from qcow2inspect.errors import CannotExport
from qcow2inspect.export.raw import export_raw
from qcow2inspect.image.image import Image
from qcow2inspect.output import Output
from qcow2inspect.source.file import FileSource
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


# -- what lies where something shall be written ------------------------------------------------------------------


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image beside the working directory, which is empty."""
    (tmp_path / "evidence").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    image(tmp_path / "evidence/image.qcow2")
    return tmp_path / "evidence/image.qcow2"


SIDECARS = [".part", ".journal", ".map", ".errors.json", ".pieces", ".manifest.json", ".manifest.txt", ".map.part"]


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("suffix", [*SIDECARS, ".001", ".002.part"])
def test_no_name_beside_an_output_leads_to_evidence(
    link: Callable[[Path, str], None], suffix: str, demo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = facts(demo.parent)
    link(demo, f"out{suffix}")
    split = ["--split", "524288"] if suffix.startswith(".0") else []
    for more in ([], ["--force"], ["--resume"], ["--force", "--on-error", "zero"]):
        assert run(["export", str(demo), "out", *split, *more]) == 77
        assert f"out{suffix} is evidence: the image, or a file that it names" in capfd.readouterr().err
        assert os.listdir() == [f"out{suffix}"]
    assert facts(demo.parent) == before


def test_a_foreign_file_beside_an_output_stays_when_there_is_nothing_to_resume(demo: Path) -> None:
    for suffix in (".map", ".manifest.json"):
        Path(f"out{suffix}").write_text("mine")
        assert run(["export", str(demo), "out", "--resume"]) == 77
        assert run(["export", str(demo), "out", "--resume", "--manifest", "--on-error", "zero"]) == 77
        assert Path(f"out{suffix}").read_text() == "mine"
        assert os.listdir() == [f"out{suffix}"]
        os.unlink(f"out{suffix}")


def unfinished(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out.part and out.journal."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert run(["export", str(demo), "out"]) == 74
    assert sorted(os.listdir()) == ["out.journal", "out.part"]


def test_a_part_that_has_another_name_is_not_continued(
    demo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is a copy of hard links is not written through."""
    unfinished(demo, monkeypatch)
    os.link("out.part", "kept")
    assert run(["export", str(demo), "out", "--resume"]) == 77
    assert "out.part has another name (a hard link)" in capfd.readouterr().err
    assert sorted(os.listdir()) == ["kept", "out.journal", "out.part"]
    os.unlink("kept")
    assert run(["export", str(demo), "out", "--resume"]) == 0
    assert os.listdir() == ["out"]


def test_a_foreign_file_under_the_name_of_the_next_journal_stays(
    demo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    unfinished(demo, monkeypatch)
    kinds: list[Callable[[], object]] = [
        lambda: Path("out.journal.new").write_text("mine"),
        lambda: os.mkfifo("out.journal.new"),
        lambda: os.symlink("empty", "out.journal.new"),
    ]
    Path("empty").touch()
    for make in kinds:
        make()
        assert run(["export", str(demo), "out", "--resume"]) == 77
        assert "out.journal.new exists and is no journal" in capfd.readouterr().err
        os.unlink("out.journal.new")
    Path("out.journal.new").touch()  # a run that was killed right after it had made it
    assert run(["export", str(demo), "out", "--resume"]) == 0
    assert sorted(os.listdir()) == ["empty", "out"]


def test_an_export_of_a_chain_that_is_not_whole_is_continued(
    chain: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal tells that what lies there is of that export; without one nothing does."""
    chain("base.qcow2")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for more, named in ([], "out"), (["--split", "524288"], "out.001"):
        words = ["export", "../overlay.qcow2", "out", "--layer", "0", "--manifest", *more]
        assert run(words) == 0
        sound = {name: Path(name).read_bytes() for name in os.listdir()}

        def die(source: str, target: str, *, named: str = named, real: Callable[[str, str], None] = os.link) -> None:
            if target == named:
                raise KeyboardInterrupt
            real(source, target)

        for name in sound:
            os.unlink(name)
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", die)
            assert run(words) == 130
        Path("out.map").write_text("of the run that was killed")
        assert run([*words, "--resume"]) == 0
        assert {name: Path(name).read_bytes() for name in os.listdir()} == sound
        for name in sound:
            os.unlink(name)


def test_what_takes_the_place_of_a_file_meanwhile_is_kept(demo: Path) -> None:
    """With --force, too: what was asked to be replaced is the file that was there."""
    for before in (False, True):
        if before:
            Path("out").write_text("old")
        with Output("out", force=True) as output:
            output.write_at(0, b"new")
            os.replace("out", "moved") if before else None
            Path("out").write_text("theirs")
            with pytest.raises(CannotExport, match="out appeared meanwhile and is kept"):
                output.commit()
        assert Path("out").read_text() == "theirs"
        os.unlink("out")
    with Output("out", force=True) as output:
        os.link(demo, "out")
        with FileSource(demo), pytest.raises(CannotExport, match="out is evidence"):
            output.commit()
    assert os.path.samefile(demo, "out")
    assert sorted(os.listdir()) == ["moved", "out"]


def test_the_folder_is_led_elsewhere_meanwhile(demo: Path) -> None:
    """A link to a folder that is turned to the evidence while a file is written into it."""
    before = facts(demo.parent)
    os.mkdir("there")
    os.symlink("there", "folder")
    Path("folder/image.qcow2").write_text("old")
    with Output("folder/image.qcow2", force=True) as output:
        os.unlink("folder")
        os.symlink("../evidence", "folder")
        with pytest.raises(CannotExport):
            output.commit()
    assert facts(demo.parent) == before


# -- the case folder, the demo ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["notes.txt", "marks.txt", "actions.jsonl", "actions.head"])
@pytest.mark.parametrize("link", [os.link, os.symlink, os.rename, lambda _, to: os.mkfifo(to)])
def test_evidence_in_the_place_of_a_file_of_a_case(
    name: str, link: Callable[[Path, str], None], demo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkdir("case")
    link(demo, f"case/{name}")
    evidence = demo if demo.exists() else Path(f"case/{name}")
    before = evidence.read_bytes()
    assert run(["report", str(evidence), "--case", "case", "--note", "x", "--mark", "L1[0]=y"]) == 77
    said = capfd.readouterr().err
    assert f"case/{name} is evidence" in said or "no regular file" in said
    assert evidence.read_bytes() == before
    assert sorted(os.listdir("case")) == sorted({name, "exports", "reports"})


@pytest.mark.parametrize("name", ["notes.txt", "actions.jsonl"])
def test_a_file_of_a_case_that_has_another_name_is_not_added_to(
    name: str, demo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(demo), "--case", "case", "--note", "x"]) == 0
    os.link(f"case/{name}", "elsewhere")
    before = Path("elsewhere").read_bytes()
    assert run(["report", str(demo), "--case", "case", "--note", "y"]) == 77
    assert f"case/{name} has another name (a hard link)" in capfd.readouterr().err
    assert Path("elsewhere").read_bytes() == before


def test_what_is_no_text_is_not_added_to(demo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkdir("case")
    Path("case/notes.txt").write_bytes(b"disk\0")
    assert run(["report", str(demo), "--case", "case", "--note", "x"]) == 77
    assert "case/notes.txt is no text of a case" in capfd.readouterr().err
    assert Path("case/notes.txt").read_bytes() == b"disk\0"


def test_demo_replaces_nothing_unasked(demo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("demo.qcow2", "demo-damaged.qcow2", "demo.raw"):
        os.mkdir(name + ".d")
        Path(f"{name}.d/{name}").write_text("mine")
        assert run(["demo", f"{name}.d", "--no-open"]) == 77
        assert f"{name} exists; choose another name, or say --force" in capfd.readouterr().err
        assert Path(f"{name}.d/{name}").read_text() == "mine"
        assert run(["demo", f"{name}.d", "--no-open", "--force"]) == 0
        assert run(["demo", f"{name}.d", "--no-open"]) == 0


def test_replay_removes_nothing_that_is_not_its_own(demo: Path) -> None:
    assert run(["info", str(demo), "--case", "case"]) == 0
    os.mkdir("case/.replay")
    os.link(demo, "case/.replay/image")
    assert run(["replay", "case"]) == 0
    assert os.path.samefile("case/.replay/image", demo)
    assert sorted(os.listdir("case")) == [".replay", "actions.head", "actions.jsonl", "exports", "reports"]


# -- names and places --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", [["export", "IMAGE", "OUT"], ["report", "IMAGE", "-o", "OUT"], ["create", "RAW", "OUT"]]
)
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_names_of_every_kind(
    verb: list[str], force: list[str], demo: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole file or one clear word; nothing of the system is replaced."""
    monkeypatch.setattr(sys, "argv", ["qcow2inspect"])
    (demo.parent / "raw").write_bytes(bytes(512))
    before = facts(demo.parent)
    os.symlink("/proc/self/fd/1", "stdout")  # here it leads to a regular file, whatever reads it
    os.symlink("/proc/self/fd", "fd")
    os.mkdir("folder")
    os.symlink("folder", "to-folder")
    os.mkfifo("fifo")
    refused = dict.fromkeys(("/dev/null", "/dev/full", "stdout", "fd/1", "fifo"), "is no regular file")
    refused |= dict.fromkeys(("folder", "folder/", "to-folder", ".", "/"), "is a folder")
    refused |= {"new/": "names no file", "": "names no file", "no/x": "does not exist", "x" * 251: "is too long"}
    refused |= {"/proc/self/fd/99": "", "/sys/kernel/x": "", "y" * 300: "is too long", "/proc/self/mem": ""}
    for name, message in refused.items():
        words = [{"IMAGE": str(demo), "RAW": str(demo.parent / "raw"), "OUT": name}.get(word, word) for word in verb]
        assert run([*words, *force]) in (74, 77), name
        said = capfd.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        assert len(said) < 200 + 3 * len(name)
        assert ";" in said, said  # what to do
    for name in ("a\nb", os.fsdecode(b"\xff.raw"), "\x1b[31m", "z" * 236, "über"):
        words = [{"IMAGE": str(demo), "RAW": str(demo.parent / "raw"), "OUT": name}.get(word, word) for word in verb]
        assert run([*words, *force]) == 0
        assert name in os.listdir()
        assert "\x1b" not in capfd.readouterr().err
    assert sorted(name for name in os.listdir() if name.endswith((".part", ".journal"))) == []
    assert os.readlink("stdout") == "/proc/self/fd/1"
    assert facts(demo.parent) == before


def test_a_hyphen_is_standard_output(demo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(demo), "-o", "-", "--without", "provenance"]) == 0
    written = capfd.readouterr().out
    assert run(["report", str(demo), "--without", "provenance"]) == 0
    assert written == capfd.readouterr().out
    assert run(["create", str(demo), "-"]) == 64
    assert "give IMAGE a name" in capfd.readouterr().err
    assert os.listdir() == []


def test_replay_does_not_write_where_the_first_run_was_refused(
    demo: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def kept(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["qcow2inspect", *words, "--case", "case"])
        return run(sys.argv[1:])

    for verb in (["report", str(demo), "-o", "./text"], ["export", str(demo), "./disk"]):
        assert kept(*verb) == 0
        Path(verb[-1]).write_text("mine")
        assert kept(*verb) == 77  # it is there
    assert kept("export", str(demo), "./other", "--snapshot", "none of that name") == 64  # this is so each time
    log = [json.loads(line) for line in Path("case/actions.jsonl").read_text().splitlines()]
    assert [action["exit"] for action in log] == [0, 77, 0, 77, 64]
    capfd.readouterr()
    assert run(["replay", "case"]) == 0
    assert capfd.readouterr().out.count("not done again: it left no file (exit code 77)") == 2
    assert [Path(name).read_text() for name in ("text", "disk")] == ["mine", "mine"]
    assert sorted(os.listdir()) == ["case", "disk", "text"]
