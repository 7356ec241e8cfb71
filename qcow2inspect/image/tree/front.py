"""The front of the file as nodes: header, header extensions, backing file name."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.layout.node import Node
from qcow2inspect.layout.structure import printable
from qcow2inspect.units import HostRange

if TYPE_CHECKING:
    from qcow2inspect.format.extensions.base import HeaderExtension, Record
    from qcow2inspect.image.image import Image
    from qcow2inspect.units import HostOffset

__all__ = ["FrontNodes"]

_TARGETS = {
    "l1_table_offset": "L1",
    "refcount_table_offset": "rt",
    "snapshots_offset": "snap[0]",
    "backing_file_offset": "backing",
}


class FrontNodes:
    """The structures at the front of an image file as nodes.

    Args:
        image: the image.
    """

    def __init__(self, image: Image) -> None:
        self._image = image

    @cached_property
    def header(self) -> Node:
        """The header with its fields."""
        header = self._image.header
        return Node(
            name="Header",
            path="hdr",
            where=HostRange.at(0, header.stored_size),
            shown=f"version {header.version}, {header.stored_size} bytes",
            doc="The image header: where everything else lies",
            spec="Header",
            kind="header",
            children=lambda: tuple(
                dataclasses.replace(node, target_path=self._target_of(node)) for node in header.stored_nodes()
            ),
        )

    def _target_of(self, node: Node) -> str:
        """Address of what a header field points to; empty if nothing is there to look at."""
        if not node.target:
            return ""
        if node.name == "snapshots_offset" and not self._image.snapshots:
            return "snap" if self._image.header.nb_snapshots else ""
        if node.name == "backing_file_offset" and not self.backing:
            return ""
        return _TARGETS.get(node.name, "")

    @cached_property
    def extensions(self) -> Node:
        """The header extensions, one node each, and the end marker."""
        area = self._image.extensions
        return Node(
            name="Extensions",
            path="ext",
            where=area.where,
            shown=f"{len(area.extensions)}" + (f", and {area.left_out:,} more, not shown" if area.left_out else ""),
            doc="Header extensions: records between the header and the backing file name",
            spec="Header extensions",
            kind="extension",
            children=lambda: self._extension_nodes,
        )

    @cached_property
    def _extension_nodes(self) -> tuple[Node, ...]:
        area = self._image.extensions
        nodes = [_extension_node(f"ext[{index}]", extension) for index, extension in enumerate(area.extensions)]
        if area.end_marker is not None:
            nodes.append(_end_marker(area.end_marker))
        if area.overrun is not None:
            at = area.extensions[-1].where.end if area.extensions else area.where.start
            nodes.append(_broken(at, area.overrun))
        return tuple(nodes)

    @cached_property
    def backing(self) -> tuple[Node, ...]:
        """The backing file name; empty if there is none."""
        name = self._image.backing_name
        if not name:
            return ()
        where = HostRange.at(self._image.header.backing_file_offset, len(name))
        doc = "Name of the backing file, which holds what this image does not"
        return (Node("Backing file", "backing", where, printable(name), doc, "Header", "header"),)


def _extension_node(path: str, extension: HeaderExtension) -> Node:
    return Node(
        name=extension.TITLE,
        path=path,
        where=extension.where,
        shown=extension.shown,
        doc=extension.DOC,
        spec="Header extensions",
        kind="extension",
        children=lambda: tuple(extension.nodes(path)),
    )


def _end_marker(at: HostOffset) -> Node:
    return Node(
        name="end marker",
        path="ext.end",
        where=HostRange.at(at, 8),
        shown="",
        doc="End of the header extensions",
        spec="Header extensions",
        kind="extension",
    )


def _broken(at: HostOffset, overrun: Record) -> Node:
    return Node(
        name="broken record",
        path="ext.broken",
        where=HostRange.at(at, 8),
        shown=f"{overrun.magic:#010x} claims {overrun.length:,} bytes",
        doc="A record whose length leads past the area; nothing after it can be read",
        spec="Header extensions",
        kind="extension",
        state="invalid",
    )
