"""JSON Schema files of every document that this program writes; ``read_schema`` gives one of them."""

from __future__ import annotations

from typing import Any

__all__ = ["read_schema"]


def read_schema(name: str) -> Any:
    """The schema of a document: ``report``, ``report-lines``, ``manifest``, ``verify``."""
    import json
    from importlib import resources

    return json.loads(resources.files(__name__).joinpath(f"{name}.json").read_text("utf-8"))
