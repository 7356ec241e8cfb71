"""Every verb on a medium that fails, answers in pieces, answers late, or on a file that changes under it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import build
from qcow2inspect.cli.main import run
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from tests.image.test_bad_days import RECIPE
from tests.images import tree_of

DATA = build(RECIPE)
VERBS = {
    "info": ["info", "IMAGE"],
    "info --json": ["info", "IMAGE", "--json"],
    "check": ["check", "IMAGE"],
    "map": ["map", "IMAGE"],
    "header": ["header", "IMAGE"],
    "l1": ["l1", "IMAGE"],
    "l2": ["l2", "IMAGE", "0"],
    "refcount": ["refcount", "IMAGE"],
    "hexdump": ["hexdump", "IMAGE", "0", "-n", "300"],
    "bitmaps": ["bitmaps", "IMAGE"],
    "export": ["export", "IMAGE", "OUT", "--force"],
    "export -": ["export", "IMAGE", "-"],
    "report": ["report", "IMAGE", "--hash", "sha256", "--without", "provenance,exhibit"],
    "hash": ["hash", "IMAGE", "--both"],
    "compare": ["compare", "IMAGE", "TWIN"],
}
CODES = {0, 1, 2, 3, 65, 66, 74, 75, 77}
ADMITS = (
    "cannot be read",
    "could not be read",
    "unreadable",
    "failed",
    "not checked",
    "Input/output error",
    "changed while",
)


def places() -> dict[str, int]:
    """A host offset in every kind of structure."""
    tree, image = tree_of(DATA), Image(MemorySource(DATA))
    table = int(tree.active.l1[0].l2_table_offset)
    block = int(image.refcount_table[0].refcount_block_offset)
    kinds = {extent.kind.word: int(extent.host.start) for extent in image.active_disk().extents() if extent.host}
    found = {"header": 0, "L1 table": int(image.l1.at), "L2 table": table, "refcount block": block}
    found |= {"refcount table": int(image.refcount_table.at), "snapshot table": int(image.snapshots[0].at)}
    return {**found, "bitmap table": int(image.bitmaps[0].entry.bitmap_table_offset), **kinds}


@dataclass
class Medium:
    """What stands between the program and one file.

    Attributes:
        path: the file.
        broken: a sector that cannot be read; None for none.
        most: bytes that one read gives at most.
        wait: seconds that a read takes.
        at: reads after which ``then`` is done.
    """

    path: Path
    broken: int | None = None
    most: int = 1 << 30
    wait: float = 0
    at: int = -1
    then: Callable[[Path], None] = lambda path: None
    reads: int = 0
    _inode: int = field(init=False)

    def __post_init__(self) -> None:
        self._inode = self.path.stat().st_ino

    def _meets(self, fd: int, offset: int, size: int) -> int:
        """The bytes that may be read of those that were asked for."""
        if os.fstat(fd).st_ino != self._inode:
            return size
        self.reads += 1
        if self.reads == self.at:
            self.then(self.path)
        time.sleep(self.wait)
        if self.broken is not None and offset < self.broken + 512 and self.broken < offset + size:
            raise OSError(5, "Input/output error")
        return min(size, self.most)

    def put_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pread, preadv = os.pread, os.preadv

        def instead(fd: int, size: int, offset: int) -> bytes:
            return pread(fd, self._meets(fd, offset, size), offset)

        def instead_into(fd: int, buffers: list[memoryview], offset: int) -> int:
            return preadv(fd, [buffers[0][: self._meets(fd, offset, len(buffers[0]))]], offset)

        def not_here(*_: object) -> int:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "pread", instead)
        monkeypatch.setattr(os, "preadv", instead_into)
        monkeypatch.setattr(os, "copy_file_range", not_here)


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit code, what it printed, what it complained about, what it wrote."""

    code: int
    out: bytes
    err: str
    target: bytes | None


Act = Callable[..., Outcome]


@pytest.fixture
def act(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Act:
    """Runs a verb on a fresh copy of the image, which lies on the medium that is described."""
    image, twin, target = (tmp_path / name for name in ("image.qcow2", "twin.qcow2", "out.raw"))

    def call(verb: str, **fault: object) -> Outcome:
        for path in (image, twin):
            path.unlink(missing_ok=True)
            path.write_bytes(DATA)
            os.utime(path, (1_000_000_000, 1_000_000_000))
        for path in (target, *(target.with_name(f"out.raw.{end}") for end in ("part", "journal"))):
            path.unlink(missing_ok=True)
        names = {"IMAGE": str(image), "TWIN": str(twin), "OUT": str(target)}
        with monkeypatch.context() as patch:
            Medium(image, **fault).put_in(patch)  # type: ignore[arg-type]  # by name
            code = run([names.get(word, word) for word in VERBS[verb]])
        out, err = capfdbinary.readouterr()
        left = sorted(path.name for path in tmp_path.iterdir() if path not in (image, twin, target))
        assert not [name for name in left if name.endswith(".part") and f"{name[:-5]}.journal" not in left], left
        return Outcome(code, out, err.decode(), target.read_bytes() if target.exists() else None)

    return call


def require_honest(now: Outcome, sound: Outcome, what: str) -> None:
    """The same as without the fault, or an admission."""
    assert now.code in CODES, f"{what}: {now}"
    assert "Traceback" not in now.err
    if (now.code, now.out, now.target) != (sound.code, sound.out, sound.target):
        said = now.out.decode(errors="replace") + now.err
        assert now.code not in (0, sound.code) or any(word in said for word in ADMITS), f"{what}: {said[:3000]}"


@pytest.mark.parametrize("verb", VERBS)
def test_a_bad_sector_anywhere(verb: str, act: Act) -> None:
    sound = act(verb)
    assert sound.code == 0, sound.err
    for kind, at in places().items():
        require_honest(act(verb, broken=at), sound, f"{verb}, {kind}")


@pytest.mark.parametrize("verb", VERBS)
def test_answers_in_pieces_and_late_ones_change_nothing(verb: str, act: Act) -> None:
    sound = act(verb)
    for fault in ({"most": 700}, {"wait": 0.002}):
        now = act(verb, **fault)
        assert (now.code, now.out, now.target) == (sound.code, sound.out, sound.target), now.err


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("change", ["cut", "replaced", "removed"])
def test_a_file_that_changes_meanwhile(verb: str, change: str, act: Act) -> None:
    def replace(path: Path) -> None:
        other = path.with_name("other")
        other.write_bytes(bytes(len(DATA)))
        other.replace(path)

    then = {"cut": lambda path: os.truncate(path, 0x5000), "replaced": replace, "removed": os.unlink}[change]
    sound = act(verb)
    for at in (1, 4, 9):
        now = act(verb, at=at, then=then)
        require_honest(now, sound, f"{verb}, {change} after {at} reads")
