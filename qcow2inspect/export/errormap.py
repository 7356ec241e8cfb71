"""What is not as the guest had it, as files beside the output: a map that ddrescue's tools read, and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qcow2inspect._version import __version__
from qcow2inspect.export.names import json_of, map_of
from qcow2inspect.layout.structure import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qcow2inspect.export.beside import Beside
    from qcow2inspect.export.load import Trouble
    from qcow2inspect.output import Output

__all__ = ["write_error_map"]

_STATUS = {"unreadable": "-", "past-end": "-", "absent": "?", "doubtful": "?"}
"""ddrescue's letters: ``+`` finished, ``-`` bad, ``?`` not tried, which is the nearest to absent and to doubtful."""


def write_error_map(
    beside: Beside,
    path: str,
    origin: int,
    size: int,
    troubles: Iterable[Trouble],
    *,
    disk_offset: Callable[[int], int] = int,
) -> None:
    """Write both files for the output at ``path``.

    Args:
        beside: makes them.
        path: name of the output.
        origin: which byte of the view is the first of the output.
        size: bytes of the output.
        troubles: in order.
        disk_offset: where on the disk a byte of the view belongs.

    Raises:
        CannotExport: they cannot be written.
    """
    map_file = _Stream(beside.open(map_of(path)))
    json_file = _Stream(beside.open(json_of(path)))
    map_file.write(f"# Mapfile. Created by qcow2inspect {__version__}\n# Positions count bytes of the output.\n")
    map_file.write("# current_pos  current_status  current_pass\n0x00000000     +               1\n")
    map_file.write("#      pos        size  status\n")
    json_file.write(f'{{"tool": "qcow2inspect {__version__}", "size": {size}, "origin": {origin}, "ranges": [')
    done, comma = 0, "\n"
    for trouble in troubles:
        start, end = trouble.guest.start - origin, trouble.guest.end - origin
        _row(map_file, done, start, "+")
        _row(map_file, start, end, _STATUS[trouble.kind])
        json_file.write(comma + json.dumps(_entry(trouble, origin, disk_offset)))
        done, comma = end, ",\n"
    _row(map_file, done, size, "+")
    json_file.write("\n]}\n")
    map_file.flush()
    json_file.flush()


def _row(file: _Stream, start: int, end: int, status: str) -> None:
    if end > start:
        file.write(f"0x{start:08X}  0x{end - start:08X}  {status}\n")


def _entry(trouble: Trouble, origin: int, disk_offset: Callable[[int], int]) -> dict[str, object]:
    return {
        "output_offset": trouble.guest.start - origin,
        "guest_offset": int(disk_offset(int(trouble.guest.start))),
        "size": trouble.guest.size,
        "host_offset": int(trouble.host.start) if trouble.host else None,
        "host_size": trouble.host.size if trouble.host else None,
        "layer": trouble.layer,
        "kind": trouble.kind,
        "reason": printable(trouble.reason.encode("utf-8", "surrogateescape")),
        "written": trouble.written,
    }


class _Stream:
    """Text that goes into an output piece by piece."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._parts: list[str] = []
        self._at = 0

    def write(self, text: str) -> None:
        self._parts.append(text)
        if len(self._parts) >= 1024:
            self.flush()

    def flush(self) -> None:
        data = "".join(self._parts).encode()
        self._output.write_at(self._at, data)
        self._at += len(data)
        self._parts.clear()
