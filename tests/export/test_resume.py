"""Whatever stops an export, what it leaves behind is either nothing or enough to end with the same bytes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import CannotExport, CannotRead, Damaged
from qcow2inspect.export import journal as journals
from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.load import Trouble
from qcow2inspect.export.mapped import MappedView
from qcow2inspect.export.raw import ExportResult, export
from qcow2inspect.export.target import FileTarget
from qcow2inspect.image.image import Image
from qcow2inspect.progress import Cancelled, Silent
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestRange, HostRange
from tests.images import ROOT, noise

CLUSTER = 65536
CLUSTERS = 400
BAD = 300


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 MiB of everything; the stream of cluster 300 is broken."""
    rng = random.Random(11)
    clusters: dict[int, Cluster] = {}
    for index in range(CLUSTERS):
        kind = rng.choice([Compressed, Compressed, Data, Zero, None]) if index != BAD else Compressed
        if kind is Zero:
            clusters[index] = Zero()
        elif kind is not None:
            clusters[index] = kind(noise(index, 30_000) + bytes(CLUSTER - 30_000))
    data = bytearray(build(Recipe(Layout(CLUSTERS * CLUSTER), clusters)))
    path = tmp_path_factory.mktemp("evidence") / "disk.qcow2"
    path.write_bytes(data)
    with Image.open(path) as image:
        host = image.active_disk().lookup(GuestRange.at(BAD * CLUSTER, 1).start).host
    assert host is not None
    data[host.start : host.start + 9] = b"\xff" * 9
    path.write_bytes(data)
    return path


KEPT = Choices(on_error=OnError.PATTERN, keep=True, hashes=("sha256",))
RESUMED = Choices(on_error=OnError.PATTERN, resume=True, hashes=("sha256",))


def run(evidence: Path, out: Path, choices: Choices, progress: Silent | None = None) -> ExportResult:
    with Image.open(evidence) as image:
        return export(image.active_disk(), str(out), choices, progress=progress)


@pytest.fixture(scope="module")
def undisturbed(evidence: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Suffix -> bytes of everything that an undisturbed export makes."""
    out = tmp_path_factory.mktemp("undisturbed") / "out.raw"
    run(evidence, out, Choices(on_error=OnError.PATTERN, hashes=("sha256",)))
    return contents(out.parent)


def contents(folder: Path) -> dict[str, bytes]:
    """Suffix -> bytes; the names of the manifests hold the folder and stay out."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if ".manifest." not in path.name and path.is_file()
    }


class Stopping(Silent):
    """Asks to stop after some calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def advance(self, amount: int) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise Cancelled


class StoppingAt(Silent):
    """Asks to stop once so many bytes are done."""

    def __init__(self, size: int) -> None:
        self.size = size

    def advance(self, amount: int) -> None:
        self.size -= amount
        if self.size < 0:
            raise Cancelled


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5, 8, 13])
def test_a_stopped_export_is_continued(
    calls: int, evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out.raw"
    try:
        run(evidence, out, KEPT, Stopping(calls))
    except Cancelled:
        left = os.listdir(tmp_path)
        assert left in ([], ["out.raw.part", "out.raw.journal"], ["out.raw.journal", "out.raw.part"])
        if left:
            run(evidence, out, RESUMED)
        else:
            run(evidence, out, KEPT)
    assert contents(tmp_path) == undisturbed


def test_what_is_already_there_is_not_written_again(
    evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out.raw"
    with pytest.raises(Cancelled):
        run(evidence, out, KEPT, Stopping(6))
    done = [json.loads(line) for line in (tmp_path / "out.raw.journal").read_text().splitlines()][-1]["done"]
    assert 0 < done < CLUSTERS * CLUSTER
    again = run(evidence, out, RESUMED)
    whole = run(evidence, tmp_path / "whole.raw", Choices(on_error=OnError.PATTERN))
    assert 0 < again.written < whole.written
    assert out.read_bytes() == undisturbed["out.raw"]
    assert again.hashes == {"sha256": hashlib.sha256(undisturbed["out.raw"]).hexdigest()}


SLOW = """
import sys, time
sys.path.insert(0, sys.argv[1])
from qcow2inspect.export import journal, pipeline, steps
journal._INTERVAL = 0.01
steps.LOAD, steps.COPY = 1 << 18, 1 << 18
real = pipeline.Pipeline._work
def slow(self, step):
    time.sleep(0.02)
    return real(self, step)
pipeline.Pipeline._work = slow
from qcow2inspect.__main__ import main
sys.argv = ["qcow2inspect", *sys.argv[2:]]
print("ready", flush=True)
sys.exit(main())
"""


def start(evidence: Path, out: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SLOW, str(ROOT), "export", str(evidence), str(out), "--on-error=pattern"]
    process = subprocess.Popen([*command, "--hash=sha256", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_killed_export_is_continued_as_often_as_need_be(
    evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    rng, out, kills, resume = random.Random(time.time_ns()), tmp_path / "out.raw", 0, False
    for _ in range(12):
        with start(evidence, out, *(["--resume"] if resume else [])) as process:
            try:
                assert process.wait(rng.uniform(0.05, 0.3)) == 0
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        if out.exists():  # killed after the file got its name: it must be complete
            assert out.read_bytes() == undisturbed["out.raw"]
            return
        resume = (tmp_path / "out.raw.part").exists()
        if not resume:
            (tmp_path / "out.raw.journal").unlink(missing_ok=True)
    else:
        run(evidence, out, replace(RESUMED, resume=resume))  # a busy machine may not have come to write anything
    assert kills
    assert contents(tmp_path) == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("keep", [True, False])
def test_a_signal_stops_at_once(
    number: signal.Signals, keep: bool, evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out.raw"
    with start(evidence, out, *([] if keep else ["--discard"])) as process:
        while not (tmp_path / "out.raw.part").exists():
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(20) == 130
        assert process.stderr is not None
        said = process.stderr.read().decode()
    if keep:
        assert "--resume continues" in said
        assert sorted(os.listdir(tmp_path)) == ["out.raw.journal", "out.raw.part"]
        run(evidence, out, RESUMED)
        assert contents(tmp_path) == undisturbed
    else:
        assert "nothing unfinished is left behind" in said
        assert os.listdir(tmp_path) == []


AT_BIRTH = """
import os
made = os.open
def opened(path, flags, *more, **named):
    fd = made(path, flags, *more, **named)
    if flags & os.O_CREAT and os.fsdecode(path).endswith(os.environ["ENDING"]):
        os.kill(os.getpid(), int(os.environ["NUMBER"]))
    return fd
os.open = opened
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("ending", [".journal", ".part"])
def test_a_signal_while_a_file_is_made_leaves_nothing(
    ending: str, number: signal.Signals, evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """The file is there, and nothing else has happened yet: who cleans up must know of it."""
    command = [sys.executable, "-c", AT_BIRTH + SLOW, str(ROOT), "export", str(evidence), str(tmp_path / "out.raw")]
    environment = {**os.environ, "ENDING": ending, "NUMBER": str(int(number))}
    ran = subprocess.run(
        [*command, "--on-error=pattern", "--hash=sha256", "--discard"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, os.listdir(tmp_path)) == (130, [])
    assert "nothing unfinished is left behind" in ran.stderr


@pytest.mark.parametrize("keep", [True, False])
def test_a_full_disk(keep: bool, evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """A limit on the size of files stands for the end of the disk."""
    out = tmp_path / "out.raw"
    code = "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (26214400 - 1, resource.RLIM_INFINITY))\n"
    limited = [sys.executable, "-c", code + SLOW, str(ROOT), "export", str(evidence), str(out), "--on-error=pattern"]
    ran = subprocess.run([*limited, *([] if keep else ["--discard"])], capture_output=True, text=True, check=False)
    assert ran.returncode == 74
    assert "File too large" in ran.stderr
    assert "raise the limit of this process for the size of a file (ulimit -f), now 26,214,399 bytes" in ran.stderr
    assert ("then continue it (--resume)" in ran.stderr) is keep
    left = sorted(os.listdir(tmp_path))
    assert left == (["out.raw.journal", "out.raw.part"] if keep else [])
    if keep:
        run(evidence, out, RESUMED)
        assert contents(tmp_path) == undisturbed


def test_a_disk_that_gets_full_while_copying(
    evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.pwritev, iter(range(1000))

    def fuller(fd: int, buffers: list[bytes], offset: int) -> int:
        if next(calls) >= 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fuller)
        with pytest.raises(CannotExport, match="No space left on device") as caught:
            run(evidence, tmp_path / "out.raw", KEPT)
    assert "is kept" in str(caught.value)
    run(evidence, tmp_path / "out.raw", RESUMED)
    assert contents(tmp_path) == undisturbed


@pytest.fixture
def stopped(evidence: Path, tmp_path: Path) -> Path:
    """A copy of the evidence with a stopped export beside it."""
    copy = tmp_path / "disk.qcow2"
    copy.write_bytes(evidence.read_bytes())
    os.utime(copy, ns=(1, 1))
    with pytest.raises(Cancelled):
        run(copy, tmp_path / "out.raw", KEPT, Stopping(6))
    return copy


@pytest.mark.parametrize("what", ["mtime", "size", "head", "policy", "format"])
def test_other_evidence_or_choices_are_refused(what: str, stopped: Path, tmp_path: Path) -> None:
    choices, words = RESUMED, "sources differ"
    if what == "mtime":
        os.utime(stopped, ns=(1, 2))
    elif what == "size":
        with stopped.open("ab") as file:
            file.write(b"x")
        os.utime(stopped, ns=(1, 1))
    elif what == "head":
        with stopped.open("rb+") as file:
            file.seek(900)
            file.write(b"x")
        os.utime(stopped, ns=(1, 1))
    elif what == "policy":
        choices, words = Choices(on_error=OnError.ZERO, resume=True), "on_error differ"
    else:
        choices = Choices(on_error=OnError.PATTERN, resume=True, within=GuestRange.at(0, 1 << 20))
        words = "within differ"
    before = (tmp_path / "out.raw.part").read_bytes()
    with pytest.raises(CannotExport, match=f"belongs to another export: .*{words}"):
        run(stopped, tmp_path / "out.raw", choices)
    assert (tmp_path / "out.raw.part").read_bytes() == before
    assert (tmp_path / "out.raw.journal").exists()


def test_a_torn_journal_counts_up_to_its_last_whole_line(
    stopped: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "out.raw.journal"
    path.write_bytes(path.read_bytes() + b'{"done": 26214400')
    run(stopped, tmp_path / "out.raw", RESUMED)
    assert (tmp_path / "out.raw").read_bytes() == undisturbed["out.raw"]


@pytest.mark.parametrize("junk", [b"", b"\0" * 100, b"[]\n", b'{"journal": 1}\n'])
def test_what_is_no_journal_is_refused(junk: bytes, stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "out.raw.journal").write_bytes(junk)
    with pytest.raises(CannotExport, match=r"is no journal|belongs to another"):
        run(stopped, tmp_path / "out.raw", RESUMED)


def test_mapped_parts_of_one_size_are_told_apart(tmp_path: Path) -> None:
    clusters = {index: Data(noise(index, CLUSTER)) for index in range(100)}
    image = Image(MemorySource(build(Recipe(Layout(100 * CLUSTER), clusters))))
    first, second = (MappedView(image.active_disk(), GuestRange.at(at * CLUSTER, 50 * CLUSTER)) for at in (0, 50))
    with pytest.raises(Cancelled):
        export(first, str(tmp_path / "out.raw"), KEPT, progress=StoppingAt(1 << 20))
    with pytest.raises(CannotExport, match="belongs to another export: within differ"):
        export(second, str(tmp_path / "out.raw"), RESUMED)


@pytest.mark.parametrize("split", [0, 3 << 20])
def test_bytes_that_are_gone_are_no_zeros(split: int, evidence: Path, tmp_path: Path) -> None:
    """The journal says that they stand there; somebody has cut the file, or removed one of the parts."""
    out = tmp_path / "out.raw"
    with pytest.raises(Cancelled):
        run(evidence, out, replace(KEPT, split=split), StoppingAt(10 << 20))
    assert json.loads((tmp_path / "out.raw.journal").read_text().splitlines()[-1])["done"] > 1 << 20
    if split:
        (tmp_path / "out.raw.001.part").unlink()
    else:
        os.truncate(tmp_path / "out.raw.part", 1 << 20)
    for _ in range(2):
        with pytest.raises(CannotExport, match=r"\.part holds [\d,]+ bytes, of [\d,]+ that were written before"):
            run(evidence, out, replace(RESUMED, split=split))
    run(evidence, out, replace(RESUMED, split=split, resume=False, force=True))
    assert not list(tmp_path.glob("*.part"))


def test_parts_that_were_never_made_are_made(evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """A kill may come while the files of the parts are created, or the copy has not come to them."""
    out = tmp_path / "out.raw"
    with pytest.raises(Cancelled):
        run(evidence, out, replace(KEPT, split=1 << 20), StoppingAt(4 << 20))
    for number in (24, 25):
        (tmp_path / f"out.raw.{number:03}.part").unlink()
    run(evidence, out, replace(RESUMED, split=1 << 20))
    parts = sorted(tmp_path.glob("out.raw.0*"))
    assert b"".join(part.read_bytes() for part in parts) == undisturbed["out.raw"]


@pytest.mark.parametrize("journal", [True, False])
def test_nothing_is_continued_from_the_beginning(
    journal: bool, evidence: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """Whoever dies before the first byte, or loses the unfinished file, need not know what to say instead."""
    if journal:
        (tmp_path / "out.raw.journal").write_bytes(b'{"journal": 1}\n')
    run(evidence, tmp_path / "out.raw", RESUMED)
    assert contents(tmp_path) == undisturbed


def test_a_file_that_is_called_like_a_journal_stays(evidence: Path, tmp_path: Path) -> None:
    (tmp_path / "out.raw.journal").write_bytes(b"dear diary\n")
    with pytest.raises(CannotExport, match="is no journal of an export"):
        run(evidence, tmp_path / "out.raw", RESUMED)
    assert contents(tmp_path) == {"out.raw.journal": b"dear diary\n"}


def test_a_finished_file_is_not_continued(evidence: Path, tmp_path: Path) -> None:
    (tmp_path / "out.raw").write_bytes(b"mine")
    with pytest.raises(CannotExport, match="exists"):
        run(evidence, tmp_path / "out.raw", RESUMED)
    assert contents(tmp_path) == {"out.raw": b"mine"}


def test_what_the_image_stops_leaves_nothing_to_continue(evidence: Path, tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        run(evidence, tmp_path / "out.raw", replace(KEPT, on_error=OnError.FAIL))
    assert os.listdir(tmp_path) == []


def test_what_the_disk_did_not_keep_is_not_continued(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are wrong: hashed once more, they would be taken for right."""
    flushed = FileTarget.flush

    def corrupting(target: FileTarget) -> None:
        flushed(target)
        os.pwrite(target.outputs[0].fd, b"rust", 4096)

    monkeypatch.setattr(FileTarget, "flush", corrupting)
    with pytest.raises(CannotExport, match="reading back gave"):
        run(evidence, tmp_path / "out.raw", replace(KEPT, verify=True))
    assert os.listdir(tmp_path) == []


def test_an_unfinished_export_is_not_started_over_unasked(
    stopped: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(CannotExport, match="left over from an unfinished run"):
        run(stopped, tmp_path / "out.raw", KEPT)
    run(stopped, tmp_path / "out.raw", Choices(force=True, on_error=OnError.PATTERN))
    assert (tmp_path / "out.raw").read_bytes() == undisturbed["out.raw"]
    assert not (tmp_path / "out.raw.journal").exists()


def test_evidence_that_shrinks_meanwhile_is_an_error(evidence: Path, tmp_path: Path) -> None:
    copy = tmp_path / "disk.qcow2"
    copy.write_bytes(evidence.read_bytes())

    class Cut(Silent):
        def begin(self, what: str, total: int | None) -> None:
            if what.startswith("Exporting"):
                os.truncate(copy, 1 << 20)

    with pytest.raises((CannotRead, CannotExport), match="became shorter"):
        run(copy, tmp_path / "out.raw", Choices(on_error=OnError.FAIL), Cut())
    assert not (tmp_path / "out.raw").exists()


def test_a_journal_joins_what_continues(tmp_path: Path) -> None:
    journal = journals.Journal.fresh(str(tmp_path / "j"), {"journal": 1})
    for at in range(0, 100, 10):
        journal.add(Trouble(GuestRange.at(at, 10), HostRange.at(at + 5, 10), 0, "unreadable", "same", "zeros"))
    journal.add(Trouble(GuestRange.at(100, 10), None, 0, "unreadable", "same", "zeros"))
    journal.add(Trouble(GuestRange.at(120, 10), None, 0, "unreadable", "same", "zeros"))
    found = [(int(t.guest.start), int(t.guest.end), t.host) for t in journal.troubles()]
    assert found == [(0, 100, HostRange.at(5, 100)), (100, 110, None), (120, 130, None)]
    journal.close(keep=False)
    assert os.listdir(tmp_path) == []


def test_stopping_takes_no_longer_than_a_step(evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a read hangs, the export still hears that it shall stop."""
    hanging = threading.Event()
    real = FileSource.read_at

    def hang(source: FileSource, offset: int, size: int) -> bytes:
        if threading.current_thread().name.startswith("worker"):
            hanging.wait(20)
        return real(source, offset, size)

    class Asked(Silent):
        begun = False

        def begin(self, what: str, total: int | None) -> None:
            self.begun = what.startswith("Exporting")

        def advance(self, amount: int) -> None:
            if self.begun:
                hanging.set()
                raise Cancelled

    monkeypatch.setattr(FileSource, "read_at", hang)
    with pytest.raises(Cancelled):
        run(evidence, tmp_path / "out.raw", Choices(on_error=OnError.PATTERN), Asked())
    assert hanging.is_set()
    assert os.listdir(tmp_path) == []


def test_limits_are_those_of_the_system() -> None:
    """The test of the full disk relies on it."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
