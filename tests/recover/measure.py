"""What an export and qemu-img bring back of a damaged image, in data sectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.export.choices import Choices, OnError
from qcow2inspect.export.raw import export
from qcow2inspect.image.assumed import NOTHING_ASSUMED
from qcow2inspect.image.follow import open_chain
from qcow2inspect.recover.propose import propose
from qcow2inspect.source.file import FileSource
from tests.images import run_qemu
from tests.recover.corpus import SECTOR, Damaged


@dataclass(frozen=True)
class Recovered:
    """What came back.

    Attributes:
        right: data sectors that are as the guest had them.
        total: data sectors.
        silent: wrong sectors that no list names.
        said: what was assumed, or why nothing came.
    """

    right: int
    total: int
    silent: int = 0
    said: str = ""

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.right / self.total


def compare(disk: bytes, found: bytes, listed: set[int] | None = None) -> Recovered:
    """Count sectors; ``listed`` are those that were named as doubtful."""
    zeros = bytes(SECTOR)
    right = total = silent = 0
    for at in range(0, len(disk), SECTOR):
        old, new = disk[at : at + SECTOR], found[at : at + SECTOR]
        total += old != zeros
        right += old != zeros and new == old
        silent += listed is not None and at < len(found) and new != old and at // SECTOR not in listed
    return Recovered(right, total, silent)


def by_us(image: Damaged, folder: Path) -> Recovered:
    """``export --on-error best --assume auto``."""
    path, out = folder / "damaged.qcow2", folder / "out.raw"
    path.write_bytes(image.data)
    said = ""
    try:
        with FileSource(path) as source:
            assumed = propose(source, NOTHING_ASSUMED)
        said = assumed.shown
        with open_chain(path, assumed=assumed) as chain:
            view = chain.disk(lenient=True, absent_as_zero=True)
            export(view, str(out), Choices(on_error=OnError.BEST, force=True))
    except Qcow2InspectError as error:
        return Recovered(0, compare(image.disk, b"").total, 0, f"{said} | {error}")
    listed: set[int] = set()
    for entry in json.loads((folder / "out.raw.errors.json").read_text())["ranges"]:
        start = entry["output_offset"]
        listed.update(range(start // SECTOR, -(-(start + entry["size"]) // SECTOR)))
    found = compare(image.disk, out.read_bytes()[: len(image.disk)], listed)
    return Recovered(found.right, found.total, found.silent, said)


def by_qemu(image: Damaged, folder: Path) -> Recovered:
    """``qemu-img convert --salvage``."""
    path, out = folder / "damaged.qcow2", folder / "qemu.raw"
    path.write_bytes(image.data)
    out.unlink(missing_ok=True)
    ran = run_qemu("timeout", "20", "qemu-img", "convert", "--salvage", "-f", "qcow2", "-O", "raw", path, out)
    found = b""
    if out.exists():
        with out.open("rb") as file:
            found = file.read(len(image.disk))
    done = compare(image.disk, found)
    return Recovered(done.right, done.total, 0, ran.error.strip()[-100:])
