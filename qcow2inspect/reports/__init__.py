"""A report in one format a file. A report appears under its name when it is complete.

A new format is a new module here that makes one :class:`~qcow2inspect.reports.base.Format` named ``FORMAT``. What every
format gets is a :class:`~qcow2inspect.dossier.section.Report`; it arranges the parts and escapes the text.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from qcow2inspect.errors import CannotExport

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from qcow2inspect.dossier.section import Report
    from qcow2inspect.output import Identity
    from qcow2inspect.reports.base import Format

__all__ = ["format_for", "formats", "render", "write_report"]


@cache
def formats() -> Mapping[str, Format]:
    """Every format by its name, those for people first."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found: list[Format] = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {item.name: item for item in sorted(found, key=lambda item: (item.order, item.name))}


def format_for(path: str) -> Format | None:
    """The format that the name of a file asks for; None if its ending says nothing."""
    fitting = [item for item in formats().values() if item.suffix and path.endswith(item.suffix)]
    return max(fitting, key=lambda item: len(item.suffix), default=None)


def render(report: Report, name: str) -> bytes:
    """The report in a format; the same report always gives the same bytes.

    Args:
        report: what to say.
        name: name of the format, one of :func:`formats`.
    """
    return formats()[name].render(report).encode("utf-8")


def write_report(
    report: Report, path: str, *, name: str, force: bool = False, evidence: Collection[Identity] = ()
) -> None:
    """Write the report to a file that appears when it is complete.

    Args:
        report: what to say.
        path: where the report shall appear.
        name: name of the format, one of :func:`formats`.
        force: replace an existing file.
        evidence: files that must never be written, by device and inode.

    Raises:
        CannotExport: the file must not or cannot be written, or the format is for screens.
    """
    from qcow2inspect.output import Output

    if not formats()[name].suffix:
        raise CannotExport(f"{path}: the format “{name}” is for a screen", hint="“--format text” is for files")
    data = render(report, name)
    with Output(path, force=force, evidence=evidence) as output:
        output.write_at(0, data)
        output.commit()
