"""What lies around an image: the exhibit as a file, the chain, and the volatile facts of an examination."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qcow2inspect import __version__
from qcow2inspect.dossier.section import Exhibit, Field, Section, Table
from qcow2inspect.dossier.values import Name, Nothing, Size, Time
from qcow2inspect.dossier.wishes import moment
from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.source.file import FileSource
from qcow2inspect.source.protection import guards_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qcow2inspect.dossier.values import Value
    from qcow2inspect.dossier.wishes import Wishes
    from qcow2inspect.image.chain import Chain, Layer
    from qcow2inspect.source.protocol import Source

__all__ = ["chain_section", "exhibit_of", "exhibit_section", "provenance_section", "sources_of"]

_LIBRARIES = ("numpy", "zlib-ng", "backports.zstd", "cryptography", "rich", "textual")


def sources_of(chain: Chain) -> Iterator[Source]:
    """Every file of a chain that is open."""
    for layer in chain.layers:
        yield layer.source
        if layer.data_file is not None and not isinstance(layer.data_file, Qcow2InspectError):
            yield layer.data_file


def exhibit_of(chain: Chain, wishes: Wishes) -> Exhibit:
    """The image file itself."""
    source = chain.layers[0].source
    hashes = {
        row.algorithm: row.value
        for row in wishes.hashes
        if row.scope == "container file" and row.what in ("", source.name)
    }
    modified = source.mtime if isinstance(source, FileSource) else None
    return Exhibit(Name(source.name), source.size, modified, hashes)


def exhibit_section(chain: Chain, wishes: Wishes, command: str) -> Section:
    """Path, size and hashes of the image file."""
    source = chain.layers[0].source
    changed = isinstance(source, FileSource) and source.changed
    fields = (
        Field("path", "path as given", Name(source.name)),
        Field("name", "file name", Name(os.path.basename(source.name))),
        Field("size", "file size", Size(source.size)),
        Field("format", "format", chain.layers[0].format),
        Field("opened", "opened", "read-only"),
        Field("changed", "changed while it was examined", changed),
    )
    columns = (("scope", "of"), ("what", "which"), ("size", "bytes"), ("algorithm", "hash"), ("value", "value"))
    rows = tuple((row.scope, Name(row.what), row.size, row.algorithm, row.value) for row in wishes.hashes)
    table = Table("hashes", "Hashes", columns, rows, nothing=Nothing.NOT_CHECKED)
    commands = (f"{command} hash IMAGE",)
    return Section("exhibit", "Exhibit", fields=fields, tables=(table,), commands=commands)


def chain_section(chain: Chain, command: str) -> Section:
    """Every file of the chain, and where and why it ends."""
    columns = (("layer", "layer"), ("role", "role"), ("path", "file"), ("format", "format"), ("size", "size"))
    rows: list[tuple[Value, ...]] = []
    for number, layer in enumerate(chain.layers):
        role = "backing file" if number else "the image"
        rows.append((str(number), role, Name(layer.name), layer.format, Size(layer.source.size)))
        rows += _data_file(number, layer)
    end = chain.end
    last = Nothing.ABSENT if end is None else Nothing.NOT_CHECKED
    note = "nothing lies behind the last layer" if end is None else str(end)
    fields = (
        Field("layers", "layers that were opened", len(chain.layers)),
        Field("next", "behind the last of them", last, Name(note)),
    )
    table = Table("layers", "Files", columns, tuple(rows))
    commands = (f"{command} info IMAGE --follow folder",)
    return Section("chain", "Chain of files", fields=fields, tables=(table,), commands=commands)


def _data_file(number: int, layer: Layer) -> list[tuple[Value, ...]]:
    file = layer.data_file
    if file is None:
        return []
    if isinstance(file, Qcow2InspectError):
        return [(str(number), "external data file", Nothing.NOT_CHECKED, Name(file.what), Nothing.NOT_CHECKED)]
    return [(str(number), "external data file", Name(file.name), "raw", Size(file.size))]


def provenance_section(chain: Chain, wishes: Wishes) -> Section:
    """When, where, by which command and versions: everything that differs from one run to the next."""
    import platform
    import sys

    fields = [
        Field("time", "report made", moment(wishes.time) if wishes.time is not None else Nothing.ABSENT),
        Field("command", "command line", wishes.command_line or Nothing.ABSENT),
        Field("folder", "working folder", _folder()),
        Field("tool", "tool", f"qcow2inspect {__version__}"),
        Field("python", "Python", platform.python_version()),
        Field("system", "system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Field("encoding", "file names", sys.getfilesystemencoding()),
    ]
    libraries = tuple((name, _version(name)) for name in _LIBRARIES)
    columns = (("library", "library"), ("version", "version"))
    sources = list(sources_of(chain))
    tables = (_files(sources), _protection(sources), Table("libraries", "Libraries", columns, libraries))
    return Section("provenance", "Provenance", fields=tuple(fields), tables=tables)


def _folder() -> Value:
    try:
        return Name(os.getcwd())
    except OSError:  # somebody removed it
        return Nothing.UNREADABLE


def _version(name: str) -> Value:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return Nothing.ABSENT


def _files(sources: Sequence[Source]) -> Table:
    columns = (
        ("path", "file"),
        ("stored", "stored by the file system"),
        ("mode", "mode"),
        ("modified", "modified"),
        ("status_changed", "status changed"),
        ("accessed", "last access before"),
        ("opened", "opened"),
    )
    rows = tuple(_file(source) for source in sources)
    return Table("files", "Files as they were found and opened", columns, rows)


def _protection(sources: Sequence[Source]) -> Table:
    """Which layers keep the files from being changed, and why one does not hold."""
    columns = (("path", "file"), ("layer", "layer"), ("holds", "holds"), ("words", "what it does, or why not"))
    rows = tuple(
        (Name(os.path.basename(source.name)), guard.label, guard.holds, guard.words)
        for source in sources
        for guard in guards_of(source)
    )
    return Table("protection", "How the files were kept from being changed", columns, rows)


def _file(source: Source) -> tuple[Value, ...]:
    if not isinstance(source, FileSource):
        return (Name(source.name), Size(source.allocated), *([Nothing.ABSENT] * 4), "in memory")
    status = source.opened
    times = (Time(status.st_mtime_ns), Time(status.st_ctime_ns), Time(status.st_atime_ns))
    path = Name(os.path.realpath(source.name))
    return (path, Size(source.allocated), f"{status.st_mode & 0o7777:04o}", *times, source.protection)
