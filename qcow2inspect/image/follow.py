"""Opening a chain: the image, and as far as the gate allows the files it names, one behind the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from qcow2inspect.errors import CannotRead, Damaged, NeedsFile, Qcow2InspectError, Unsupported
from qcow2inspect.image.assumed import NOTHING_ASSUMED, Assumptions
from qcow2inspect.image.chain import AnyImage, Chain, Layer
from qcow2inspect.image.gate import MissingFile, OpenGate, read_data_name, read_name
from qcow2inspect.image.image import Image, require_magic
from qcow2inspect.image.names import BACKING, DATA
from qcow2inspect.image.probe import probe
from qcow2inspect.image.support import needs_backing, needs_data_file, needs_key
from qcow2inspect.layout.structure import printable
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    import os

    from qcow2inspect.source.protocol import Source

__all__ = ["MAX_LAYERS", "Identity", "chain_of", "image_in", "open_chain"]

MAX_LAYERS = 64
"""Files in a chain at most."""

Identity: TypeAlias = tuple[int, int] | None


def open_chain(
    path: str | os.PathLike[str],
    gate: OpenGate | None = None,
    assumed: Assumptions = NOTHING_ASSUMED,
    *,
    maybe_raw: bool = False,
) -> Chain:
    """Open the image at ``path`` and, as far as the gate allows, the files it names.

    Args:
        path: the image.
        gate: what may be opened; nothing by default.
        assumed: what is taken to stand in the metadata of the image itself.
        maybe_raw: take a file that is no image of any known format as a raw disk, as QEMU does.

    Raises:
        CannotRead, NotQcow2, Unsupported, Damaged: the image itself cannot be opened; what it names never raises.
    """
    source = FileSource(path)
    try:
        chain = Chain([_layer_of(source, "") if maybe_raw else Layer(source, *_open_image(source, assumed))])
    except BaseException:
        source.close()
        raise
    try:
        _follow(chain, _rooted(gate or OpenGate(), source))
    except BaseException:
        chain.close()
        raise
    return chain


def chain_of(image: Image, gate: OpenGate | None = None) -> Chain:
    """A chain of an open image; without a gate no file behind it is looked for."""
    layer = Layer(image.source, "qcow2", image, needs_backing(image), data_file=needs_data_file(image))
    layer.cipher = needs_key(image)
    chain = Chain([layer])
    if gate is not None:
        layer.end, layer.end_code = None, ""
        _follow(chain, _rooted(gate, image.source))
    return chain


def _rooted(gate: OpenGate, source: Source) -> OpenGate:
    """The gate with the folder of the image that the user opened."""
    import os

    return replace(gate, root=gate.root or os.path.dirname(source.name))


def _open_image(source: Source, assumed: Assumptions = NOTHING_ASSUMED) -> tuple[str, AnyImage]:
    if require_magic(source, assumed) == 1:
        from qcow2inspect.image.v1 import V1Image

        return "qcow", V1Image(source, assumed)
    return "qcow2", Image(source, assumed)


def image_in(source: Source) -> AnyImage | None:
    """The image that the bytes of a file make; None if they make none that can be opened."""
    try:
        return _open_image(source)[1]
    except Qcow2InspectError:
        return None


def _follow(chain: Chain, gate: OpenGate) -> None:
    seen = {chain.layers[0].source.identity}
    while True:
        layer = chain.layers[-1]
        if layer.image is None:
            return
        layer.cipher = needs_key(layer.image)
        _open_data_file(layer, gate)
        if needs_backing(layer.image) is None:
            return
        try:
            chain.layers.append(_open_backing(layer, layer.image, gate, seen, len(chain.layers)))
        except Qcow2InspectError as error:
            layer.end, layer.end_code = error, layer.end_code or _code(error)
            return


def _code(error: Qcow2InspectError) -> str:
    """Code of the finding that reports why a backing file is not there; empty if nothing is wrong with it."""
    if isinstance(error, (MissingFile, CannotRead)):
        return "QCOW-BACK-MISSING"
    return "" if isinstance(error, NeedsFile) else "QCOW-BACK-FMT-MISMATCH"


def _open_data_file(layer: Layer, gate: OpenGate) -> None:
    image = layer.image
    if not isinstance(image, Image) or not image.has_data_file:
        return
    layer.data_file = needs_data_file(image)
    if image.data_file_name:
        try:
            layer.data_file = source = gate.open(read_data_name(image.data_file_name), layer.name, DATA)
            image.opened(DATA, source)
        except NeedsFile as error:
            layer.data_file = error


def _open_backing(layer: Layer, image: AnyImage, gate: OpenGate, seen: set[Identity], depth: int) -> Layer:
    named = read_name(image.backing_name)
    source = gate.open(named, layer.name, BACKING)
    try:
        if source.identity in seen:
            layer.end_code = "QCOW-BACK-LOOP"
            raise Damaged(
                f"{layer.name}: its backing file “{named.stored}” is {source.name}, which stands earlier in the chain: "
                "a loop",
                why="what neither of them holds lies nowhere; QEMU hangs or refuses",
            )
        if depth >= MAX_LAYERS:
            layer.end_code = "QCOW-BACK-DEPTH"
            raise Damaged(
                f"{layer.name}: the chain has more than {MAX_LAYERS} layers and is followed no further",
                why="what lies deeper is not read",
            )
        seen.add(source.identity)
        stated = printable(image.backing_format.split(b"\0")[0])
        behind = _layer_of(source, stated or named.format)  # the extension outweighs a json: name
        image.opened(BACKING, source)
    except BaseException:
        source.close()
        raise
    return behind


def _layer_of(source: FileSource, stated: str) -> Layer:
    found = stated or probe(source)
    if found in ("raw", "file"):
        return Layer(source, "raw", None, stated=stated)
    if found in ("qcow2", "qcow"):
        return Layer(source, *_open_image(source), stated=stated)
    raise Unsupported(
        f"{source.name}: a file of format “{found}” behind an image; qcow2, qcow and raw are read",
        hint="convert it with “qemu-img convert -O raw” and name the result with --backing NAME=PATH",
    )
