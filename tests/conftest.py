"""Settings for the whole suite: Hypothesis profiles, and the number of oracle cells at the end of a run."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import signal

import pytest

_CALM = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=40, deadline=None, suppress_health_check=_CALM)
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=_CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure() -> None:
    """Programs that the tests start heed an interrupt, even where the tests run in a shell's background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cells were compared with QEMU; tests count them with ``record_property("cells KIND", n)``."""
    cells: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name.startswith("cells "):
                cells[name.removeprefix("cells ")] += int(value)
    if cells:
        parts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(cells.items()))
        terminalreporter.write_line(f"compared with QEMU: {cells.total():,} cells ({parts})")
