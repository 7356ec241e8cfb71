"""The consistency check beside qemu-img check: the images, and one row for each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.measure import ENV, OURS, Ran, Row, median, timed
from tests.benchmarks.metadata import Mapped

IMAGES = {
    "1 TiB mapped, 64 KiB clusters": (Mapped(1 << 40), 0.5),
    "64 GiB mapped, 4 KiB clusters": (Mapped(1 << 36, 12), 0.25),
    "256 GiB mapped, 4 KiB clusters": (Mapped(1 << 38, 12), 0.25),
    "1 GiB mapped at random, 4 KiB clusters": (Mapped(1 << 30, 12, shuffled=True), 0.5),
    "1 TiB with ten snapshots": (Mapped(1 << 40, snapshots=10), 0.5),
    "1 TiB, extended L2 entries": (Mapped(1 << 40, extended=True), 0.5),
}
"""Images whose goal is a ratio of wall time."""
_CLEAN_OR_NOT = (0, 2, 3)
_MORE_MEMORY = 60_000_000
_SECONDS = 0.5
_PATIENCE = 2.0
_IMPORTS = "import gc, os; gc.set_threshold(20_000); os.environ['OPENBLAS_NUM_THREADS'] = '1'"
_IMPORTS += "; import argparse, numpy, qcow2inspect.cli.verb_check, qcow2inspect.cli.main, qcow2inspect.survey.survey"
_IMPORTS += ", qcow2inspect.reports.check, qcow2inspect.rules; qcow2inspect.rules.all_rules()"


def rows(place: Path, empty: Path, small: Path, runs: int) -> Iterator[Row]:
    """One row for each goal.

    Args:
        place: where images are written.
        empty: an image of 64 TiB without data.
        small: an image of 1 MiB without data.
        runs: how often each pair is measured, less often where it takes long.
    """
    for what, (image, goal) in IMAGES.items():
        yield _ratio(what, image.write(place / "check.qcow2"), goal, runs)
    yield _absolute("40,000 L1 entries on one L2 table", Mapped(1 << 29, aliases=40_000).write(place / "a"), None, runs)
    yield _absolute("64 TiB sparse", empty, 120_000_000, runs)
    yield _small(small, runs)


def _pairs(path: Path, runs: int) -> tuple[Ran, Ran]:
    """Medians of our check and of qemu-img's, measured in turn; the most memory of each."""
    took: list[tuple[Ran, Ran]] = []
    start = time.perf_counter()
    while len(took) < runs and (not took or time.perf_counter() - start < _PATIENCE * runs):
        ours = timed([*OURS, "check", str(path)], ENV, codes=_CLEAN_OR_NOT)
        took.append((ours, timed(["qemu-img", "check", str(path)], codes=_CLEAN_OR_NOT)))
    return median([ours for ours, _ in took]), median([peer for _, peer in took])


def _ratio(what: str, path: Path, goal: float, runs: int) -> Row:
    ours, peer = _pairs(path, runs)
    wall, cpu = ours.seconds / peer.seconds, ours.cpu / peer.cpu
    is_met = wall <= goal and ours.rss <= peer.rss + _MORE_MEMORY
    goals = f"<= {goal}, memory <= qemu-img's + 60 MB"
    return Row(
        f"check, {what}", str(ours), f"qemu-img check {peer}", f"{wall:.2f} (CPU {cpu:.2f})", _said(goals, is_met)
    )


def _absolute(what: str, path: Path, most: int | None, runs: int) -> Row:
    ours, peer = _pairs(path, runs)
    goals = f"< {_SECONDS} s" + (f" and < {most // 1_000_000} MB" if most else "")
    is_met = ours.seconds < _SECONDS and (most is None or ours.rss < most)
    ratio = f"{ours.seconds / peer.seconds:.2f} (CPU {ours.cpu / max(peer.cpu, 1e-3):.2f})"
    return Row(f"check, {what}", str(ours), f"qemu-img check {peer}", ratio, _said(goals, is_met))


def _small(path: Path, runs: int) -> Row:
    """What our check takes beyond the start of the interpreter and of the modules that it needs."""
    loading = [sys.executable, "-c", _IMPORTS]
    check, peer_check = [*OURS, "check", str(path)], ["qemu-img", "check", str(path)]
    took = [(timed(loading, ENV), timed(check, ENV), timed(peer_check)) for _ in range(4 * runs)]
    start, ours, peer = (median(list(each)) for each in zip(*took, strict=True))
    beyond = (
        f"{(ours.seconds - start.seconds) * 1e3:.0f} ms (CPU {(ours.cpu - start.cpu) * 1e3:.0f} ms) beyond the start"
    )
    is_met = ours.seconds <= peer.seconds + start.seconds
    peers = f"start {start}, qemu-img check {peer.seconds * 1e3:.0f} ms"
    return Row("check, 1 MiB disk", str(ours), peers, beyond, _said("<= start + qemu-img's", is_met))


def _said(goal: str, is_met: bool) -> str:
    return f"{goal}: {'met' if is_met else 'missed'}"
