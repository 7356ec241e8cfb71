"""Every field, flag and value that the format modules declare, by name: gathered from the declarations themselves."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, get_origin, get_type_hints

import qcow2inspect.format
from qcow2inspect.format.mapping import CompressedDescriptor, compressed_descriptor
from qcow2inspect.format.texts import text_of
from qcow2inspect.format.v1 import CompressedDescriptorV1, compressed_descriptor_v1
from qcow2inspect.layout.openenum import OpenEnum
from qcow2inspect.layout.structure import Structure
from qcow2inspect.layout.word import Word

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["Declared", "declared"]

_EXAMPLES: dict[str, tuple[type[Word[int]], str]] = {
    CompressedDescriptor.__name__: (compressed_descriptor(16), " with clusters of 64 KiB"),
    CompressedDescriptorV1.__name__: (compressed_descriptor_v1(12), " with clusters of 4 KiB"),
}
"""Words whose borders depend on the cluster size, as they are with the usual one."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One field or flag.

    Attributes:
        name: the specification's name.
        structure: name of the structure or word that it is part of.
        about: what that is, in one sentence.
        place: where it lies in it.
        meaning: what it is, in one sentence.
        spec: section of the specification.
        values: named values and what they are called; empty for plain numbers.
        qemu: what QEMU does with it.
        look: what an examiner should look at.
    """

    name: str
    structure: str
    about: str
    place: str
    meaning: str
    spec: str
    values: tuple[str, ...] = ()
    qemu: str = ""
    look: str = ""


@cache
def declared() -> tuple[Declared, ...]:
    """All fields and flags, in the order of the modules and of their declaration."""
    return tuple(found for module in _modules() for kind in vars(module).values() for found in _of(kind, module))


def _modules() -> Iterator[ModuleType]:
    prefix = f"{qcow2inspect.format.__name__}."
    for module in pkgutil.walk_packages(qcow2inspect.format.__path__, prefix):
        if module.name != __name__:
            yield importlib.import_module(module.name)


def _of(kind: object, module: ModuleType) -> Iterator[Declared]:
    """The fields that a class of this module declares itself."""
    if not isinstance(kind, type) or kind.__module__ != module.__name__:
        return
    if issubclass(kind, Structure):
        yield from _fields(kind, module)
    elif issubclass(kind, Word):
        yield from _bits(kind, module)


def _fields(kind: type[Structure], module: ModuleType) -> Iterator[Declared]:
    base = kind.__mro__[1]
    inherited = len(base.ROWS) if issubclass(base, Structure) else 0
    hints = get_type_hints(kind)
    for row in kind.ROWS[inherited:]:
        size = f"bytes {row.at:#x} to {row.at + row.size - 1:#x}" if row.size > 1 else f"byte {row.at:#x}"
        values = _values(get_origin(hints[row.name]) or hints[row.name])
        text = text_of(kind.__name__, row.name)
        yield Declared(row.name, kind.__name__, _about(kind), size, row.doc, _spec(kind, module), values, *text)


def _bits(kind: type[Word[int]], module: ModuleType) -> Iterator[Declared]:
    declaring, condition = _EXAMPLES.get(kind.__name__, (kind, ""))
    for bits in declaring.FIELDS:
        place = f"bit {bits.low}" if bits.low == bits.high else f"bits {bits.low} to {bits.high}"
        text = text_of(kind.__name__, bits.name)
        place += condition
        yield Declared(bits.name, kind.__name__, _about(kind), place, bits.doc, _spec(kind, module), (), *text)


def _values(kind: object) -> tuple[str, ...]:
    if not isinstance(kind, type):
        return ()
    if issubclass(kind, OpenEnum):
        return tuple(f"{int(value)} {name.lower()}" for name, value in kind.__members__.items())
    if issubclass(kind, Word):
        flags = [bits for bits in reversed(kind.FIELDS) if not bits.is_reserved]
        return tuple(f"bit {bits.low} {bits.name}" for bits in flags)
    return ()


def _about(kind: type) -> str:
    """The first sentence of a docstring."""
    return (kind.__doc__ or "").strip().splitlines()[0].partition(" Spec:")[0].rstrip(".")


def _spec(kind: type, module: ModuleType) -> str:
    """The section that the docstring of the class names, or that of its module."""
    for text in (kind.__doc__, module.__doc__):
        found = re.search(r"Spec:\s*(.+?)\.\s*$", text or "", re.DOTALL)
        if found:
            return " ".join(found[1].split())
    return ""
