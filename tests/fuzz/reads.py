"""Every image through a lasting qemu-io: does it open, how large is its disk, what is allocated, what do guests read?

Every extent of ours is read by QEMU too, from its first byte to its last: zeros and other repeated bytes are compared
by QEMU itself, the rest is printed by it and compared here. Long noise is compared at both ends: printing it takes
longer than all the rest, and a share of the images is compared whole with ``qemu-img convert``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from qcow2inspect.errors import CannotRead, Qcow2InspectError
from qcow2inspect.image.view import Extent, View
from qcow2inspect.units import GuestRange
from tests.fuzz.oracle import IMAGE, WHOLE, Answer, Difference, Oracle, Ours, kind_of
from tests.fuzz.qemu_io import Died, QemuIo

EXTENTS = 160
"""Extents of a disk that are read: the first ones."""
LONGEST = 1 << 16
"""Bytes of one extent that are read."""
NOISE = 1 << 10
"""Bytes of other than zeros that are compared at the beginning of an extent; half as many at the end."""
_ALLOCATED = re.compile(r"\(0x([0-9a-f]+)\) bytes\s+(not )?allocated at offset .*\(0x([0-9a-f]+)\)")


@dataclass(frozen=True)
class Run:
    """Guest bytes as we read them.

    Attributes:
        at: guest offset.
        size: bytes.
        answer: the bytes, or why there are none.
    """

    at: int
    size: int
    answer: Answer

    @property
    def pattern(self) -> int | None:
        """The one byte that all of the run consists of; None if there are several, or it cannot be read."""
        data = self.answer.value
        return data[0] if data and data.count(data[0]) == len(data) else None

    @property
    def command(self) -> str:
        how = "-v" if self.pattern is None and self.answer.given else f"-P {self.pattern or 0}"
        return f"read {how} {self.at} {self.size}"

    def agrees(self, text: str) -> bool:
        """Whether QEMU's answer to the command says the same."""
        if "read failed" in text or "\nread " not in f"\n{text}":
            return not self.answer.given
        if not self.answer.given or self.pattern is not None:
            return self.answer.given and "verification failed" not in text
        return bool(self.printed(text) == self.answer.value)

    def printed(self, text: str) -> bytes:
        """The bytes that an answer shows, sixteen a line."""
        lines = text.splitlines()[: -(-self.size // 16)]
        rows = (line.partition(":  ")[2][: 3 * (self.size - 16 * index)][:48] for index, line in enumerate(lines))
        return bytes.fromhex("".join(rows))


class Reads:
    """Compares images with QEMU in the folder of an oracle.

    Attributes:
        qemu: the qemu-io that lasts.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.qemu = QemuIo(oracle.folder)

    def compare(self, data: bytes) -> list[Difference] | None:
        """Where the two sides differ about an image; None if its key would take too long to derive."""
        with self._oracle.ours(data) as ours:
            return None if ours.takes_too_long else _compare(ours, self.qemu, kind_of(data))


def _compare(ours: Ours, qemu: QemuIo, kind: str) -> list[Difference]:
    """The differences; the first run that is different stands for all."""
    disk = ours.disk()
    runs = list(_runs(disk.value, ours.size)) if disk.given else []
    secret = ",encrypt.key-secret=key" if ours.is_encrypted else ""
    opening = f"open -r -U -o driver={kind}{secret} {IMAGE}"
    asked = ["map"] if disk.given and ours.size <= WHOLE else []
    commands = [opening, "length", *asked, *(run.command for run in runs), "close"]
    try:
        opened, length, *rest = (_without_events(text) for text in qemu.ask(commands))
    except Died as died:
        return [Difference("reads", disk, Answer(error=str(died), crashed=True))]
    refused = length.startswith("no file open")
    if refused or not disk.given:
        same = refused != disk.given
        return [] if same else [Difference("open", disk, Answer(error=opened) if refused else Answer("opens"))]
    found = []
    if asked:
        found += _allocation(ours, rest.pop(0))
    for run, text in zip(runs, rest, strict=False):
        if not run.agrees(text):
            theirs = (
                Answer(error=text)
                if "read failed" in text
                else Answer(run.printed(text) if run.pattern is None else text)
            )
            found.append(Difference("read", run.answer, theirs, at=run.at))
            break
    if length.startswith("Error"):
        found.append(Difference("length", Answer(ours.size), Answer(error=length)))
    return found


def _without_events(text: str) -> str:
    """An answer without what QEMU says about corruption that it comes across."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(("qcow2: ", "qcow: ")))


def _runs(disk: View, size: int) -> Iterator[Run]:
    within = GuestRange.at(0, min(size, disk.size))
    for extent in itertools.islice(disk.extents(within), EXTENTS):
        yield from _runs_of(disk, extent.cut(extent.start, min(extent.end, extent.start + LONGEST)))


def _runs_of(disk: View, extent: Extent) -> Iterator[Run]:
    at, size = int(extent.guest.start), extent.guest.size
    try:
        data = disk.read_extent(extent)
    except CannotRead:
        raise
    except Qcow2InspectError as error:
        yield Run(at, size, Answer(error=f"{type(error).__name__}: {error}"))
        return
    filled = len(data.rstrip(b"\0"))
    parts = [(0, filled)] if filled <= 2 * NOISE else [(0, NOISE), (filled - NOISE // 2, filled)]
    for start, stop in [*parts, (filled, len(data))]:
        if start < stop:
            yield Run(at + start, stop - start, Answer(data[start:stop]))


def _allocation(ours: Ours, text: str) -> list[Difference]:
    """What the image itself holds, as ranges; failure where the map of ours fails."""
    mapped = ours.map()
    rows = [_ALLOCATED.search(line) for line in text.splitlines()]
    failed = "" if all(rows) else text
    theirs = _joined((int(row[3], 16), int(row[1], 16), not row[2]) for row in rows if row)
    if failed or not mapped.given:
        same = bool(failed) != mapped.given
        return [] if same else [Difference("map", mapped, Answer(error=failed) if failed else Answer(theirs))]
    entries = ((row["start"], row["length"], row["present"] and not row["depth"]) for row in mapped.value)
    own = _joined(entries)
    return [] if own == theirs else [Difference("allocation", Answer(own), Answer(theirs))]


def _joined(ranges: Iterator[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    """Neighbours of the same kind become one."""
    found: list[tuple[int, int, bool]] = []
    for at, size, allocated in ranges:
        if not size:
            continue
        if found and found[-1][2] == allocated:
            found[-1] = (found[-1][0], found[-1][1] + size, allocated)
        else:
            found.append((at, size, allocated))
    return found
