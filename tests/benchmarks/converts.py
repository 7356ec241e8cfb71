"""Export beside qemu-img convert, and create beside qemu-img convert -c: one row for each goal.

Both sides run in turn, A B A B; the peer is the faster one of its settings. Wall seconds are what the goals speak of,
CPU seconds are printed beside them, because other work on the machine disturbs them less.

qemu-img convert does not flush what it wrote, an export does so before the file gets its name. In memory that costs
nothing; on a disk it is compared with ``-t writeback``, which flushes at the end too.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.benchmarks import exports
from tests.benchmarks.measure import ENV, OURS, Ran, Row, median, timed

SETTINGS: tuple[list[str], ...] = ([], ["-W", "-m", "16"])
"""Of qemu-img convert: the default, and what is often faster."""
FLUSHED = tuple(["-t", "writeback", *setting] for setting in SETTINGS)
"""The same, flushing what was written at the end, as an export does."""
_EMPTY_SECONDS = 2.0
_FREE_CORES = 1.2


@dataclass
class Case:
    """One export and its peer.

    Attributes:
        what: names it in the table.
        image: what is exported.
        goal: ratio of wall seconds.
        out: folder that both write to.
        ours: more arguments of ours.
        source: how qemu-img is told of the image.
        settings: settings of qemu-img convert to choose the fastest of.
    """

    what: str
    image: Path
    goal: float
    out: Path
    ours: list[str] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    settings: tuple[list[str], ...] = SETTINGS

    def row(self, runs: int) -> Row:
        """Measure; the bytes of both must be the same."""
        mine, theirs = self.out / "ours.raw", self.out / "peer.raw"
        export = [*OURS, "export", str(self.image), str(mine), "--force", "--follow=any", *self.ours]
        convert = ["qemu-img", "convert", *exports.SECRET, *(self.source or ["-f", "qcow2", str(self.image)])]
        ways = [[*convert, "-O", "raw", *setting, str(theirs)] for setting in self.settings]
        took = [(_anew(mine, export, ENV), [_anew(theirs, way) for way in ways]) for _ in range(runs + 1)][1:]
        assert filecmp.cmp(mine, theirs, shallow=False)
        mine.unlink()
        theirs.unlink()
        ours = median([ran for ran, _ in took])
        peers = [median([each[number] for _, each in took]) for number in range(len(ways))]
        peer = min(peers, key=lambda ran: ran.seconds)
        words = " ".join(["qemu-img convert", *self.settings[peers.index(peer)]])
        return _row(f"export, {self.what}", ours, (words, peer), self.goal)


def _anew(out: Path, command: list[str], env: dict[str, str] | None = None) -> Ran:
    """Run a command that finds no earlier output: one side would keep it until the end, the other cuts it first."""
    out.unlink(missing_ok=True)
    return timed(command, env)


def _row(what: str, ours: Ran, peer: tuple[str, Ran], goal: float | None) -> Row:
    words, other = peer
    ratio = ours.seconds / other.seconds
    verdict = "-" if goal is None else f"<= {goal}: {'met' if ratio <= goal else 'missed'}"
    return Row(what, str(ours), f"{words} {other}", f"{ratio:.2f} (CPU {ours.cpu / other.cpu:.2f})", verdict)


def export_rows(place: Path, disk: Path, mebibytes: int, runs: int) -> Iterator[Row]:
    """Exports of every kind of image.

    Args:
        place: a folder in memory, for images and what is written.
        disk: a folder on a disk.
        mebibytes: size of the guest disks.
        runs: how often each pair is measured.
    """
    (place / "key").write_text(exports.KEY)
    for kind, image, goal in exports.images(place, mebibytes):
        what = f"{kind}, {mebibytes} MiB"
        ours = ["--passphrase-file", str(place / "key")] if kind == "LUKS" else []
        yield Case(what, image, goal, place, ours, exports.source_options(kind, image)).row(runs)
        if kind == "zlib":
            yield Case(f"{what}, --hash=sha256", image, 1.0, place, ["--hash=sha256"]).row(runs)
            yield _hashes_row(what, image, place, runs, None)  # two processors are busy without any hash
        if kind == "plain":
            yield _hashes_row(what, image, place, runs, _FREE_CORES)
            yield Case(f"{what}, to a disk, flushed", image, 1.0, disk, settings=FLUSHED).row(runs)
        yield _disk_row(Case(f"{what}, on a disk, flushed", image, goal, disk, ours, settings=FLUSHED), runs)
        for file in exports.files_of(image):
            file.unlink()


def _hashes_row(what: str, image: Path, place: Path, runs: int, goal: float | None) -> Row:
    """Three hashes beside the slowest of them."""
    export = [*OURS, "export", str(image), str(place / "ours.raw"), "--force"]
    pairs = [
        (timed([*export, "--hash=md5,sha1,sha256"], ENV), timed([*export, "--hash=md5"], ENV)) for _ in range(runs + 1)
    ][1:]
    ours, peer = (median(list(each)) for each in zip(*pairs, strict=True))
    return _row(f"export, {what}, --hash=md5,sha1,sha256", ours, ("--hash=md5", peer), goal)


def _disk_row(case: Case, runs: int) -> Row:
    """The same with the image on the disk that is written to."""
    copies = [shutil.copyfile(file, case.out / file.name) for file in exports.files_of(case.image)]
    os.sync()  # else the first runs would wait for what was just copied
    moved = case.out / case.image.name
    source = exports.source_options("LUKS" if moved.name.startswith("luks") else "", moved)
    try:
        return replace(case, image=moved, source=source).row(runs)
    finally:
        for copy in copies:
            copy.unlink()


def empty_row(image: Path, out: Path, runs: int) -> Row:
    """A huge disk without data."""
    ours = median([timed([*OURS, "export", str(image), str(out), "--force"], ENV) for _ in range(runs)])
    peer = median([timed([sys.executable, "-c", "import numpy"], ENV) for _ in range(runs)])
    verdict = f"< {_EMPTY_SECONDS:.0f} s: {'met' if ours.seconds < _EMPTY_SECONDS else 'missed'}"
    return Row("export, empty, 15 TiB disk", str(ours), f"import numpy {peer}", "-", verdict)


def create_rows(place: Path, mebibytes: int, runs: int) -> Iterator[Row]:
    """Compressed images out of a raw disk; the sizes of both files."""
    raw, mine, theirs = exports.programs(place / "raw", mebibytes), place / "ours.qcow2", place / "peer.qcow2"
    for kind in ("zlib", "zstd"):
        create = [*OURS, "create", str(raw), str(mine), "--force", "--compress", kind]
        convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", f"compression_type={kind}"]
        pairs = [(timed(create, ENV), timed([*convert, str(raw), str(theirs)])) for _ in range(runs + 1)][1:]
        subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", str(raw), str(mine)], check=True)
        ours, peer = (median(list(each)) for each in zip(*pairs, strict=True))
        size = mine.stat().st_size / theirs.stat().st_size
        what = f"create --compress {kind}, {mebibytes} MiB (file {size:.3f} of qemu-img's)"
        yield _row(what, ours, ("qemu-img convert -c", peer), 0.5 if kind == "zlib" else None)
