"""What the Compare screen says, in words: about the place under the cursor, and about the whole comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.tui.widgets.guestpane import role_of
from qcow2inspect.units import GuestOffset, HostOffset, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.contrast import FieldPair
    from qcow2inspect.image.parts import Part
    from qcow2inspect.image.view import Extent
    from qcow2inspect.tui.comparison import Comparison, Side

__all__ = ["Row", "facts", "field_rows", "origin_row", "range_row", "same_row"]

Row = tuple[str, str, str, str]
"""Label, text, role, glyph name."""


def range_row(comparison: Comparison, part: Part, *, mapped: bool) -> Row:
    """A range that differs.

    Args:
        comparison: knows which of all it is.
        part: the range.
        mapped: True if the mappings are compared, not the bytes.
    """
    where = f"guest {part.guest.start}‥{part.guest.end - 1:#x}, {human_size(part.guest.size)}"
    if part.error is not None:
        return ("", f"{where}: cannot be compared: {part.error.what}", "bad", "unknown")
    if mapped:
        return ("", f"{where}: mapped differently", "warn", "unlike")
    number = f", difference {comparison.index_of(part) + 1:,} of {len(comparison.parts):,}"
    differ = f"{counted(part.differing, 'byte')} differ{'s' * (part.differing == 1)}"
    return ("", f"{where}: {differ}{number}", "warn", "unlike")


def same_row(comparison: Comparison, at: GuestOffset) -> Row:
    """A place without a known difference."""
    if at >= comparison.known:
        return ("", f"guest {at}: not compared yet", "dim", "more")
    return ("", f"guest {at}: no difference here", "good", "yes")


def origin_row(letter: str, side: Side, extent: Extent | None, at: GuestOffset) -> Row:
    """Where a side has a byte."""
    words = f"{side.title}: {_origin_words(side, extent, at)}"
    return (letter, words, "text", role_of(extent) if extent is not None else "")


def field_rows(pair: FieldPair) -> Iterator[Row]:
    """A field, with the value of each side."""
    yield ("", pair.name, "text" if pair.is_same else "warn", "yes" if pair.is_same else "unlike")
    yield ("A", pair.a or "no such field", "text", "")
    yield ("B", pair.b or "no such field", "text", "")


def facts(comparison: Comparison, sign: str) -> Iterator[str]:
    """The sums; ``sign`` stands for “differs”."""
    sums = comparison.sums
    if comparison.trouble:
        yield comparison.trouble
    elif not comparison.is_done:
        yield f"comparing {100 * comparison.reached // max(1, comparison.size)} %"
    yield f"{sign} {human_size(sums.differing)} in {counted(sums.ranges, 'range')}"
    if sums.unreadable:
        yield f"? {human_size(sums.unreadable)} unreadable"
    if sums.missing:
        yield f"~ {human_size(sums.missing)} missing"
    yield f"= {human_size(sums.by_tables)} by tables"
    yield f"= {human_size(sums.by_bytes)} by bytes"


def _origin_words(side: Side, extent: Extent | None, at: GuestOffset) -> str:
    """Where a byte of a side comes from: type, host offset, file."""
    if extent is None:
        return "past the end of the disk" if at >= side.view.size else "being read"
    words = extent.kind.word
    if extent.host is not None and words == "compressed":
        words += f", host {extent.host}"
    elif extent.host is not None:
        words += f", host {HostOffset(extent.host.start + (at - extent.guest.start))}"
    words += _layer_words(side, extent)
    if extent.error is not None:
        return f"{words}: cannot be read: {extent.why_not}"
    if extent.absent:
        return f"{words}: its file is not there"
    return f"{words}: past the end of the file" if extent.past_end else words


def _layer_words(side: Side, extent: Extent) -> str:
    """Which file of a chain supplies it; empty if there is one only."""
    from qcow2inspect.tui.states import base_name

    layers = side.chain.layers
    if len(layers) < 2:
        return ""
    layer = extent.layer + (side.state.index if side.state.kind == "layer" else 0)
    return f", layer {layer} {base_name(layers[min(layer, len(layers) - 1)])}"
