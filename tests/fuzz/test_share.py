"""A short share of the fuzzer's run, always the same images; and that it sees what it looks for."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from qcow2inspect.format.header import Header
from tests.fuzz import oracle, qemu_io, worker
from tests.fuzz.drive import drive
from tests.fuzz.judge import Judge
from tests.fuzz.mutate import Case, make, planned
from tests.fuzz.oracle import IMAGE, Answer, Difference, Oracle, Ours
from tests.fuzz.policy import POLICIES, explain
from tests.fuzz.qemu_io import QemuIo
from tests.fuzz.reads import Reads, Run
from tests.fuzz.run import Totals, fuzz, options_of
from tests.fuzz.seeds import NAMES, seed

pytestmark = pytest.mark.oracle

SHARE = 100


def share(start: int, folder: Path) -> Totals:
    options = options_of(
        ["--images", str(SHARE), "--start", str(start), "--jobs", "1", "--minutes", "4", "--seed", "1"]
    )
    options.folder = folder
    return fuzz(options)


@pytest.mark.parametrize("start", [0, planned()], ids=["every header field", "by chance"])
def test_a_share_of_the_run(start: int, tmp_path: Path) -> None:
    totals = share(start, tmp_path)
    assert totals.images >= SHARE
    assert totals.read > SHARE // 2
    assert totals.compared
    assert totals.is_clean, "\n".join(str(failure) for failure in totals.failures)


def test_a_run_of_no_images_is_no_clean_run() -> None:
    totals = Totals()
    assert not totals.is_clean
    totals.add({"number": 1, "kind": "harmless"})
    assert totals.is_clean
    totals.add({"number": 2, "kind": "flagged", "unexplained": ["bytes: other"]})
    assert not totals.is_clean


@pytest.mark.parametrize("name", NAMES)
def test_seeds_are_sound_and_as_qemu_sees_them(name: str, tmp_path: Path) -> None:
    seen = drive(seed(name).data)
    assert not seen.refused
    assert seen.stopped in ("", "NeedsFile", "NeedsKey")
    assert Oracle(tmp_path).compare(seed(name).data) == []


def test_seeds_have_every_kind_of_place() -> None:
    kinds = {place.path.partition("[")[0].partition(".")[0] for name in NAMES for place in seed(name).places}
    assert {"hdr", "ext", "L1", "rt", "ref", "snap", "bitmap", "luks", "backing"} <= kinds
    fields = {place.path for place in seed("4k").fields}
    rows = {f"hdr.{row.name}" for row in Header.ROWS}
    assert fields >= rows - {"hdr.magic"}
    assert any(".L2[" in place.path for place in seed("snapshots").places if place.path.startswith("snap"))


def test_the_same_number_is_the_same_image() -> None:
    for number in (0, planned() - 1, planned(), planned() + 77):
        assert make(5, number) == make(5, number)
    assert make(5, planned() + 3).data != make(6, planned() + 3).data


def case(data: bytes) -> Case:
    return Case(1, seed("4k"), data, "made by a test")


def test_a_crash_a_hang_and_a_hoard_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    def outcome() -> str:
        kind: str = worker.attempt(make(1, planned()), None)["kind"]
        return kind

    def crash(data: bytes, *, walk: bool) -> None:
        raise ZeroDivisionError

    def hang(data: bytes, *, walk: bool) -> None:
        while True:
            random.random()

    def hoard(data: bytes, *, walk: bool) -> None:
        assert len(random.randbytes(40 << 20))

    previous = signal.signal(signal.SIGPROF, worker._stop)
    try:
        monkeypatch.setattr(worker, "CPU_LIMIT", 0.2)
        monkeypatch.setattr(worker, "MEMORY_LIMIT", 30 << 20)
        outcomes = []
        for way in (crash, hang, hoard):
            monkeypatch.setattr(worker, "drive", way)
            outcomes.append(outcome())
    finally:
        signal.signal(signal.SIGPROF, previous)
    assert outcomes == ["crash", "hang", "memory"]


def test_a_silent_difference_from_qemu_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = seed("4k").data
    with Judge(tmp_path) as judge:
        verdict = judge.judge(case(sound), drive(sound), always=True)
        assert (verdict.read, verdict.compared, verdict.unexplained, verdict.policies) == (True, True, [], [])
        monkeypatch.setattr(oracle.Ours, "whole", lambda self: Answer(b"other bytes"))
        wrong = judge.judge(case(sound), drive(sound), always=True)
    assert [text.partition(":")[0] for text in wrong.unexplained] == ["bytes"]


@pytest.mark.parametrize(("at", "size"), [(0, 512), (0, 13), (4096 * 4, 1), (8192, 4096), (5 * 4096, 300)])
def test_qemu_io_sees_a_byte_that_is_another(at: int, size: int, tmp_path: Path) -> None:
    sound = seed("4k").data
    reads = Reads(Oracle(tmp_path))
    assert reads.compare(sound) == []
    with Ours(tmp_path / IMAGE) as ours:
        data = ours.whole().value[at : at + size]
    wrong = bytes([*data[:-1], data[-1] ^ 1])
    opening = f"open -r -o driver=qcow2 {IMAGE}"
    runs = [Run(at, size, answer) for answer in (Answer(data), Answer(wrong), Answer(error="unreadable"))]
    _, *answers, _ = reads.qemu.ask([opening, *(run.command for run in runs), "close"])
    assert [run.agrees(text) for run, text in zip(runs, answers, strict=True)] == [True, False, False]
    reads.qemu.close()


def test_other_allocation_and_other_refusal_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = seed("4k").data
    reads = Reads(Oracle(tmp_path))
    with monkeypatch.context() as other:
        other.setattr(oracle.Ours, "map", lambda self: Answer([]))
        assert [difference.question for difference in reads.compare(sound) or ()] == ["allocation"]
        other.setattr(oracle.Ours, "map", lambda self: Answer(error="no map"))
        assert [difference.question for difference in reads.compare(sound) or ()] == ["map"]
        other.setattr(oracle.Ours, "disk", lambda self: Answer(error="refused"))
        assert [difference.question for difference in reads.compare(sound) or ()] == ["open"]
    refused = sound[:4] + b"\0\0\0\x09" + sound[8:]
    assert reads.compare(refused) == []
    reads.qemu.close()


def test_qemu_io_is_started_again_when_it_ends_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qemu = QemuIo(tmp_path)
    for command, wait, hung in (("quit", 90.0, False), ("sleep 5000", 0.1, True)):
        monkeypatch.setattr(qemu_io, "WAIT", wait)
        with pytest.raises(qemu_io.Died) as died:
            qemu.ask([command, "length", "close"])
        assert died.value.hung is hung
    monkeypatch.setattr(qemu_io, "WAIT", 90.0)
    assert "no file open" in qemu.ask(["length"])[0]
    assert qemu.starts == 3
    qemu.close()


def test_no_policy_explains_other_bytes() -> None:
    data = seed("4k").data
    for question in ("info", "check", "bytes", "map", "open", "read", "allocation"):
        difference = Difference(question, Answer(b"ours"), Answer(b"else"), at=0)
        assert question == "info" or explain(data, difference) is None
    refused = Difference("bytes", Answer(b"ours"), Answer(error="could not"))
    assert explain(data, refused) is None
    crashed = dataclasses.replace(refused, theirs=Answer(error="", crashed=True))
    explained = explain(data, crashed)
    assert explained is not None
    assert explained.name == "QEMU crashes"
    assert len({policy.name for policy in POLICIES}) == len(POLICIES)
    assert all(policy.why.endswith(".") for policy in POLICIES)
