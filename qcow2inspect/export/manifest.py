"""The sidecar that says how a file came to be: evidence, choices, hashes, versions, the command that repeats it."""

from __future__ import annotations

import json
import os
import platform
import shlex
from typing import TYPE_CHECKING, Any

from qcow2inspect._version import __version__
from qcow2inspect.export.mapped import part_of_disk
from qcow2inspect.export.names import manifest_names
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.protection import guards_of
from qcow2inspect.units import counted, exact_size

if TYPE_CHECKING:
    from qcow2inspect.export.beside import Beside
    from qcow2inspect.export.choices import Choices
    from qcow2inspect.image.view import View
    from qcow2inspect.progress import Progress
    from qcow2inspect.source.protocol import Source

__all__ = ["hash_source", "make_manifest", "write_manifest"]

_LIBRARIES = ("zlib-ng", "backports.zstd", "cryptography", "numpy")
_STEP = 4 << 20


def hash_source(source: Source, progress: Progress) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        CannotRead: it cannot be read.
        Cancelled: the user asked to stop.
    """
    import hashlib

    digest = hashlib.sha256()
    progress.begin(f"Hashing {source.name}", source.size)
    for at in range(0, source.size, _STEP):
        data = source.read_at(at, _STEP)
        digest.update(data)
        progress.advance(len(data))
    return digest.hexdigest()


def make_manifest(view: View, choices: Choices, facts: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The manifest as data; it holds no times, so that the same export gives the same manifest.

    Args:
        view: what was exported.
        choices: how.
        facts: what is known of the output: path, size, hashes and so on.
        progress: told about the hashing of sources, if that was asked for.

    Raises:
        CannotRead: a source cannot be read.
        Cancelled: the user asked to stop.
    """
    sources = [_source(source, choices, progress) for source in view.sources]
    within = part_of_disk(view, choices)
    return {
        "manifest": 1,
        "tool": f"qcow2inspect {__version__}",
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "view": view.name,
        "range": [int(within.start), int(within.end)] if within else None,
        "sources": sources,
        "assumed": [str(one) for one in view.assumed.all],
        "choices": {
            "sparse": choices.sparse.value,
            "on_error": choices.on_error.value,
            "split": choices.split,
            "verify": choices.verify,
        },
        **facts,
    }


def write_manifest(beside: Beside, path: str, manifest: dict[str, Any]) -> None:
    """Write the manifest of the output at ``path`` as JSON and as text.

    Raises:
        CannotExport: it cannot be written.
    """
    texts = (json.dumps(manifest, indent=2) + "\n", _as_text(manifest))
    for name, text in zip(manifest_names(path), texts, strict=True):
        beside.open(name).write_at(0, text.encode("utf-8", "backslashreplace"))


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _source(source: Source, choices: Choices, progress: Progress) -> dict[str, Any]:
    return {
        "path": os.path.realpath(source.name),
        "size": source.size,
        "modified": source.mtime if isinstance(source, FileSource) else None,
        "changed_meanwhile": source.changed if isinstance(source, FileSource) else False,
        "protection": {guard.key: guard.words for guard in guards_of(source)},
        "sha256": hash_source(source, progress) if choices.hash_sources else None,
    }


def _as_text(manifest: dict[str, Any]) -> str:
    within = manifest["range"]
    lines = [f"{manifest['tool']}, Python {manifest['python']}", f"view      {manifest['view']}"]
    if within:
        lines.append(f"range     guest bytes {within[0]:,} to {within[1]:,} (not included)")
    for source in manifest["sources"]:
        lines.append(f"evidence  {source['path']}, {exact_size(source['size'])}")
        if source["sha256"]:
            lines.append(f"          sha256 {source['sha256']}")
        lines += [f"          {name.replace('_', ' ')}: {words}" for name, words in source["protection"].items()]
        if source["changed_meanwhile"]:
            lines.append("          CHANGED while it was read")
    lines += [f"ASSUMED   {words}" for words in manifest["assumed"]]
    lines.append(f"output    {', '.join(manifest['files'])}, {exact_size(manifest['size'])}")
    lines += [f"          {name} {value}" for name, value in manifest["hashes"].items()]
    if manifest["verified"]:
        lines.append("          read back from the disk and found equal")
    lines += [f"choice    {name} {value}" for name, value in manifest["choices"].items()]
    lines += [f"warning   {warning}" for warning in manifest["warnings"]]
    lines += _substituted(manifest["substituted"])
    lines += [f"library   {name} {version}" for name, version in manifest["libraries"].items() if version]
    if manifest["command"]:
        lines.append(f"command   {shlex.join(manifest['command'])}")
    return "\n".join(lines) + "\n"


def _substituted(substituted: dict[str, Any]) -> list[str]:
    if not substituted["ranges"]:
        return ["every byte is what the guest had"]
    totals = ", ".join(f"{size:,} B {kind}" for kind, size in substituted["bytes"].items() if size)
    what = f"NOT as the guest had it: {counted(substituted['ranges'], 'range')}, {totals}"
    return [f"{what}; listed in {substituted['listed_in']}"]
