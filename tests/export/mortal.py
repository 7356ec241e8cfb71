"""Exports that meet their end at a chosen call to the system or in a chosen phase, each in a process of its own.

Started once, with everything loaded; every line of standard input is an export: its arguments, the call before which
something happens or the phase in which it does, and what. It is done by a fork, so that fifty deaths do not cost
fifty starts.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

CALLS = ("pwrite", "pwritev", "copy_file_range", "fsync", "fdatasync", "ftruncate", "rename", "link", "unlink")
"""Where an export changes the world outside."""


def count_calls(point: int, happen: Callable[[], None]) -> list[int]:
    """Have ``happen`` called before call number ``point``; the list holds the number of calls so far."""
    counted, lock = [0], threading.Lock()

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            with lock:
                counted[0] += 1
                number = counted[0]
            if number == point:
                happen()
            return real(*words, **named)

        return call

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))
    return counted


class Watcher:
    """Progress that has something happen when a phase has come a little further.

    Args:
        phase: how the phase begins that is waited for.
        after: how many steps it goes before.
        happen: what happens, once.
    """

    def __init__(self, phase: str, after: int, happen: Callable[[], None]) -> None:
        self._phase, self._left, self._happen = phase, after, happen
        self._inside = False

    def begin(self, what: str, total: int | None) -> None:
        self._inside = what.startswith(self._phase)
        self.advance(0)

    def advance(self, amount: int) -> None:
        if self._inside:
            self._left -= 1
            if self._left == -1:
                self._happen()


def at_the_name(happen: Callable[[], None], *, before: bool) -> None:
    """Have ``happen`` called when the finished file gets its name: just before, or just after."""
    for name in ("rename", "link", "replace"):
        real = getattr(os, name)

        def call(source: Any, target: Any, *more: Any, real: Callable[..., Any] = real, **named: Any) -> Any:
            is_name = os.path.basename(target) == "out"
            if is_name and before:
                happen()
            done = real(source, target, *more, **named)
            if is_name and not before:
                happen()
            return done

        setattr(os, name, call)


def happening(order: dict[str, Any]) -> Callable[[], None]:
    """What an order wants to happen."""

    def happen() -> None:
        if "signal" in order:
            os.kill(os.getpid(), order["signal"])
        elif "errno" in order:
            raise OSError(order["errno"], os.strerror(order["errno"]))
        elif "remove" in order:
            Path(order["remove"]).unlink(missing_ok=True)
        elif "move" in order:
            os.replace(order["move"], order["move"] + "-gone")
        elif "touch" in order:
            with Path(order["touch"]).open("ab") as file:
                file.write(b"more")

    return happen


def watch(phase: str, after: int, happen: Callable[[], None]) -> None:
    """Have ``happen`` called in a phase of the export."""
    from qcow2inspect.cli import verb_export

    if phase.endswith("the name"):
        at_the_name(happen, before=phase.startswith("before"))
    else:
        watcher = Watcher(phase, after, happen)
        vars(verb_export)["progress_bar"] = lambda: nullcontext(watcher)


def child(order: dict[str, Any]) -> int:
    """Run the command line; gives its exit code."""
    from qcow2inspect.cli.main import run
    from qcow2inspect.export import journal, steps

    journal._INTERVAL = 0.005
    steps.LOAD, steps.COPY = 1 << 17, 1 << 17
    said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 2)
    os.dup2(said, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    counted = count_calls(order.get("point", 0), happening(order))
    if "phase" in order:
        watch(order["phase"], order.get("after", 0), happening(order))
    code = run(order["arguments"])
    sys.stderr.flush()
    os.write(said, f"\ncalls {counted[0]}\n".encode())
    return code


def main() -> None:
    """Serve orders until there are no more; what an export loads is loaded once, by one that nobody looks at."""
    from qcow2inspect.cli.main import run

    with tempfile.TemporaryDirectory() as folder:
        run(["export", sys.argv[1], f"{folder}/out", "--on-error=best", "--hash=sha256"])
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                os._exit(child(json.loads(line)))
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(99)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
