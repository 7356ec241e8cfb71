"""Chains of files that make the rules about other files speak, one for each code."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout

MIB = 1 << 20
BASE = Recipe(Layout(size=MIB, cluster_bits=12), {0: Data(b"base")})


def image(path: Path, backing: str = "", kind: str = "qcow2", size: int = MIB) -> Path:
    layout = replace(BASE.layout, size=size)
    if backing:
        layout = replace(layout, backing_name=backing.encode(), backing_format=kind.encode())
    path.write_bytes(build(replace(BASE, layout=layout)))
    return path


def missing(folder: Path) -> Path:
    return image(folder / "top.qcow2", "gone.qcow2")


def loop(folder: Path) -> Path:
    image(folder / "base.qcow2", "top.qcow2")
    return image(folder / "top.qcow2", "base.qcow2")


def depth(folder: Path) -> Path:
    image(folder / "0.qcow2")
    for number in range(1, 70):
        image(folder / f"{number}.qcow2", f"{number - 1}.qcow2")
    return folder / "69.qcow2"


def mismatch(folder: Path) -> Path:
    image(folder / "base.qcow2")
    return image(folder / "top.qcow2", "base.qcow2", "raw", (folder / "base.qcow2").stat().st_size)


def smaller(folder: Path) -> Path:
    image(folder / "base.qcow2", size=MIB // 2)
    return image(folder / "top.qcow2", "base.qcow2")


def newer(folder: Path) -> Path:
    top = image(folder / "top.qcow2", "base.qcow2")
    image(folder / "base.qcow2")
    os.utime(top, (1_000_000_000, 1_000_000_000))
    return top


def data_file(folder: Path) -> Path:
    path = folder / "top.qcow2"
    path.write_bytes(build(Recipe(Layout(size=MIB, data_file=b"data.raw"), {0: Data(b"a")})))
    return path


def short(folder: Path) -> Path:
    (folder / "data.raw").write_bytes(bytes(1000))
    return data_file(folder)


def own_data_file(folder: Path) -> Path:
    path = folder / "top.qcow2"
    path.write_bytes(build(Recipe(Layout(size=MIB, data_file=b"top.qcow2"), {0: Data(b"a")})).ljust(MIB, b"\0"))
    return path


def sound(folder: Path) -> Path:
    """Nothing is wrong with this one."""
    base = image(folder / "base.qcow2")
    os.utime(base, (1_000_000_000, 1_000_000_000))
    return image(folder / "top.qcow2", "base.qcow2")


CHAINS: dict[str, Callable[[Path], Path]] = {
    "QCOW-BACK-DEPTH": depth,
    "QCOW-BACK-FMT-MISMATCH": mismatch,
    "QCOW-BACK-LOOP": loop,
    "QCOW-BACK-MISSING": missing,
    "QCOW-BACK-NEWER": newer,
    "QCOW-BACK-SIZE": smaller,
    "QCOW-DF-MISSING": data_file,
    "QCOW-DF-SELF": own_data_file,
    "QCOW-DF-SHORT": short,
}
"""Code -> what makes files in a folder, and gives the path of the image to open."""

CHANGING = {"QCOW-FILE-CHANGED"}
"""Codes of what happens while an image is open."""
