"""Images made from raw disks: compressed in threads, the same whatever the threads do, and gone when it is stopped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qcow2inspect.build.create import Form, create_image
from qcow2inspect.format.header import CompressionType
from qcow2inspect.image.image import Image
from qcow2inspect.progress import Cancelled, Silent
from tests.images import noise, read_all


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    text = b"".join(b"%d lines of text\n" % number for number in range(200_000))
    path.write_bytes(text + bytes(3 << 20) + noise(1, 2 << 20) + text[:777])
    return path


@pytest.mark.parametrize("kind", list(CompressionType))
@pytest.mark.parametrize("level", [None, 1, 9])
def test_every_level_gives_the_disk(kind: CompressionType, level: int | None, raw: Path, tmp_path: Path) -> None:
    stored = [create_image(str(raw), str(tmp_path / f"{n}.qcow2"), Form(16, kind, level)).stored for n in range(2)]
    assert (tmp_path / "0.qcow2").read_bytes() == (tmp_path / "1.qcow2").read_bytes(), "threads change nothing"
    assert stored[0] < 4 << 20
    with Image.open(tmp_path / "0.qcow2") as image:
        data = read_all(image.active_disk())
    assert data == raw.read_bytes().ljust(len(data), b"\0")


def test_a_higher_level_is_smaller(raw: Path, tmp_path: Path) -> None:
    sizes = [
        create_image(str(raw), str(tmp_path / f"{level}.qcow2"), Form(16, CompressionType.ZSTD, level)).stored
        for level in (1, 19)
    ]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_stopping_leaves_nothing(calls: int, raw: Path, tmp_path: Path) -> None:
    class Stopping(Silent):
        left = calls

        def advance(self, amount: int) -> None:
            self.left -= 1
            if self.left < 0:
                raise Cancelled

    with pytest.raises(Cancelled):
        create_image(str(raw), str(tmp_path / "x.qcow2"), Form(16, CompressionType.ZLIB), progress=Stopping())
    assert os.listdir(tmp_path) == []
