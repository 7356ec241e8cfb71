"""Reads 4 KiB at random guest offsets through one reader; prints seconds of the reads and a digest of the bytes.

``python random_reads.py ours|pyqcow|dissect IMAGE COUNT``; a process of its own for each reader.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

Read = Callable[[int, int], bytes]
SIZE = 4096


def ours(path: str) -> tuple[int, Read]:
    from qcow2inspect.image.image import Image

    disk = Image.open(path).active_disk()
    return disk.size, disk.read_at


def pyqcow(path: str) -> tuple[int, Read]:
    import pyqcow as library  # type: ignore[import-not-found]

    file = library.file()
    file.open(path)
    return int(file.get_media_size()), lambda offset, size: bytes(file.read_buffer_at_offset(size, offset))


def dissect(path: str) -> tuple[int, Read]:
    from dissect.hypervisor.disk.qcow2 import QCow2  # type: ignore[import-not-found]

    image = QCow2(Path(path))
    stream = image.open() if hasattr(image, "open") else image

    def read(offset: int, size: int) -> bytes:
        stream.seek(offset)
        return bytes(stream.read(size))

    return int(stream.size), read


def main() -> None:
    name, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    size, read = {"ours": ours, "pyqcow": pyqcow, "dissect": dissect}[name](path)
    chance = random.Random(11)
    offsets = [chance.randrange(size - SIZE) for _ in range(count)]
    digest = hashlib.sha256()
    read(0, SIZE)
    seconds = 0.0
    for offset in offsets:
        start = time.perf_counter()
        data = read(offset, SIZE)
        seconds += time.perf_counter() - start
        digest.update(data)
    print(seconds, digest.hexdigest())


if __name__ == "__main__":
    main()
