"""The structure of an image as nodes: one class for each kind of structure, and the tree over them."""

from qcow2inspect.image.mapping import Mapping
from qcow2inspect.image.tree.tree import Tree

__all__ = ["Mapping", "Tree"]
