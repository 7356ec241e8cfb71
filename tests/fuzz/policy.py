"""Where we and QEMU differ on purpose: the whole list, each with its reason.

A difference that none of these explains is a failure of the fuzzer's run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.format.header import HeaderV2
from qcow2inspect.format.v1 import HeaderV1
from qcow2inspect.image.chain import AnyImage
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.image import Image
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.units import GuestOffset
from tests.fuzz.oracle import Difference, kind_of


@dataclass(frozen=True)
class Policy:
    """One kind of difference.

    Attributes:
        name: what it is called in the counts.
        why: why we do not do as QEMU does.
        holds: whether it explains a difference about the image with these bytes.
    """

    name: str
    why: str
    holds: Callable[[bytes, Difference], bool]


def explain(data: bytes, difference: Difference) -> Policy | None:
    """The policy that explains a difference; None if there is none."""
    return next((policy for policy in POLICIES if policy.holds(data, difference)), None)


def _image(data: bytes) -> AnyImage | None:
    source = MemorySource(data)
    try:
        return V1Image(source) if data[4:8] == b"\0\0\0\x01" else Image(source)
    except Qcow2InspectError:
        return None


def _differ_only_in(one: Any, other: Any, name: str) -> bool:
    return {**one, name: None} == {**other, name: None}


def _signed(value: Any) -> Any:
    """Numbers as 64-bit ones without sign, everywhere in a document."""
    if isinstance(value, dict):
        return {name: _signed(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_signed(part) for part in value]
    return value % (1 << 64) if isinstance(value, int) else value


def _snapshots_past_end(data: bytes, difference: Difference) -> bool:
    ours, theirs = difference.ours.value, difference.theirs.value
    if difference.question != "info" or ours is None or theirs is None:
        return False
    image = _image(data)
    if not isinstance(image, Image) or len(image.snapshots) >= image.header.nb_snapshots:
        return False
    kept, listed = _signed(ours).get("snapshots", []), _signed(theirs).get("snapshots", [])
    return _differ_only_in(_signed(ours), _signed(theirs), "snapshots") and bool(listed[: len(kept)] == kept)


def _without_sign(data: bytes, difference: Difference) -> bool:
    return difference.ours.given and bool(_signed(difference.ours.value) == _signed(difference.theirs.value))


def _refused_later(data: bytes, difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    return difference.question == "info" and ours.error.startswith("QCOW-DF-RAW-NOBIT") and theirs.given


def _map_of_unreadable(data: bytes, difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    is_v1 = data[4:8] == b"\0\0\0\x01"
    return difference.question == "map" and is_v1 and ours.error.startswith("Damaged: guest") and theirs.given


def _noise_past_end(data: bytes, difference: Difference) -> bool:
    ours, theirs = difference.ours.value, difference.theirs.value
    image = _image(data)
    if difference.question not in ("bytes", "read") or not ours or not theirs or image is None:
        return False
    if not image.header.crypt_method:
        return False
    chain = chain_of(image) if isinstance(image, Image) else None
    disk = chain.disk(lenient=True) if chain else image.active_disk()
    if difference.at is not None:
        return disk.lookup(GuestOffset(difference.at)).past_end
    if len(ours) != len(theirs):
        return False
    patched = bytearray(theirs)
    for extent in disk.extents():
        if extent.past_end:
            patched[extent.guest.start : extent.guest.end] = bytes(extent.guest.size)
    return bool(patched[: len(ours)] == ours)


def _needs_files(data: bytes, difference: Difference) -> bool:
    ours, theirs, image = difference.ours, difference.theirs, _image(data)
    if difference.question != "check" or not ours.given or theirs.given or image is None:
        return False
    if image.header.crypt_method and "cannot unlock any keyslot" in theirs.error:
        return True
    return (image.has_data_file or bool(image.backing_name)) and "ould not open" in theirs.error


def _cut_header(data: bytes, difference: Difference) -> bool:
    least = HeaderV1.SIZE if kind_of(data) == "qcow" else HeaderV2.SIZE
    return len(data) < least and not difference.ours.given


def _key_material_outside(data: bytes, difference: Difference) -> bool:
    ours, theirs = difference.ours, difference.theirs
    return ours.given and not theirs.given and "Request for data outside of extension header" in theirs.error


def _crashed(data: bytes, difference: Difference) -> bool:
    theirs = difference.theirs
    ended = theirs.crashed and "hangs" not in theirs.error
    return not theirs.given and (ended or "ot allocate memory" in theirs.error)


def _hung(data: bytes, difference: Difference) -> bool:
    return difference.theirs.crashed and not difference.theirs.given and "hangs" in difference.theirs.error


POLICIES = (
    Policy(
        "snapshots past the end of the file",
        "QEMU reads a snapshot table past the end of the file as zeros and lists snapshots without a name. "
        "We list what the file holds and report QCOW-SNAP-TABLE-EOF or -OVERRUN.",
        _snapshots_past_end,
    ),
    Policy(
        "unsigned sizes",
        "qemu-img prints 64-bit sizes and times of snapshots with a sign. We print what is stored.",
        _without_sign,
    ),
    Policy(
        "info says what convert refuses",
        "qemu-img info opens an image without its data, and does not miss a data file then; every other command "
        "refuses. We say at once that QEMU refuses the image.",
        _refused_later,
    ),
    Policy(
        "map of unreadable clusters (version 1)",
        "qemu-img map lists clusters of a version 1 image at offsets that QEMU then refuses to read. "
        "We stop the qemu-img-like map there; our own map shows such clusters as unreadable.",
        _map_of_unreadable,
    ),
    Policy(
        "encrypted clusters past the end of the file",
        "QEMU decrypts the zeros that it reads past the end of the file, which gives noise. Nothing was ever "
        "encrypted there: we give zeros, and the extent says that the file ends before it.",
        _noise_past_end,
    ),
    Policy(
        "check needs no other file and no key",
        "qemu-img check opens the backing file and the data file and asks for the key, and fails without them. "
        "Our check of the structure needs none of them.",
        _needs_files,
    ),
    Policy(
        "the header is cut off",
        "Where a file ends inside a header of version 1 or 2, QEMU takes zeros for the rest, also for where the L1 "
        "table lies: the header itself. We say that the file is cut off.",
        _cut_header,
    ),
    Policy(
        "key material outside the stated length",
        "QEMU reads no key material past the length that the encryption extension states for the LUKS header. We read "
        "it where the LUKS header says it lies, and report the clusters that nothing refers to.",
        _key_material_outside,
    ),
    Policy(
        "QEMU crashes",
        "qemu-img ends by a signal or at its memory limit. We read the image or say what is wrong with it.",
        _crashed,
    ),
    Policy(
        "QEMU hangs",
        "qemu-io has to be ended because it does not answer. We read the image or say what is wrong with it.",
        _hung,
    ),
)
