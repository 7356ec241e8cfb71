"""The structure tree: tables of any length, of which only the rows in sight are made.

Every open node knows how many rows it takes; the node of a row is found by arithmetic.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.tui import describe
from qcow2inspect.tui.commands import bindings
from qcow2inspect.tui.messages import FollowAsked, NodeChosen
from qcow2inspect.tui.widgets.paint import columns, line_width
from qcow2inspect.tui.widgets.vscroll import VScroll

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.layout.node import Node
    from qcow2inspect.tui.theme import Look
    from qcow2inspect.tui.widgets.paint import Line

__all__ = ["Branch", "VTree", "ancestors"]

_SHORT = 64
_WORD = 16
_ROOMY = 50


class Branch:
    """An open node.

    Attributes:
        node: the node.
        depth: 0 for the root.
        parent: the branch it is part of; None for the root.
        place: index among the parent's children.
        children: the parts, perhaps made only when looked at.
        by_itself: True if the tree opened it to show where the cursor is; it closes again when that moves on.
    """

    def __init__(self, node: Node, parent: Branch | None = None, place: int = 0, *, by_itself: bool = False) -> None:
        self.node = node
        self.parent = parent
        self.place = place
        self.depth: int = parent.depth + 1 if parent else 0
        self.by_itself = by_itself
        self.children: Sequence[Node] = _children(node)
        self._open: dict[int, Branch] = {}
        self._order: list[int] = []

    @property
    def rows(self) -> int:
        """Rows below this node."""
        return len(self.children) + sum(branch.rows for branch in self._open.values())

    def branch(self, place: int) -> Branch | None:
        """The open child at index ``place``; None if it is closed."""
        return self._open.get(place)

    def branches(self) -> Iterator[Branch]:
        """All open nodes below, each before what is below it."""
        for place in self._order:
            yield self._open[place]
            yield from self._open[place].branches()

    def open(self, place: int, *, by_itself: bool = False) -> Branch:
        """Open the child at index ``place``."""
        branch = self._open.get(place)
        if branch is None:
            branch = Branch(self.children[place], self, place, by_itself=by_itself)
            self._open[place] = branch
            bisect.insort(self._order, place)
        return branch

    def close(self, place: int) -> None:
        """Close the child at index ``place`` and all below it."""
        if place in self._open:
            del self._open[place]
            self._order.remove(place)

    def at(self, row: int) -> tuple[Branch, int]:
        """The branch and the index of the child that is ``row`` rows below this node, 0 for the first."""
        passed = 0
        for place in self._order:
            before = place + passed
            if row <= before:
                return self, row - passed
            branch = self._open[place]
            if row <= before + branch.rows:
                return branch.at(row - before - 1)
            passed += branch.rows
        return self, row - passed

    def row_of(self, place: int) -> int:
        """How many rows below this node the child at index ``place`` stands: the inverse of :meth:`at`."""
        return place + sum(self._open[other].rows for other in self._order if other < place)


def _children(node: Node) -> Sequence[Node]:
    """The parts of a node; bit fields are the inspector's."""
    try:
        children = node.children()
    except Qcow2InspectError:
        return ()
    if len(children) > _SHORT:
        return children
    return [child for child in children if child.bits is None or child.where != node.where]


def _is_closed_box(node: Node) -> bool:
    """True if there is something to open; only small nodes are looked into to find out."""
    return not node.is_leaf and (node.where.size > _WORD or bool(_children(node)))


def ancestors(path: str, block_entries: int) -> list[str]:
    """The addresses from the top of the tree down to ``path``: ``L1``, ``L1[2]``, ``L1[2].L2``, ...

    Args:
        path: an address of a node.
        block_entries: refcounts in one refcount block.
    """
    if path.startswith("ref["):
        block = int(path[4:].partition("]")[0]) // block_entries
        return ["rt", f"rt[{block}]", f"rb[{block}]", path]
    if path.startswith("rb["):
        return ["rt", f"rt{path[2:]}", path]
    ends = [index for index, char in enumerate(path) if index and char in ".["]
    return [path[:end] for end in (*ends, len(path))]


def _find(children: Sequence[Node], path: str) -> int | None:
    """Index of the child with address ``path``, or of the run of unused entries that holds it."""
    if len(children) <= _SHORT:
        for index, child in enumerate(children):
            if child.path == path:
                return index
    return _among_runs(children, path)


def _among_runs(children: Sequence[Node], path: str) -> int | None:
    """Binary search in a table whose children are entries and runs of entries, in order."""
    prefix, wanted = _split(path)
    if wanted is None:
        return None
    low, high = 0, len(children)
    while low < high:
        middle = (low + high) // 2
        found_prefix, found = _split(children[middle].path)
        if found is None or found_prefix != prefix:
            return None
        if found <= wanted:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low else None


def _split(path: str) -> tuple[str, int | None]:
    prefix, _, tail = path.rpartition("[")
    return (prefix, int(tail[:-1])) if tail.endswith("]") and tail[:-1].isdecimal() else (path, None)


class VTree(VScroll):
    """The structure of an image; row 0 is the image file.

    Args:
        root: the node of row 0, which is open.
        block_entries: refcounts in one refcount block.
        look: colours and glyphs.
        id: Textual id.
    """

    BINDINGS = bindings("tree")

    def __init__(self, root: Node, block_entries: int, look: Look, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(look, id=id)
        self._block_entries = block_entries
        self.root = Branch(root)

    @property
    def row_count(self) -> int:
        """The root and all rows below open nodes."""
        return 1 + self.root.rows

    @property
    def node(self) -> Node:
        """The node under the cursor."""
        return self.node_of(self.cursor)

    @property
    def _indent(self) -> int:
        """Cells for each level."""
        return 2 if self.width >= _ROOMY else 1

    def node_of(self, row: int) -> Node:
        """The node that stands in ``row``."""
        if row <= 0:
            return self.root.node
        branch, place = self.root.at(row - 1)
        return branch.children[place]

    # -- painting ---------------------------------------------------------------------------------------------

    def paint(self, row: int, width: int) -> Line:
        """Arrow, glyph, name, value."""
        if row == 0:
            return self._line(row, self.root.node, 0, "open", width)
        branch, place = self.root.at(row - 1)
        node = branch.children[place]
        arrow = "open" if branch.branch(place) else "closed" if _is_closed_box(node) else ""
        return self._line(row, node, branch.depth + 1, arrow, width)

    def _line(self, row: int, node: Node, depth: int, arrow: str, width: int) -> Line:
        glyphs, ground = self.look.glyphs, self.row_ground(row)
        role = node.state if glyphs.has(node.state) and node.state != "normal" else node.kind
        shown = glyphs.text(describe.shown(node))
        sign = " " if node.bits else glyphs[role]
        left = [
            (" " * (depth * self._indent), self.look.style("text", ground)),
            (f"{glyphs[arrow] if arrow else ' '} ", self.look.style("dim", ground)),
            (f"{sign} ", self.look.style(role, ground)),
            (f"{glyphs.text(node.name)} ", self.look.style("dim" if node.bits else "text", ground)),
        ]
        return columns(left, self._value(left, shown, node, row, width), width, self.look.style("text", ground))

    def _value(self, left: Line, shown: str, node: Node, row: int, width: int) -> Line:
        """The value at the right end, as much of it as there is room for."""
        used, ground = line_width(left), self.row_ground(row)
        room = max(0, width - used - 1)
        if len(shown) > room:
            more = self.look.glyphs["more"]
            shown = shown[: max(0, room - len(more))] + more if room > len(more) + 2 else ""
        role = node.state if node.state in ("invalid", "compressed", "shared") else "dim"
        return [(shown + " " if shown else "", self.look.style(role, ground))]

    # -- following the cursor of others -----------------------------------------------------------------------

    def reveal(self, node: Node) -> None:
        """Put the cursor on ``node`` or its nearest ancestor, opening what is on the way, without telling anybody."""
        spot: tuple[Branch, int] | None = None
        rows = self.row_count
        for path in ancestors(node.path, self._block_entries) if node.path else ():
            branch = spot[0].open(spot[1], by_itself=True) if spot else self.root
            place = _find(branch.children, path)
            if place is not None:
                spot = (branch, place)
        if spot is None:
            return
        self._close_all_but(spot[0])
        if self.row_count != rows:
            self.refresh()
        row = _absolute_row(*spot)
        self.scroll_top(self.top)
        self.set_cursor(row)
        self.show_row(row, margin=2)

    def _close_all_but(self, wanted: Branch) -> None:
        """Close what the tree opened by itself and needs no more."""
        keep = {id(branch) for branch in _lineage(wanted)}
        for branch in list(self.root.branches()):
            if branch.by_itself and id(branch) not in keep and branch.parent:
                branch.parent.close(branch.place)

    def cursor_moved(self) -> None:
        """Tell where the cursor is."""
        self.tell(NodeChosen(self.node))

    # -- actions ----------------------------------------------------------------------------------------------

    def action_switch(self) -> None:
        """Open or close the node under the cursor."""
        if self.cursor == 0 or not _is_closed_box(self.node):
            return
        branch, place = self.root.at(self.cursor - 1)
        if branch.branch(place):
            branch.close(place)
        else:
            branch.open(place)
        self._pin(branch)
        self.refresh()

    def _pin(self, branch: Branch) -> None:
        """What the user walks in stays open."""
        for each in _lineage(branch):
            each.by_itself = False

    def action_open(self) -> None:
        """Open the node, or go to its first part if it is open."""
        if not _is_closed_box(self.node):
            return
        branch, place = self.root.at(self.cursor - 1) if self.cursor else (self.root, -1)
        if self.cursor and not branch.branch(place):
            self.action_switch()
        else:
            self.move_to(self.cursor + 1)

    def action_close(self) -> None:
        """Close the node, or go to what it is part of if it is closed."""
        if self.cursor == 0:
            return
        branch, place = self.root.at(self.cursor - 1)
        if branch.branch(place):
            self.action_switch()
        else:
            self.move_to(self.cursor - 1 - branch.row_of(place))

    def clicked(self, row: int, x: int, *, double: bool) -> None:
        """A click chooses; on the arrow it opens or closes; a double click follows."""
        self.move_to(row)
        depth = self.root.at(row - 1)[0].depth + 1 if row else 0
        if 0 <= x - depth * self._indent < 2:
            self.action_switch()
        elif double:
            self.post_message(FollowAsked())


def _lineage(branch: Branch) -> Iterator[Branch]:
    """The branch and all that it is part of, up to the root."""
    each: Branch | None = branch
    while each:
        yield each
        each = each.parent


def _absolute_row(branch: Branch, place: int) -> int:
    """The row of the child at index ``place`` of ``branch``."""
    row = 0
    for each in _lineage(branch):
        row += 1 + each.row_of(place)
        place = each.place
    return row
