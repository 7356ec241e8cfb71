"""The colours of the map keep their distance, whatever colours an eye can tell apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from qcow2inspect.build.demo import damaged_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.tui.clustermap import Count, Entropy, GuestCount, GuestUse, Kind, Mapped, Owner, Use
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.palette import PALETTES, Palette
from qcow2inspect.tui.screens.base import BaseScreen
from qcow2inspect.tui.theme import Colors, Ground, Look
from tests.tui.stage import memory_image, playing, press, segments, settle, shown, tap

if TYPE_CHECKING:
    from rich.style import Style
    from textual.app import App

_NORMAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
# Machado, Oliveira, Fernandes 2009: full severity, on linear light.
_EYES = {
    "normal": _NORMAL,
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
_READABLE = 4.5
_NEARLY = 3.9
"""On grounds other than the plain one."""
_BYTES = ("text", "header", "extension", "snapshot", "l1", "l2", "refcount", "bitmap", "luks", "data", "compressed")
_SCREENS = {
    "1": ("S", "e", "r", "o", "p", "A", "c", "question_mark", "colon", "ctrl+p"),
    "2": ("down", "g", "slash", "plus", "w", "f1", "v", "down", "escape"),
    "3": ("t", "t", "t", "s"),
    "4": ("down", "right"),
    "5": ("down",),
    "6": (),
    "7": (),
}
"""Key of a screen -> keys on it."""
_TEXTS = ("text", "strong", "dim", "key", "good", "warn", "bad", "header", "l2", "refcount", "data", "leaked")
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


def color_of(owner: Kind, palette: Palette) -> str:
    role = owner.role
    return Look(Colors.TRUE, Glyphs(), palette).cell(role)


def near(kinds: Mapping[str, Kind], eye: str, palette: Palette) -> dict[tuple[str, str], float]:
    """Pairs of kinds whose colours can be taken for each other."""
    points = {name: lab(seen(color_of(kind, palette), eye)) for name, kind in kinds.items()}
    return {
        (one, other): round(math.dist(points[one], points[other]), 1)
        for one, other in itertools.combinations(points, 2)
        if math.dist(points[one], points[other]) < 25
    }


def contrast(one: str, other: str) -> float:
    low, high = sorted(
        0.05 + 0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (linear(one), linear(other))
    )
    return high / low


@pytest.fixture(params=list(PALETTES.values()), ids=list(PALETTES))
def palette(request: pytest.FixtureRequest) -> Palette:
    chosen: Palette = request.param
    return chosen


@pytest.mark.parametrize("eye", _EYES)
def test_classes_keep_their_distance(eye: str, palette: Palette) -> None:
    assert near(CLASSES, eye, palette) == {}


@pytest.mark.parametrize("eye", _EYES)
@pytest.mark.parametrize("kinds", [Count, Use, Mapped, GuestCount, GuestUse, Entropy])
def test_kinds_of_the_other_maps_keep_their_distance(kinds: type[Kind], eye: str, palette: Palette) -> None:
    assert near({kind.word: kind for kind in kinds if kind.role != "invalid"}, eye, palette) == {}


@pytest.mark.parametrize("owner", [owner for owner in CLASSES.values() if owner is not Owner.FREE])
def test_classes_stand_out_from_the_ground(owner: Owner, palette: Palette) -> None:
    assert contrast(palette.background, color_of(owner, palette)) >= 3.9


@pytest.mark.parametrize("name", ["light", "high-contrast"])
def test_texts_can_be_read_on_every_ground(name: str) -> None:
    look = Look(Colors.TRUE, Glyphs(), PALETTES[name])
    hard = {}
    for role, ground in itertools.product(_TEXTS, Ground):
        style = look.style(role, ground)
        assert style.color is not None
        assert style.bgcolor is not None
        found = contrast(style.color.get_truecolor().hex, style.bgcolor.get_truecolor().hex)
        if found < (_READABLE if ground is Ground.PLAIN else 3.9):
            hard[role, ground.value] = round(found, 1)
    assert hard == {}


@pytest.mark.parametrize("name", ["light", "high-contrast"])
def test_zero_bytes_can_be_read_wherever_they_stand(name: str) -> None:
    look = Look(Colors.TRUE, Glyphs(), PALETTES[name])
    hard = {}
    for role, ground, shade in itertools.product(_BYTES, Ground, range(4)):
        found = contrast_of(look.style(role, ground, shade))
        if found < (_READABLE if ground is Ground.PLAIN else _NEARLY):
            hard[role, ground.value, shade] = round(found, 1)
    assert hard == {}
    assert look.style("l2", shade=2) != look.style("l2", shade=3), "neighbouring fields differ"


def contrast_of(style: Style | None) -> float:
    """Of a text and what lies behind it; the best there is if either has no colour."""
    if style is None or style.color is None or style.bgcolor is None:
        return math.inf
    return contrast(style.color.get_truecolor().hex, style.bgcolor.get_truecolor().hex)


def hard_to_read(app: App[None]) -> set[tuple[str, float]]:
    """Words on the screen, or in the dialog over it, that have too little contrast."""
    boxes = app.screen.query("#dialog, CommandPalette > Vertical")
    box = boxes[0].region if boxes else app.screen.region
    found = set()
    for y, row in enumerate(segments(app)):
        x = 0
        for segment in row:
            inside = box.contains(x, y) and box.contains(x + segment.cell_length - 1, y)
            words = any(letter.isalnum() for letter in segment.text)
            x += segment.cell_length
            if inside and words and contrast_of(segment.style) < _NEARLY:
                found.add((segment.text.strip(), round(contrast_of(segment.style), 1)))
    return found


@pytest.mark.parametrize("name", ["light", "high-contrast"])
async def test_every_screen_and_dialog_can_be_read(name: str) -> None:
    look = Look(Colors.TRUE, Glyphs(), PALETTES[name])
    async with playing(memory_image(build(damaged_recipe())), look=look, size=(120, 40)) as pilot:
        hard = {}
        for key, further in _SCREENS.items():
            for more in ("", *further):
                await press(pilot, more or key)
                hard[key, more] = hard_to_read(pilot.app)
                if not isinstance(pilot.app.screen, BaseScreen):
                    await press(pilot, "escape")
        assert {where: words for where, words in hard.items() if words} == {}


def test_the_bar_on_the_strip_stands_out(palette: Palette) -> None:
    look = Look(Colors.TRUE, Glyphs(), palette)
    for owner in Owner:
        assert contrast(look.bar(owner.role), look.cell(owner.role)) >= 3, owner


async def test_a_key_changes_the_theme_of_all_screens() -> None:
    look = Look(Colors.TRUE, Glyphs())
    async with playing(memory_image(), look=look, size=(100, 30)) as pilot:
        for name in ("light", "high-contrast", "dark"):
            await tap(pilot, "T")
            await settle(pilot)
            assert f"theme: {name}" in shown(pilot.app)
            for key in ("2", "1"):
                await tap(pilot, key)
                await settle(pilot)
                grounds = {
                    segment.style.bgcolor.triplet.hex
                    for row in segments(pilot.app)
                    for segment in row
                    if segment.style and segment.style.bgcolor and segment.style.bgcolor.triplet
                }
                assert look.ground in grounds
                for other in PALETTES.values():
                    assert other.name == name or other.background not in grounds


def test_no_two_classes_have_the_same_sign() -> None:
    glyphs = Glyphs(ascii_only=True)
    signs = [glyphs[owner.role] for owner in Owner]
    assert len(set(signs)) == len(signs)
