"""Every field and flag, changed one at a time: a rule sees it, or guest data and map are the same as before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import build
from qcow2inspect.format.glossary import declared
from tests.images import image_of
from tests.rules.mutations import (
    BASES,
    EXCEPTED,
    EXCEPTIONS,
    FOUND,
    HARMLESS,
    MISSED,
    Judge,
    mutations,
    prepare,
    sample,
    sites,
)

SAMPLED = 400
"""Mutations of each image; the command tries them all."""


def test_no_declared_field_is_forgotten() -> None:
    known = {site.field for recipe in BASES.values() for site in sites(image_of(recipe))}
    fields = {f"{field.structure}.{field.name}" for field in declared() if "V1" not in field.structure}
    assert len(fields) > 90
    assert fields <= known


@pytest.mark.parametrize("name", BASES)
def test_each_mutation_is_found_or_harmless(name: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    data = build(BASES[name])
    judge, outcomes = Judge(data, tmp_path), Counter[str]()
    missed = []
    for mutation in sample(image_of(data), SAMPLED):
        outcome, why = judge.judge(mutation)
        outcomes[outcome] += 1
        if outcome == MISSED:
            missed.append(f"{mutation}: {why}")
    assert not missed
    assert outcomes[FOUND] > 10 * outcomes[EXCEPTED]
    assert outcomes[HARMLESS]


def test_each_exception_is_one(tmp_path: Path) -> None:
    """A field that is found today need not be excused."""
    prepare(tmp_path)
    left = set(EXCEPTIONS)
    for recipe in BASES.values():
        data = build(recipe)
        judge = Judge(data, tmp_path)
        for mutation in mutations(image_of(data), full=False):
            if mutation.site.field in left and judge.judge(mutation)[0] == EXCEPTED:
                left.remove(mutation.site.field)
    assert not left
