"""Lists of damage that a person can read: neighbours that continue each other, or are alike and many, as one range."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from qcow2inspect.units import GuestRange, HostRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qcow2inspect.export.load import Trouble

__all__ = ["SINGLE", "alike", "continued", "few", "lumped"]

SINGLE = 16
"""So many neighbours that are alike are listed one by one; if they are more, as one range."""
_MOST_KINDS = 8
_PARTICULARS = re.compile(r"0x[0-9a-f]+|\d[\d,]*")


def continued(last: Trouble | None, new: Trouble) -> Trouble | None:
    """Both as one if ``new`` goes on where ``last`` ends, in the guest and in the host file, for the same reason."""
    if last is None or not alike(last, new) or (last.reason, last.several) != (new.reason, new.several):
        return None
    guest = GuestRange(last.guest.start, new.guest.end)
    if last.several or last.host is None or new.host is None:
        return replace(last, guest=guest) if (last.host, last.others) == (new.host, new.others) else None
    if last.host.end != new.host.start:
        return None
    return replace(last, guest=guest, host=HostRange(last.host.start, new.host.end))


def alike(last: Trouble | None, new: Trouble) -> bool:
    """True if ``new`` begins where ``last`` ends, and has its fate."""
    if last is None or last.guest.end != new.guest.start:
        return False
    return (last.kind, last.layer, last.written) == (new.kind, new.layer, new.written)


def lumped(last: Trouble, new: Trouble) -> Trouble:
    """Both, which are alike, as several: place and reason of the first, and a reason of every other kind."""
    reasons = [last.reason, *last.others]
    for reason in (new.reason, *new.others):
        if reason not in reasons and len(reasons) < _MOST_KINDS and _kind(reason) not in map(_kind, reasons):
            reasons.append(reason)
    guest = GuestRange(last.guest.start, new.guest.end)
    return replace(last, guest=guest, several=True, others=tuple(reasons[1:]))


def few(troubles: Iterable[Trouble], is_border: Callable[[int], bool]) -> Iterator[Trouble]:
    """Ranges in order; those that continue each other, and neighbours that are alike and many, as one.

    Where a list was interrupted, and joined up to there, does not show.

    Args:
        troubles: in order.
        is_border: says of a byte of the view whether nothing is joined across it.
    """
    run: list[Trouble] = []
    for trouble in troubles:
        if run and not is_border(int(trouble.guest.start)):
            joined = continued(run[-1], trouble)
            if joined is not None:
                run[-1] = joined
                continue
            if alike(run[-1], trouble):
                run.append(trouble)
                if len(run) > SINGLE or run[0].several or trouble.several:
                    run = [_all(run)]
                continue
        yield from run
        run = [trouble]
    yield from run


def _all(run: list[Trouble]) -> Trouble:
    last = run[0]
    for one in run[1:]:
        last = lumped(last, one)
    return last


@lru_cache(64)
def _kind(reason: str) -> str:
    """A reason without its particulars."""
    return _PARTICULARS.sub("", reason)
