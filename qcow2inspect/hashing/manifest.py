"""Manifests: hashes written down, as JSON or as the lines that ``sha256sum`` and its kin print and check.

The manifest that an export leaves beside its output is read too.

The lines know one kind of thing, a file. Hashes of what the guest sees stand in lines that start with ``#``, which
those programs pass over and this one reads.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from qcow2inspect.errors import CannotRead
from qcow2inspect.hashing.digest import CONTAINER, CONTENT, HASHES, Digest, Subject
from qcow2inspect.layout.structure import visible
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["SCHEMA", "VERSION", "as_document", "as_lines", "read_manifest"]

SCHEMA = "qcow2inspect/manifest"
VERSION = "1.0"
_LARGEST = 256 << 20
_TAGS = {"md5": "MD5", "sha1": "SHA1", "sha256": "SHA256", "blake2b": "BLAKE2b"}
_LENGTHS = {32: "md5", 40: "sha1", 64: "sha256", 128: "blake2b"}
_PLAIN = re.compile(r"(\\?)([0-9a-fA-F]{32,128}) [ *](.+)")
_TAGGED = re.compile(r"(\\?)(MD5|SHA1|SHA256|BLAKE2b) \((.+)\) = ([0-9a-fA-F]+)")
_CONTENT = re.compile(r"# guest content of (.+): (\d+) bytes, (\w+) ([0-9a-f]+)")
_HEX = re.compile("[0-9a-f]+")
_STATE = re.compile(r" \((?:(active state)|snapshot (.+?) “.*”)\)$")


def as_document(digests: Iterable[Digest]) -> dict[str, Any]:
    """The manifest as data, for JSON."""
    return {"schema": SCHEMA, "schema_version": VERSION, "entries": [_entry(digest) for digest in digests]}


def _entry(digest: Digest) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "scope": digest.subject.scope,
        "what": visible(digest.subject.what) if digest.subject.scope == CONTENT else digest.subject.what,
        "size": digest.size,
        "hashes": dict(digest.hashes),
    }
    if digest.piece_size:
        entry["pieces"] = {"size": digest.piece_size, "algorithm": "sha256", "values": list(digest.pieces)}
    return entry


def as_lines(digests: Sequence[Digest]) -> Iterator[str]:
    """The manifest as lines: of ``sha256sum`` for one function, of ``cksum --tag`` for several."""
    tagged = any(len(digest.hashes) > 1 for digest in digests)
    for digest in digests:
        for name, value in digest.hashes.items():
            if digest.subject.scope == CONTENT:
                what = visible(digest.subject.what)
                yield f"# guest content of {what}: {digest.size} bytes, {name} {value}"
                continue
            mark, path = _escaped(digest.subject.what)
            yield f"{mark}{_TAGS[name]} ({path}) = {value}" if tagged else f"{mark}{value}  {path}"


def _escaped(path: str) -> tuple[str, str]:
    """A path as ``sha256sum`` writes it: a backslash in front of the line if the name needed escapes."""
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return ("\\" if escaped != path else "", escaped)


def _plain(path: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), path)


def read_manifest(path: str, image: str) -> list[Digest]:
    """The digests of a manifest that are about an image.

    Args:
        path: the manifest.
        image: path of the image; lines about other files are passed over, unless the manifest has but one.

    Raises:
        CannotRead: there is no such file, or it is no manifest, or nothing in it is about the image.
    """
    with FileSource(path) as source:
        if source.size > _LARGEST:
            raise CannotRead(f"{path}: {source.size:,} bytes are no manifest", hint="check the path", exit_code=65)
        text = os.fsdecode(source.read_at(0, source.size))
    found = _from_json(text, path) if text.lstrip().startswith("{") else list(_from_lines(text))
    mine = [digest for digest in found if _is_about(digest, image)]
    files = {digest.subject.what for digest in found if digest.subject.scope == CONTAINER}
    if not any(digest.subject.scope == CONTAINER for digest in mine) and len(files) == 1:
        mine = found
    if not mine:
        hint = "“qcow2inspect hash --json IMAGE” writes manifests; lines of sha256sum are read too"
        if not found and text.lstrip().startswith("{"):
            hint = "that of an export is compared if it is of a whole state, with a hash, and nothing was replaced; "
            hint += "or if it was made with --hash-sources"
        raise CannotRead(f"{path}: nothing in it is a hash of {image}", hint=hint, exit_code=65)
    return mine


def _is_about(digest: Digest, image: str) -> bool:
    what = digest.subject.what
    return digest.subject.scope == CONTENT or os.path.basename(what) == os.path.basename(image)


def _from_json(text: str, path: str) -> list[Digest]:
    try:
        document = json.loads(text)
        if document.get("manifest") == 1:
            return list(_of_export(document))
        if document["schema"] != SCHEMA or document["schema_version"].partition(".")[0] != "1":
            raise ValueError(f"its schema is {document['schema']!r} {document['schema_version']!r}")
        return [_digest(entry) for entry in document["entries"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CannotRead(
            f"{path}: no manifest of this program: {error}", hint="check the path", exit_code=65
        ) from error


def _of_export(document: Any) -> Iterator[Digest]:
    """The digests of the manifest that an export leaves beside its output, as far as they are of a whole state.

    Raises:
        ValueError: it is no such manifest.
    """
    for source in document["sources"]:
        if source["sha256"] is not None:
            hashes = {"sha256": source["sha256"]}
            yield _digest({"scope": CONTAINER, "what": source["path"], "size": source["size"], "hashes": hashes})
    state = _STATE.search(document["view"])
    whole = document["range"] is None and not document["substituted"]["ranges"]
    if state and whole and document["hashes"]:
        what = state[1] or f"snapshot {state[2]}"
        yield _digest({"scope": CONTENT, "what": what, "size": document["size"], "hashes": document["hashes"]})


def _digest(entry: Any) -> Digest:
    """One entry; everything in it is distrusted.

    Raises:
        ValueError: it is no entry.
    """
    if entry["scope"] not in (CONTAINER, CONTENT) or not isinstance(entry["what"], str):
        raise ValueError("an entry about nothing")
    pieces = entry.get("pieces") or {"size": 0, "algorithm": "sha256", "values": []}
    size, piece_size = int(entry["size"]), int(pieces["size"])
    if size < 0 or piece_size < 0 or pieces["algorithm"] != "sha256":
        raise ValueError("an entry with impossible sizes or unknown pieces")
    values = [str(value) for value in pieces["values"]]
    if len(values) != (-(-size // piece_size) if piece_size else 0):
        raise ValueError("an entry with another number of pieces than its size says")
    hashes: Mapping[str, str] = {str(name): str(value).lower() for name, value in entry["hashes"].items()}
    if set(hashes) - set(HASHES) or not all(map(_HEX.fullmatch, hashes.values())):
        raise ValueError(f"hashes that are not known: {', '.join(sorted(hashes))}")
    return Digest(Subject(entry["scope"], entry["what"]), size, hashes, piece_size, values)


def _from_lines(text: str) -> Iterator[Digest]:
    """The digests of lines; those of one file together. A line does not say how large the file is."""
    sizes: dict[Subject, int] = {}
    hashes: dict[Subject, dict[str, str]] = {}
    for line in text.splitlines():
        for subject, size, name, value in _line(line):
            sizes[subject] = size
            hashes.setdefault(subject, {})[name] = value.lower()
    for subject, found in hashes.items():
        yield Digest(subject, sizes[subject], found)


def _line(line: str) -> Iterator[tuple[Subject, int, str, str]]:
    if match := _CONTENT.fullmatch(line):
        if match[3] in HASHES:
            yield Subject(CONTENT, match[1]), int(match[2]), match[3], match[4]
    elif match := _TAGGED.fullmatch(line):
        name = {tag: name for name, tag in _TAGS.items()}[match[2]]
        yield Subject(CONTAINER, _plain(match[3]) if match[1] else match[3]), -1, name, match[4]
    elif (match := _PLAIN.fullmatch(line)) and len(match[2]) in _LENGTHS:
        yield Subject(CONTAINER, _plain(match[3]) if match[1] else match[3]), -1, _LENGTHS[len(match[2])], match[2]
