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
from qcow2inspect.tui.clustermap import ClusterMap, Owner
from qcow2inspect.tui.glyphs import Glyphs
from qcow2inspect.tui.screens.explore import ExploreScreen
from qcow2inspect.tui.screens.map import MapScreen
from qcow2inspect.tui.session import Session
from qcow2inspect.tui.theme import Colors, Look

__all__ = ["PaneCosts", "map_redraw", "pane_costs"]

_SIZE = (200, 60)
_TIMES = 40
_QUIET = 6
_PAINTED = 0.05


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


def map_redraw(clusters: int) -> float:
    """Median CPU seconds to aggregate and paint the map of so many clusters at 200x60, the whole file in sight."""
    import numpy as np

    owners = np.random.default_rng(1).choice(np.array([Owner.FREE, Owner.DATA, Owner.L2], dtype=np.uint8), clusters)
    made = ClusterMap(owners, 1 << 16, 1, clusters << 16)
    return asyncio.run(_map_redraw(made))


async def _map_redraw(made: ClusterMap) -> float:
    from qcow2inspect.source.memory import MemorySource

    session = Session.of(Image(MemorySource(build(Recipe(Layout(1 << 20))))))
    app = InspectApp(session, Look(Colors.TRUE, Glyphs()))
    costs = []
    async with app.run_test(size=_SIZE) as pilot:
        await _settle(app)
        await pilot.press("3")
        await _settle(app)
        assert isinstance(app.screen, MapScreen)
        grid = app.screen.grid
        for _ in range(5):
            start = time.process_time()
            grid.show(made, frozenset())
            for row in range(grid.top, grid.top + grid.height):
                grid.paint(row, grid.width)
            costs.append(time.process_time() - start)
    session.close()
    return statistics.median(costs)
