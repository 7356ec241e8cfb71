"""The JSON that ``qemu-img check`` of QEMU 7.2 prints: its fields, its omissions, its order."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from qcow2inspect.reports.qemu import json_text

if TYPE_CHECKING:
    from qcow2inspect.survey.qemu import QemuCheck

__all__ = ["check_document", "check_json"]

_ESCAPE = re.compile(r"\\(?:u(....)|.)")
_ALWAYS = {"check-errors", "filename", "format"}


def check_document(name: str, check: QemuCheck) -> dict[str, Any]:
    """What ``qemu-img check --output=json`` prints for an image; numbers that are zero are left out as there."""
    document: dict[str, Any] = {
        "image-end-offset": check.image_end,
        "compressed-clusters": check.compressed_clusters,
        "total-clusters": check.total_clusters,
        "corruptions": check.corruption_count,
        "check-errors": check.check_errors,
        "leaks": check.leaks,
        "allocated-clusters": check.allocated_clusters,
        "filename": name,
        "format": "qcow2",
        "fragmented-clusters": check.fragmented_clusters,
    }
    return {key: value for key, value in document.items() if value or key in _ALWAYS}


def check_json(name: str, check: QemuCheck) -> str:
    """The same as text, byte for byte; ``name`` is the path that was given."""
    document = check_document(json_text(os.fsencode(name)), check)
    text = json.dumps(document, indent=4)
    return _ESCAPE.sub(lambda found: "\\u" + found[1].upper() if found[1] else found[0], text) + "\n"
