"""Reports that several tests look at, and names that nobody wishes to meet."""

from __future__ import annotations

from dataclasses import replace

from qcow2inspect.build.demo import damaged_recipe, demo_recipe, encrypted_recipe
from qcow2inspect.build.recipe import DirtyBitmap, Recipe, Snapshot, build
from qcow2inspect.dossier.report import compile_report, examine_chain
from qcow2inspect.dossier.section import Report
from qcow2inspect.dossier.wishes import SECTIONS, HashRow, Wishes
from qcow2inspect.format.extensions.feature_names import FeatureNames
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource

RECIPES = {"demo": demo_recipe, "damaged": damaged_recipe, "encrypted": encrypted_recipe}

STABLE = frozenset(SECTIONS) - {"provenance", "checks"}
"""Sections whose text depends on the image alone: new rules do not change them."""

EVIL = [
    b"\x1b]0;title\x07\x1b[31m[bold]red[/bold]\r\n",
    b"=cmd|' /C calc'!A0",
    b"@SUM(1+1)\t+2-3",
    b"</script><script>alert(1)</script>",
    b"]]> <!-- & --> <?x?>",
    b"\" onload='x' `code` | [link](javascript:alert) ![i](http://x) # *b*",
    b"\xe2\x80\xae\xe2\x81\xa6gpj.exe\xef\xbf\xbe",
    b"\xff\xfe\xed\xa0\x80\x00end",
]
"""Terminal, spreadsheet, HTML, XML, Markdown, bidirectional marks, bytes that are no text."""


def report_of(recipe: Recipe, name: str = "evidence.qcow2", wishes: Wishes | None = None) -> Report:
    """The report about the image of a recipe, in memory."""
    chain = chain_of(Image(MemorySource(build(recipe), name)))
    return compile_report(chain, examine_chain(chain), wishes or Wishes(sections=STABLE))


def evil_recipe() -> Recipe:
    """An image with odd names wherever a name can be."""
    base = demo_recipe()
    odd = b"".join(EVIL)
    names = b"".join(bytes([1, 10 + bit]) + name[:46].ljust(46, b"\0") for bit, name in enumerate(EVIL))
    extensions = (FeatureNames.MAGIC, names), (0x1B5B326A, odd)
    layout = replace(base.layout, backing_name=odd[:900], backing_format=EVIL[1], extra_extensions=extensions)
    return replace(
        base,
        layout=layout,
        snapshots=tuple(Snapshot(name, ident=name) for name in EVIL),
        bitmaps=tuple(DirtyBitmap(name, (0,)) for name in EVIL),
        damage={"hdr.compatible_features": 0xFF << 10},
    )


def evil_wishes() -> Wishes:
    """Everything that a person may add, with the same odd text."""
    text = [name.decode("utf-8", "surrogateescape") for name in EVIL]
    return Wishes(
        case={"Case": text[0], "Examiner": text[3]},
        notes=tuple(text),
        marks=tuple(("L1[0]", note) for note in text),
        hashes=(HashRow("container file", text[3], 1, "sha256", "00" * 32),),
        command=("qcow2inspect", "report", *text),
        time=1_700_000_000,
    )


def evil_path() -> str:
    """A path that is as odd as a path can be."""
    return b"".join(EVIL).replace(b"\0", b"").decode("utf-8", "surrogateescape") + ".qcow2"
