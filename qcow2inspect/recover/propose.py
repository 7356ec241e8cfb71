"""``--assume auto``: the assumptions that make a damaged image readable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.image.assumed import NOTHING_ASSUMED, Assumptions
from qcow2inspect.progress import Silent
from qcow2inspect.recover.draft import Draft
from qcow2inspect.recover.header import mend_header, mend_l1_size, mend_size
from qcow2inspect.recover.l1 import last_mapped, mend_l1
from qcow2inspect.recover.l2 import mend_l2

if TYPE_CHECKING:
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source

__all__ = ["propose"]


def propose(source: Source, given: Assumptions = NOTHING_ASSUMED, progress: Progress | None = None) -> Assumptions:
    """What must be assumed of the image in ``source``; nothing if it is sound, or no image of version 2 or 3.

    The whole file is read. What is proposed is likely, not proved: each assumption says what speaks for it, and guest
    bytes whose place is no more than likely are named.

    Args:
        source: the bytes of the image.
        given: what a person assumes; it stays.
        progress: may ask to stop.

    Raises:
        CannotRead: the file cannot be read.
        Cancelled: the user asked to stop.
    """
    progress = progress or Silent()
    draft = Draft(source, given)
    if not mend_header(draft, progress):
        return given
    mend_l1_size(draft)
    mend_size(draft, last_mapped(draft))
    mend_l1(draft, progress)
    mend_size(draft, last_mapped(draft))
    mend_l2(draft, progress)
    return draft.assumed
