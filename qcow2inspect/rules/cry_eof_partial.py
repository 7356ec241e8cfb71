"""An encrypted cluster lies partly past the end of the file.

The bytes that the file does not hold count as zeros, and zeros decrypt to noise: the end of the cluster reads as bytes
that nobody ever wrote. If the file ends inside a sector, all of that sector is noise.

What else could explain it: a writer that stores no more than it has to leaves whole sectors away only where the disk
ends too; everything else is a file that was cut off.

QEMU decrypts the zeros and returns the noise without an error; qemu-img check stays silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.rules.base import entry_evidence, entry_guest, guest_impact, joined
from qcow2inspect.rules.spans import SHOWN, survey_rule
from qcow2inspect.survey.odd import Odd
from qcow2inspect.units import bytes_of, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.units import GuestRange

__all__ = ["RULE"]

CODE = "QCOW-CRY-EOF-PARTIAL"


def _find(survey: Survey) -> Iterator[Finding]:
    entries = survey.odd.get(Odd.L2_EOF_PARTIAL, [])
    if not entries or survey.image.header.crypt_method is CryptMethod.NONE:
        return
    guest = joined([_missing(survey, entry_guest(survey, entry)) for entry in entries])
    evidence = tuple(entry_evidence(survey, entry) for entry in entries[:SHOWN])
    count = survey.odd_count[Odd.L2_EOF_PARTIAL]
    message = f"{counted(count, 'encrypted cluster')} of which the end of the file cuts off a part: it reads as noise"
    shown = tuple(guest[:SHOWN])
    message += guest_impact(guest)
    yield Finding(CODE, Severity.WARNING, Category.CORRUPTION, message, evidence, shown, count, bytes_of(guest))


def _missing(survey: Survey, guest: GuestRange) -> GuestRange:
    """The sectors of a cluster that the file does not hold whole."""
    sector = survey.image.end % survey.image.geometry.cluster_size // 512 * 512
    return guest.clip(guest.start + sector, guest.end)


RULE = survey_rule(__name__, CODE, Severity.WARNING, find=_find, spec="Data encryption")
