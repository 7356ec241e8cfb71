"""Mutations: the same number gives the same image, on every machine.

The first numbers go through every field of every seed's header with every kind of odd value; the rest are drawn at
random: fields, table entries, blind bytes, ranges, truncation, pieces of other images.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tests.fuzz.seeds import NAMES, Place, Seed, seed

WIDEST = 8


@dataclass(frozen=True)
class Case:
    """One mutated image.

    Attributes:
        number: its number in the run.
        seed: the image that it was.
        data: its bytes.
        what: what was changed, in words.
    """

    number: int
    seed: Seed
    data: bytes
    what: str


def make(run: int, number: int) -> Case:
    """The image with this number in the run with this seed of chance."""
    planned = _plan()
    if number < len(planned):
        name, index, kind = planned[number]
        origin = seed(name)
        place = origin.fields[index]
        chance = random.Random(f"plan:{number}")
        data = bytearray(origin.data)
        what = _put(data, place, _VALUES[kind](_value(data, place), 8 * min(WIDEST, place.size), origin, chance))
    else:
        chance = random.Random(f"{run}:{number}")
        origin = seed(chance.choice(NAMES))
        data = bytearray(origin.data)
        what = "; ".join(_mutate(data, origin, chance) for _ in range(chance.choice([1, 1, 1, 2, 3])))
    return Case(number, origin, bytes(data), what)


@cache
def _plan() -> list[tuple[str, int, int]]:
    """Seed, header field and kind of value of the cases that do not depend on chance, mixed so that a few show much."""
    cells = [
        (name, field, kind) for name in NAMES for field in range(len(seed(name).fields)) for kind in range(PLANNED)
    ]
    random.Random(0).shuffle(cells)
    return cells


def planned() -> int:
    """Number of cases that do not depend on chance."""
    return len(_plan())


# -- values ---------------------------------------------------------------------------------------------------------

Value = Callable[[int, int, Seed, random.Random], int]
"""From the old value, its width in bits, the seed and chance to the new value."""

_VALUES: list[Value] = [
    lambda old, bits, origin, chance: 0,
    lambda old, bits, origin, chance: -1,
    lambda old, bits, origin, chance: 1 << (bits - 1),
    lambda old, bits, origin, chance: (1 << (bits - 1)) - 1,
    lambda old, bits, origin, chance: old + 1,
    lambda old, bits, origin, chance: old - 1,
    lambda old, bits, origin, chance: old ^ 1 << chance.randrange(bits),
    lambda old, bits, origin, chance: len(origin.data),
    lambda old, bits, origin, chance: chance.getrandbits(bits),
    lambda old, bits, origin, chance: old ^ 1 << chance.randrange(bits) ^ 1 << chance.randrange(bits),
    lambda old, bits, origin, chance: old << chance.randrange(1, bits),
    lambda old, bits, origin, chance: old >> chance.randrange(1, bits),
    lambda old, bits, origin, chance: _pointer(origin, chance),
    lambda old, bits, origin, chance: (old & ~((1 << 56) - 1)) | _pointer(origin, chance),
    lambda old, bits, origin, chance: _value(origin.data, chance.choice(origin.places)),
    lambda old, bits, origin, chance: chance.choice([1 << 62, 1 << 63, 0x200, 1, 2, 4, 1 << 55, 1 << 40, 1 << 32]),
    lambda old, bits, origin, chance: 1 << chance.randrange(bits),
    lambda old, bits, origin, chance: ~old,
]
PLANNED = 9
"""Kinds of values that every header field gets."""


def _pointer(origin: Seed, chance: random.Random) -> int:
    """A cluster in the file or just behind it."""
    unit = chance.choice([512, 4096, 65536])
    return chance.randrange(len(origin.data) // unit + 3) * unit


def _value(data: bytes | bytearray, place: Place) -> int:
    return int.from_bytes(data[place.at : place.at + min(WIDEST, place.size)], "big")


def _put(data: bytearray, place: Place, value: int) -> str:
    size = min(WIDEST, place.size)
    value &= (1 << 8 * size) - 1
    data[place.at : place.at + size] = value.to_bytes(size, "big")
    return f"{place.path} = {value:#x}"


# -- mutations ------------------------------------------------------------------------------------------------------


def _mutate(data: bytearray, origin: Seed, chance: random.Random) -> str:
    return chance.choice(_MUTATIONS)(data, origin, chance)


def _field(data: bytearray, origin: Seed, chance: random.Random) -> str:
    place = chance.choice(origin.places)
    if place.at + place.size > len(data):
        return "nothing"
    return _put(data, place, chance.choice(_VALUES)(_value(data, place), 8 * min(WIDEST, place.size), origin, chance))


def _header(data: bytearray, origin: Seed, chance: random.Random) -> str:
    place = chance.choice(origin.fields)
    if place.at + place.size > len(data):
        return "nothing"
    return _put(data, place, chance.choice(_VALUES)(_value(data, place), 8 * min(WIDEST, place.size), origin, chance))


def _exchange(data: bytearray, origin: Seed, chance: random.Random) -> str:
    """Two entries trade their values."""
    one, other = chance.choice(origin.places), chance.choice(origin.places)
    if max(one.at + one.size, other.at + other.size) > len(data):
        return "nothing"
    first, second = _value(data, one), _value(data, other)
    return f"{_put(data, one, second)}, {_put(data, other, first)}"


def _byte(data: bytearray, origin: Seed, chance: random.Random) -> str:
    at = _somewhere(data, chance)
    data[at : at + 1] = bytes([chance.choice([0, 0xFF, 0x80, chance.randrange(256)])])
    return f"byte at {at:#x}"


def _bit(data: bytearray, origin: Seed, chance: random.Random) -> str:
    at = _somewhere(data, chance)
    if at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    return f"bit at {at:#x}"


def _range(data: bytearray, origin: Seed, chance: random.Random) -> str:
    """A run of zeros, ones, noise, or a copy of another run."""
    at, size = _somewhere(data, chance), 1 << chance.randrange(3, 13)
    size = max(0, min(size, len(data) - at))
    start = _somewhere(data, chance)
    kinds = {"zeros": bytes(size), "ones": b"\xff" * size, "noise": chance.randbytes(size)}
    kinds["copy"] = bytes(data[start : start + size]).ljust(size, b"\0")
    kind = chance.choice(list(kinds))
    data[at : at + size] = kinds[kind]
    return f"{size} bytes at {at:#x}: {kind}"


def _end(data: bytearray, origin: Seed, chance: random.Random) -> str:
    """The file ends early, or late."""
    if chance.random() < 0.2:
        size = chance.choice([1, 511, 4096, 70_000])
        data += chance.choice([bytes(size), chance.randbytes(size)])
    else:
        del data[chance.choice([_somewhere(data, chance), chance.randrange(len(data) + 1) // 512 * 512]) :]
    return f"{len(data)} bytes long"


def _shift(data: bytearray, origin: Seed, chance: random.Random) -> str:
    """Bytes are lost or added in the middle, as by a broken transfer."""
    at, size = _somewhere(data, chance), chance.choice([1, 2, 4, 8, 512, 4096])
    if chance.random() < 0.5:
        del data[at : at + size]
        return f"{size} bytes lost at {at:#x}"
    data[at:at] = bytes(size)
    return f"{size} bytes added at {at:#x}"


def _splice(data: bytearray, origin: Seed, chance: random.Random) -> str:
    """A piece of another seed at the place where it stands there."""
    other = seed(chance.choice(NAMES))
    at = _somewhere(data, chance) // 512 * 512
    size = chance.choice([8, 104, 512, 4096])
    piece = other.data[at : at + size]
    data[at : at + len(piece)] = piece
    return f"{len(piece)} bytes of {other.name} at {at:#x}"


def _somewhere(data: bytearray, chance: random.Random) -> int:
    """An offset; the first bytes of the file and of every 512 bytes come more often."""
    end = max(1, len(data))
    kind = chance.random()
    if kind < 0.35:
        return chance.randrange(min(end, 600))
    if kind < 0.6:
        return min(end - 1, chance.randrange(end) // 512 * 512 + chance.randrange(64))
    return chance.randrange(end)


_MUTATIONS: list[Callable[[bytearray, Seed, random.Random], str]] = [
    *[_field] * 8,
    *[_header] * 3,
    *[_bit] * 2,
    *[_byte] * 2,
    *[_range] * 2,
    _exchange,
    _end,
    _shift,
    _splice,
]
