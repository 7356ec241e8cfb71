"""What comes back of images with one planted defect each: ``python -m tests.benchmarks.recovery``.

Prints, for every kind of defect, the share of data sectors that ``export --on-error best --assume auto`` and
``qemu-img convert --salvage`` bring back; with a word, the images whose name holds it, one by one.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.recover.corpus import corpus
from tests.recover.measure import Recovered, by_qemu, by_us

Pair = tuple[Recovered, Recovered]


def main(words: list[str]) -> None:
    """Measure and print."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for image in corpus():
            if any(word not in image.name for word in words):
                continue
            pair = by_us(image, Path(folder)), by_qemu(image, Path(folder))
            groups[image.group].append(pair)
            if words or pair[0].right < pair[1].right or pair[0].silent:
                print(f"{image.name:<50} {pair[0].share:7.1%} {pair[1].share:7.1%}  {pair[0].said}")
    print(f"{'defect in':<14} {'images':>6} {'ours':>7} {'qemu-img --salvage':>19} {'wrong, not listed':>18}")
    every = [pair for found in groups.values() for pair in found]
    for name, pairs in [*groups.items(), ("all", every)]:
        ours, theirs = (sum(pair[side].share for pair in pairs) / len(pairs) for side in (0, 1))
        silent = sum(pair[0].silent for pair in pairs)
        print(f"{name:<14} {len(pairs):>6} {ours:>7.1%} {theirs:>19.1%} {silent:>18}")


if __name__ == "__main__":
    main(sys.argv[1:])
