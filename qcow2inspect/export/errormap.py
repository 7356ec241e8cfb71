"""What is not as the guest had it, as files beside the output: a map that ddrescue's tools read, and JSON.

Both name exactly the bytes that are not as the guest had them. In the map neighbours of one status are one row. In the
JSON every range has a row of its own, with its place in the image file and the reason; only where more than a few
neighbours share kind, layer and what is written are they one row, which says ``several`` and gives place and reason of
the first, and under ``others`` a reason of every other kind.
"""

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
_FINISHED = "+"
_NOTE = (
    "a range with several: true stands for neighbours that share kind, layer and written; host_offset, host_size and "
)
_NOTE += "reason are those of the first of them, others names a reason of every other kind"


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
    rows = _Rows(map_file)
    json_file = _Stream(beside.open(json_of(path)))
    map_file.write(f"# Mapfile. Created by qcow2inspect {__version__}\n# Positions count bytes of the output.\n")
    map_file.write("# current_pos  current_status  current_pass\n0x00000000     +               1\n")
    map_file.write("#      pos        size  status\n")
    head = {"tool": f"qcow2inspect {__version__}", "size": size, "origin": origin, "note": _NOTE}
    json_file.write(json.dumps(head)[:-1] + ', "ranges": [')
    comma = "\n"
    for trouble in troubles:
        start, end = trouble.guest.start - origin, trouble.guest.end - origin
        rows.add(start, end, _STATUS[trouble.kind])
        json_file.write(comma + json.dumps(_entry(trouble, origin, disk_offset)))
        comma = ",\n"
    rows.end(size)
    json_file.write("\n]}\n")
    map_file.flush()
    json_file.flush()


class _Rows:
    """The rows of a map; neighbours of one status are one."""

    def __init__(self, file: _Stream) -> None:
        self._file = file
        self._start = self._end = 0
        self._status = _FINISHED

    def add(self, start: int, end: int, status: str) -> None:
        """The next bytes that are not finished."""
        if start > self._end:
            self._begin(self._end, _FINISHED)
        if status != self._status:
            self._begin(start, status)
        self._end = end

    def end(self, size: int) -> None:
        """The rest is finished."""
        if size > self._end:
            self._begin(self._end, _FINISHED)
        self._begin(size, "")

    def _begin(self, start: int, status: str) -> None:
        if status == self._status:
            return
        if start > self._start:
            self._file.write(f"0x{self._start:08X}  0x{start - self._start:08X}  {self._status}\n")
        self._start, self._status = start, status


def _entry(trouble: Trouble, origin: int, disk_offset: Callable[[int], int]) -> dict[str, object]:
    row: dict[str, object] = {
        "output_offset": trouble.guest.start - origin,
        "guest_offset": int(disk_offset(int(trouble.guest.start))),
        "size": trouble.guest.size,
        "host_offset": int(trouble.host.start) if trouble.host else None,
        "host_size": trouble.host.size if trouble.host else None,
        "layer": trouble.layer,
        "kind": trouble.kind,
        "reason": _shown(trouble.reason),
        "written": trouble.written,
    }
    return row | {"several": True, "others": list(map(_shown, trouble.others))} if trouble.several else row


def _shown(reason: str) -> str:
    return printable(reason.encode("utf-8", "surrogateescape"))


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
