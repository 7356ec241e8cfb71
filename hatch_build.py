"""Makes the manual page and the shell completions when the package is built, and puts them below ``share``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["Paper"]


class Paper(BuildHookInterface):  # type: ignore[type-arg]  # its configuration is not looked at
    """Adds what is made from the command line's own parser, so that it can't differ from it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the files and name them to the builder."""
        del version
        sys.path.insert(0, self.root)
        from qcow2inspect.cli.manual import MAN_PAGE, SHELLS, completion, man_page

        self._made = Path(tempfile.mkdtemp(prefix="qcow2inspect-paper-"))
        texts = {MAN_PAGE: man_page()} | {place: completion(shell) for shell, place in SHELLS.items()}
        for place, text in texts.items():
            path = self._made / place.replace("/", "-")
            path.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(path)] = place

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        del version, build_data, artifact_path
        shutil.rmtree(self._made)
