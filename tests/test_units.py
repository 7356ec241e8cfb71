"""Offsets, ranges and sizes."""

import pytest

from qcow2inspect.units import GuestOffset, HostOffset, HostRange, exact_size, human_size, parse_size


def test_ranges_are_half_open() -> None:
    there = HostRange.at(0x1000, 0x10)
    assert there.size == 16
    assert HostOffset(0x1000) in there
    assert HostOffset(0x1010) not in there
    assert str(there) == "0x1000..0x1010"
    assert not HostRange.at(5, 0)
    assert there.overlaps(HostRange.at(0x100F, 1))
    assert not there.overlaps(HostRange.at(0x1010, 1))


@pytest.mark.parametrize(
    ("start", "end", "clipped"), [(0, 4, (8, 8)), (9, 20, (9, 12)), (10, 11, (10, 11)), (20, 30, (20, 20))]
)
def test_clip_never_turns_inside_out(start: int, end: int, clipped: tuple[int, int]) -> None:
    got = HostRange.at(8, 4).clip(start, end)
    assert (got.start, got.end) == clipped


def test_offsets_show_themselves_in_hexadecimal() -> None:
    assert str(GuestOffset(65536)) == "0x10000"
    assert repr(HostOffset(1)) == "HostOffset(0x1)"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1024, "1 KiB"),
        (1536, "1.50 KiB"),
        (8 << 30, "8 GiB"),
        (200 << 20, "200 MiB"),
        ((200 << 20) + 600_000, "200.6 MiB"),
        (2**63, "8 EiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_size(size) == text
    assert exact_size(1 << 20) == "1,048,576 B (1 MiB)"


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("0x1000", 4096), ("64K", 65536), ("64KiB", 65536), ("2 MiB", 2 << 20)]
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "1Q", "-1", "1.5M", "0xzz"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_size(text)


def test_the_end_of_a_disk_is_said_as_a_size() -> None:
    """Offsets write themselves in hexadecimal; the number of bytes before one never does."""
    assert [human_size(GuestOffset(0)), human_size(GuestOffset(512))] == ["0 B", "512 B"]
    assert exact_size(HostOffset(512)) == "512 B"
