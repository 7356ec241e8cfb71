"""The verb "bitmaps": text, JSON, what is left out, what cannot be read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.cli import verb_bitmaps
from tests.image.bitmap_images import Marks, image_with

SIZE = 1 << 20
GOOD = Marks(b"good", frozenset({0, 1, 5, 9}), entry={"flags": 2})
BAD = Marks(b"bad", entry={"bitmap_table_size": 0})


def bitmaps(path: Path, data: bytes, *words: str) -> int:
    path.write_bytes(data)
    parser = argparse.ArgumentParser()
    verb_bitmaps.add_arguments(parser)
    return verb_bitmaps.run(parser.parse_args([str(path), *words]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "i.qcow2"


def test_text(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bitmaps(path, image_with(SIZE, GOOD)) == 0
    assert (
        capsys.readouterr().out
        == """\
1 bitmap

bitmap        good
type          dirty tracking
flags         auto
granularity   512 B
dirty         2,048 B (2 KiB) in 3 ranges
guest start  guest end  size
0x0          0x400      1 KiB
0xa00        0xc00      512 B
0x1200       0x1400     512 B
"""
    )


def test_the_rest_is_counted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bitmaps(path, image_with(SIZE, GOOD), "--limit", "1") == 0
    out = capsys.readouterr().out
    assert "0x0 " in out
    assert "0xa00" not in out
    assert out.endswith("... and 2 more; give --limit\n")
    assert bitmaps(path, image_with(SIZE, GOOD), "--limit", "0") == 0
    assert "more" not in capsys.readouterr().out


def test_a_damaged_bitmap_does_not_hide_the_others(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bitmaps(path, image_with(SIZE, BAD, GOOD)) == 65
    out = capsys.readouterr().out
    assert "dirty         cannot be read: bitmap “bad” (directory entry at host " in out
    assert "2,048 B (2 KiB) in 3 ranges" in out


def test_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bitmaps(path, image_with(SIZE, BAD, GOOD, autoclear=False), "--json", "--limit", "2") == 65
    bad, good = json.loads(capsys.readouterr().out)
    assert bad["readable"] is False
    assert "its table has no entries" in bad["why_not"]
    assert "ranges" not in bad
    assert good == {
        "name": "good",
        "type": "dirty tracking",
        "flags": ["auto"],
        "granularity": 512,
        "notes": good["notes"],
        "readable": True,
        "dirty_bytes": 2048,
        "dirty_ranges": 3,
        "ranges": [{"start": 0, "length": 1024}, {"start": 2560, "length": 512}],
        "ranges_left_out": 1,
    }
    assert good["notes"][0].startswith("stale")


def test_no_bitmaps(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = build(Recipe(Layout(SIZE)))
    assert bitmaps(path, data) == 0
    assert capsys.readouterr().out == "no bitmaps\n"
    assert bitmaps(path, data, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_directory_that_ends_early(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bitmaps(path, image_with(SIZE, GOOD, count=3)) == 0
    assert "the header counts 3 bitmaps, the bitmap directory at" in capsys.readouterr().err
