"""The colours of the map keep their distance, whatever colours an eye can tell apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pytest

from qcow2inspect.tui.clustermap import Count, Kind, Mapped, Owner, Use
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.theme import Colors, Look

_NORMAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
# Machado, Oliveira, Fernandes 2009: full severity, on linear light.
_EYES = {
    "normal": _NORMAL,
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
_GROUND = "#0f1115"
CLASSES = {
    "header": Owner.HEADER,
    "tables": Owner.L2,
    "refcounts": Owner.REFCOUNT,
    "snapshot data": Owner.KEPT,
    "guest data": Owner.DATA,
    "compressed": Owner.COMPRESSED,
    "free": Owner.FREE,
    "leaked": Owner.LEAKED,
}


def linear(color: str) -> tuple[float, ...]:
    parts = (byte / 255 for byte in bytes.fromhex(color[1:]))
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def seen(color: str, eye: str) -> tuple[float, ...]:
    light = linear(color)
    return tuple(min(1.0, max(0.0, sum(a * b for a, b in zip(row, light, strict=True)))) for row in _EYES[eye])


def lab(light: tuple[float, ...]) -> tuple[float, ...]:
    red, green, blue = light
    xyz = (
        (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047,
        0.2126729 * red + 0.7151522 * green + 0.0721750 * blue,
        (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883,
    )
    x, y, z = (math.cbrt(part) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return (116 * y - 16, 500 * (x - y), 200 * (y - z))


def near(kinds: Mapping[str, Kind], eye: str) -> dict[tuple[str, str], float]:
    """Pairs of kinds whose colours can be taken for each other."""
    points = {name: lab(seen(color_of(kind), eye)) for name, kind in kinds.items()}
    return {
        (one, other): round(math.dist(points[one], points[other]), 1)
        for one, other in itertools.combinations(points, 2)
        if math.dist(points[one], points[other]) < 25
    }


def color_of(owner: Kind) -> str:
    role = owner.role
    return Look(Colors.TRUE, Glyphs()).solid("free-cell" if role in ("free", "unallocated") else role)


@pytest.mark.parametrize("eye", _EYES)
def test_classes_keep_their_distance(eye: str) -> None:
    assert near(CLASSES, eye) == {}


@pytest.mark.parametrize("eye", _EYES)
@pytest.mark.parametrize("kinds", [Count, Use, Mapped])
def test_kinds_of_the_other_maps_keep_their_distance(kinds: type[Kind], eye: str) -> None:
    assert near({kind.word: kind for kind in kinds if kind.role != "invalid"}, eye) == {}


@pytest.mark.parametrize("owner", [owner for owner in CLASSES.values() if owner is not Owner.FREE])
def test_classes_stand_out_from_the_ground(owner: Owner) -> None:
    low, high = sorted(
        0.05 + 0.2126 * red + 0.7152 * green + 0.0722 * blue
        for red, green, blue in (linear(_GROUND), linear(color_of(owner)))
    )
    assert high / low >= 3.9


def test_no_two_classes_have_the_same_sign() -> None:
    glyphs = Glyphs(ascii_only=True)
    signs = [glyphs[owner.role] for owner in Owner]
    assert len(set(signs)) == len(signs)
