"""Real images made by others, where they are at hand: ``QCOW2INSPECT_CORPUS`` or ``../shared/corpus``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcow2inspect.errors import NeedsFile, Unsupported
from qcow2inspect.image.image import Image
from qcow2inspect.image.tree import Tree
from qcow2inspect.units import HostOffset
from tests.images import CORPUS, raw_by_qemu

EXPECTED: dict[str, dict[str, Any]] = (
    json.loads((CORPUS / "expected.json").read_text()) if (CORPUS / "expected.json").exists() else {}
)
READABLE = sorted(name for name, facts in EXPECTED.items() if "raw_sha256" in facts)


def test_the_corpus_is_whole() -> None:
    """Outside of the repository there may be none; a part of it is a mistake."""
    images = {path.name for path in CORPUS.glob("*") if path.suffix in (".qcow2", ".img")} if CORPUS.exists() else set()
    assert images == set(EXPECTED)
    assert len(images) in (0, 7)
    for name in images:
        assert hashlib.sha256((CORPUS / name).read_bytes()).hexdigest() == EXPECTED[name]["sha256"]


def sha256(image: Image) -> str:
    disk, digest = image.active_disk(), hashlib.sha256()
    for at in range(0, disk.size, 1 << 20):
        digest.update(disk.read_at(at, 1 << 20))
    return digest.hexdigest()


@pytest.mark.parametrize("name", READABLE)
def test_readable_images(name: str, record_property: Callable[[str, object], None]) -> None:
    facts = EXPECTED[name]
    with Image.open(CORPUS / name) as image:
        assert image.active_disk().size == facts["virtual_size"]
        assert image.geometry.cluster_size == facts["cluster_size"]
        assert image.header.compression_type.name.lower() == facts["compression"]
        assert image.header.version == (2 if facts["compat"] == "0.10" else 3)
        assert image.obstacles == ()
        assert sha256(image) == facts["raw_sha256"]
    record_property("cells corpus", 1)


@pytest.mark.oracle
@pytest.mark.parametrize("name", READABLE)
def test_convert_still_says_the_same(name: str, tmp_path: Path) -> None:
    copy = tmp_path / name
    copy.write_bytes((CORPUS / name).read_bytes())
    raw = raw_by_qemu(copy)
    assert raw is not None
    assert hashlib.sha256(raw).hexdigest() == EXPECTED[name]["raw_sha256"]


@pytest.mark.parametrize("name", [name for name in sorted(EXPECTED) if EXPECTED[name]["backing"]])
def test_an_overlay_without_its_base(name: str) -> None:
    with Image.open(CORPUS / name) as image:
        assert image.backing_name.decode() == EXPECTED[name]["backing"]
        with pytest.raises(NeedsFile, match=f"backing file “{EXPECTED[name]['backing']}”"):
            sha256(image)


@pytest.mark.parametrize("name", [name for name in sorted(EXPECTED) if EXPECTED[name]["format"] == "qcow"])
def test_version_1(name: str) -> None:
    with pytest.raises(Unsupported, match="version 1"):
        Image.open(CORPUS / name)


@pytest.mark.parametrize("name", [name for name in sorted(EXPECTED) if EXPECTED[name]["format"] == "qcow2"])
def test_every_part_of_the_tree_can_be_looked_at(name: str) -> None:
    with Image.open(CORPUS / name) as image:
        tree = Tree(image)
        for node in tree.root.children():
            assert node.shown.isprintable()
            if node.where:
                assert node.where.start in tree.locate(node.where.start).where
        assert tree.locate(HostOffset(image.end - 1)).where.end >= image.end
