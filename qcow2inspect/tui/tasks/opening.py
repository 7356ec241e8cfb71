"""Opens the files that an image names, and unlocks what is encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui.tasks.running import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qcow2inspect.image.chain import Chain, Layer
    from qcow2inspect.image.gate import OpenGate
    from qcow2inspect.image.image import Image
    from qcow2inspect.tui.tasks.running import TaskProgress

__all__ = ["Followed", "Unlocked", "follow", "unlock", "unlock_with_file"]


class Followed(Message):
    """The files that the image names were looked for.

    Attributes:
        chain: the image with what could be opened.
    """

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain = chain


class Unlocked(Message):
    """A passphrase was tried.

    Attributes:
        results: for each encrypted layer that was tried, its index and why it stays locked, None if it does not.
    """

    def __init__(self, results: Sequence[tuple[int, Qcow2InspectError | None]]) -> None:
        super().__init__()
        self.results = results


def follow(image: Image, gate: OpenGate, keys: Chain | None, post: Callable[[Message], object]) -> None:
    """Open the files that an image names, as far as the gate allows.

    Args:
        image: the image.
        gate: what may be opened.
        keys: the chain so far; what was unlocked in it stays unlocked.
        post: takes the result.
    """

    def work() -> Message:
        from qcow2inspect.image.follow import chain_of

        chain = chain_of(image, gate)
        for layer in chain.layers:
            _keep_key(layer, keys.layers if keys else ())
        return Followed(chain)

    guarded("follow", post, work)


def _keep_key(layer: Layer, before: Iterable[Layer]) -> None:
    for old in before:
        same = old.source is layer.source or (old.source.identity and old.source.identity == layer.source.identity)
        if same and not isinstance(old.cipher, Qcow2InspectError):
            layer.cipher = old.cipher


def unlock(chain: Chain, passphrase: bytes, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Try a passphrase on every layer that is locked, or whose key cannot be verified."""

    def work() -> Message:
        from qcow2inspect.tui.states import is_locked, unverified

        results: list[tuple[int, Qcow2InspectError | None]] = []
        for index, layer in enumerate(chain.layers):
            if is_locked(layer) or unverified(layer):
                results.append((index, _unlocked(layer, passphrase, progress)))
        return Unlocked(results)

    guarded("unlock", post, work)


def unlock_with_file(chain: Chain, data: bytes, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Try the bytes of a passphrase file as they are, as QEMU does; then without the line end that editors add."""
    from qcow2inspect.tui.states import is_locked

    bare = data.removesuffix(b"\n").removesuffix(b"\r")
    tried: list[Message] = []
    unlock(chain, data, progress, tried.append)
    if bare != data and any(is_locked(layer) for layer in chain.layers):
        unlock(chain, bare, progress, tried.append)
    post(tried[-1])


def _unlocked(layer: Layer, passphrase: bytes, progress: TaskProgress) -> Qcow2InspectError | None:
    """Why a layer stays locked; None if it does not."""
    try:
        layer.unlock(passphrase, progress)
    except Qcow2InspectError as error:
        return error
    return None
