"""Coverage-guided fuzzing with atheris: the frame of the ``atheris_*.py`` beside it.

``pip install 'qcow2inspect[fuzz]'``, then ``python -m tests.fuzz.atheris_read -max_total_time=120``; options are
libFuzzer's. An input that crashes, takes too long or too much memory is written to the working directory.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import sys
import tempfile
from pathlib import Path

import atheris


def _import_all() -> None:
    """Import the package with its branches counted; what draws and what reads arguments stays out."""
    with atheris.instrument_imports(include=["qcow2inspect"]):
        import qcow2inspect

        for module in pkgutil.walk_packages(qcow2inspect.__path__, "qcow2inspect."):
            if not module.name.startswith(("qcow2inspect.tui", "qcow2inspect.cli", "qcow2inspect.__main__")):
                importlib.import_module(module.name)


def _mutated(data: bytes, largest: int, number: int) -> bytes:
    """Words of the format or whatever libFuzzer likes, in turn."""
    from tests.fuzz.targets import mutate_words

    if data and number % 2:
        return mutate_words(data, random.Random(number))[:largest]
    changed: bytes = atheris.Mutate(data, largest)
    return changed


def fuzz(name: str) -> None:
    """Feed the target with this name until libFuzzer's limits end it."""
    _import_all()
    from tests.fuzz.targets import LARGEST, TARGETS, inputs

    with tempfile.TemporaryDirectory(prefix=f"atheris-{name}-") as corpus:
        for index, image in enumerate(inputs()):
            (Path(corpus) / f"{index}.qcow2").write_bytes(image)
        limits = [f"-max_len={LARGEST}", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *limits, *sys.argv[1:], corpus], TARGETS[name], custom_mutator=_mutated)
        atheris.Fuzz()
