"""The files beside an output: written while nobody sees them, named together, gone again if the output is not made."""

from __future__ import annotations

import contextlib
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from qcow2inspect.output import Output

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
    """

    def __init__(self, evidence: Collection[Identity], is_made: Callable[[], bool]) -> None:
        self._evidence, self._is_made = evidence, is_made
        self._stack = ExitStack()
        self._outputs: list[Output] = []
        self._named: list[str] = []

    def open(self, name: str) -> Output:
        """A file that will have this name; what is there is replaced.

        Raises:
            CannotExport: it cannot be made.
        """
        output = self._stack.enter_context(Output(name, force=True, evidence=self._evidence))
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
