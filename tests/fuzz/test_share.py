"""A short share of the fuzzer's run, always the same images; and that it sees what it looks for."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from qcow2inspect.format.header import Header
from tests.fuzz import oracle, worker
from tests.fuzz.drive import drive
from tests.fuzz.judge import judge
from tests.fuzz.mutate import Case, make, planned
from tests.fuzz.oracle import Answer, Difference, Oracle
from tests.fuzz.policy import POLICIES, explain
from tests.fuzz.run import Totals, fuzz, options_of
from tests.fuzz.seeds import NAMES, seed

pytestmark = pytest.mark.oracle

SHARE = 400


def share(start: int, folder: Path) -> Totals:
    options = options_of(["--images", str(SHARE), "--start", str(start), "--jobs", "1", "--minutes", "4"])
    options.folder = folder
    return fuzz(options)


@pytest.mark.parametrize("start", [0, planned()], ids=["every header field", "by chance"])
def test_a_share_of_the_run(start: int, tmp_path: Path) -> None:
    totals = share(start, tmp_path)
    assert totals.images >= SHARE
    assert totals.compared > SHARE // 50
    assert totals.is_clean, "\n".join(str(failure) for failure in totals.failures)


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
        kind: str = worker.attempt(make(1, planned()), tmp_path, qemu=False)["kind"]
        return kind

    def crash(data: bytes) -> None:
        raise ZeroDivisionError

    def hang(data: bytes) -> None:
        while True:
            random.random()

    def hoard(data: bytes) -> None:
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
    verdict = judge(case(sound), drive(sound), tmp_path, always=True)
    assert (verdict.compared, verdict.unexplained, verdict.policies) == (True, [], [])
    monkeypatch.setattr(oracle._Ours, "whole", lambda self: Answer(b"other bytes"))
    wrong = judge(case(sound), drive(sound), tmp_path, always=True)
    assert [text.partition(":")[0] for text in wrong.unexplained] == ["bytes"]


def test_no_policy_explains_other_bytes() -> None:
    data = seed("4k").data
    for question in ("info", "check", "bytes", "map"):
        difference = Difference(question, Answer(b"ours"), Answer(b"else"))
        assert question == "info" or explain(data, difference) is None
    refused = Difference("bytes", Answer(b"ours"), Answer(error="could not"))
    assert explain(data, refused) is None
    crashed = dataclasses.replace(refused, theirs=Answer(error="", crashed=True))
    explained = explain(data, crashed)
    assert explained is not None
    assert explained.name == "QEMU crashes"
    assert len({policy.name for policy in POLICIES}) == len(POLICIES)
    assert all(policy.why.endswith(".") for policy in POLICIES)
