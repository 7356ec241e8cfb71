"""The states of the disk that can be looked at, and what the files and keys behind the image are at the moment.

Pure functions from a chain to words; nothing here knows of widgets.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qcow2inspect.errors import NeedsFile, Qcow2InspectError
from qcow2inspect.image.gate import read_data_name, read_name
from qcow2inspect.image.image import Image
from qcow2inspect.image.support import needs_backing
from qcow2inspect.layout.structure import printable, visible
from qcow2inspect.tui.location import ACTIVE, GuestState
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qcow2inspect.dossier import State
    from qcow2inspect.format.snapshot import Snapshot
    from qcow2inspect.image.chain import Chain, Layer
    from qcow2inspect.image.gate import NamedFile
    from qcow2inspect.survey.residues import Residue

__all__ = [
    "Wanted",
    "base_name",
    "date_words",
    "file_words",
    "is_locked",
    "key_words",
    "layer_words",
    "live_states",
    "residue_states",
    "states_of",
    "unverified",
    "wanted",
]


def states_of(chain: Chain) -> Iterator[GuestState]:
    """All states of the disk: active, snapshots with their VM states, layers if there are several."""
    yield ACTIVE
    for index, snapshot in enumerate(chain.qcow2.snapshots):
        yield GuestState("snapshot", index, f"snapshot {snapshot.title}")
        if snapshot.vm_state_size:
            yield GuestState("vm-state", index, f"VM state of snapshot {snapshot.title}")
    if len(chain.layers) > 1 or chain.end is not None:
        for index, layer in enumerate(chain.layers):
            yield GuestState("layer", index, f"layer {index} alone, {base_name(layer)}")


def residue_states(residues: Iterable[Residue]) -> Iterator[GuestState]:
    """A state for each kind of residue that an image has."""
    from qcow2inspect.survey.residues import KINDS

    order = list(KINDS)
    for residue in residues:
        yield GuestState("residue", order.index(residue.name), f"residue {residue.name}", residue.ranges)


def base_name(layer: Layer) -> str:
    """The last part of the path of a layer's file, safe to print."""
    return printable(os.fsencode(os.path.basename(layer.name)))


def date_words(snapshot: Snapshot) -> str:
    """When a snapshot was taken, in UTC."""
    seconds = snapshot.entry.date_sec
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z" if seconds else "no date"


# -- files ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that a layer names and that is not open.

    Attributes:
        layer: index of the layer that names it.
        role: ``backing file`` or ``external data file``.
        named: the name in the image, read.
        error: why it is not open.
    """

    layer: int
    role: str
    named: NamedFile
    error: Qcow2InspectError


def wanted(chain: Chain) -> list[Wanted]:
    """The files that are named and not open, in the order of the chain."""
    found = []
    for index, layer in enumerate(chain.layers):
        image = layer.image
        if isinstance(layer.data_file, Qcow2InspectError) and isinstance(image, Image):
            found.append(Wanted(index, "external data file", read_data_name(image.data_file_name), layer.data_file))
        if image is not None and layer.end is not None:
            found.append(Wanted(index, "backing file", read_name(image.backing_name), layer.end))
    return found


def file_words(error: Qcow2InspectError) -> str:
    """Why a file is not open, in few words."""
    if not isinstance(error, NeedsFile):
        return "cannot be used"
    if "which cannot be opened" in error.what:
        return "cannot be opened"
    return "not opened"


def layer_words(layer: Layer) -> str:
    """A layer in a few words: format, size, what is special."""
    words = [layer.format, human_size(layer.source.size)]
    if layer.is_encrypted:
        words.append(key_words(layer))
    if layer.data_file is not None:
        name = "not opened" if isinstance(layer.data_file, Qcow2InspectError) else visible(layer.data_file.name)
        words.append(f"data file {name}")
    return ", ".join(words)


# -- keys -------------------------------------------------------------------------------------------------------


def is_locked(layer: Layer) -> bool:
    """True if the guest data of a layer cannot be decrypted yet."""
    return isinstance(layer.cipher, Qcow2InspectError)


def unverified(layer: Layer) -> bool:
    """True if a layer has a key of which nobody can tell whether it is the right one (legacy AES)."""
    return layer.is_encrypted and not is_locked(layer) and not getattr(layer.cipher, "counts_host_sectors", True)


def key_words(layer: Layer) -> str:
    """What is known about the key of an encrypted layer."""
    if is_locked(layer):
        return "locked"
    return "key given, cannot be verified" if unverified(layer) else "unlocked"


# -- the flags of the overview ----------------------------------------------------------------------------------


def live_states(chain: Chain, states: Iterable[State]) -> Iterator[State]:
    """The flags of a dossier with what was opened and unlocked since."""
    from dataclasses import replace

    for state in states:
        words = _LIVE[state.name](chain, state.shown) if state.on and state.name in _LIVE else state.shown
        yield replace(state, shown=words)


def _encryption(chain: Chain, shown: str) -> str:
    top = chain.layers[0]
    return f"{shown.removesuffix(', key needed')}, {key_words(top)}" if top.is_encrypted else shown


def _overlay(chain: Chain, shown: str) -> str:
    if needs_backing(chain.qcow2) is None:
        return shown
    named = shown.removesuffix(", not opened")
    if chain.layers[0].end is not None:
        return f"{named}, {file_words(chain.layers[0].end)}"
    behind = len(chain.layers) - 1
    words = f"{named}, {behind} file{'s' if behind > 1 else ''} opened"
    return f"{words}, the chain ends too early" if chain.end is not None else words


def _data_file(chain: Chain, shown: str) -> str:
    data_file = chain.layers[0].data_file
    opened = data_file is not None and not isinstance(data_file, Qcow2InspectError)
    return shown.replace("not opened", "opened") if opened else shown


_LIVE = {"encrypted": _encryption, "overlay": _overlay, "data file": _data_file}
