"""Makes the screenshots of the README from the real application; ``--check`` says whether they are up to date.

Every scene runs the application on the demo image in a terminal of its size, presses keys, and makes sure that it
shows what its caption says before it is drawn. The picture is an SVG with an embedded subset of DejaVu Sans Mono,
ligatures off; a text file beside it is for readers who cannot see. The check compares everything but the font's bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from qcow2inspect.build.demo import damaged_recipe, demo_recipe  # noqa: E402 - a script finds its package only now
from qcow2inspect.build.recipe import Recipe, build  # noqa: E402
from qcow2inspect.export import preflight  # noqa: E402
from qcow2inspect.tui.knowledge import KnowledgeGrew  # noqa: E402
from tests.tui import stage  # noqa: E402

FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")
_DESCENT = 4.0
"""What letters of the last row have below the clip of the terminal, in pixels."""
_SECONDS = re.compile(r"\b\d\.\d s\b")


@dataclass(frozen=True)
class Scene:
    """One picture: name, caption, what is opened, how large, which keys, what must be seen."""

    name: str
    caption: str
    recipe: Recipe
    size: tuple[int, int]
    keys: tuple[str, ...]
    shows: tuple[str, ...]


GOTO = ("g", *"0x7fffe0", "enter")

COMPARE = ("c", "enter", "right_square_bracket", "d")

SCENES = (
    Scene("overview", "Overview of a sound image", demo_recipe(), (120, 40), (), ("NO DAMAGE SEEN", "compressed")),
    Scene("overview-damaged", "Overview of a damaged image", damaged_recipe(), (120, 40), (), ("DAMAGED", "corrupt")),
    Scene("guest", "Guest: the bytes that the guest sees", demo_recipe(), (120, 40), ("5", *GOTO), ("page 128",)),
    Scene("compare", "Compare: two states side by side", demo_recipe(), (120, 40), COMPARE, ("difference 1 of 1",)),
    Scene("map", "Map: what each cluster belongs to", damaged_recipe(), (120, 40), ("3",), ("guest data", "refcounts")),
    Scene("findings", "Findings and their evidence", damaged_recipe(), (120, 40), ("4", "down"), ("evidence",)),
    Scene(
        "export",
        "Export: choices, and what is checked before a byte is written",
        damaged_recipe(),
        (120, 40),
        ("e", "ctrl+u", *"demo.raw", *["tab"] * 3, "right", "right", "right"),
        ("Export raw bytes", "the target is free", "what broken streams give"),
    ),
    Scene(
        "report",
        "Report: parts, format, preview",
        damaged_recipe(),
        (120, 40),
        ("r", "ctrl+u", *"demo.report.txt", *["tab"] * 5, "end", "space", *["up"] * 4, "space"),
        ("Write the report", "[ ] checks", "[x] findings", "DAMAGED"),
    ),
    Scene("explore", "Explore: structure, hex, inspector", demo_recipe(), (120, 40), ("2",), ("magic", "51 46 49 fb")),
)


async def draw(scene: Scene) -> tuple[str, str]:
    """SVG and text of a scene.

    Raises:
        SystemExit: the screen does not show what it should.
    """
    preflight.free_space = lambda _: 55 << 30  # how much room this disk has is no part of a picture
    image = stage.memory_image(build(scene.recipe), "demo.qcow2")
    async with stage.playing(image, size=scene.size) as pilot:
        for _ in range(600):  # the tables are read in a thread
            if "tables read" in visible_text(pilot.app.export_screenshot(simplify=True)).replace("\n", " "):
                break
            await pilot.pause(0.05)
        await stage.settle(pilot)
        app = stage.inspector(pilot)
        app.session.knowledge = replace(app.session.knowledge, seconds=0.0)  # how long it took is no part of a picture
        app.news.publish(KnowledgeGrew(None))
        await stage.settle(pilot)
        for key in scene.keys:
            await pilot.press(key)
            await stage.settle(pilot)
        svg = pilot.app.export_screenshot(title=f"qcow2inspect: {scene.caption}", simplify=True)
    text = visible_text(svg)
    flat = "".join(text.split())
    for words in scene.shows:
        if "".join(words.split()) not in flat:
            raise SystemExit(f"{scene.name} does not show “{words}”:\n{text}")
    return restyle(_SECONDS.sub("0.0 s", svg), text), text


def visible_text(svg: str) -> str:
    """The words of a picture, line by line."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for found in re.finditer(r'<text[^>]*? x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg):
        words = found[3].replace("&#160;", " ").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        rows.setdefault(float(found[2]), []).append((float(found[1]), words))
    lines = ("".join(words for _, words in sorted(row)).rstrip() for _, row in sorted(rows.items()))
    return _SECONDS.sub("0.0 s", "\n".join(lines)) + "\n"


def restyle(svg: str, text: str) -> str:
    """No fonts from the network: one embedded subset, no ligatures, crisp cells, a whole last row."""
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: *[^;]+;", "font-family: Cells, 'DejaVu Sans Mono', monospace;", svg)
    svg = re.sub(
        r'(clip-terminal">\s*<rect [^>]*height=")([\d.]+)', lambda cut: f"{cut[1]}{float(cut[2]) + _DESCENT}", svg
    )
    face = f"@font-face {{ font-family: Cells; src: url(data:font/woff2;base64,{subset(text)}); }}"
    more = "text { font-variant-ligatures: none; } rect { shape-rendering: crispEdges; }"
    return svg.replace("<style>", f"<style>\n{face}\n{more}\n", 1)


def subset(text: str) -> str:
    """The font with the characters of ``text`` only, as base64; empty where the font is not installed."""
    if not FONT.exists():
        return ""
    from fontTools import subset as tool

    options = tool.Options()
    options.flavor = "woff2"
    options.layout_features = []
    options.drop_tables += ["FFTM"]
    font = tool.load_font(str(FONT), options)
    subsetter = tool.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    out = io.BytesIO()
    tool.save_font(font, out, options)
    return base64.b64encode(out.getvalue()).decode()


def without_font(svg: str) -> str:
    """What is compared: the font's bytes depend on the installed version of the font and its tools."""
    return re.sub(r"base64,[^)]*\)", "base64,)", svg)


def main() -> int:
    """Make or check all pictures; 1 if one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a picture is out of date")
    check = parser.parse_args().check
    stale = []
    for scene in SCENES:
        svg, text = asyncio.run(draw(scene))
        picture, words = HERE / f"{scene.name}.svg", HERE / f"{scene.name}.txt"
        if not check:
            picture.write_text(svg)
            words.write_text(text)
        elif (
            not picture.exists() or without_font(picture.read_text()) != without_font(svg) or words.read_text() != text
        ):
            stale.append(scene.name)
    print(f"{len(SCENES) - len(stale)} screenshots up to date" if check else f"{len(SCENES)} screenshots written")
    if stale:
        print(f"out of date: {', '.join(stale)}; run “python screenshots/make.py” and look at them", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
