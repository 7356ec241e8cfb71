"""What must never be written, known to the whole process: files that are open as evidence, and files of their chains.

A file that an image names is not opened unless the user says so, and then nobody knows what *it* names::

    overlay.qcow2 --> middle.qcow2 --> base.raw
    open              named             unknown: any file that is there may be it

Such a loose end is told here, too. While there is one, no file that is there is replaced: it might lie behind it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Identity", "Named", "held", "holds_any", "loose_ends", "protect", "release", "watch"]

Identity = tuple[int, int]
"""Device and inode of a file."""


class Named(NamedTuple):
    """A file that an open image names.

    Attributes:
        by: the image file.
        role: what the file is to it: ``backing file``.
        identities: what the name may mean now; empty if no such file is there.
        is_known: True if it was opened, so that what it names is known too, or if it names nothing.
        words: who names what, for messages.
    """

    by: Identity
    role: str
    identities: tuple[Identity, ...]
    is_known: bool
    words: str


_held: dict[Identity, int] = {}
_images: WeakKeyDictionary[Any, Callable[[Any], Iterable[Named]]] = WeakKeyDictionary()
_lock = threading.RLock()  # the garbage collector may close a file, and come back here, at any time


def protect(identities: Iterable[Identity]) -> None:
    """These files are evidence, until :func:`release` is called as often."""
    with _lock:
        for identity in identities:
            _held[identity] = _held.get(identity, 0) + 1


def release(identities: Iterable[Identity]) -> None:
    """Take back one :func:`protect`."""
    with _lock:
        for identity in identities:
            _held[identity] = _held.get(identity, 1) - 1
            if not _held[identity]:
                del _held[identity]


def holds_any(identities: Callable[[], Iterable[Identity]]) -> bool:
    """True if one of these files was protected; they are asked for only if any file is."""
    return bool(_held) and not _held.keys().isdisjoint(identities())


def watch(image: object, names: Callable[[Any], Iterable[Named]]) -> None:
    """From now on, as long as the image lives, count in what it names.

    Args:
        image: an open image.
        names: asked anew each time; gives nothing once the image is closed.
    """
    with _lock:
        _images[image] = names


def held() -> frozenset[Identity]:
    """All that is evidence now: what is protected, and what open images name."""
    named = {identity for name in _named() for identity in name.identities}
    with _lock:
        return frozenset(named.union(_held))


def loose_ends() -> list[str]:
    """Which files that open images name are not known, nor what these name in turn, in words."""
    names = list(_named())
    known = {(name.by, name.role) for name in names if name.is_known}
    return list(dict.fromkeys(name.words for name in names if (name.by, name.role) not in known))


def _named() -> Iterator[Named]:
    with _lock:
        images = list(_images.items())
    for image, names in images:
        yield from names(image)
