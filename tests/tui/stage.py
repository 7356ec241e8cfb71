"""What the tests of the screens share: sessions, what is on the screen, and the golden grids."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from textual import events
from textual.app import App
from textual.keys import key_to_character
from textual.widget import Widget

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.image.gate import OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.tui.app import InspectApp
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.screens.explore import ExploreScreen
from qcow2inspect.tui.screens.guest import GuestScreen
from qcow2inspect.tui.session import Session
from qcow2inspect.tui.theme import Colors, Look

if TYPE_CHECKING:
    from rich.segment import Segment
    from textual.pilot import Pilot

COLOURED = Look(Colors.TRUE, Glyphs())
PLAIN = Look(Colors.NONE, Glyphs(ascii_only=True))
SIZES = [(80, 24), (120, 40), (200, 60)]
ROOT = Path(__file__).parents[2]
GOLDENS = Path(__file__).parent / "goldens"
_SECONDS = re.compile(r"\b\d\.\d s")
_TIMES = re.compile(r"\b\d\d:\d\d:\d\dZ")


def memory_image(data: bytes | None = None, name: str = "demo.qcow2") -> Image:
    """An image in memory: the demo image unless ``data`` is another."""
    return Image(MemorySource(build(demo_recipe()) if data is None else data, name))


@asynccontextmanager
async def playing(
    image: Image | str | Path,
    *,
    size: tuple[int, int] = (120, 40),
    look: Look = COLOURED,
    settled: bool = True,
    gate: OpenGate | None = None,
    passphrase: bytes | None = None,
) -> AsyncIterator[Pilot[None]]:
    """The inspector on a stage, after its first look at the image."""
    opened = image if isinstance(image, Image) else Image.open(image)
    session = Session.of(opened, gate)
    app = InspectApp(session, look, passphrase=passphrase)
    async with app.run_test(size=size) as pilot:
        if settled:
            await settle(pilot)
        yield pilot
    session.close()


def inspector(pilot: Pilot[None]) -> InspectApp:
    """The application."""
    return cast("InspectApp", pilot.app)


def explore(pilot: Pilot[None]) -> ExploreScreen:
    """The Explore screen, which must be in front."""
    screen = pilot.app.screen
    assert isinstance(screen, ExploreScreen)
    return screen


def guest(pilot: Pilot[None]) -> GuestScreen:
    """The Guest screen, which must be in front."""
    screen = pilot.app.screen
    assert isinstance(screen, GuestScreen)
    return screen


async def go(pilot: Pilot[None], address: str) -> None:
    """Go to an address by its dialog."""
    await tap(pilot, "g")
    await type_text(pilot, address)
    await tap(pilot, "enter")
    await settle(pilot)


async def settle(pilot: Pilot[None]) -> None:
    """Wait until all tasks are done and what they said is shown."""
    quiet = 0
    while quiet < 3:
        await pilot.pause(0.005)
        busy = getattr(pilot.app, "busy", False) or getattr(pilot.app.screen, "busy", False)
        quiet = 0 if busy or _moves(pilot.app) else quiet + 1


def _moves(app: App[None]) -> bool:
    """True while a message waits, or something is still to be laid out or painted, however busy the machine is."""
    if app._exit:
        return False
    screen = app.screen
    nodes = [screen, *screen.walk_children(Widget)]
    return (
        bool(screen._dirty_widgets or screen._callbacks or app.message_queue_size)
        or any(node.message_queue_size or node._layout_required or node._repaint_required for node in nodes)
        or any(node._scroll_required or node._next_callbacks for node in nodes)
    )


async def tap(pilot: Pilot[None], *keys: str) -> None:
    """Press keys one after the other, without the long waits of the pilot's own way."""
    for key in keys:
        pilot.app.post_message(events.Key(key, key_to_character(key)))
        for _ in range(4):
            await pilot.pause(0)


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys, and wait after each until all that it caused is done and shown."""
    for key in keys:
        await tap(pilot, key)
        await settle(pilot)


async def type_text(pilot: Pilot[None], text: str) -> None:
    """Put ``text`` into the input that has the focus, and wait for what follows from it."""
    from textual.widgets import Input

    pilot.app.screen.query_one(Input).value = text
    await settle(pilot)


def segments(app: App[None]) -> list[list[Segment]]:
    """The rows of the screen, as the terminal gets them; the one place that knows how to ask."""
    return [list(strip) for strip in app.screen._compositor.render_strips()]


def grid(app: App[None]) -> list[str]:
    """The rows of the screen as text."""
    return ["".join(segment.text for segment in row) for row in segments(app)]


def shown(app: App[None]) -> str:
    """The screen as one text."""
    return "\n".join(grid(app))


def check_grid(app: App[None], size: tuple[int, int]) -> None:
    """Every row is exactly as wide as the screen, and every piece of text has a style."""
    rows = segments(app)
    assert len(rows) == size[1]
    for row in rows:
        assert sum(cell_len(segment.text) for segment in row) == size[0]
        assert all(segment.style is not None for segment in row)


async def compare_golden(pilot: Pilot[None], name: str) -> None:
    """The screen equals the stored grid; ``QCOW2INSPECT_UPDATE_GOLDENS=1`` stores it."""
    await pilot.pause()
    found = [row.rstrip() for row in _TIMES.sub("00:00:00Z", _SECONDS.sub("0.0 s", shown(pilot.app))).split("\n")]
    path = GOLDENS / f"{name}.txt"
    if os.environ.get("QCOW2INSPECT_UPDATE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(found) + "\n", encoding="utf-8")
    wanted = path.read_text(encoding="utf-8").split("\n")[:-1]
    assert found == wanted, "\n".join(difflib.unified_diff(wanted, found, "golden", "found", lineterm=""))
