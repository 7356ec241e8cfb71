"""Hashes equal those of other programs, manifests can be read back, and differences have a place."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from qcow2inspect.build.demo import damaged_recipe, demo_disk, demo_recipe
from qcow2inspect.build.recipe import Recipe, build
from qcow2inspect.errors import CannotRead, Damaged
from qcow2inspect.hashing.digest import CONTAINER, CONTENT, HASHES, Digest, Subject, hash_view
from qcow2inspect.hashing.manifest import as_document, as_lines, read_manifest
from qcow2inspect.hashing.verify import Comparison
from qcow2inspect.image.follow import chain_of
from qcow2inspect.image.view import HostFile
from qcow2inspect.progress import Cancelled
from qcow2inspect.schemas import read_schema
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.memory import MemorySource
from tests.images import image_of, model, raw_by_qemu, recipes

FILE = Subject(CONTAINER, "a.qcow2")
DISK = Subject(CONTENT, "active state")
DATA = b"".join(os.urandom(997) + bytes(3000) for _ in range(50))


def file_digest(data: bytes, piece_size: int = 0, names: tuple[str, ...] = HASHES) -> Digest:
    return hash_view(HostFile(MemorySource(data)), FILE, names, piece_size=piece_size)


@pytest.mark.parametrize("size", [0, 1, 511, 1 << 20, (5 << 20) + 3])
def test_a_file_hashes_as_hashlib_has_it(size: int) -> None:
    data = (DATA * (size // len(DATA) + 1))[:size]
    found = file_digest(data)
    assert found.size == size
    assert found.hashes == {name: hashlib.new(name, data).hexdigest() for name in HASHES}


@pytest.mark.parametrize("piece", [512, 1000, 4096, 1 << 30])
@pytest.mark.parametrize("data", [b"", DATA, bytes(10_000), bytes(8192) + b"x"], ids=["empty", "mixed", "zeros", "end"])
def test_pieces_are_hashes_of_pieces(data: bytes, piece: int) -> None:
    expected = [hashlib.sha256(data[at : at + piece]).hexdigest() for at in range(0, len(data), piece)]
    assert list(file_digest(data, piece, ("md5",)).pieces) == expected


@given(recipes(), st.sampled_from([512, 4096, 65536, 100_000]))
def test_content_hashes_as_the_guest_sees_it(recipe: Recipe, piece: int) -> None:
    disk = model(recipe)
    found = hash_view(chain_of(image_of(recipe)).disk(), DISK, ["sha256"], piece_size=piece)
    assert found.hashes["sha256"] == hashlib.sha256(disk).hexdigest()
    assert list(found.pieces) == [
        hashlib.sha256(disk[at : at + piece]).hexdigest() for at in range(0, len(disk), piece)
    ]


@pytest.mark.oracle
def test_content_hashes_as_qemu_converts_it(tmp_path: Path) -> None:
    path = tmp_path / "demo.qcow2"
    path.write_bytes(build(demo_recipe()))
    raw = raw_by_qemu(path)
    assert raw == demo_disk()
    found = hash_view(chain_of(image_of(demo_recipe())).disk(), DISK, ["md5"])
    assert found.hashes["md5"] == hashlib.md5(raw).hexdigest()


def test_what_cannot_be_read_has_no_hash() -> None:
    with pytest.raises(Damaged, match="no multiple of the cluster size"):
        hash_view(chain_of(image_of(damaged_recipe())).disk(lenient=True), DISK, ["md5"])


def test_a_file_that_changes_has_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "live"
    path.write_bytes(DATA)
    with FileSource(path) as source:
        path.write_bytes(DATA + b"x")
        with pytest.raises(CannotRead, match="changed while it was hashed"):
            hash_view(HostFile(source), FILE, ["md5"])


class Impatient:
    """Progress that asks to stop at once."""

    def begin(self, what: str, total: int | None) -> None: ...

    def advance(self, amount: int) -> None:
        raise Cancelled


def test_hashing_can_be_stopped() -> None:
    with pytest.raises(Cancelled):
        hash_view(HostFile(MemorySource(DATA)), FILE, HASHES, progress=Impatient())


# -- manifests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.qcow2", "with space.qcow2", "back\\slash\nline.qcow2", "*star.qcow2"])
@pytest.mark.parametrize(
    ("tool", "names"), [("sha256sum", ("sha256",)), ("cksum", ("md5", "sha1", "sha256", "blake2b"))]
)
def test_lines_are_checked_by_coreutils_and_read_back(
    name: str, tool: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(DATA)
    digest = replace(file_digest(DATA, names=names), subject=Subject(CONTAINER, name))
    content = Digest(DISK, 7, {"sha256": "00" * 32})
    lines = "".join(line + "\n" for line in as_lines([digest, content]))
    (tmp_path / "sums").write_text(lines)
    ran = subprocess.run([tool, "-c", "sums"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "improperly" not in ran.stderr
    found = read_manifest(str(tmp_path / "sums"), name)
    assert [(item.subject, dict(item.hashes)) for item in found] == [
        (digest.subject, dict(digest.hashes)),
        (DISK, {"sha256": "00" * 32}),
    ]
    assert [item.size for item in found] == [-1, 7]


def test_a_json_manifest_is_as_its_schema_says_and_read_back(tmp_path: Path) -> None:
    digests = [file_digest(DATA, 4096), Digest(DISK, 3, {"md5": "0" * 32})]
    document = as_document(digests)
    Draft202012Validator(read_schema("manifest")).validate(document)
    (tmp_path / "m.json").write_text(json.dumps(document))
    found = read_manifest(str(tmp_path / "m.json"), "/elsewhere/a.qcow2")
    assert found == [replace(digest, hashes=dict(digest.hashes), pieces=list(digest.pieces)) for digest in digests]


BAD = {
    "not json": b"{",
    "other json": b'{"a": 1}',
    "other schema": b'{"schema": "x", "schema_version": "1.0", "entries": []}',
    "newer": b'{"schema": "qcow2inspect/manifest", "schema_version": "2.0", "entries": []}',
    "odd version": b'{"schema": "qcow2inspect/manifest", "schema_version": 1, "entries": []}',
    "no entry": b'{"schema": "qcow2inspect/manifest", "schema_version": "1.0", "entries": [1]}',
    "piece count": json.dumps(
        {
            "schema": "qcow2inspect/manifest",
            "schema_version": "1.0",
            "entries": [
                {
                    "scope": "guest content",
                    "what": "active state",
                    "size": 10,
                    "hashes": {},
                    "pieces": {"size": 1, "algorithm": "sha256", "values": []},
                }
            ],
        }
    ).encode(),
    "deep": b'{"a":' + b"[" * 100_000,
    "empty": b"",
    "text": b"hello\n",
    "binary": bytes(range(256)) * 4,
    "other files": b"".join(b"%032x  %d.img\n" % (number, number) for number in range(3)),
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_what_is_no_manifest_is_refused(kind: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(BAD[kind])
    with pytest.raises(CannotRead) as caught:
        read_manifest(str(tmp_path / "m"), "a.qcow2")
    assert caught.value.exit_code == 65
    assert caught.value.hint


def test_one_line_is_about_the_image_whatever_its_name_was(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("d41d8cd98f00b204e9800998ecf8427e *old-name.img\n")
    assert read_manifest(str(tmp_path / "m"), "new-name.img")[0].hashes == {"md5": "d41d8cd98f00b204e9800998ecf8427e"}


def exported(**changes: object) -> str:
    document: dict[str, object] = {
        "manifest": 1,
        "view": "in/a.qcow2 (active state)",
        "range": None,
        "sources": [
            {"path": "/in/a.qcow2", "size": 9, "sha256": "ab" * 32},
            {"path": "/in/base.qcow2", "size": 8, "sha256": "cd" * 32},
            {"path": "/in/other.qcow2", "size": 8, "sha256": None},
        ],
        "size": 10,
        "hashes": {"md5": "ef" * 16},
        "substituted": {"ranges": 0},
    }
    return json.dumps({**document, **changes})


def test_the_manifest_of_an_export_is_read(tmp_path: Path) -> None:
    (tmp_path / "m").write_text(exported())
    found = {
        (digest.subject.scope, digest.subject.what): digest for digest in read_manifest(str(tmp_path / "m"), "a.qcow2")
    }
    assert set(found) == {("container file", "/in/a.qcow2"), ("guest content", "active state")}
    assert found["guest content", "active state"].hashes == {"md5": "ef" * 16}
    assert found["guest content", "active state"].size == 10
    (tmp_path / "m").write_text(exported(view="a (b) (snapshot 3 “x (y)”)"))
    assert read_manifest(str(tmp_path / "m"), "a.qcow2")[-1].subject.what == "snapshot 3"


@pytest.mark.parametrize(
    "changes",
    [{"range": [0, 512]}, {"substituted": {"ranges": 1}}, {"view": "a.qcow2 (layer 1)"}, {"hashes": {}}],
)
def test_part_of_a_state_is_not_taken_for_all_of_it(changes: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "m").write_text(exported(**changes))
    assert [digest.subject.scope for digest in read_manifest(str(tmp_path / "m"), "a.qcow2")] == ["container file"]
    (tmp_path / "m").write_text(exported(**changes, sources=[]))
    with pytest.raises(CannotRead, match="nothing in it is a hash") as caught:
        read_manifest(str(tmp_path / "m"), "a.qcow2")
    assert caught.value.hint.startswith("that of an export is compared if it is of a whole state")


# -- differences ------------------------------------------------------------------------------------------------------


def test_equal_digests_have_no_difference() -> None:
    result = Comparison(file_digest(DATA, 4096), file_digest(DATA, 4096))
    assert result.is_same
    assert list(result.ranges()) == []


@pytest.mark.parametrize(
    ("places", "ranges"),
    [
        ([0], [(0, 4096)]),
        ([4096, 8191, 8192], [(4096, 12288)]),
        ([0, 20_000], [(0, 4096), (16384, 20480)]),
        ([len(DATA) - 1], [(len(DATA) // 4096 * 4096, len(DATA))]),
    ],
)
def test_a_difference_has_a_place(places: list[int], ranges: list[tuple[int, int]]) -> None:
    changed = bytearray(DATA)
    for place in places:
        changed[place] ^= 1
    result = Comparison(file_digest(DATA, 4096), file_digest(bytes(changed), 4096))
    assert not result.is_same
    assert list(result.ranges()) == ranges
    assert f"{ranges[0][0]:#x}..{ranges[0][1]:#x}" in " ".join(result.differences())


def test_another_size_is_a_difference() -> None:
    result = Comparison(file_digest(DATA, 4096), file_digest(DATA[:5000], 4096))
    assert next(result.differences()).startswith(f"size is 5,000 bytes, expected {len(DATA):,}")
    assert list(result.ranges()) == [(4096, len(DATA))]
