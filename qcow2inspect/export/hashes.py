"""Hashes of a stream of bytes, each in its own thread; zeros come from a constant, not from memory."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.progress import Progress

__all__ = ["Hashes"]

_WAITING = 4
_PATIENCE = 0.05
_ZEROS = bytes(1 << 20)
_MOST_ZEROS = 64 << 20


class Hashes:
    """Computes several hashes of one stream at the same time.

    Args:
        names: functions by hashlib's names; may be empty.
        progress: is asked whether to go on while the hashes are behind.
    """

    def __init__(self, names: Sequence[str], progress: Progress) -> None:
        self._progress = progress
        self._workers = [_Worker(name) for name in names]

    def __bool__(self) -> bool:
        return bool(self._workers)

    def update(self, *parts: bytes | int) -> None:
        """The next bytes of the stream, as few calls as possible; a number stands for so many zeros.

        Raises:
            Cancelled: the user asked to stop.
        """
        for worker in self._workers:
            self._give(worker, parts)

    def update_zeros(self, size: int) -> None:
        """``size`` zeros are next, however many.

        Raises:
            Cancelled: the user asked to stop.
        """
        while self._workers and size > 0:
            part = min(size, _MOST_ZEROS)
            self.update(part)
            size -= part

    def digests(self) -> dict[str, str]:
        """Name -> hash of everything, in hexadecimal; the end of the stream.

        Raises:
            Cancelled: the user asked to stop.
        """
        for worker in self._workers:
            self._give(worker, None)
        for worker in self._workers:
            while worker.thread.is_alive():
                self._progress.advance(0)
                worker.thread.join(_PATIENCE)
        return {worker.name: worker.hash.hexdigest() for worker in self._workers}

    def close(self) -> None:
        """End the threads, whatever is still to be done."""
        for worker in self._workers:
            worker.stop.set()
        for worker in self._workers:
            worker.thread.join()

    def _give(self, worker: _Worker, item: tuple[bytes | int, ...] | None) -> None:
        while True:
            try:
                worker.items.put(item, timeout=_PATIENCE)
            except queue.Full:
                self._progress.advance(0)
            else:
                return


class _Worker:
    """One hash and its thread."""

    def __init__(self, name: str) -> None:
        import hashlib

        self.name = name
        self.hash = hashlib.new(name, usedforsecurity=False)
        self.items: queue.Queue[tuple[bytes | int, ...] | None] = queue.Queue(_WAITING)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"hash-{name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                item = self.items.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            if item is None:
                return
            for part in item:
                if self.stop.is_set():
                    return
                if isinstance(part, int):
                    self._zeros(part)
                else:
                    self.hash.update(part)

    def _zeros(self, size: int) -> None:
        while size > 0 and not self.stop.is_set():
            part = min(size, len(_ZEROS))
            self.hash.update(_ZEROS if part == len(_ZEROS) else _ZEROS[:part])
            size -= part
