"""Everything that the package does with one image, and what must be true of it whatever the image holds.

What comes back is what the image says to a reader: refused or not, findings, map, content. Any exception that is not
of the error tree goes through to the caller: it is a crash.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from qcow2inspect.dossier import compile_dossier
from qcow2inspect.errors import BadAddress, Qcow2InspectError
from qcow2inspect.findings import Finding
from qcow2inspect.image.address import resolve
from qcow2inspect.image.chain import AnyImage
from qcow2inspect.image.dirty import DirtyBitmap
from qcow2inspect.image.disk import Disk
from qcow2inspect.image.facts import header_facts, snapshot_facts, v1_facts
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.image import Image, require_magic
from qcow2inspect.image.mapping import snapshot_mappings
from qcow2inspect.image.support import alone
from qcow2inspect.image.tree import Tree
from qcow2inspect.image.v1 import V1Image
from qcow2inspect.image.view import Extent, View
from qcow2inspect.layout.node import Node
from qcow2inspect.reports.qemu import info_document, map_entries
from qcow2inspect.reports.text import render_text
from qcow2inspect.rules import examine
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.units import GuestOffset, HostOffset
from tests.fuzz.seeds import PASSPHRASE

EXTENTS = 4000
NODES = 250
"""Nodes of the tree that are visited."""
READ = 1 << 18
_LONGEST_MESSAGE = 10_000
_ITERATIONS = 10_000


class Broken(AssertionError):
    """Something that must be true of every image is not true of this one."""


@dataclass
class Seen:
    """What an image says to a reader.

    Attributes:
        refused: name of the error that opening it raised; empty if it opens.
        stopped: the error that reading the guest disk raised first; empty if none.
        findings: code, severity and message of every finding, with how often there were such.
        flagged: extents that say they cannot be read, or lie past the end of the file.
        map: digest of the map.
        content: digest of the guest bytes that were read.
        size: guest bytes.
    """

    refused: str = ""
    stopped: str = ""
    findings: dict[tuple[str, str], int] = field(default_factory=dict)
    flagged: int = 0
    map: str = ""
    content: str = ""
    size: int = 0


def require(condition: object, what: str) -> None:
    """Raise :class:`Broken` unless the condition holds."""
    if not condition:
        raise Broken(what)


def drive(data: bytes, *, walk: bool = True) -> Seen:
    """Do everything with the image in ``data``.

    Args:
        data: the bytes of the file.
        walk: also walk through the tree of its structures, find nodes by address, and read what can be read in spite
            of damage; this takes most of the time.
    """
    source = MemorySource(data, "fuzzed.qcow2")
    try:
        image: AnyImage = V1Image(source) if require_magic(source) == 1 else Image(source)
    except Qcow2InspectError as error:
        _check_error(error)
        return Seen(refused=type(error).__name__)
    seen = Seen()
    json.dumps(info_document(image))
    if isinstance(image, Image):
        _look_into(image, seen, walk=walk)
    else:
        v1_facts(image)
        seen.findings = {(obstacle.code, "error"): 1 for obstacle in image.obstacles}
    if walk:
        with suppress(Qcow2InspectError):
            _read_view(_lenient_disk(image), Seen())
    _read_disk(image, seen)
    return seen


def _look_into(image: Image, seen: Seen, *, walk: bool) -> None:
    for label, value in header_facts(image):
        require(value.isprintable(), f"fact {label} is not fit to print: {value!r}")
    for snapshot in image.snapshots[:3]:
        snapshot_facts(image, snapshot)
    if walk:
        _walk(image)
    survey = take_survey(image)
    findings = examine(survey)
    for finding in findings:
        _check_finding(finding)
        key = (finding.code, str(finding.severity))
        seen.findings[key] = seen.findings.get(key, 0) + finding.count
    report = render_text(compile_dossier(image, survey, findings))
    require(all(line.isprintable() for line in report.splitlines()), "the report has unprintable characters")
    for bitmap in image.bitmaps[:3]:
        _read_bitmap(DirtyBitmap(image, bitmap))
    for mapping in snapshot_mappings(image)[:3]:
        with suppress(Qcow2InspectError):
            _read_view(Disk(image, mapping, alone(image), lenient=True), Seen())
    if image.luks is not None:
        _unlock(image)


def _check_error(error: Qcow2InspectError) -> None:
    require(error.what and str(error).isprintable(), f"a message that is empty or not fit to print: {error!s:.200}")


def _check_finding(finding: Finding) -> None:
    require(finding.message.isprintable(), f"{finding.code}: a message not fit to print: {finding.message!r:.200}")
    require(len(finding.message) < _LONGEST_MESSAGE, f"{finding.code}: a message of {len(finding.message)} characters")
    require(finding.count >= 1 and len(finding.evidence) <= max(32, finding.count), f"{finding.code}: odd counts")


# -- structure ------------------------------------------------------------------------------------------------------


def _walk(image: Image) -> None:
    """A bounded walk through the tree; every node must be found again by its address."""
    tree = Tree(image)
    queue: list[Node] = [tree.root]
    for count in range(NODES):
        if not queue:
            break
        node = queue.pop((0, len(queue) // 2, -1)[count % 3])
        require(node.shown.isprintable() and node.name.isprintable(), f"{node.path}: not fit to print: {node.shown!r}")
        require(0 <= node.where.start <= node.where.end, f"{node.path}: lies at {node.where}")
        children = node.children()
        queue += [children[index] for index in _ends(len(children))]
        if node.path and node.bits is None and count % 4 == 0:
            _find_again(tree, node)
        if node.target_path:
            with suppress(BadAddress, Qcow2InspectError):
                resolve(tree, node.target_path)
    end = int(image.end)
    for offset in {0, 4, 71, 105, 600, end // 2, max(0, end - 1), end, end + 70_000, (1 << 63) - 1, (1 << 64) - 1}:
        require(isinstance(tree.locate(HostOffset(offset)), Node), f"no node at {offset}")
    for text in ("G0", "G0x1000", "L1[0].L2[0].data.ref", "snap[0].L1[0].L2[0]", "bitmap[0].table[0]", "ref[3]", "c9"):
        with suppress(BadAddress, Qcow2InspectError):
            resolve(tree, text)


def _find_again(tree: Tree, node: Node) -> None:
    try:
        found = resolve(tree, node.path).node
    except BadAddress as error:
        raise Broken(f"the node {node.path} is not found by its address: {error}") from error
    require(found.where.start == node.where.start, f"{node.path} lies at {node.where}, its address at {found.where}")


def _ends(count: int) -> list[int]:
    return list(range(count)) if count <= 8 else [0, 1, 2, 3, 4, count // 2, count - 2, count - 1]


def _read_bitmap(bitmap: DirtyBitmap) -> None:
    require(bitmap.name.isprintable(), "a bitmap's name is not fit to print")
    _ = (bitmap.kind, bitmap.flags, bitmap.notes)
    if bitmap.error is not None:
        _check_error(bitmap.error)
        return
    dirty = bitmap.count()
    ranges = list(itertools.islice(bitmap.dirty_ranges(), EXTENTS))
    if len(ranges) < EXTENTS:
        require(dirty.ranges == len(ranges) and dirty.size == sum(part.size for part in ranges), "a bitmap miscounts")


def _unlock(image: Image) -> None:
    """Try the passphrase, if the header does not ask for more work than there is time for."""
    luks = image.luks
    if luks is None or luks.fields.mk_digest_iterations > _ITERATIONS or luks.fields.key_bytes > 512:
        return
    if all(slot.iterations <= _ITERATIONS for slot in luks.slots):
        chain = chain_of(image)
        with suppress(Qcow2InspectError):
            chain.unlock(PASSPHRASE)
            _read_view(chain.disk(lenient=True), Seen())


# -- guest data -----------------------------------------------------------------------------------------------------


def _lenient_disk(image: AnyImage) -> View:
    return image.active_disk(lenient=True) if isinstance(image, Image) else image.active_disk()


def _read_disk(image: AnyImage, seen: Seen) -> None:
    try:
        disk: View = image.active_disk()
    except Qcow2InspectError as error:
        _check_error(error)
        seen.stopped = type(error).__name__
        return
    _read_view(disk, seen)
    with suppress(Qcow2InspectError):
        for _ in itertools.islice(map_entries(disk, [image]), EXTENTS):
            pass


def _read_view(disk: View, seen: Seen) -> None:
    seen.size = disk.size
    digest, at, whole = hashlib.sha256(), 0, True
    extents: list[Extent] = []
    for extent in disk.extents():
        if len(extents) == EXTENTS:
            whole = False
            break
        require(extent.guest.start == at and extent.guest, f"{disk.name}: a gap in the map at {at:#x}")
        at = int(extent.guest.end)
        seen.flagged += bool(extent.error) or extent.past_end
        digest.update(repr(_brief(extent)).encode())
        extents.append(extent)
    require(not whole or at == disk.size, f"{disk.name}: the map ends at {at:#x}, the disk at {disk.size:#x}")
    seen.map = digest.hexdigest()
    for extent in extents[:: max(1, len(extents) // 12)]:
        _look_up(disk, extent)
    seen.content, seen.stopped = _content(disk)


def _brief(extent: Extent) -> tuple[Any, ...]:
    host = (int(extent.host.start), extent.host.size) if extent.host else None
    return (int(extent.guest.start), extent.guest.size, int(extent.kind), host, extent.past_end, type(extent.error))


def _look_up(disk: View, extent: Extent) -> None:
    """One place asked for alone must say what the map says."""
    for at in {extent.guest.start, GuestOffset(extent.guest.end - 1)}:
        one = disk.lookup(at)
        same = (one.kind, one.past_end, bool(one.error)) == (extent.kind, extent.past_end, bool(extent.error))
        require(at in one.guest and same, f"{disk.name}: lookup and map differ at {at}: {one} {extent}")
    part = extent.cut(extent.start, min(extent.end, extent.start + READ))
    try:
        data = disk.read_extent(part)
    except Qcow2InspectError as error:
        _check_error(error)
    else:
        require(len(data) == part.guest.size, f"{disk.name}: {len(data)} bytes of {part.guest}")


def _content(disk: View) -> tuple[str, str]:
    """Digest of the first and the last bytes, and the first error on the way; ranges that fail count as such."""
    digest, stopped = hashlib.sha256(), ""
    for at, size in _pieces(disk.size):
        try:
            data = disk.read_at(at, size)
            require(len(data) == size, f"{disk.name}: {len(data)} bytes at {at:#x} instead of {size}")
        except Qcow2InspectError as error:
            _check_error(error)
            stopped = stopped or type(error).__name__
            data = type(error).__name__.encode()
        digest.update(data)
    return digest.hexdigest(), stopped


def _pieces(size: int) -> Iterator[tuple[int, int]]:
    step = 1 << 14
    starts = itertools.chain(range(0, min(size, READ), step), range(max(READ, (size - 1) // step * step), size, step))
    for at in starts:
        yield at, min(step, size - at)
