"""Look into QEMU's qcow2 disk images: every table, every byte, and the raw disk out of it.

::

    import qcow2inspect

    with qcow2inspect.open("disk.qcow2") as image:
        disk = image.active_disk()
        first_sector = disk.read_at(0, 512)

Nothing is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qcow2inspect._version import __version__

if TYPE_CHECKING:
    from qcow2inspect.errors import Qcow2InspectError
    from qcow2inspect.image.image import Image
    from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, HostRange

    open = Image.open  # noqa: A001 - qcow2inspect.open reads well

__all__ = [
    "GuestOffset",
    "GuestRange",
    "HostOffset",
    "HostRange",
    "Image",
    "Qcow2InspectError",
    "__version__",
    "open",
]

_HOMES = {
    "GuestOffset": "units",
    "GuestRange": "units",
    "HostOffset": "units",
    "HostRange": "units",
    "Image": "image.image",
    "Qcow2InspectError": "errors",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "open":
        return __getattr__("Image").open
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
