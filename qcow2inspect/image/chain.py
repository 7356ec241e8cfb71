"""An image with everything it names: backing files behind backing files, external data files, keys.

::

    overlay.qcow2          layer 0        what it does not hold ...
      +-- base.qcow2       layer 1        ... is looked up here
            +-- disk.raw   layer 2        ... and here; what nobody holds reads as zeros

A file that is missing, not allowed or damaged ends the chain there and nothing else: what the layers above it hold
stays readable, and the rest says why it is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from qcow2inspect.errors import BadAddress, NeedsFile, NeedsKey, Qcow2InspectError, Unsupported
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.image.gate import NamedFile, identities
from qcow2inspect.image.image import Image
from qcow2inspect.image.mapping import Mapping, active_mapping, snapshot_called, snapshot_mappings
from qcow2inspect.image.names import named_files
from qcow2inspect.image.support import Support, needs_backing
from qcow2inspect.image.view import RawDisk, Window
from qcow2inspect.source.file import FileSource
from qcow2inspect.units import GuestOffset, GuestRange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from qcow2inspect.cipher.protocol import Cipher
    from qcow2inspect.image.v1 import V1Image
    from qcow2inspect.image.view import View
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source

__all__ = ["AnyImage", "Chain", "Layer", "find_snapshot"]

AnyImage: TypeAlias = "Image | V1Image"


@dataclass
class Layer:
    """One file of a chain.

    Attributes:
        source: the file.
        format: ``qcow2``, ``qcow`` or ``raw``.
        image: the open image; None for a raw file.
        end: why the layer behind this one is not there; None if it is, or if nothing lies behind.
        end_code: code of the finding that reports ``end``; empty if the file is just not opened.
        stated: the format that the image above states for this file; empty if it states none.
        data_file: the external data file, why it is not there, or None if the image has none.
        cipher: decrypts guest data; why it cannot be decrypted, or None if it is not encrypted.
    """

    source: Source
    format: str
    image: AnyImage | None
    end: Qcow2InspectError | None = None
    end_code: str = ""
    stated: str = ""
    data_file: Source | Qcow2InspectError | None = None
    cipher: Cipher | Qcow2InspectError | None = None

    @property
    def name(self) -> str:
        """The path of the file."""
        return self.source.name

    @property
    def named(self) -> Iterator[NamedFile]:
        """The files that the image names: its backing file and its external data file."""
        if self.image is not None:
            yield from (file for _, file in named_files(self.image))

    @property
    def is_encrypted(self) -> bool:
        """True if a key is needed to read guest data."""
        return self.image is not None and self.image.header.crypt_method is not CryptMethod.NONE

    def unlock(self, passphrase: bytes, progress: Progress | None = None) -> None:
        """Make this layer readable, if it is encrypted; see :meth:`Chain.unlock`."""
        if self.is_encrypted:
            self.cipher = _cipher(self, passphrase, progress)


@dataclass
class Chain:
    """An open image and the files it names.

    Attributes:
        layers: the image itself, its backing file, and so on.
    """

    layers: list[Layer] = field(default_factory=list)

    @property
    def top(self) -> AnyImage:
        """The image that was opened."""
        image = self.layers[0].image
        assert image is not None  # open_chain makes no chain without one
        return image

    @property
    def qcow2(self) -> Image:
        """The image that was opened, for what only versions 2 and 3 have.

        Raises:
            Unsupported: it is of version 1.
        """
        if isinstance(self.top, Image):
            return self.top
        raise Unsupported(
            f"{self.top.name} is a qcow image of version 1, which has no such tables",
            hint="“info”, “map”, “header” and “export” read it",
        )

    @property
    def is_encrypted(self) -> bool:
        """True if a layer needs a key."""
        return any(layer.is_encrypted for layer in self.layers)

    @property
    def end(self) -> Qcow2InspectError | None:
        """Why the chain ends too early; None if all of it is there."""
        return self.layers[-1].end

    @property
    def is_whole(self) -> bool:
        """True if every file that an image of the chain names is open, or none is named."""
        return self.end is None and not any(isinstance(layer.data_file, Qcow2InspectError) for layer in self.layers)

    @property
    def evidence(self) -> set[tuple[int, int]]:
        """Device and inode of all files of the chain, and of those it names without having them open."""
        sources = [source for layer in self.layers for source in (layer.source, layer.data_file)]
        opened = {source.identity for source in sources if source and not isinstance(source, Qcow2InspectError)}
        named = {found for layer in self.layers for file in layer.named for found in identities(file, layer.name)}
        return {identity for identity in opened | named if identity}

    # -- keys -------------------------------------------------------------------------------------------------

    def unlock(self, passphrase: bytes, progress: Progress | None = None) -> None:
        """Make the encrypted layers readable that a passphrase opens; the others keep saying why they are not.

        A legacy AES key cannot be verified: with a wrong passphrase the bytes are noise.

        Raises:
            NeedsKey, Unsupported, Damaged: no layer can be opened; the error is that of the first.
            Cancelled: the user asked to stop.
        """
        locked = [layer for layer in self.layers if layer.is_encrypted]
        for layer in locked:
            try:
                layer.unlock(passphrase, progress)
            except Qcow2InspectError as error:
                layer.cipher = error
        failed = [layer.cipher for layer in locked if isinstance(layer.cipher, Qcow2InspectError)]
        if failed and len(failed) == len(locked):
            raise failed[0]

    # -- views ------------------------------------------------------------------------------------------------

    def mapping(self, snapshot: str | int | None) -> Mapping:
        """The mapping of the snapshot with this id, name or index; that of the active state for None.

        Raises:
            BadAddress: there is no such snapshot.
        """
        if snapshot is None:
            return active_mapping(self.qcow2)
        return find_snapshot(self.qcow2, snapshot)

    def disk(self, snapshot: str | int | None = None, *, lenient: bool = False, absent_as_zero: bool = False) -> View:
        """The guest disk through all layers.

        Args:
            snapshot: id or name of a snapshot, or its index in the table; the active state for None.
            lenient: see :class:`~qcow2inspect.image.disk.Disk`.
            absent_as_zero: read zeros where the chain ends too early; the extents say so.

        Raises:
            BadAddress: there is no such snapshot.
            Damaged: QEMU refuses the image for its header.
        """
        behind = self._behind(0, lenient=lenient, absent_as_zero=absent_as_zero)
        return self._disk(0, behind, snapshot, lenient=lenient, absent_as_zero=absent_as_zero)

    def layer_disk(self, index: int, *, lenient: bool = False) -> View:
        """What one layer alone holds; the rest reads as zeros, and the extents say so.

        Raises:
            IndexError: there is no such layer.
            Damaged: QEMU refuses the image for its header.
        """
        image = self.layers[index].image
        behind = needs_backing(image) if image is not None else None
        return self._disk(index, behind, None, lenient=lenient, absent_as_zero=True)

    def vm_state(self, snapshot: str | int, *, lenient: bool = False) -> View:
        """The state of the virtual machine, RAM included, that a snapshot keeps behind the end of its disk.

        Raises:
            BadAddress: there is no such snapshot, or it has no VM state.
            Damaged: QEMU refuses the image for its header.
        """
        from qcow2inspect.image.disk import Disk

        image, mapping = self.qcow2, self.mapping(snapshot)
        size = mapping.snapshot.vm_state_size if mapping.snapshot else 0
        if not size:
            raise BadAddress(f"the {mapping.title} has no VM state: only its disk was saved")
        span = image.geometry.l2_span
        start = -(-mapping.size // span) * span
        whole = Mapping(mapping.prefix, mapping.title, mapping.l1, start + -(-size // 512) * 512, mapping.snapshot)
        layer = self.layers[0]
        disk = Disk(image, whole, Support(None, layer.data_file, layer.cipher), lenient=lenient)
        part = GuestRange(GuestOffset(start), GuestOffset(start + size))
        return Window(disk, part, f"{image.name} (VM state of {mapping.title})")

    def _behind(self, index: int, *, lenient: bool, absent_as_zero: bool) -> View | Qcow2InspectError | None:
        """What lies behind layer ``index``."""
        below: View | Qcow2InspectError | None = self.layers[-1].end
        for number in range(len(self.layers) - 1, index, -1):
            try:
                below = self._disk(number, below, None, lenient=lenient, absent_as_zero=absent_as_zero)
            except Qcow2InspectError as error:
                below = _of_layer(error)
        return below

    def _disk(
        self,
        index: int,
        behind: View | Qcow2InspectError | None,
        snapshot: str | int | None,
        *,
        lenient: bool,
        absent_as_zero: bool,
    ) -> View:
        from qcow2inspect.image.disk import Disk

        layer = self.layers[index]
        support = Support(behind, layer.data_file, layer.cipher, absent_as_zero)
        if isinstance(layer.image, Image):
            mapping = active_mapping(layer.image) if snapshot is None else find_snapshot(layer.image, snapshot)
            return Disk(layer.image, mapping, support, lenient=lenient)
        if snapshot is not None:
            raise BadAddress(f"there is no snapshot “{snapshot}”: version 1 images have none")
        if layer.image is not None:
            from qcow2inspect.image.v1_disk import V1Disk

            return V1Disk(layer.image, support)
        return RawDisk(layer.source)

    # -- end --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give all files back."""
        for layer in self.layers:
            for source in (layer.source, layer.data_file):
                if isinstance(source, FileSource):
                    source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def find_snapshot(image: Image, snapshot: str | int) -> Mapping:
    """The mapping of the snapshot with this id or, if none has it, this name; a number is an index in the table.

    Raises:
        BadAddress: there is no such snapshot, or there are several.
    """
    mappings = snapshot_mappings(image)
    if isinstance(snapshot, str):
        return mappings[snapshot_called(image, snapshot)]
    if 0 <= snapshot < len(mappings):
        return mappings[snapshot]
    raise BadAddress(f"there is no snapshot number {snapshot}; the image has {len(mappings)}")


def _of_layer(error: Qcow2InspectError) -> Qcow2InspectError:
    """The error of a layer as the layer above it sees it: a file that cannot be used."""
    return NeedsFile(error.what, why=error.why, hint=error.hint, exit_code=error.exit_code)


def _cipher(layer: Layer, passphrase: bytes, progress: Progress | None) -> Cipher:
    from qcow2inspect.cipher.aes import legacy_aes
    from qcow2inspect.cipher.luks import unlock

    image = layer.image
    if image is None or image.header.crypt_method is CryptMethod.AES:
        return legacy_aes(passphrase)
    if isinstance(image, Image) and image.luks is not None:
        return unlock(image.luks, image.read, passphrase, progress).cipher
    raise NeedsKey(
        f"{layer.name}: guest data is encrypted (method {int(image.header.crypt_method)}), "
        "and the image has no LUKS header that could be opened",
        why="the master key is stored there and nowhere else",
    )
