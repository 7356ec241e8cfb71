"""What the rules about the content of an image share. They have something to say after a deep look only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qcow2inspect.findings import Category, Evidence, Finding, Severity
from qcow2inspect.rules.base import Rule, entry_evidence, evidence_at, guest_impact
from qcow2inspect.rules.spans import SHOWN, guest_of
from qcow2inspect.rules.tables import target_of
from qcow2inspect.survey.unseen import content_range
from qcow2inspect.units import HostRange, bytes_of, counted, human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qcow2inspect.survey.deep import Deep
    from qcow2inspect.survey.streams import StreamFault
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.survey.unseen import Unseen

__all__ = ["stream_rule", "unseen_rule"]


def stream_rule(
    module: str, code: str, severity: Severity, *, fault: StreamFault, says: str, category: Category
) -> Rule:
    """A rule about compressed streams with one fault; all of them are one finding.

    Args:
        module: name of the rule's module, for its docstring.
        code: see :class:`~qcow2inspect.rules.base.Rule`.
        severity: see :class:`~qcow2inspect.rules.base.Rule`.
        fault: which fault.
        says: what is wrong with the streams, after their number.
        category: see :class:`~qcow2inspect.rules.base.Rule`.
    """

    def check(survey: Survey) -> Iterator[Finding]:
        bad = survey.deep.bad.get(fault) if survey.deep else None
        if bad is None:
            return
        guest = guest_of(survey, bad.entries)
        evidence = tuple(entry_evidence(survey, entry) for entry in bad.entries[:SHOWN])
        first = f", the first at host {target_of(survey, bad.entries[0]):#x}" if bad.entries else ""
        message = f"{counted(bad.count, 'compressed cluster')}: {says}{first}{guest_impact(guest)}"
        yield Finding(code, severity, category, message, evidence, tuple(guest[:SHOWN]), bad.count, bytes_of(guest))

    text = (sys.modules[module].__doc__ or "").strip()
    return Rule(code, severity, category, "Compressed Clusters Descriptor", True, text, check, needs_deep=True)


def unseen_rule(
    module: str,
    code: str,
    *,
    find: Callable[[Deep], Unseen],
    says: str,
    spec: str,
    severity: Severity = Severity.NOTE,
) -> Rule:
    """A rule about data that no guest sees; all of it is one finding.

    Args:
        module: name of the rule's module, for its docstring.
        code: see :class:`~qcow2inspect.rules.base.Rule`.
        find: gives the data.
        says: what it is; ``{count}`` stands for the number of clusters or subclusters, ``{size}`` for their bytes.
        spec: see :class:`~qcow2inspect.rules.base.Rule`.
        severity: see :class:`~qcow2inspect.rules.base.Rule`.
    """

    def check(survey: Survey) -> Iterator[Finding]:
        unseen = find(survey.deep) if survey.deep else None
        if unseen is None or not unseen.count:
            return
        word = {1: "byte", survey.image.geometry.cluster_size: "cluster"}.get(unseen.unit, "subcluster")
        evidence = tuple(_first_bytes(survey, part, unseen.unit) for part in unseen.ranges[:SHOWN])
        amount = says.format(count=counted(unseen.count, word), size=human_size(unseen.size))
        message = f"{amount}, the first at host {unseen.ranges[0].start}"
        yield Finding(code, severity, Category.FORENSIC, message, evidence, (), unseen.count)

    text = (sys.modules[module].__doc__ or "").strip()
    return Rule(code, severity, Category.FORENSIC, spec, True, text, check, needs_deep=True)


def _first_bytes(survey: Survey, part: HostRange, unit: int) -> Evidence:
    """A range with content, from its first byte that is not zero on."""
    content = content_range(survey.image, HostRange.at(part.start, unit))
    return evidence_at(survey, HostRange(content.start, part.end) if content else part)
