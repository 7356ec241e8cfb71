"""Residues: each kind is found where it was put, and a view gives its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from qcow2inspect.build.recipe import Compressed, Data, Recipe, Snapshot, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CryptMethod
from qcow2inspect.image.image import Image
from qcow2inspect.image.view import HostParts
from qcow2inspect.survey import residues as module
from qcow2inspect.survey.deep import look_deep
from qcow2inspect.survey.residues import KINDS, Residue
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.units import GuestOffset, GuestRange, HostRange
from tests.images import image_of, noise, read_all
from tests.rules import deep, recipes

MARK = b"do not ask"
SIZE = 4096


def found(data: bytes) -> dict[str, Residue]:
    survey = take_survey(image_of(data))
    return {residue.name: residue for residue in look_deep(survey).residues}


def marked(data: bytes, at: int) -> bytes:
    return data[:at] + MARK + data[at + len(MARK) :]


def host_of(data: bytes, guest: int) -> int:
    extent = image_of(data).active_disk().lookup(GuestOffset(guest))
    assert extent.host is not None
    return int(extent.host.start) + guest - extent.guest.start


def tail() -> bytes:
    """A disk that ends inside a cluster, whose host cluster goes on."""
    recipe = replace(recipes.SOUND, layout=replace(recipes.SOUND.layout, size=7 * 512), clusters={0: Data(bytes(1))})
    data = build(recipe)
    return marked(data, host_of(data, 0) + 3600)


def beyond() -> bytes:
    return recipes.broken(replace(recipes.PLAIN, clusters={0: Data(b"a"), 7: Data(MARK)}), hdr__size=4 * SIZE)


def table_slack() -> bytes:
    data = build(recipes.SOUND)
    return marked(data, int(image_of(data).l1.at) + 2000)


def snapshot_only() -> bytes:
    return build(replace(recipes.SOUND, clusters={0: Data(MARK)}, snapshots=(Snapshot(b"one", {0: Data(b"new")}),)))


def shared() -> bytes:
    return build(replace(recipes.SOUND, clusters={0: Data(MARK)}, snapshots=(Snapshot(b"one", {1: Data(b"new")}),)))


def vm_state() -> bytes:
    clusters = {**recipes.STATE.clusters, 512: Data(MARK)}
    return build(replace(recipes.STATE, clusters=clusters))


def leaked() -> bytes:
    return build(replace(recipes.SOUND, clusters={0: Data(MARK), 1: Data(b"b")}, damage={"L1[0].L2[0]": 0}))


def free() -> bytes:
    recipe = replace(recipes.SOUND, clusters={0: Data(MARK), 1: Data(b"b")})
    cluster = host_of(build(recipe), 0) // SIZE
    return build(replace(recipe, damage={"L1[0].L2[0]": 0, f"ref[{cluster}]": 0}))


def stale() -> bytes:
    return build(replace(recipes.SOUND, clusters={0: Data(MARK)}, damage={"L1[0].L2[0].reads_as_zero": 1}))


def key_slots() -> bytes:
    data = build(recipes.LUKS)
    luks = image_of(data).luks
    assert luks is not None
    return marked(data, luks.at + (8 + 3 * 504) * 512 + 77)


def plaintext() -> bytes:
    layout = recipes.encrypted(CryptMethod.AES).layout
    return build(Recipe(layout, {0: Compressed(noise(1, SIZE - len(MARK)) + MARK)}))


IMAGES: dict[str, Callable[[], bytes]] = {
    "stale": stale,
    "free": free,
    "leaked": leaked,
    "trailing": lambda: build(recipes.SOUND) + bytes(700) + MARK,
    "tail": tail,
    "beyond": beyond,
    "compressed-slack": lambda: deep.with_slack().replace(b"hidden !", MARK[:8]),
    "header-slack": lambda: marked(build(recipes.SOUND), 3000),
    "table-slack": table_slack,
    "padding": lambda: recipes.extended((7, MARK)),
    "late-refcounts": lambda: recipes.damaged("ref[100]", 1),
    "key-slots": key_slots,
    "plaintext": plaintext,
    "vm-state": vm_state,
    "snapshot-only": snapshot_only,
    "shared": shared,
}
UNMARKED = {"late-refcounts": b"\0\1", "compressed-slack": MARK[:8]}


def test_every_kind_has_an_image() -> None:
    assert set(IMAGES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_found_and_its_view_holds_it(kind: str) -> None:
    data = IMAGES[kind]()
    residue = found(data)[kind]
    assert residue.is_whole
    assert residue.size == sum(part.size for part in residue.ranges)
    view = residue.view(image_of(data))
    assert read_all(view) == b"".join(data[part.start : part.end] for part in residue.ranges)
    assert UNMARKED.get(kind, MARK) in read_all(view)


def test_a_sound_image_has_no_residue() -> None:
    assert found(build(replace(recipes.SOUND, clusters={0: Data(b"a")}))) == {}


def test_what_is_kept_is_bounded_and_the_count_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(Layout(size=1 << 20, cluster_bits=12), {index: Data(b"a") for index in range(40)})
    damage = {f"L1[0].L2[{index}]": 0 for index in range(0, 40, 2)}
    monkeypatch.setattr(module, "MOST_RANGES", 5)
    residue = found(build(replace(recipe, damage=damage)))["leaked"]
    assert (len(residue.ranges), residue.count, residue.size) == (5, 20, 20 * SIZE)
    assert not residue.is_whole


def test_a_view_of_parts() -> None:
    image: Image = image_of(bytes(build(recipes.SOUND)))
    parts = (HostRange.at(0, 4), HostRange.at(100, 10), HostRange.at(50, 3))
    view = HostParts(image.source, parts, "parts")
    whole = image.read(0, 4) + image.read(100, 10) + image.read(50, 3)
    assert (view.size, view.read_at(0, 100), view.read_at(3, 12)) == (17, whole, whole[3:15])
    assert view.lookup(GuestOffset(14)).host == parts[2]
    assert [int(each.host.start) for each in view.extents(GuestRange.at(2, 5)) if each.host] == [2, 100]
    assert list(view.extents(GuestRange.at(17, 0))) == []
    with pytest.raises(IndexError):
        view.lookup(GuestOffset(17))
