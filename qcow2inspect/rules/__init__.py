"""The rules: one file each, a pure function from a survey to findings.

The docstring of a rule's file is its documentation: a title, then what is found, why it matters, what else could
explain it, and what QEMU does. A new rule is a new file here that makes one :class:`~qcow2inspect.rules.base.Rule`
named ``RULE``, and a recipe in the tests that triggers it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotRead
from qcow2inspect.survey.survey import Survey

if TYPE_CHECKING:
    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.findings import Finding
    from qcow2inspect.image.image import Image
    from qcow2inspect.rules.base import Rule

__all__ = ["all_rules", "can_judge", "examine", "examine_header", "finding_of", "has_judged"]


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, ordered by code."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return tuple(sorted((m.RULE for m in modules if hasattr(m, "RULE")), key=lambda rule: rule.code))


def examine(survey: Survey) -> list[Finding]:
    """What the rules say about an image, heaviest first, then in order of place.

    Rules that need the tables stay silent on a survey that has seen only the header, those about content until
    somebody looked at it.

    Raises:
        CannotRead: the file cannot be read, or was changed since its tables were read.
    """
    found = [finding for rule in all_rules() if can_judge(rule, survey) for finding in _findings(rule, survey)]
    return sorted(found, key=attrgetter("weight"))


def _findings(rule: Rule, survey: Survey) -> list[Finding]:
    """What one rule says.

    Raises:
        CannotRead: the file was changed since its tables were read: they no longer lead where they led.
    """
    try:
        return list(rule.check(survey))
    except (ValueError, LookupError) as error:
        if not survey.image.changed:
            raise
        raise CannotRead(
            f"{survey.image.name} was changed while it was inspected",
            why="its tables no longer lead where they led",
            hint="inspect a copy, or stop what writes to it",
            exit_code=74,
        ) from error


def can_judge(rule: Rule, survey: Survey) -> bool:
    """True if a survey has seen something that a rule can say something about."""
    return (survey.has_tables or not rule.needs_tables) and (survey.deep is not None or not rule.needs_deep)


def has_judged(rule: Rule, survey: Survey) -> bool:
    """True if a survey has seen all that a rule needs, so that its silence means something."""
    if rule.at_open or not can_judge(rule, survey):
        return False
    return not rule.needs_chain or (survey.chain is not None and survey.chain.is_whole)


def examine_header(image: Image) -> list[Finding]:
    """What can be said without a look at the tables, heaviest first."""
    return examine(Survey.of_header(image))


def finding_of(error: Qcow2InspectError) -> Finding:
    """Why a file cannot be opened as an image, as a finding.

    Raises:
        KeyError: the error has no code of a rule.
    """
    from qcow2inspect.findings import Finding

    rule = {rule.code: rule for rule in all_rules()}[error.code]
    return Finding(rule.code, rule.severity, rule.category, error.what)
