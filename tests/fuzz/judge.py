"""What became of a mutated image, and whether everything about it is explained."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from qcow2inspect.findings import Severity
from tests.fuzz.drive import Seen, drive
from tests.fuzz.mutate import Case
from tests.fuzz.oracle import Oracle
from tests.fuzz.policy import explain
from tests.fuzz.seeds import seed

CLASSES = {
    "same": "the mutation changed nothing",
    "refused": "opening it raises an error",
    "flagged": "a finding of weight, an extent or a read says what is wrong",
    "noted": "a note is new, the guest disk may be another",
    "harmless": "map and content are those of the unmutated image",
    "content": "the map is the same, stored guest data is other data",
    "other": "another image that is valid by all rules there are",
}
SHARES = {"same": 0.0, "refused": 0.05, "flagged": 0.05, "noted": 0.2, "harmless": 0.1, "content": 0.1, "other": 1.0}
"""How many of each class are compared with QEMU: those that nothing speaks about all, the others in part."""


@dataclass
class Verdict:
    """What became of one image.

    Attributes:
        kind: one of :data:`CLASSES`.
        compared: it was compared with QEMU.
        policies: names of the policies that explain differences.
        unexplained: differences that nothing explains.
    """

    kind: str
    compared: bool = False
    policies: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)


@cache
def _base(name: str) -> Seen:
    return drive(seed(name).data)


def _is_bad(severity: str) -> bool:
    return Severity(severity).is_bad


def classify(case: Case, seen: Seen) -> str:
    """Which of :data:`CLASSES` a mutated image belongs to."""
    base = _base(case.seed.name)
    if case.data == case.seed.data:
        return "same"
    if seen.refused:
        return "refused"
    new = [key for key, count in seen.findings.items() if count > base.findings.get(key, 0)]
    if any(_is_bad(severity) for _, severity in new) or seen.flagged > base.flagged or seen.stopped != base.stopped:
        return "flagged"
    if (seen.map, seen.content, seen.size) == (base.map, base.content, base.size):
        return "harmless"
    if new:
        return "noted"
    return "content" if seen.map == base.map else "other"


def judge(case: Case, seen: Seen, folder: Path, *, always: bool = False) -> Verdict:
    """Compare a share of the images with QEMU.

    Args:
        case: the image.
        seen: what the package says about it.
        folder: a folder of its own.
        always: compare whatever the class.
    """
    verdict = Verdict(classify(case, seen))
    if not always and random.Random(f"share:{case.number}").random() >= SHARES[verdict.kind]:
        return verdict
    verdict.compared = True
    oracle = Oracle(folder)
    for difference in oracle.compare(case.data):
        policy = explain(case.data, difference)
        if policy is None:
            verdict.unexplained.append(str(difference))
        else:
            verdict.policies.append(policy.name)
    return verdict
