"""What a coverage-guided fuzzer calls: open, survey, read, report. Errors of the tree are answers, no crashes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache

from qcow2inspect.build.recipe import DirtyBitmap, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.dossier.report import compile_report, examine_chain
from qcow2inspect.dossier.wishes import Wishes
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.header import CompressionType
from qcow2inspect.image.chain import AnyImage, Chain, Layer
from qcow2inspect.image.facts import header_facts, v1_facts
from qcow2inspect.image.image import Image, require_magic
from qcow2inspect.image.tree import Tree
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.reports import formats, render
from qcow2inspect.reports.qemu import info_document, map_entries
from qcow2inspect.rules import examine
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey.survey import take_survey
from tests.fuzz.seeds import MIXED, OLD, TAKEN, seed

LARGEST = 1 << 15
"""Bytes of an input: the smaller, the more of them a second sees."""
_EXTENTS = 300
_READ = 1 << 15

Target = Callable[[bytes], None]


def _opened(data: bytes) -> AnyImage:
    source = MemorySource(data, "fuzzed.qcow2")
    return V1Image(source) if require_magic(source) == 1 else Image(source)


def _chain(image: AnyImage) -> Chain:
    return Chain([Layer(image.source, "qcow2" if isinstance(image, Image) else "qcow", image)])


def open_target(data: bytes) -> None:
    """Open it and look at everything that hangs on the header, and at the upper levels of its tree."""
    with suppress(Qcow2InspectError):
        image = _opened(data)
        info_document(image)
        if not isinstance(image, Image):
            v1_facts(image)
            return
        list(header_facts(image))
        assert all(label.isprintable() and value.isprintable() for label, value in header_facts(image))
        for node in Tree(image).top:
            assert all(child.shown.isprintable() for child in itertools.islice(node.children(), 40))


def survey_target(data: bytes) -> None:
    """Survey it, and apply every rule."""
    with suppress(Qcow2InspectError):
        image = _opened(data)
        if isinstance(image, Image):
            assert all(finding.message.isprintable() for finding in examine(take_survey(image)))


def read_target(data: bytes) -> None:
    """Read the guest disk as a whole and piece by piece, strict and lenient, and its map."""
    with suppress(Qcow2InspectError):
        image = _opened(data)
        for lenient in (False, True):
            with suppress(Qcow2InspectError):
                disk = _chain(image).disk(lenient=lenient)
                for extent in itertools.islice(disk.extents(), _EXTENTS):
                    with suppress(Qcow2InspectError):
                        disk.read_extent(extent.cut(extent.start, min(extent.end, extent.start + _READ)))
                for _ in itertools.islice(map_entries(disk, [image]), _EXTENTS):
                    pass
                disk.read_at(0, _READ)


def report_target(data: bytes) -> None:
    """Report on it in one of the formats, as the length of the input says."""
    with suppress(Qcow2InspectError):
        chain = _chain(_opened(data))
        report = compile_report(chain, examine_chain(chain), Wishes(redact=len(data) % 2 == 1))
        names = list(formats())
        assert render(report, names[len(data) // 2 % len(names)])


TARGETS: dict[str, Target] = {
    "open": open_target,
    "survey": survey_target,
    "read": read_target,
    "report": report_target,
}


# -- inputs ---------------------------------------------------------------------------------------------------------


@cache
def inputs() -> tuple[bytes, ...]:
    """Small images to begin with: every feature with the smallest clusters."""
    small = Layout(40 << 10, cluster_bits=9)
    layouts = [replace(small, refcount_order=order) for order in (3, 4, 6)]
    layouts += [replace(small, compression=CompressionType.ZSTD), replace(small, lazy_refcounts=True)]
    layouts += [replace(small, backing_name=b"base.raw", backing_format=b"raw")]
    recipes = [Recipe(layout, MIXED) for layout in layouts]
    recipes += [Recipe(replace(small, version=2), OLD, (Snapshot(b"old"),)), Recipe(small, MIXED, TAKEN)]
    bitmaps = (DirtyBitmap(b"daily", (0,)), DirtyBitmap(b"fine", (1, 7), granularity_bits=9))
    recipes.append(Recipe(small, MIXED, bitmaps=bitmaps))
    images = [build(recipe) for recipe in recipes] + [seed(name).data for name in ("v1", "v1-512", "v1-overlay")]
    return tuple(image for image in images if len(image) <= LARGEST)


def mutate_words(data: bytes, chance: random.Random) -> bytes:
    """One to four aligned fields become numbers that look like those of the format."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        size = chance.choice([1, 2, 4, 8, 8, 8])
        at = chance.randrange(max(1, len(out))) // size * size
        old = int.from_bytes(out[at : at + size], "big")
        value = chance.choice(list(_values(old, size, chance))) & ((1 << 8 * size) - 1)
        out[at : at + size] = value.to_bytes(size, "big")
    return bytes(out)


def _values(old: int, size: int, chance: random.Random) -> Iterator[int]:
    pointer = chance.randrange(80) * 512
    yield from (0, 1, -1, old + 1, old - 1, old ^ 1 << chance.randrange(8 * size), 1 << chance.randrange(8 * size))
    yield from (pointer, pointer | 1 << 63, pointer | 1 << 62, pointer | 1, chance.getrandbits(8 * size))
