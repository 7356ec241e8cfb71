"""The disk size hides mapped data.

L1 entries past the end of the disk lead to L2 tables with data. The image once had a larger disk, or its size was
edited: what lies behind the end exists in the file but is invisible to a guest, to an export and to a hash of the disk.

What else could explain it: a program that makes the disk smaller without clearing the tables; a damaged size field; VM
state that was left in the active table by an interrupted snapshot.

QEMU shows the smaller disk without a word; qemu-img check counts the clusters as allocated and stays silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Finding, Severity
from qcow2inspect.rules.base import header_evidence
from qcow2inspect.rules.spans import SHOWN, evidence_at, grouped, survey_rule
from qcow2inspect.survey.hidden import find_hidden
from qcow2inspect.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.survey.survey import Survey

__all__ = ["RULE"]


def _find(survey: Survey) -> Iterator[Finding]:
    hidden = find_hidden(survey)
    if hidden.l1_index:
        paths = [f"L1[{index}]" for index in hidden.l1_index]
        evidence = [header_evidence(survey.image, "size")]
        evidence += [each for path in paths[: SHOWN - 1] if (each := evidence_at(survey, path)) is not None]
        amount = human_size(hidden.clusters * survey.image.geometry.cluster_size)
        message = f"{amount} of mapped data past the end of the disk, behind {grouped(paths)}"
        yield Finding(
            "QCOW-HDR-SIZE-HIDES",
            Severity.ERROR,
            Category.FORENSIC,
            message,
            tuple(evidence),
            (),
            len(paths),
        )


RULE = survey_rule(
    __name__,
    "QCOW-HDR-SIZE-HIDES",
    Severity.ERROR,
    find=_find,
    spec="Header",
    category=Category.FORENSIC,
)
