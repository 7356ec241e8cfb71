"""Work in threads, results in order. Whoever waits can stop it, and memory stays bounded."""

from __future__ import annotations

import os
import threading
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

    from qcow2inspect.progress import Progress

__all__ = ["in_order", "worker_count"]

T = TypeVar("T")
R = TypeVar("R")

_MOST_WORKERS = 8
_AHEAD = 3
_PATIENCE = 0.05
_KEPT = 8 << 20


def worker_count() -> int:
    """Threads that work at the same time: one a core, and one more, for each waits now and then for the disk."""
    return min(_MOST_WORKERS, len(os.sched_getaffinity(0)) + 1)


def in_order(
    items: Iterable[T],
    work: Callable[[T], R],
    progress: Progress,
    stop: threading.Event | None = None,
    here: Callable[[T], bool] = lambda _: False,
) -> Generator[R, None, None]:
    """``work(item)`` for every item, in threads; results in the order of the items.

    At most a few items more than there are threads are taken before their results are wanted. A single item is worked
    on here: a thread would cost more than it saves.

    Args:
        items: may be endless; taken in this thread.
        work: is called from several threads at the same time.
        progress: is asked whether to go on while results are waited for.
        stop: is set when no more results are wanted, so that ``work`` can end early.
        here: whether an item is worked on in this thread, when all before it are done, because several threads would
            only wait for each other.

    Raises:
        Cancelled: the user asked to stop.
    """
    stop = stop or threading.Event()
    source = iter(items)
    first = list(_take(source, 2))
    if len(first) < 2:
        yield from map(work, first)
        return
    _keep_freed_memory()
    pool: ThreadPoolExecutor | None = None
    most = worker_count() + _AHEAD
    pending: deque[Future[R]] = deque()
    try:
        for item in chain(first, source):
            alone = here(item)
            while len(pending) >= (1 if alone else most):
                yield _result(pending.popleft(), progress)
            if alone:
                yield work(item)
            else:
                pool = pool or _make_pool()
                pending.append(pool.submit(work, item))
        while pending:
            yield _result(pending.popleft(), progress)
    finally:
        stop.set()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _make_pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(worker_count(), thread_name_prefix="worker")


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed: else the kernel takes and zeroes the same buffers again and again.

    glibc does so up to twice the size of the largest block that it had mapped and was given back. The bytes are never
    touched, so they cost nothing; elsewhere this does nothing.
    """
    bytes(_KEPT)


def _take(source: Iterator[T], count: int) -> Iterator[T]:
    for _, item in zip(range(count), source, strict=False):
        yield item


def _result(future: Future[R], progress: Progress) -> R:
    """Wait for a result, asking all the time whether it is still wanted."""
    if not future.done():
        from concurrent.futures import wait

        while not wait([future], _PATIENCE).done:
            progress.advance(0)
    return future.result()
