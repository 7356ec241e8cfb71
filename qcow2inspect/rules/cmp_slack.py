"""Bytes behind compressed streams are not zero.

A compressed cluster takes whole sectors of 512 bytes; what its stream leaves of the last one belongs to the next stream
or to nobody. Bytes that belong to nobody should be what the file held before: zeros in a new file. Here they are
something else, which no reader looks at.

What else could explain it: room that was in use before, by an older version of a compressed cluster in most cases.

QEMU ignores the bytes behind a stream and does not clear them when it writes; qemu-img check stays silent.
"""

from __future__ import annotations

from qcow2inspect.rules.content import unseen_rule

__all__ = ["RULE"]

RULE = unseen_rule(
    __name__,
    "QCOW-CMP-SLACK",
    find=lambda deep: deep.slack,
    says="{count} behind compressed streams that no stream needs and that are not zero",
    spec="Compressed Clusters Descriptor",
)
