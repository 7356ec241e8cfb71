"""CPU time of the interface's panes at 200x60, in this process and without a terminal: what only our own code costs."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from textual import events

from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.image.image import Image
from qcow2inspect.tui.app import InspectApp
from qcow2inspect.tui.clustermap import ClusterMap, Count, Entropy, GuestCount, GuestUse, Kind, Mapped, Owner, Use
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.nibbles import Nibbles
from qcow2inspect.tui.screens.explore import ExploreScreen
from qcow2inspect.tui.screens.map import MapScreen
from qcow2inspect.tui.session import Session
from qcow2inspect.tui.strip import strip_of
from qcow2inspect.tui.theme import Colors, Look
from qcow2inspect.tui.widgets.hexpane import HexPane
from qcow2inspect.tui.widgets.mapgrid import MapGrid

__all__ = ["MapCosts", "PaneCosts", "map_costs", "pane_costs"]

_SIZE = (200, 60)
_TIMES = 40
_QUIET = 6
_PAINTED = 0.05
_COLOURINGS: dict[str, tuple[type[Kind], bool]] = {
    "type": (Owner, False),
    "refcount": (Count, False),
    "snapshot": (Use, False),
    "entropy": (Entropy, False),
    "guest order, type": (Mapped, True),
    "guest order, refcount": (GuestCount, True),
    "guest order, snapshot": (GuestUse, True),
    "guest order, entropy": (Entropy, True),
}


@dataclass(frozen=True)
class PaneCosts:
    """Median CPU seconds.

    Attributes:
        move: of a cursor move by one byte, inspector and breadcrumb included.
        page: of a page.
    """

    move: float
    page: float


def pane_costs(folder: Path, end: int) -> PaneCosts:
    """What keys cost in the hex pane on an image file of ``end`` bytes, which is sparse."""
    path = folder / f"panes-{end}.qcow2"
    path.write_bytes(build(Recipe(Layout(1 << 30), {0: Data(b"some data")})))
    os.truncate(path, max(end, path.stat().st_size))
    return asyncio.run(_pane_costs(path))


async def _pane_costs(path: Path) -> PaneCosts:
    session = Session.of(Image.open(path))
    app = InspectApp(session, Look(Colors.TRUE, Glyphs()))
    async with app.run_test(size=_SIZE) as pilot:
        await _settle(app)
        await pilot.press("2")
        await _settle(app)
        assert isinstance(app.screen, ExploreScreen)
        move = [await _press(app, key) for key in ("right", "left") * (_TIMES // 2)]
        await _press(app, "G")
        page = [await _press(app, key) for key in ("pageup", "pageup", "pagedown", "pageup") * (_TIMES // 4)]
    session.close()
    return PaneCosts(statistics.median(move), statistics.median(page))


async def _press(app: InspectApp, key: str) -> float:
    start = time.process_time()
    app.post_message(events.Key(key, key if len(key) == 1 else None))
    await asyncio.sleep(_PAINTED)
    return time.process_time() - start


async def _settle(app: InspectApp) -> None:
    """Until nothing is done in the background and the screen has been painted."""
    quiet = 0
    while quiet < _QUIET:
        await asyncio.sleep(0.02)
        quiet = 0 if app.busy else quiet + 1


@dataclass(frozen=True)
class MapCosts:
    """Of the map of an image, in each colouring.

    Attributes:
        redraw: name of the colouring -> median CPU seconds to aggregate and paint what is in sight.
        strip: CPU seconds to sum up the whole for the strip beside the bytes, which is done in a thread.
        key: median CPU seconds of the strip's part of a key.
    """

    redraw: dict[str, float]
    strip: float
    key: float


def map_costs(clusters: int) -> MapCosts:
    """What the map of so many clusters costs at 200x60, the whole file or disk in sight."""
    return asyncio.run(_map_costs(clusters))


def _some(kinds: type[Kind], clusters: int, *, is_guest: bool) -> ClusterMap:
    import numpy as np

    values = np.random.default_rng(1).integers(0, len(kinds), clusters, dtype=np.uint8)
    return ClusterMap(Nibbles.of(values), 1 << 16, 1, clusters << 16, kinds, is_guest=is_guest)


async def _map_costs(clusters: int) -> MapCosts:
    from qcow2inspect.source.memory import MemorySource

    session = Session.of(Image(MemorySource(build(Recipe(Layout(1 << 20))))))
    app = InspectApp(session, Look(Colors.TRUE, Glyphs()))
    redraw: dict[str, float] = {}
    async with app.run_test(size=_SIZE) as pilot:
        await _settle(app)
        await pilot.press("3")
        await _settle(app)
        assert isinstance(app.screen, MapScreen)
        for name, (kinds, is_guest) in _COLOURINGS.items():
            redraw[name] = _redraw(app.screen.grid, _some(kinds, clusters, is_guest=is_guest))
        start = time.process_time()
        strip = strip_of(_some(Owner, clusters, is_guest=False), ())
        took = time.process_time() - start
        await pilot.press("2")
        await _settle(app)
        assert isinstance(app.screen, ExploreScreen)
        app.screen.hex.show_strip(strip)
        key = _marked(app.screen.hex)
    session.close()
    return MapCosts(redraw, took, key)


def _redraw(grid: MapGrid, made: ClusterMap) -> float:
    """All that a change of the map costs: the worst of each cell, and every line."""
    costs = []
    for _ in range(5):
        start = time.process_time()
        grid.show(made, frozenset())
        for row in range(grid.top, grid.top + grid.height):
            grid.paint(row, grid.width)
        costs.append(time.process_time() - start)
    return statistics.median(costs)


def _marked(pane: HexPane) -> float:
    """What the strip adds to a page: each of its lines, plain or marked."""
    costs = []
    for _ in range(_TIMES):
        start = time.process_time()
        for line in range(pane.height):
            pane._marker(line)
        costs.append(time.process_time() - start)
    return statistics.median(costs)
