"""The declaration language: one declaration of an on-disk structure reads, writes, names and explains it.

Nothing here knows qcow2. :mod:`~qcow2inspect.layout.structure` has fields at fixed offsets,
:mod:`~qcow2inspect.layout.word` has bit fields of one integer or of a whole column,
:mod:`~qcow2inspect.layout.packed` has columns narrower than a byte,
:mod:`~qcow2inspect.layout.openenum` has enumerations that keep unknown values, and
:mod:`~qcow2inspect.layout.node` is all that a tree, a hex pane or a report needs to know about a range.
"""
