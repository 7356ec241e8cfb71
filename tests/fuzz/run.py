"""The fuzzer: ``tests/fuzz/run --minutes 5`` or ``--images 20000``; prints counts, keeps what fails.

Every image is made from a seed of chance and a number and is the same everywhere; the seed is another one in every
run, unless it is given, and is printed. Each image is read by a qemu-io that lasts, a share of them goes through
qemu-img as well. What crashes, hangs, grows too large or differs from QEMU without a reason that
:mod:`tests.fuzz.policy` gives is kept, with the line that shows it again.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import Case, make, planned
from tests.fuzz.qemu_io import cpu_seconds
from tests.fuzz.seeds import NAMES, seed

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 60.0
"""Seconds of processor time after which a worker that says nothing is ended."""
WAIT = 900.0
"""Seconds of any time after which it is ended: on a loaded machine all is slow, what neither works nor speaks hangs."""
TELL = 60.0
"""Seconds between two lines on how far it is."""


@dataclass
class Totals:
    """What a run has seen.

    Attributes:
        kinds: number of images by what became of them.
        policies: number of differences by the policy that explains them.
        walked: images whose tree of structures was walked through.
        read: images that qemu-io read, extent by extent.
        compared: images of which qemu-img's info, check, convert and map were compared, too.
        unexplained: images with a difference that nothing explains.
        slowest: longest processor time of one image, in seconds.
        largest: most bytes by which one image made a worker grow.
        failures: what is kept, first come first kept.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    walked: int = 0
    read: int = 0
    compared: int = 0
    unexplained: int = 0
    slowest: float = 0.0
    largest: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def images(self) -> int:
        return self.kinds.total()

    @property
    def is_clean(self) -> bool:
        failed = self.kinds["crash"] + self.kinds["hang"] + self.kinds["memory"] + self.unexplained
        return self.images > 0 and not failed

    def add(self, result: dict[str, Any]) -> None:
        self.kinds[result["kind"]] += 1
        self.walked += bool(result.get("walked"))
        self.read += bool(result.get("read"))
        self.compared += bool(result.get("compared"))
        self.policies.update(result.get("policies", ()))
        self.unexplained += bool(result.get("unexplained"))
        self.slowest = max(self.slowest, result.get("seconds", 0.0))
        self.largest = max(self.largest, result.get("grown", 0))
        if result["kind"] in ("crash", "hang", "memory") or result.get("unexplained"):
            self.failures.append(result)
            what = (result.get("unexplained") or [result.get("trace", "")])[0]
            print(f"{result['kind']}: image {result['number']}: {what[-500:]}", flush=True)

    def lines(self, seconds: float) -> list[str]:
        """The counts, as they are printed at the end."""
        lines = [f"  {kind:<10}{count:>9,}" for kind, count in self.kinds.most_common()]
        lines += [f"  walked through {self.walked:,}"]
        lines += [f"  compared with QEMU: by qemu-io {self.read:,}, by qemu-img as well {self.compared:,}; by policy:"]
        lines += [f"    {count:>7,} {name}" for name, count in self.policies.most_common()]
        lines += [f"  slowest image {self.slowest:.1f} s, largest growth {self.largest >> 20} MiB"]
        return [*lines, f"  {self.images / seconds:.1f} images per second", self.line()]

    def line(self) -> str:
        """The counts that matter most."""
        kinds = self.kinds
        failed = f"crashes {kinds['crash']}, hangs {kinds['hang']}, cap violations {kinds['memory']}"
        return f"images {self.images}, compared {self.read}, {failed}, unexplained {self.unexplained}"


class _Worker:
    """A worker process and the image that it looks at."""

    def __init__(self, options: argparse.Namespace, first: int) -> None:
        self._options = options
        self.current = first
        self._rest = b""
        more = ["--no-qemu"] if options.no_qemu else []
        command = [sys.executable, "-m", "tests.fuzz.worker", "--seed", str(options.seed), "--first", str(first)]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        self.process = subprocess.Popen(
            [*command, "--step", str(options.jobs), *more],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )
        self._note_time()

    def _note_time(self) -> None:
        self._heard, self._worked = time.monotonic(), cpu_seconds(self.process.pid)

    @property
    def hangs(self) -> bool:
        """It has said nothing for too long."""
        silent = time.monotonic() - self._heard
        return silent > WAIT or (silent > PATIENCE and cpu_seconds(self.process.pid) - self._worked > PATIENCE)

    def hear(self, totals: Totals) -> bool:
        """Take what the worker says; False if it has ended."""
        assert self.process.stdout is not None
        piece = os.read(self.process.stdout.fileno(), 1 << 16)
        self._note_time()
        if not piece:
            totals.add({"number": self.current, "kind": "crash", "trace": f"exit code {self.process.wait()}"})
            return False
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for told in map(json.loads, lines):
            if "begins" in told:
                self.current = told["begins"]
            else:
                totals.add(told)
        return True

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def fuzz(options: argparse.Namespace) -> Totals:
    """Run the workers until there are enough images or the time is over."""
    totals, end, told = Totals(), time.monotonic() + options.minutes * 60, time.monotonic()
    with selectors.DefaultSelector() as waiting:

        def start(first: int) -> None:
            worker = _Worker(options, first)
            assert worker.process.stdout is not None
            waiting.register(worker.process.stdout, selectors.EVENT_READ, worker)

        def stop(worker: _Worker) -> None:
            waiting.unregister(worker.process.stdout)  # type: ignore[arg-type]  # it has one
            worker.end()

        for index in range(options.jobs):
            start(options.start + index)
        stopped: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
        while totals.images < options.images and time.monotonic() < end and not stopped:
            for key, _ in waiting.select(timeout=1):
                if not key.data.hear(totals):
                    stop(key.data)
                    start(key.data.current + options.jobs)
            for worker in [key.data for key in waiting.get_map().values()]:
                if worker.hangs:
                    totals.add({"number": worker.current, "kind": "hang", "trace": "the worker said nothing"})
                    stop(worker)
                    start(worker.current + options.jobs)
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                print(f"{time.strftime('%H:%M:%S')} {totals.line()}", flush=True)
        for worker in [key.data for key in waiting.get_map().values()]:
            stop(worker)
    return totals


def _keep(options: argparse.Namespace, totals: Totals) -> None:
    """Write what failed, one of each kind of trace, and how to see it again."""
    shown: Counter[str] = Counter()
    for failure in totals.failures:
        case = make(options.seed, failure["number"])
        trace = failure.get("trace", "") or "\n".join(failure["unexplained"])
        kind = "\n".join(trace.splitlines()[-1:])[:60] if "trace" in failure else trace[:60]
        shown[kind] += 1
        if shown[kind] > options.keep:
            continue
        path = options.folder / f"{case.seed.name}-{failure['kind']}-{options.seed}-{case.number}.qcow2"
        options.folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.data)
        print(f"\n{failure['kind']}: {case.seed.name}: {case.what}\n{trace}")
        print(f"again: tests/fuzz/run --file {path}")
        print(f"   or: tests/fuzz/run --seed {options.seed} --only {case.number}")


def _again(options: argparse.Namespace) -> int:
    """Judge one image, with all that is known about it."""
    from tests.fuzz.drive import drive
    from tests.fuzz.judge import Judge

    if options.file:
        name = next(part for part in sorted(NAMES, key=len, reverse=True) if options.file.name.startswith(part))
        case = Case(0, seed(name), options.file.read_bytes(), str(options.file))
    else:
        case = make(options.seed, options.only)
    print(f"{case.seed.name}: {case.what}")
    seen = drive(case.data)
    print(seen)
    with tempfile.TemporaryDirectory() as folder, Judge(Path(folder)) as judge:
        verdict = judge.judge(case, seen, always=True)
    print(verdict)
    return int(bool(verdict.unexplained))


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/fuzz/run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60 * 24.0, help="stop after so many minutes")
    parser.add_argument("--images", type=int, default=1 << 60, help="stop after so many images")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="seed of chance")
    parser.add_argument("--start", type=int, default=0, help="number of the first image")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--no-qemu", action="store_true", help="do not compare with QEMU")
    parser.add_argument("--keep", type=int, default=2, help="how many failures of a kind to keep")
    parser.add_argument("--folder", type=Path, default=Path("fuzz-failures"), help="where to keep them")
    parser.add_argument("--only", type=int, help="judge the image with this number and say everything about it")
    parser.add_argument("--file", type=Path, help="judge a kept image")
    options = parser.parse_args(arguments)
    if options.minutes == parser.get_default("minutes") and options.images == parser.get_default("images"):
        options.minutes = 5.0
    return options


def main() -> int:
    options = options_of()
    if options.only is not None or options.file:
        return _again(options)
    started = time.monotonic()
    print(f"images 0 to {planned() - 1:,} change every header field of every seed; later ones are drawn by chance")
    print(f"the same again: tests/fuzz/run --seed {options.seed} --start {options.start} --images N", flush=True)
    totals = fuzz(options)
    _keep(options, totals)
    print("\n".join(totals.lines(time.monotonic() - started)))
    return 0 if totals.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
