"""What became of a mutated image, and whether everything about it is explained."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from qcow2inspect.findings import Severity
from tests.fuzz.drive import Seen, drive
from tests.fuzz.mutate import Case
from tests.fuzz.oracle import Difference, Oracle
from tests.fuzz.policy import explain
from tests.fuzz.reads import Reads
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
SHARES = {"same": 0.0, "refused": 0.01, "flagged": 0.02, "noted": 0.05, "harmless": 0.03, "content": 0.03, "other": 0.3}
"""How many of each class go through qemu-img too, most of those that nothing speaks about; qemu-io reads them all."""


@dataclass
class Verdict:
    """What became of one image.

    Attributes:
        kind: one of :data:`CLASSES`.
        read: qemu-io read it.
        compared: it was compared with qemu-img.
        policies: names of the policies that explain differences.
        unexplained: differences that nothing explains.
    """

    kind: str
    read: bool = False
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


class Judge:
    """Compares images with QEMU: all by a qemu-io that lasts, a share by qemu-img.

    Args:
        folder: an empty folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._oracle = Oracle(folder)
        self.reads = Reads(self._oracle)

    def judge(self, case: Case, seen: Seen, *, always: bool = False) -> Verdict:
        """What became of an image.

        Args:
            case: the image.
            seen: what the package says about it.
            always: compare with qemu-img whatever the class.
        """
        verdict = Verdict(classify(case, seen))
        if verdict.kind == "same" and not always:
            return verdict
        differences = self.reads.compare(case.data)
        verdict.read = differences is not None
        verdict.compared = always or random.Random(f"share:{case.number}").random() < SHARES[verdict.kind]
        if verdict.compared:
            differences = [*(differences or []), *self._oracle.compare(case.data)]
        for difference in differences or []:
            _enter(verdict, case, difference)
        return verdict

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self.reads.qemu.close()


def _enter(verdict: Verdict, case: Case, difference: Difference) -> None:
    policy = explain(case.data, difference)
    if policy is None:
        verdict.unexplained.append(str(difference))
    else:
        verdict.policies.append(policy.name)
