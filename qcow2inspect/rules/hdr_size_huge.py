"""The disk size is extraordinary.

A size beyond 2^63 - 1 bytes is more than any file or device can have; it is an error. A size above 64 PiB, or above 1
TiB and a thousand times the size of the file, is possible: unallocated clusters take no room. Whoever exports such a
disk needs the room nevertheless unless holes stay holes, so that the size itself can be an attack on a service.

What else could explain it: a thin disk that is nearly empty, which is usual; a damaged header field; the number of L1
entries bounds the true size.

QEMU refuses sizes beyond 2^63 - 1 bytes ("File too large" or "Image is too big") and opens all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import Rule, header_evidence
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.image import Image
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]

_ENORMOUS = 1 << 56
_LARGE = 1 << 40
_EXPANSION = 1000


def _check(survey: Survey) -> Iterator[Finding]:
    image = survey.image
    size, stored = int(image.header.size), image.source.size
    refused = any(obstacle.code == "QCOW-HDR-SIZE-HUGE" for obstacle in image.obstacles)
    if refused:
        what = f"the disk size {size:,} is beyond 2^63 - 1 bytes; QEMU refuses the image"
        yield _finding(image, Severity.ERROR, what)
    elif size > _ENORMOUS:
        yield _finding(image, Severity.WARNING, f"the disk size is {human_size(size)}: more than any real disk")
    elif size > _LARGE and size > _EXPANSION * stored:
        what = f"a disk of {human_size(size)} in a file of {human_size(stored)}: an export needs room or holes"
        yield _finding(image, Severity.NOTE, what)


def _finding(image: Image, severity: Severity, message: str) -> Finding:
    return Finding("QCOW-HDR-SIZE-HUGE", severity, Category.SECURITY, message, (header_evidence(image, "size"),))


RULE = Rule("QCOW-HDR-SIZE-HUGE", Severity.ERROR, Category.SECURITY, "Header", False, (__doc__ or "").strip(), _check)
