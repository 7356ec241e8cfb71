"""Two header extensions of the same kind.

Each kind of header extension may appear once. With two, programs disagree: the one takes the first, the other the last,
so that the backing format or the data file that an examiner sees need not be the one that a virtual machine used.

What else could explain it: a program that appends an extension without a look at those that are there.

QEMU takes the last backing format name, data file name and bitmap directory, without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Severity
from qcow2inspect.rules.base import places_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.rules.base import Spot
    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Spot]:

    seen: set[int] = set()
    for index, extension in enumerate(survey.image.extensions.extensions):
        if extension.record.magic in seen:
            what = f"a second header extension of kind {extension.record.magic:#010x} ({extension.TITLE})"
            yield f"ext[{index}].magic", f"{what}: “{extension.shown}”"
        seen.add(extension.record.magic)


RULE = places_rule(__name__, "QCOW-EXT-DUP", Severity.WARNING, Category.SECURITY, find=_find, spec="Header extensions")
