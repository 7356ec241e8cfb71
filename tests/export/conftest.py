"""Fixtures of the export's tests."""

from __future__ import annotations

import os

import pytest

from qcow2inspect.export import target


@pytest.fixture(params=["kernel", "carried"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Bytes that lie as they are go one of the two ways, whatever file system the tests run on."""
    here = os.stat(".").st_dev, os.stat("/tmp").st_dev, os.stat("/dev/shm").st_dev
    monkeypatch.setattr(target, "devices_of", lambda _: set() if request.param == "kernel" else set(here))
    return str(request.param)
