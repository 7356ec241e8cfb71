"""What a disk needs beyond the image file: what lies behind it, its data file, its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import Damaged, NeedsFile, NeedsKey, Qcow2InspectError
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.layout.structure import printable

if TYPE_CHECKING:
    from qcow2inspect.cipher.protocol import Cipher
    from qcow2inspect.image.chain import AnyImage
    from qcow2inspect.image.guard import Obstacle
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.view import View
    from qcow2inspect.source.protocol import Source

__all__ = ["Support", "alone", "needs_backing", "needs_data_file", "needs_key", "place_of", "refused"]


@dataclass(frozen=True, slots=True)
class Support:
    """What a disk needs beyond the image file; an error stands for what is needed and not there.

    Attributes:
        backing: what lies behind the image; None if nothing does, so that absent clusters read as zeros.
        data_file: where normal clusters lie; None if they lie in the image file.
        cipher: how normal clusters are decrypted; None if they are not encrypted.
        absent_as_zero: read zeros where ``backing`` is an error; every such extent says so.
    """

    backing: View | Qcow2InspectError | None = None
    data_file: Source | Qcow2InspectError | None = None
    cipher: Cipher | Qcow2InspectError | None = None
    absent_as_zero: bool = False

    @property
    def behind(self) -> tuple[View | None, Qcow2InspectError | None]:
        """The view behind the image, and why absent clusters cannot be read; None and None where they are zeros."""
        if isinstance(self.backing, Qcow2InspectError):
            return None, None if self.absent_as_zero else self.backing
        return self.backing, None

    @property
    def key(self) -> tuple[Cipher | None, Qcow2InspectError | None]:
        """The cipher, and why normal clusters cannot be decrypted; None and None where they are not encrypted."""
        if isinstance(self.cipher, Qcow2InspectError):
            return None, self.cipher
        return self.cipher, None


def alone(image: AnyImage) -> Support:
    """The support of an image of which nothing else is opened and whose key is not known."""
    return Support(needs_backing(image), needs_data_file(image), needs_key(image))


def needs_backing(image: AnyImage) -> NeedsFile | None:
    """Why absent clusters cannot be read without the backing file; None if the image has none."""
    if not image.header.backing_file_offset or not image.backing_name.partition(b"\0")[0]:
        return None  # QEMU takes an empty name as no backing file
    return _needs_file(image, "the image is an overlay: what it does not hold lies in its backing file", "backing_name")


def needs_data_file(image: AnyImage) -> NeedsFile | None:
    """Why guest data cannot be read without the external data file; None if the image has none."""
    if not image.has_data_file:
        return None
    return _needs_file(image, "guest data lies in the external data file", "data_file_name")


def _needs_file(image: AnyImage, what: str, field: str) -> NeedsFile:
    name = printable(getattr(image, field)) or "(not named)"
    return NeedsFile(
        f"{image.name}: {what} “{name}”, which is not opened",
        why="zeros in its place would be wrong",
        hint="“--follow folder” opens files beside the image, “--follow any” every regular file that it names, "
        "“--backing NAME=PATH” says where one lies now",
    )


def needs_key(image: AnyImage) -> NeedsKey | None:
    """Why guest data cannot be read without a key; None if it is not encrypted."""
    method = image.header.crypt_method
    if method is CryptMethod.NONE:
        return None
    return NeedsKey(
        f"{image.name}: guest data is encrypted ({method.name}) and no passphrase is given",
        why="the bytes without the key would be noise",
        hint="give the passphrase with --passphrase-file FILE or --passphrase-fd N, or type it on a terminal",
    )


def place_of(image: Image, obstacle: Obstacle) -> str:
    """Where an obstacle is, with the offset if it is a header field."""
    is_field = not obstacle.path and obstacle.where is None
    return obstacle.place + (f" (offset {image.header.row(obstacle.field).at:#x})" if is_field else "")


def refused(image: Image, obstacle: Obstacle) -> Damaged:
    """The error for what QEMU refuses an image for."""
    if obstacle.blocks_reading:
        why = "where guest data lies cannot be told"
        hint = f"“--assume {obstacle.field}=VALUE” reads on with the right value, “--assume auto” looks for it"
    else:
        why = "QEMU refuses the whole image for this"
        hint = "guest data does not depend on it: “--lenient” reads on"
    return Damaged(f"{image.name}: {place_of(image, obstacle)}: {obstacle.what}", why=why, hint=hint)
