"""Rules about the files behind an image; they are silent where nobody followed the names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.rules.base import Rule, evidence_at, simple_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qcow2inspect.findings import Category, Evidence, Severity
    from qcow2inspect.survey.survey import Survey

__all__ = ["chain_rule", "end_of_chain", "end_rule"]


def chain_rule(
    module: str,
    code: str,
    severity: Severity,
    category: Category,
    *,
    spec: str,
    find: Callable[[Survey], Iterator[tuple[str, Evidence | None]]],
) -> Rule:
    """A rule about files that the image names; see :func:`~qcow2inspect.rules.base.simple_rule`."""
    return replace(simple_rule(module, code, severity, category, spec=spec, find=find), needs_chain=True)


def end_of_chain(survey: Survey, code: str) -> Iterator[tuple[str, Evidence | None]]:
    """Why the chain ends too early, if that is what findings of ``code`` report."""
    layer = survey.chain.layers[-1] if survey.chain else None
    if layer and layer.end and layer.end_code == code:
        yield layer.end.what, evidence_at(survey, "backing") if layer.image is survey.image else None


def end_rule(module: str, code: str, severity: Severity, category: Category) -> Rule:
    """A rule about one reason for which a chain ends too early."""
    return chain_rule(
        module, code, severity, category, find=lambda survey: end_of_chain(survey, code), spec="Backing files"
    )
