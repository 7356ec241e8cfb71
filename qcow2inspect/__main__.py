"""``python -m qcow2inspect`` and the ``qcow2inspect`` command."""

from __future__ import annotations

import gc
import os
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line; the return value is the exit code."""
    gc.set_threshold(20_000)  # loading modules makes many objects and no garbage
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts a thread for each core, to multiply matrices
    from qcow2inspect.cli.main import run
    from qcow2inspect.cli.streams import take_streams

    take_streams()
    code = run(sys.argv[1:], shielded=True)
    gc.freeze()  # what is left goes with the process: nobody need look for garbage in it
    return code


if __name__ == "__main__":
    sys.exit(main())
