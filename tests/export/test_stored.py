"""Which bytes of a file are stored: the same as the file system says, asked as rarely as possible."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from qcow2inspect.export.stored import StoredRanges
from qcow2inspect.source.file import FileSource
from qcow2inspect.units import HostRange

BLOCK = 1 << 16


class Asked(FileSource):
    """A file that counts what it is asked."""

    count = 0

    def data_ranges(self, within: HostRange) -> Iterator[HostRange]:
        for part in super().data_ranges(within):
            self.count += 1
            yield part


def sparse(path: Path, stored: list[bool]) -> Path:
    """A file of blocks, of which some are stored."""
    with path.open("wb") as file:
        for number, one in enumerate(stored):
            if one:
                file.seek(number * BLOCK)
                file.write(b"x" * BLOCK)
        file.truncate(len(stored) * BLOCK)
    return path


def blocks(parts: Iterable[tuple[int, int]]) -> set[int]:
    return {at for start, end in parts for at in range(start, end, 512)}


@pytest.mark.parametrize("holes", [1, 7, 400])
def test_any_order_gives_what_the_file_system_says(tmp_path: Path, holes: int) -> None:
    rng = random.Random(holes)
    stored = [True] * 900
    for at in rng.sample(range(900), holes):
        stored[at] = False
    with FileSource(sparse(tmp_path / "file", stored)) as source:
        asked = [HostRange.at(rng.randrange(900 * 128) * 512, rng.randrange(1, 300) * 512) for _ in range(300)]
        ranges = StoredRanges()
        for host in asked:
            parts = list(ranges.within(source, int(host.start), int(host.end)))
            assert parts == sorted(parts)
            assert blocks(parts) == blocks((part.start, part.end) for part in source.data_ranges(host))


def test_places_in_any_order_do_not_have_the_same_pages_looked_at_again(tmp_path: Path) -> None:
    """Descending places are the worst: each would have all that lies behind it looked at."""
    stored = [number % 100 != 50 for number in range(2000)]
    with Asked(sparse(tmp_path / "file", stored)) as source:
        ranges = StoredRanges()
        for number in reversed(range(2000)):
            tuple(ranges.within(source, number * BLOCK, (number + 1) * BLOCK))
        assert source.count <= 2 * 21


def test_a_file_without_holes_is_not_asked(tmp_path: Path) -> None:
    with Asked(sparse(tmp_path / "file", [True] * 10)) as source:
        ranges = StoredRanges()
        assert list(ranges.within(source, BLOCK, 4 * BLOCK)) == [(BLOCK, 4 * BLOCK)]
        assert list(ranges.within(source, 9 * BLOCK, 14 * BLOCK)) == [(9 * BLOCK, 10 * BLOCK)]
        assert source.count == 0


def test_room_beyond_the_end_hides_no_bytes(tmp_path: Path) -> None:
    """Blocks reserved past the end may outweigh a hole: its zeros count as stored then, and nothing is left out."""

    class Roomy(Asked):
        @property
        def allocated(self) -> int:
            return self.size + BLOCK

    with Roomy(sparse(tmp_path / "file", [True, False, True])) as source:
        assert blocks(StoredRanges().within(source, 0, 3 * BLOCK)) == blocks([(0, 3 * BLOCK)])
