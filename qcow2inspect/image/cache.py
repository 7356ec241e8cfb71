"""A bounded memory for what is read again and again: least recently used first out."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Cache"]

V = TypeVar("V")


class Cache(Generic[V]):
    """Keeps at most ``capacity`` values; safe to use from several threads.

    Args:
        capacity: number of values to keep, at least 1.
        make: computes the value of a key that is not kept; may raise, then nothing is kept.
    """

    def __init__(self, capacity: int, make: Callable[[int], V]) -> None:
        self._capacity = max(1, capacity)
        self._make = make
        self._kept: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, key: int) -> V:
        with self._lock:
            value = self._kept.get(key)
            if value is not None:
                self._kept.move_to_end(key)
                return value
        value = self._make(key)
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return value
