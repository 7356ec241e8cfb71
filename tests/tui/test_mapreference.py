"""Every colouring in both orders is what looking at one cluster after the other says, on images of all sorts."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcow2inspect.build.recipe import Cluster, Compressed, Data, Recipe, Snapshot, Zero, build, patch
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.image import Image
from qcow2inspect.image.windows import extents_of
from qcow2inspect.progress import Silent
from qcow2inspect.survey.claims import Owner as Claimant
from qcow2inspect.survey.survey import Survey, take_survey
from qcow2inspect.tui import clustermap, guestmap, hostmap, nibbles
from qcow2inspect.tui.clustermap import ClusterMap, Count, GuestCount, GuestUse, Kind, Mapped, Owner, Use
from qcow2inspect.tui.guestmap import find_guest, make_guest_map
from qcow2inspect.tui.hostmap import Colouring, make_host_map
from qcow2inspect.tui.strip import strip_of
from qcow2inspect.tui.tasks.searching import guest_at
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset
from tests.benchmarks.metadata import Mapped as MappedImage
from tests.tui.stage import memory_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qcow2inspect.image.view import Extent, View

M = 1 << 20
LARGEST_PEAK = 4 * M
COLOURINGS = (Colouring.TYPE, Colouring.REFCOUNT, Colouring.STATE)
_CLUSTERS, _BITS, _SIZE = 150, 10, 1024
_SOME: st.SearchStrategy[dict[int, Cluster]] = st.dictionaries(
    st.integers(0, _CLUSTERS - 1),
    st.sampled_from([Data(b"d"), Data(b"d"), Zero(), Zero(b"kept"), Compressed(b"c")]),
    max_size=60,
)
_DAMAGE = st.dictionaries(
    st.one_of(
        st.builds("L1[{}].L2[{}]".format, st.integers(0, 1), st.integers(0, 127)),
        st.builds("ref[{}]".format, st.integers(0, 90)),
    ),
    st.integers(0, 40),
    max_size=6,
)
_STRUCTURES = {
    Claimant.HEADER: Owner.HEADER,
    Claimant.L1: Owner.L1,
    Claimant.L1_SNAPSHOT: Owner.L1,
    Claimant.L2: Owner.L2,
    Claimant.L2_SNAPSHOT: Owner.L2,
    Claimant.REFCOUNT_TABLE: Owner.REFCOUNT,
    Claimant.REFCOUNT_BLOCK: Owner.REFCOUNT,
    Claimant.SNAPSHOT_TABLE: Owner.SNAPSHOT,
}


def used(active: int, snapshots: int) -> Use | None:
    if active:
        return Use.SHARED if snapshots else Use.ACTIVE
    return {0: None, 1: Use.SNAPSHOT}.get(snapshots, Use.SEVERAL)


def structures(survey: Survey, cluster: int, colouring: Colouring) -> Iterator[Kind]:
    """The kind of each structure in a host cluster."""
    assert survey.usage is not None
    assert survey.tables is not None
    claims = survey.usage.metadata
    for place in claims.of(cluster):
        owner, index, weight = Claimant(int(claims.owner[place])), int(claims.index[place]), int(claims.weight[place])
        if colouring is Colouring.TYPE:
            yield _STRUCTURES[owner]
        elif owner in (Claimant.L2, Claimant.L2_SNAPSHOT):
            yield used(int(survey.tables.active[index]), int(survey.tables.snapshot[index])) or Use.FILE
        else:
            yield used(owner is Claimant.L1, weight if owner is Claimant.L1_SNAPSHOT else 0) or Use.FILE


def kind_of_count(stored: int, references: int) -> Count:
    if stored != references:
        return Count.HIGH if stored > references else Count.LOW
    names = {0: Count.NONE, 1: Count.ONE, 2: Count.TWO, 3: Count.THREE}
    return names.get(stored, Count.FEW if stored < 16 else Count.MANY)


def kind_on_host(survey: Survey, cluster: int, colouring: Colouring) -> Kind:
    assert survey.usage is not None
    row = survey.usage.at(np.array([cluster], dtype=np.int64))
    columns = (row.metadata, row.active, row.snapshots, row.packed, row.stored)
    metadata, active, snapshots, packed, stored = (int(column[0]) for column in columns)
    references = metadata + active + snapshots + packed
    if colouring is Colouring.REFCOUNT:
        return kind_of_count(stored, references)
    kinds: type[Kind] = Owner if colouring is Colouring.TYPE else Use
    found = set(structures(survey, cluster, colouring))
    if (metadata and (active or snapshots or packed)) or (packed and (active or snapshots)) or len(found) > 1:
        return kinds["CONFLICT"]
    if found:
        return found.pop()
    if not references:
        return kinds["LEAKED"] if stored else kinds(0)
    if colouring is Colouring.TYPE:
        return Owner.COMPRESSED if packed else Owner.DATA if active else Owner.KEPT
    packed_use = Use.PACKED if survey.image.snapshots else Use.ACTIVE
    return packed_use if packed else used(active, snapshots) or Use.NONE


def kind_of_extent(survey: Survey, extent: Extent, colouring: Colouring, inside: GuestRange) -> Kind:
    size = survey.image.geometry.cluster_size
    if colouring is Colouring.TYPE:
        if extent.error is not None:
            return Mapped.UNREADABLE
        if extent.past_end or extent.absent:
            return Mapped.MISSING
        return guestmap._KINDS[extent.kind]
    kinds: type[Kind] = GuestCount if colouring is Colouring.REFCOUNT else GuestUse
    if extent.host is None:
        return kinds["UNTOLD"] if extent.error or extent.absent or extent.past_end else kinds["UNSTORED"]
    if extent.kind.word == "compressed":
        hosts = range(extent.host.start // size, (extent.host.end - 1) // size + 1)
    elif extent.past_end or (extent.host.start - extent.guest.start) % size:
        return kinds["UNTOLD"]
    else:
        at = extent.host.start + inside.start // size * size - extent.guest.start // size * size
        hosts = range(at // size, at // size + 1)
    last = -(-survey.image.end // size)
    names = [kind_on_host(survey, host, colouring).name if host < last else "UNTOLD" for host in hosts]
    return max(kinds[name] if name in kinds.__members__ else kinds["UNTOLD"] for name in names)


def kinds_of_guest(survey: Survey, view: View, colouring: Colouring) -> list[int]:
    size, found = survey.image.geometry.cluster_size, []
    for start in range(0, view.size, size):
        part = GuestRange(GuestOffset(start), GuestOffset(min(start + size, view.size)))
        extents = list(view.extents(part))
        found.append(max(int(kind_of_extent(survey, extent, colouring, extent.guest)) for extent in extents))
    return found


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """Images of small clusters with snapshots and with entries and refcounts that are wrong."""
    clusters: dict[int, Cluster] = draw(_SOME)
    snapshots = tuple(Snapshot(b"s%d" % number, draw(_SOME)) for number in range(draw(st.integers(0, 3))))
    layout = Layout(size=_CLUSTERS * _SIZE - draw(st.sampled_from([0, 512])), cluster_bits=_BITS)
    data = bytearray(build(Recipe(layout, clusters, snapshots)))
    for path, value in draw(_DAMAGE).items():
        with suppress(Qcow2InspectError, ValueError):  # a table that is not there
            patch(data, {path: value if path.startswith("ref") else value << _BITS | bool(value) << 63})
    return bytes(data)


@pytest.fixture(params=[5, nibbles.PIECE], scope="module")
def any_pieces(request: pytest.FixtureRequest) -> Iterator[None]:
    """Borders of pieces lie everywhere, or nowhere."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(nibbles, "PIECE", request.param)
        changed.setattr(hostmap, "PIECE", request.param)
        yield


@pytest.mark.usefixtures("any_pieces")
@settings(max_examples=12)
@given(images(), st.sampled_from([16, 64, 1 << 26]))
def test_maps_are_what_each_cluster_is(data: bytes, most: int) -> None:
    image = memory_image(data)
    survey, chain = take_survey(image), chain_of(image)
    disks = [chain.disk(which, lenient=True) for which in (None, *range(len(image.snapshots)))]
    for colouring in COLOURINGS:
        counted = make_host_map(survey, colouring=colouring)
        kinds = [int(kind_on_host(survey, cluster, colouring)) for cluster in range(-(-image.end // _SIZE))]
        assert counted.owners.part().tolist() == kinds
        by = None if colouring is Colouring.TYPE else counted
        with pytest.MonkeyPatch.context() as changed:
            changed.setattr(clustermap, "MOST", most)
            check(make_host_map(survey, colouring=colouring), kinds)
            for disk in disks:
                check(make_guest_map(disk, _SIZE, counted=by), kinds_of_guest(survey, disk, colouring))


@settings(max_examples=12)
@given(images())
def test_what_lies_on_the_host_is_found_on_the_disk(data: bytes) -> None:
    """As by looking at one extent after the other, for every sector of the file and every state."""
    image = memory_image(data)
    chain = chain_of(image)
    for which in (None, *range(len(image.snapshots))):
        disk = chain.disk(which, lenient=True)
        extents = list(extents_of(disk, GuestRange.at(0, disk.size), Silent()))
        for at in range(0, image.end, 512):
            offset = HostOffset(at + 7)
            wanted = guest_at(extents, offset, lambda: False)
            assert find_guest(disk, _SIZE, offset) == wanted, (which, offset)


def test_what_lies_behind_the_end_of_the_disk_is_none_of_it() -> None:
    """The last cluster may be longer than what is left of the disk."""
    image = memory_image(build(Recipe(Layout(2 * _SIZE + 512, cluster_bits=_BITS), {2: Data(b"last")})))
    disk = chain_of(image).disk()
    host = disk.lookup(GuestOffset(2 * _SIZE)).host
    assert host is not None
    assert find_guest(disk, _SIZE, HostOffset(host.start + 511)) == 2 * _SIZE + 511
    assert find_guest(disk, _SIZE, HostOffset(host.start + 512)) is None


def check(made: ClusterMap, kinds: list[int]) -> None:
    """A map, and the worst of its cells, are the worst of what each cluster is."""
    units = [max(kinds[low : low + made.clusters]) for low in range(0, len(kinds), made.clusters)]
    assert made.owners.part().tolist() == units
    assert made.worst(0, 8, len(units)).tolist() == [max(units[low : low + 8]) for low in range(0, len(units), 8)]


def test_making_maps_takes_no_memory_for_each_cluster(tmp_path: Path) -> None:
    """In any order, whatever the host order is: beside the maps, of half a byte each, only pieces are held."""
    for name, shuffled, counts in (("in order", False, (1 << 20, 1 << 23)), ("shuffled", True, (1 << 17, 1 << 19))):
        peaks = []
        for count in counts:
            with Image.open(MappedImage(count << 16, shuffled=shuffled).write(tmp_path / "image")) as image:
                peaks.append(peak_of(image))
        assert peaks[1] < peaks[0] + M, name
        assert peaks[1] < LARGEST_PEAK, name


def peak_of(image: Image) -> int:
    """The most bytes of the heap that any map of an image takes while it is made, and looked at from above."""
    survey, disk = take_survey(image), chain_of(image).disk(None)
    size, peaks = image.geometry.cluster_size, []
    make_host_map(survey)  # what the survey finds out when it is first asked for is not counted
    for colouring in COLOURINGS:
        gc.collect()
        tracemalloc.start()
        counted = make_host_map(survey, colouring=colouring)
        made = make_guest_map(disk, size, counted=None if colouring is Colouring.TYPE else counted)
        for each in (counted, made):
            assert each.owners.nbytes == -(-len(each) // 2)
            each.counts()
            assert strip_of(each, ()) is not None
            each.worst(0, 1024, len(each))
            each.next_bad(0, 1, frozenset())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return max(peaks)
