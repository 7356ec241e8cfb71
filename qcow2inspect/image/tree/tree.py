"""The structure of an image as nodes, and the way back: from any host byte to the field that owns it.

Nothing is built before it is looked at: a table of four million entries is a lazy sequence in which runs of unused
entries are one node. Paths are address expressions (:mod:`qcow2inspect.image.address`).
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from qcow2inspect.format.luks import LuksHeader
from qcow2inspect.image.mapping import Mapping, active_mapping, snapshot_mappings
from qcow2inspect.image.tree.bitmaps import BitmapNodes
from qcow2inspect.image.tree.front import FrontNodes
from qcow2inspect.image.tree.mapped import MappedNodes
from qcow2inspect.image.tree.refcounts import RefcountNodes
from qcow2inspect.layout.node import Lazy, Node
from qcow2inspect.layout.structure import printable
from qcow2inspect.units import HostOffset, HostRange, human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qcow2inspect.image.image import Image
    from qcow2inspect.image.locate import Locator

__all__ = ["Mapping", "Tree"]


class Tree:
    """The structure of one image as nodes.

    Args:
        image: the image; its tables are read when nodes are looked at.

    Attributes:
        image: the image.
        front: header, header extensions and backing file name.
        refcounts: refcount table, blocks and counts.
        bitmaps: the persistent dirty bitmaps.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.front = FrontNodes(image)
        self.refcounts = RefcountNodes(image)
        self.bitmaps = BitmapNodes(image)
        self._geometry = image.geometry

    # -- the whole --------------------------------------------------------------------------------------------

    @cached_property
    def root(self) -> Node:
        """The image file with all its structures below it."""
        header = self.image.header
        size = human_size(self._geometry.cluster_size)
        return Node(
            name=printable(os.fsencode(os.path.basename(self.image.name))),
            path="",
            where=HostRange.at(0, self.image.end),
            shown=f"v{header.version} · {size}",
            doc="The image file",
            kind="file",
            children=lambda: self.top,
        )

    @cached_property
    def top(self) -> tuple[Node, ...]:
        """The structures of the image, in the order in which a reader meets them."""
        return (
            self.front.header,
            self.front.extensions,
            *self.front.backing,
            self.mapped(self.active).l1,
            self.refcounts.table,
            *self._snapshots,
            *self.bitmaps.directory,
            *self.luks,
        )

    @cached_property
    def active(self) -> Mapping:
        """The mapping of the active state."""
        return active_mapping(self.image)

    @cached_property
    def mappings(self) -> Sequence[Mapping]:
        """The active state, then every snapshot."""
        snapshots = snapshot_mappings(self.image)
        return Lazy(1 + len(snapshots), lambda index: snapshots[index - 1] if index else self.active)

    def mapped(self, mapping: Mapping) -> MappedNodes:
        """The L1 table of a mapping and its L2 tables."""
        return MappedNodes(self.image, mapping)

    # -- snapshots and encryption -----------------------------------------------------------------------------

    @cached_property
    def _snapshots(self) -> tuple[Node, ...]:
        count = self.image.header.nb_snapshots
        if not count:
            return ()
        found = self.image.snapshots
        end = found[-1].at + found[-1].size if found else self.image.header.snapshots_offset
        at = self.image.header.snapshots_offset
        return (
            Node(
                name="Snapshots",
                path="snap",
                where=HostRange(at, HostOffset(end)),
                shown=f"{count:,}" if len(found) == count else f"{len(found):,} of {count:,} readable",
                doc="The snapshot table: the internal snapshots with an L1 table each",
                spec="Snapshots",
                kind="snapshot",
                state="" if len(found) == count else "invalid",
                children=lambda: Lazy(len(found), self.snapshot),
            ),
        )

    def snapshot(self, index: int) -> Node:
        """Entry ``index`` of the snapshot table; its children are its fields and its L1 table."""
        snapshot = self.image.snapshots[index]
        path = f"snap[{index}]"
        return Node(
            name=f"[{index}]",
            path=path,
            where=HostRange.at(snapshot.at, snapshot.size),
            shown=snapshot.title,
            doc="An internal snapshot",
            spec="Snapshots",
            kind="snapshot",
            target=snapshot.entry.l1_table_offset or None,
            target_path=f"{path}.L1",
            children=lambda: (*snapshot.nodes(path), self.mapped(self.mappings[index + 1]).l1),
        )

    @cached_property
    def luks(self) -> tuple[Node, ...]:
        """The LUKS header; empty if there is none."""
        luks = self.image.luks
        if luks is None:
            return ()
        cipher = printable(luks.fields.cipher_name.rstrip(b"\0") + b"-" + luks.fields.cipher_mode.rstrip(b"\0"))
        return (
            Node(
                name="LUKS header",
                path="luks",
                where=HostRange.at(luks.at, LuksHeader.SIZE),
                shown=cipher,
                doc="The LUKS header: cipher, key slots, salts",
                spec="Data encryption",
                kind="luks",
                children=lambda: luks.nodes("luks"),
            ),
        )

    # -- the way back -----------------------------------------------------------------------------------------

    def locate(self, offset: HostOffset) -> Node:
        """The innermost node that owns a host byte; for a byte that no structure owns, its host cluster.

        Bit fields are not descended into: the node of an entry covers all its bits.
        """
        return self._locator.locate(offset)

    @cached_property
    def _locator(self) -> Locator:
        from qcow2inspect.image.locate import Locator

        return Locator(self)

    def cluster(self, index: int) -> Node:
        """A host cluster as a whole, with its refcount."""
        count = self.image.refcount(index)
        where = HostRange.at(index << self._geometry.cluster_bits, self._geometry.cluster_size)
        return Node(
            name=f"host cluster {index:,}",
            path=f"c{index}",
            where=where,
            shown=f"refcount {count:,}",
            doc="A host cluster that holds no table: data, or nothing that is in use",
            spec="Host cluster management",
            kind="data" if count else "free",
            state="" if count else "free",
        )
