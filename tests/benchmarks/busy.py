"""What the interface costs its user while it works: key latency and the time that cancelling takes.

Each work is measured in a pseudo terminal, with the real program: a cursor key is pressed and what it must show is
waited for, again and again as long as the work goes on; then the work is begun anew and cancelled, at several moments.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.measure import ENV, OURS, Row
from tests.benchmarks.metadata import Mapped
from tests.benchmarks.terminal import Screen, spawned

_LATENCY, _CANCEL = 0.1, 0.2
_MOMENTS = (0.1, 0.5, 1.0)
_MOST = 150


@dataclass(frozen=True)
class Work:
    """Something that the interface does behind the screens.

    Attributes:
        name: for people.
        begin: gives the order to do it, from the first screen on, and leaves the user in Explore or Guest.
        cancel: from there, up to but without the key that cancels.
        key: that key.
        said: what is shown once it has really stopped.
        over: what is shown when it was done to its end.
    """

    name: str
    begin: Callable[[Screen], None]
    cancel: Callable[[Screen], None]
    key: str
    said: str
    over: str


@dataclass
class Busy:
    """What was measured.

    Attributes:
        costs: seconds from each key to the first paint that shows what it did, in ascending order.
        cancels: seconds from the key that cancels to the words that say so.
    """

    costs: list[float] = field(default_factory=list)
    cancels: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        """Seconds that 95 of 100 keys do not exceed."""
        return self.costs[int(len(self.costs) * 0.95)]


# -- the works --------------------------------------------------------------------------------------------------


def _wait_for_tables(screen: Screen) -> None:
    screen.until("all tables read")


def _export(screen: Screen, hashes: int = 0) -> None:
    """Order an export to the path that the dialog offers; ``hashes`` steps of its choice of hashes."""
    _wait_for_tables(screen)
    screen.press("e")
    screen.until("Enter start")
    if hashes:
        screen.press("\t" * 5 + " " * hashes)
        screen.rest(1.0)  # the checks are made again
    screen.press("\r")
    screen.until("in the background")
    screen.press("\x1b")
    screen.rest(0.2)
    screen.press("2")
    screen.rest(0.3)


def _export_with_all(screen: Screen) -> None:
    _export(screen, hashes=1)


def _ask_to_cancel(screen: Screen) -> None:
    screen.press("7")
    screen.rest(0.2)
    screen.press("x")
    screen.until("k keep")


def _survey(screen: Screen) -> None:
    screen.until("reading the tables")
    screen.press("2")
    screen.until("0x0 ")


def _to_tasks(screen: Screen) -> None:
    screen.press("7")
    screen.until("reading all tables")


def _search(screen: Screen, mode: str = "2") -> None:
    _wait_for_tables(screen)
    screen.press(mode)
    screen.rest(0.3)
    screen.press("/")
    screen.rest(0.3)
    screen.press("nowhere at all")
    screen.rest(0.2)
    screen.press("\r")
    screen.until("Esc stops")


def _search_guest(screen: Screen) -> None:
    _search(screen, "5")


def _nothing(screen: Screen) -> None:
    del screen


EXPORT = Work("export", _export, _ask_to_cancel, "d", "nothing is left behind", "B written")
EXPORT_WITH_ALL = Work("export", _export_with_all, _ask_to_cancel, "d", "nothing is left behind", "B written")
SURVEY = Work("check", _survey, _to_tasks, "x", "cancelled", "all tables read")
SEARCH = Work("search", _search, _nothing, "\x1b", "search stopped", "is nowhere")
SEARCH_GUEST = Work("search of the guest", _search_guest, _nothing, "\x1b", "search stopped", "is nowhere")


# -- measuring --------------------------------------------------------------------------------------------------


def measure(image: Path, work: Work, moments: tuple[float, ...] = _MOMENTS) -> Busy:
    """Press keys while the work goes on; cancel it, once for each of some moments after its beginning."""
    found = Busy()
    with _begun(image, work) as screen:
        while len(found.costs) < _MOST and not (found.costs and screen.saw(work.over)):
            found.costs.append(screen.shows("\x1b[B", f"0x{16 * (len(found.costs) + 1):x} "))
    found.costs.sort()
    for moment in moments:
        with _begun(image, work) as screen:
            screen.rest(moment)
            if not screen.saw(work.over):
                work.cancel(screen)
                seconds = screen.shows(work.key, work.said, work.over)
                found.cancels += [seconds] if screen.saw(work.said) else []
    return found


@contextmanager
def _begun(image: Path, work: Work) -> Iterator[Screen]:
    """The interface with some work going on; what it was writing is removed in the end."""
    env = {name: value for name, value in ENV.items() if name != "NO_COLOR"}
    try:
        with spawned([*OURS, str(image)], env) as (_, terminal):
            screen = Screen(terminal)
            work.begin(screen)
            yield screen
    finally:
        for path in image.parent.glob(f"{image.stem}.raw*"):
            path.unlink()


def row(name: str, found: Busy) -> Row:
    """What was measured beside the goals."""
    cancel = max(found.cancels, default=math.inf)
    is_met = found.p95 <= _LATENCY and cancel <= _CANCEL
    middle, worst = statistics.median(found.costs), found.costs[-1]
    keys = f"key p95 {found.p95 * 1e3:.0f} ms (median {middle * 1e3:.0f}, worst {worst * 1e3:.0f})"
    cancels = f"cancel {cancel * 1e3:.0f} ms at worst of {len(found.cancels)}"
    return Row(f"while {name}", keys, cancels, "-", f"p95 <= 100 ms, cancel <= 200 ms: {'met' if is_met else 'MISSED'}")


# -- images -----------------------------------------------------------------------------------------------------


def text_image(folder: Path, mebibytes: int) -> Path:
    """A compressed image of text."""
    raw, image = folder / "text.raw", folder / "packed.qcow2"
    line = "".join(f"line {number}: the quick brown fox\n" for number in range(80_000)).encode()
    with raw.open("wb") as file:
        while file.tell() < mebibytes << 20:
            file.write(line)
        file.truncate(mebibytes << 20)
    subprocess.run([*OURS, "create", str(raw), str(image), "--compress", "zlib"], env=ENV, check=True)
    raw.unlink()
    return image


def with_tail(image: Path, mebibytes: int) -> Path:
    """An image file with noise behind its end."""
    noise = os.urandom(1 << 20) * 16
    with image.open("ab") as file:
        for _ in range(mebibytes // 16):
            file.write(noise)
    return image


def rows(folder: Path, *, quick: bool) -> Iterator[Row]:
    """A row for each work.

    Args:
        folder: where the images are made.
        quick: smaller ones.
    """
    part = 1 if quick else 2
    packed = text_image(folder, part << 10)
    yield row("an export inflates and hashes", measure(packed, EXPORT_WITH_ALL))
    for path in folder.glob("packed*"):
        path.unlink()
    empty = folder / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(empty), "1T"], check=True)
    yield row("an export hashes 1 TiB of zeros", measure(empty, EXPORT))
    yield row("a search reads the file", measure(with_tail(empty, part << 11), SEARCH))
    empty.unlink()
    for name, image in (("in order", Mapped(part << 38, 12)), ("shuffled", Mapped(part << 35, 12, shuffled=True))):
        mapped = image.write(folder / "mapped.qcow2")
        yield row(f"a check reads {(image.size >> 12) / 1e6:.0f} M entries {name}", measure(mapped, SURVEY))
        mapped.unlink()
    shuffled = Mapped(1 << 32, 12, shuffled=True).write(folder / "shuffled.qcow2")
    yield row("an export of 1 M pieces is planned", measure(shuffled, EXPORT))
    yield row("a search passes over 1 M holes", measure(shuffled, SEARCH_GUEST))
    shuffled.unlink()
