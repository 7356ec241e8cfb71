"""Print the completions of a shell, to be read by it.

eval "$(qcow2inspect completion bash)"       for this session
qcow2inspect completion fish > ~/.config/fish/completions/qcow2inspect.fish
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell")


def run(options: argparse.Namespace) -> int:
    """Print the text that was stored when the package was built."""
    from qcow2inspect.cli.common import say
    from qcow2inspect.cli.manual import SHELLS

    say(_stored(SHELLS[options.shell]).rstrip("\n"))
    return 0


def _stored(place: str) -> str:
    """An installed file of this package.

    Raises:
        BadAddress: it was not installed.
    """
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = [Path(str(file.locate())) for file in files("qcow2inspect") or () if str(file).endswith(place)]
        return found[0].read_text(encoding="utf-8")
    except (PackageNotFoundError, IndexError, OSError):
        raise BadAddress(
            f"{place} is not installed: qcow2inspect runs from its sources; install it with “sh install.sh”"
        ) from None
