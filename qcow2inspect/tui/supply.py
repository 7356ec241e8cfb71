"""Where a guest byte comes from, in words: file, host bytes, entries of the tables on the way.

Pure functions from a session and an extent; nothing here knows of widgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import NeedsFile, NeedsKey, Qcow2InspectError
from qcow2inspect.format.mapping import ClusterType
from qcow2inspect.image.image import Image
from qcow2inspect.image.view import Window
from qcow2inspect.layout.structure import visible
from qcow2inspect.tui import states
from qcow2inspect.tui.location import Location
from qcow2inspect.units import GuestOffset, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.address import Place
    from qcow2inspect.image.chain import Layer
    from qcow2inspect.image.view import Extent
    from qcow2inspect.tui.session import Session

__all__ = ["Entries", "crumbs", "entries", "facts", "host_location", "kind_words", "supplier"]

_KINDS = {
    ClusterType.NORMAL: "stored as it is",
    ClusterType.COMPRESSED: "compressed, shown inflated",
    ClusterType.ZERO_PLAIN: "reads as zeros, nothing stored",
    ClusterType.ZERO_ALLOC: "reads as zeros, a cluster is reserved",
    ClusterType.UNALLOCATED: "in no layer, reads as zeros",
    ClusterType.UNALLOCATED_ALLOC: "in no layer, reads as zeros, a cluster is reserved",
    ClusterType.INVALID: "contradicts the specification",
}


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of the opened image's tables that map a guest byte.

    Attributes:
        l1: where the L1 entry is; None if the L1 table has none.
        l2: where the L2 entry is; None if there is no L2 table.
    """

    l1: Place | None
    l2: Place | None

    @property
    def last(self) -> Place | None:
        """The one that decides."""
        return self.l2 or self.l1


def _moved(session: Session, guest: GuestOffset) -> GuestOffset:
    """The guest offset that the tables know: that of a VM state lies behind the disk."""
    view = session.view()
    return GuestOffset(guest + view.start) if isinstance(view, Window) else guest


def entries(session: Session, guest: GuestOffset) -> Entries:
    """The L1 and L2 entry of the opened image for a guest byte of the state that is looked at."""
    state = session.state
    if state.kind == "residue" or (state.kind == "layer" and state.index):
        return Entries(None, None)
    geometry, at = session.image.geometry, _moved(session, guest)
    path = f"{state.prefix}L1[{geometry.l1_index(at)}]"
    l1 = session.place(path)
    if l1 is None or l1.node.target is None:
        return Entries(l1, None)
    return Entries(l1, session.place(f"{path}.L2[{geometry.l2_index(at)}]"))


def supplier(session: Session, extent: Extent) -> tuple[int, Layer]:
    """Number and file of the layer that supplies an extent of the view."""
    state = session.state
    number = state.index if state.kind == "layer" else min(extent.layer, len(session.chain.layers) - 1)
    return number, session.chain.layers[number]


def kind_words(extent: Extent) -> str:
    """The type of an extent, and what it means for its bytes."""
    if extent.error is not None:
        return f"{extent.kind.word}: cannot be read"
    if extent.absent:
        return f"{extent.kind.word}: its file is not there; zeros would stand here"
    if extent.past_end:
        return f"{extent.kind.word}: the file ends before it; it would read as zeros"
    return f"{extent.kind.word}: {_KINDS[extent.kind]}"


def facts(session: Session, guest: GuestOffset, extent: Extent) -> Iterator[tuple[str, str, str]]:
    """Label, value, role of what is known about the byte at ``guest``."""
    number, layer = supplier(session, extent)
    yield "state", session.state.title, "text"
    stored = extent.host is not None and extent.kind is not ClusterType.ZERO_PLAIN
    label = "file" if stored else "asked"
    yield label, f"layer {number}, {visible(layer.name)}", "text"
    yield "type", kind_words(extent), "bad" if extent.error else "warn" if extent.absent or extent.past_end else "text"
    yield "guest", f"{extent.guest.start}‥{extent.guest.end - 1:#x}  {human_size(extent.guest.size)}", "text"
    doubt = _doubt(session, guest)
    if doubt:
        yield "doubt", doubt, "warn"
    yield from _host(guest, extent, layer)
    if extent.error is not None:
        yield "why", visible(extent.error.what), "bad"
        if extent.error.why:
            yield "means", extent.error.why, "text"
        yield "next", _next(session, extent.error), "key"
    if layer.is_encrypted and extent.kind is ClusterType.NORMAL:
        yield "key", states.key_words(layer), "good" if states.key_words(layer) == "unlocked" else "warn"


def _doubt(session: Session, guest: GuestOffset) -> str:
    """Why these bytes may not be the guest's although they can be read; empty if nothing is known against them."""
    survey = session.knowledge.survey
    if survey is None or not survey.has_tables:
        return ""
    from qcow2inspect.export.astray import doubt_about

    l1 = entries(session, guest).l1
    return doubt_about(survey, int(l1.node.target)) if l1 is not None and l1.node.target is not None else ""


def _host(guest: GuestOffset, extent: Extent, layer: Layer) -> Iterator[tuple[str, str, str]]:
    if extent.host is None:
        return
    outside = layer.data_file is not None and not isinstance(layer.data_file, Qcow2InspectError)
    if outside and layer.data_file is not None and not isinstance(layer.data_file, Qcow2InspectError):
        yield "in", f"external data file {visible(layer.data_file.name)}", "text"
    bits = layer.image.geometry.cluster_bits if isinstance(layer.image, Image) else 0
    cluster = f"  cluster {extent.host.start >> bits:,}" if bits and not outside else ""
    if extent.kind is ClusterType.COMPRESSED:
        yield "host", f"{extent.host.start}‥{extent.host.end - 1:#x}{cluster}, holds the stream", "text"
        return
    here = extent.host.start + (guest - extent.guest.start)
    yield "host", f"{here:#x} in {extent.host.start}‥{extent.host.end - 1:#x}{cluster}", "text"


def _next(session: Session, error: Qcow2InspectError) -> str:
    """What the user can do about it, in terms of keys or words."""
    if isinstance(error, NeedsKey):
        return f"{session.called('passphrase')}: give the passphrase"
    if isinstance(error, NeedsFile):
        return f"{session.called('open_files')}: say where the file is, or allow to open it"
    return f"{session.called('follow')}: look at the entry that maps it"


def host_location(session: Session, guest: GuestOffset, extent: Extent) -> Location | str:
    """Where the byte lies in the opened image's file; the reason in words if it does not lie there."""
    number, layer = supplier(session, extent)
    found = entries(session, guest)
    if extent.host is None:
        place = found.last
        return Location(place.offset, place.node.path) if place else "nothing is stored for this byte"
    if number:
        return f"this byte lies in layer {number}, {visible(layer.name)}, at {extent.host.start}: open that file"
    if session.image.has_data_file and session.state.kind != "residue":
        return f"this byte lies in the external data file at {extent.host.start}"
    inside = 0 if extent.kind is ClusterType.COMPRESSED else guest - extent.guest.start
    offset = type(extent.host.start)(extent.host.start + inside)
    if offset >= session.image.end:
        return f"this byte would lie at {offset}, past the end of the file"
    return Location(offset, f"{found.l2.node.path}.data" if found.l2 else "")


def crumbs(session: Session, guest: GuestOffset, extent: Extent | None) -> list[tuple[str, str]]:
    """The way from the guest byte to the file: words, and the address that each leads to (empty for none)."""
    found = [(session.tree.root.name, "0"), (session.state.title, ""), (f"guest {guest}", "")]
    if extent is None:
        return found
    last = entries(session, guest).last
    if last is not None:
        found.append((last.node.path, last.node.path))
    number, layer = supplier(session, extent)
    if number:
        found.append((f"layer {number} {states.base_name(layer)}", ""))
    if extent.host is not None:
        found.append((f"host {extent.host.start}", f"{extent.host.start}" if not number else ""))
    return found
