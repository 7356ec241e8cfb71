"""One worker: judges every so-manieth image and prints one JSON line before and one after each."""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.drive import drive
from tests.fuzz.judge import Judge
from tests.fuzz.mutate import Case, make
from tests.fuzz.seeds import seed

CPU_LIMIT = 20
"""Seconds of processor time that one image may take."""
MEMORY_LIMIT = 256 << 20
"""Bytes by which one image may make the process grow."""
WALKED = 4
"""Of so many images one is walked through node by node."""
_HARD_LIMIT = 1 << 30


class Hang(BaseException):
    """An image took too long."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise Hang


def _resident(name: str) -> int:
    """A line of /proc/self/status in bytes: ``VmRSS``, ``VmHWM``, ``VmSize``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) << 10
    return 0


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def attempt(case: Case, judge: Judge | None) -> dict[str, Any]:
    """Judge one image under the limits; says what went wrong instead of raising.

    Args:
        case: the image.
        judge: compares with QEMU; None if nothing does.
    """
    if case.data == case.seed.data:
        return {"number": case.number, "kind": "same"}
    _forget_peak()
    before = _resident("VmRSS")
    started = time.process_time()
    result: dict[str, Any] = {"number": case.number, "seed": case.seed.name, "what": case.what}
    result["walked"] = case.number % WALKED == 0
    signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT)
    try:
        seen = drive(case.data, walk=case.number % WALKED == 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        result["seconds"] = time.process_time() - started
        result["grown"] = _resident("VmHWM") - before
        if result["grown"] > MEMORY_LIMIT:
            result |= {"kind": "memory", "trace": f"grew by {result['grown'] >> 20} MiB"}
        elif judge is not None:
            result |= vars(judge.judge(case, seen))
        else:
            result["kind"] = "driven"
    except Hang:
        result |= {"kind": "hang", "trace": traceback.format_exc(limit=-12)}
    except MemoryError:
        result |= {"kind": "memory", "trace": traceback.format_exc(limit=-12)}
    except Exception:  # whatever it is, it is what the fuzzer looks for
        result |= {"kind": "crash", "trace": traceback.format_exc(limit=-12)}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return result


def limit_memory() -> None:
    """No image may make the process larger than this, whatever it says."""
    most = _resident("VmSize") + _HARD_LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _memory() -> str | None:
    """A folder in memory, if there is one: every image is written once."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _tell(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--step", type=int, required=True)
    parser.add_argument("--no-qemu", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGPROF, _stop)
    drive(seed("4k").data)  # imports count for nobody
    limit_memory()
    gc.freeze()  # what is there now stays, and need not be looked through again
    with tempfile.TemporaryDirectory(prefix="qcow2-fuzz-", dir=_memory()) as name, Judge(Path(name)) as judge:
        number = options.first
        while os.getppid() != 1:
            _tell(begins=number)
            _tell(**attempt(make(options.seed, number), None if options.no_qemu else judge))
            number += options.step


if __name__ == "__main__":
    main()
