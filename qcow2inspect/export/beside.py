"""The files beside an output: written while nobody sees them, named together, gone again if the output is not made."""

from __future__ import annotations

import contextlib
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from qcow2inspect.output import Output
from qcow2inspect.unbroken import unbroken

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType
    from typing import Self

    from qcow2inspect.output import Identity

__all__ = ["Beside"]


class Beside:
    """Files that belong to an output. Leaving it before that is made removes them, named or not.

    Args:
        evidence: files that must never be written.
        is_made: says whether the output is made.
        force: what is there may be replaced.
        ours: what is there is known to be a file of ours.
    """

    def __init__(
        self, evidence: Collection[Identity], is_made: Callable[[], bool], *, force: bool, ours: bool = False
    ) -> None:
        self._evidence, self._is_made = evidence, is_made
        self._force, self._ours = force or ours, ours
        self._stack = ExitStack()
        self._outputs: list[Output] = []
        self._named: list[str] = []

    def open(self, name: str) -> Output:
        """A file that will have this name.

        Raises:
            CannotExport: it must not or cannot be made.
        """
        with unbroken():
            output = Output(name, force=self._force, evidence=self._evidence, ours=self._ours)
            self._stack.enter_context(output)
        self._outputs.append(output)
        return output

    def commit(self) -> None:
        """Give all of them their names.

        Raises:
            CannotExport: the disk fails.
        """
        for output in self._outputs:
            self._named.append(output.path)
            output.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for name in () if self._is_made() else self._named:
            with contextlib.suppress(OSError):
                os.unlink(name)
