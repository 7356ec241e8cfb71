"""Who may open what an image names: nothing unless allowed, and only regular files whatever is allowed."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.errors import Damaged, NeedsFile, Qcow2InspectError
from qcow2inspect.image.follow import MAX_LAYERS, open_chain
from qcow2inspect.image.gate import Follow, MissingFile, OpenGate, identities, read_name
from qcow2inspect.source.file import _open
from tests.image.v1_images import V1Recipe

NONE, FOLDER, ANY = OpenGate(), OpenGate(Follow.FOLDER), OpenGate(Follow.ANY)


def overlay(path: Path, backing: bytes | str, backing_format: bytes = b"raw") -> Path:
    layout = Layout(512, cluster_bits=12, backing_name=os.fsencode(backing), backing_format=backing_format)
    path.write_bytes(build(Recipe(layout)))
    return path


def with_data_file(path: Path, name: str) -> Path:
    path.write_bytes(build(Recipe(Layout(1 << 16, cluster_bits=16, data_file=os.fsencode(name)), {0: Data(b"x")})))
    return path


def end_of(path: Path, gate: OpenGate) -> str:
    """Why the chain ends at the image itself."""
    with open_chain(path, gate) as chain:
        assert len(chain.layers) == 1
        assert isinstance(chain.end, NeedsFile)
        assert chain.end.exit_code == 66
        return str(chain.end)


def files_of(path: Path, gate: OpenGate) -> list[str]:
    with open_chain(path, gate) as chain:
        assert chain.end is None, chain.end
        return [layer.name for layer in chain.layers]


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A folder with a base in it, one below it, and one outside it."""
    folder = tmp_path / "case"
    (folder / "below").mkdir(parents=True)
    for place in (folder / "base.raw", folder / "below" / "base.raw", tmp_path / "outside.raw"):
        place.write_bytes(place.parent.name.encode().ljust(512))
    return folder


# -- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "stated"),
    [
        (b"base.raw", "base.raw", ""),
        (b"../base.raw", "../base.raw", ""),
        (b"folder/a:b", "folder/a:b", ""),
        (b"base.raw\0/etc/shadow", "base.raw", ""),
        (b"file:/a/b", "/a/b", ""),
        (b"file:", "", ""),
        (b'json:{"file.filename": "/b"}', "/b", ""),
        (b'json:{"driver": "qcow2", "file": {"driver": "file", "filename": "/b"}}', "/b", "qcow2"),
        (b'json:{"driver": "raw", "file.driver": "file", "file.filename": "file:/b"}', "file:/b", "raw"),
        (b'json:{"driver": "file", "filename": "/b"}', "/b", "raw"),
    ],
)
def test_names_that_plainly_name_a_file(name: bytes, path: str, stated: str) -> None:
    named = read_name(name)
    assert (named.path, named.format, named.why_not) == (path, stated, "")
    assert named.plain is not named.from_cwd  # QEMU takes only plain names from the folder of the image


@pytest.mark.parametrize(
    "options",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"base.raw"',
        "{}",
        "{'file.filename': '/b'}",  # QEMU takes single quotes; JSON does not
        '{"filename": "/b"}',
        '{"driver": "nbd", "host": "example.org"}',
        '{"driver": "qcow2", "file.driver": "nbd", "file.filename": "/b"}',
        '{"driver": "host_device", "filename": "/dev/sda"}',
        '{"driver": ["qcow2"], "file.filename": "/b"}',
        '{"driver": {"driver": "qcow2"}, "file.filename": "/b"}',
        '{"driver": "qcow2", "file.filename": 7}',
        '{"driver": "qcow2", "file.filename": {"x": "/b"}}',
        '{"driver": "qcow2", "file.filename": "/b", "backing": null}',
        '{"driver": "qcow2", "file.filename": "/b", "file.locking": "off"}',
        '{"driver": "qcow2", "file.filename": "/b", "backing": {"file.filename": "/etc/shadow"}}',
        '{"driver": "qcow2", "file.filename": "/a", "file.filename": "/b"}',
        '{"driver": "qcow2", "file": {"filename": "/a"}, "file.filename": "/b"}',
        '{"a":' * 2_000 + "1" + "}" * 2_000,
        "[" * 100_000,
        '{"driver": "qcow2", "file.filename": "/' + "b" * (1 << 16) + '"}',
        "1" * 5_000,
    ],
)
def test_json_that_does_not_plainly_name_a_file_is_not_opened(options: str) -> None:
    named = read_name(f"json:{options}".encode())
    assert named.path is None
    assert "json: name" in named.why_not
    with pytest.raises(NeedsFile, match="json: name") as caught:
        ANY.open(named, "image", "backing file")
    assert len(str(caught.value)) < 3_000


@pytest.mark.parametrize(
    "name", ["nbd:localhost:10809", "http://example.org/x", "nbd+unix:///x?socket=/y", ":x", "C:x"]
)
def test_addresses_are_never_opened(name: str) -> None:
    named = read_name(name.encode())
    assert named.path is None
    with pytest.raises(NeedsFile, match=r"an address of the protocol “.*”, which is never opened"):
        ANY.open(named, "image", "backing file")


def test_a_hostile_name_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    name = b"a\n\x1b[2J\xff\xe2\x80\xae"
    told = end_of(overlay(tmp_path / "o", name), ANY)
    assert told.isprintable()
    assert r"a\n\x1b[2J\xff\u202e" in told


def test_an_endless_protocol_name_is_cut() -> None:
    named = read_name(b"x" * 100_000 + b":y")
    with pytest.raises(NeedsFile) as caught:
        ANY.open(named, "image", "external data file")
    assert len(str(caught.value)) < 3_000


# -- none, folder, any --------------------------------------------------------------------------------------------


def test_nothing_is_opened_unless_allowed(case: Path) -> None:
    told = end_of(overlay(case / "o", "base.raw"), NONE)
    assert f"would be {case / 'base.raw'}, and nothing is opened unless allowed" in told


@pytest.mark.parametrize("name", ["base.raw", "below/base.raw", "below/../base.raw", "./base.raw"])
def test_folder_opens_what_lies_below(name: str, case: Path) -> None:
    assert files_of(overlay(case / "o", name), FOLDER) == [str(case / "o"), f"{case}/{name}"]


def test_folder_opens_absolute_names_below_and_none_beside(case: Path) -> None:
    assert files_of(overlay(case / "o", str(case / "base.raw")), FOLDER)[1] == str(case / "base.raw")
    for name in ("../outside.raw", str(case.parent / "outside.raw"), "below/../../outside.raw", "/dev/null", "/"):
        path = overlay(case / "o", name)
        assert "outside the folder of the image" in end_of(path, FOLDER), name
    assert files_of(overlay(case / "o", "../outside.raw"), ANY)[1] == str(case / "../outside.raw")


def test_a_folder_whose_name_begins_alike_is_another(case: Path) -> None:
    twin = case.parent / "case2"
    twin.mkdir()
    (twin / "base.raw").write_bytes(bytes(512))
    assert "outside" in end_of(overlay(case / "o", "../case2/base.raw"), FOLDER)


def test_symbolic_links_do_not_lead_out_of_the_folder(case: Path) -> None:
    (case / "link.raw").symlink_to(case.parent / "outside.raw")
    (case / "up").symlink_to(case.parent)
    (case / "inside.raw").symlink_to("below/base.raw")
    for name in ("link.raw", "up/outside.raw"):
        assert "outside the folder" in end_of(overlay(case / "o", name), FOLDER)
        assert len(files_of(case / "o", ANY)) == 2
    assert len(files_of(overlay(case / "o", "inside.raw"), FOLDER)) == 2


def test_folder_is_that_of_the_image_that_the_user_opened(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay(case / "below" / "middle", "../base.raw")
    top = overlay(case / "o", "below/middle", b"qcow2")
    assert len(files_of(top, FOLDER)) == 3
    assert "outside" in end_of(case / "below" / "middle", FOLDER)
    monkeypatch.chdir(case)
    assert len(files_of(Path("o"), FOLDER)) == 3


@pytest.mark.parametrize("name", ["file:{}", 'json:{{"driver": "raw", "file.filename": "{}"}}'])
def test_folder_opens_plain_names_only(name: str, case: Path) -> None:
    path = overlay(case / "o", name.format(case / "base.raw"))
    assert "no plain file name" in end_of(path, FOLDER)
    assert files_of(path, ANY)[1] == str(case / "base.raw")


@pytest.mark.parametrize("name", ["gone.raw", "below/gone/x", "base.raw/x", "a" * 300, "below/" + "x/" * 400])
def test_a_missing_file_is_named(name: str, case: Path) -> None:
    for gate in (FOLDER, ANY):
        assert "cannot be opened: " in end_of(overlay(case / "o", name), gate)


@pytest.mark.parametrize("path", ["\0", "a\0b", "\ud800"])
def test_a_path_that_no_system_takes_is_an_answer_too(path: str, case: Path) -> None:
    name = "json:" + json.dumps({"driver": "raw", "file.filename": path})
    assert "cannot be opened" in end_of(overlay(case / "o", name), ANY)


def test_a_file_without_permission_is_named(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = overlay(case / "o", "base.raw")
    with open_chain(path) as chain:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(NeedsFile, match="no permission"):
            ANY.open(read_name(b"base.raw"), chain.top.name, "backing file")


# -- where QEMU looks from its working directory ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["file:base.raw", 'json:{"driver": "raw", "file.filename": "base.raw"}'])
def test_relative_paths_in_other_names(name: str, case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = overlay(case / "o", name)
    monkeypatch.chdir(case.parent)
    assert files_of(path, ANY)[1] == str(case / "base.raw")  # nothing of that name in the working directory
    monkeypatch.chdir(case)
    assert os.path.samefile(files_of(path, ANY)[1], case / "base.raw")
    monkeypatch.chdir(case / "below")
    told = end_of(path, ANY)
    assert f"is {case / 'base.raw'} beside it, but {case / 'below' / 'base.raw'} to QEMU" in told
    (case / "base.raw").unlink()
    assert files_of(path, ANY)[1] == "base.raw"


def test_relative_data_files(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_data_file(case / "i", "base.raw")

    def found(gate: OpenGate) -> str:
        with open_chain(path, gate) as chain:
            data = chain.layers[0].data_file
            return str(data) if isinstance(data, Qcow2InspectError) else data.name if data else ""

    monkeypatch.chdir(case.parent)
    assert found(FOLDER) == found(ANY) == str(case / "base.raw")
    assert "nothing is opened unless allowed" in found(NONE)
    monkeypatch.chdir(case / "below")
    assert "to QEMU in this working directory" in found(ANY)
    (case / "base.raw").unlink()
    assert found(ANY) == "base.raw"
    monkeypatch.chdir(case.parent)
    (case.parent / "base.raw").write_bytes(bytes(512))
    assert "outside the folder" in found(FOLDER)


DATA_NAMES = {
    "": False,
    "\0": False,
    "\0\0\1\0": False,
    "base.raw\0junk": True,
    " ": True,
    "a:b": True,
    "./a:b": True,
    "file:base.raw": False,
    "nbd:x": True,
    'json:{"file.filename":"base.raw"}': False,
    'json:{"driver":"raw","file":{"driver":"file","filename":"base.raw"}}': False,
    "raw:base.raw": False,
    "base.raw/": False,
    "below": False,
}
"""Name of a data file -> whether it is there; those with a colon are names of files, too."""


@pytest.mark.oracle
@pytest.mark.parametrize("name", DATA_NAMES)
def test_a_data_file_is_what_qemu_opens(name: str, case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    for other in (" ", "a:b", "nbd:x"):
        (case / other).write_bytes(b"another" * 100)
    path = with_data_file(case / "i", name or "q")
    if not name:
        data = bytearray(path.read_bytes())
        at = data.index(b"DATA") + 4
        data[at : at + 12] = bytes(12)
        path.write_bytes(data)
    asked = ["qemu-io", "-r", "-f", "qcow2", "-c", "length", str(path)]
    by_qemu = subprocess.run(asked, capture_output=True, check=False).returncode == 0
    with open_chain(path, ANY) as chain:
        assert (chain.is_whole, by_qemu) == (DATA_NAMES[name],) * 2


# -- what is no regular file --------------------------------------------------------------------------------------


def test_a_fifo_is_never_opened(case: Path) -> None:
    fifo = case / "fifo"
    os.mkfifo(fifo)
    path = overlay(case / "o", "fifo")
    opens: list[object] = []
    genuine = os.open

    def watched(file: object, *rest: int, **more: int) -> int:
        opens.append(file)
        return genuine(file, *rest, **more)  # type: ignore[arg-type]  # whatever it is, it is handed on

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", watched)
        for gate in (FOLDER, ANY, OpenGate(places={"fifo": str(fifo)})):
            assert "no regular file and is never opened" in end_of(path, gate)
    assert opens == [str(path)] * 3
    with pytest.raises(OSError, match="No such device") as caught:  # a reader that is left behind would let it open
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    assert caught.value.errno == errno.ENXIO


def test_devices_sockets_and_folders_are_never_opened(case: Path) -> None:
    address = case / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        for name in ("/dev/zero", "/dev/null", str(address), str(case), "/"):
            path = overlay(case / "o", name)
            assert "no regular file and is never opened" in end_of(path, ANY)
            assert "no regular file and is never opened" in end_of(path, OpenGate(places={name: name}))
    (case / "link").symlink_to("/dev/zero")
    assert "no regular file" in end_of(overlay(case / "o", "link"), ANY)


@pytest.mark.parametrize("name", ["/proc/self/mem", "/proc/self/environ", "/proc/version", "/sys/kernel/notes", "link"])
def test_what_the_kernel_makes_up_is_never_opened(name: str, case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such files call themselves regular ones."""
    (case / "link").symlink_to("/proc/self/../version")
    opened: list[str] = []

    def watched(path: str) -> int:
        opened.append(path)
        return _open(path)

    monkeypatch.setattr("qcow2inspect.source.file._open", watched)
    for make in (overlay, with_data_file):
        path = make(case / "o", name)
        for gate in (ANY, OpenGate(places={name: str(case / name)})):
            with open_chain(path, gate) as chain:
                end = chain.end or chain.layers[0].data_file
                assert isinstance(end, MissingFile)
                assert "made up by the kernel" in str(end)
    assert set(opened) == {str(case / "o")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qcow2inspect.image.gate.KERNELS_PLACES", ("/nowhere/",))
        assert "made up by the kernel" in end_of(overlay(case / "o", name), ANY)


def test_a_file_that_the_kernel_puts_in_place_of_another(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is seen by its device, after it was opened."""
    genuine = os.open

    def swapped(file: str, *rest: int, **more: int) -> int:
        return genuine("/proc/version" if file == str(case / "base.raw") else file, *rest, **more)

    monkeypatch.setattr(os, "open", swapped)
    before = set(os.listdir("/proc/self/fd"))
    assert "never opened" in end_of(overlay(case / "o", "base.raw"), ANY)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_file_that_becomes_a_device_between_look_and_opening(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = overlay(case / "o", "base.raw")
    genuine = os.open

    def swapped(file: str, *rest: int, **more: int) -> int:
        if file == str(case / "base.raw"):
            os.unlink(file)
            os.mkfifo(file)
        return genuine(file, *rest, **more)

    monkeypatch.setattr(os, "open", swapped)
    before = set(os.listdir("/proc/self/fd"))
    assert "is a FIFO" in end_of(path, ANY)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_block_device_that_takes_the_place_of_a_file(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcow2inspect.source.file.FileSource.is_regular", False)
    assert "no regular file" in end_of(overlay(case / "o", "base.raw"), ANY)


# -- places -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/lost/base.raw", "nbd:host:1", "json:{]", "C:\\disks\\base.raw", "ünï.raw", "a\nb", "x=y"]
)
def test_the_user_says_where_a_named_file_lies(name: str, case: Path) -> None:
    path, place = overlay(case / "o", name), str(case.parent / "outside.raw")
    stored = read_name(os.fsencode(name)).stored
    for gate in (OpenGate(places={name: place}), OpenGate(Follow.FOLDER, {stored: place})):
        assert files_of(path, gate)[1] == place
    assert end_of(path, OpenGate(places={"base.raw": place}))


def test_a_name_that_is_no_utf8_can_be_said_as_it_is_shown(case: Path) -> None:
    path = overlay(case / "o", b"\xff.raw")
    assert r"\xff.raw" in end_of(path, NONE)
    assert files_of(path, OpenGate(places={r"\xff.raw": str(case / "base.raw")}))[1] == str(case / "base.raw")


def test_a_place_that_does_not_exist(case: Path) -> None:
    path = overlay(case / "o", "base.raw")
    assert "gone, which cannot be opened" in end_of(path, OpenGate(Follow.ANY, {"base.raw": str(case / "gone")}))


def test_identities_are_found_without_opening(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "open")
    status = (case / "base.raw").stat()
    assert set(identities(read_name(b"base.raw"), str(case / "o"))) == {(status.st_dev, status.st_ino)}
    assert not list(identities(read_name(b"nbd:x"), str(case / "o")))
    assert not list(identities(read_name(b'json:{"file.filename": "\\u0000"}'), str(case / "o")))


# -- loops and depth ----------------------------------------------------------------------------------------------


def test_loops_are_found_by_device_and_inode(case: Path) -> None:
    itself = overlay(case / "itself", "itself", b"qcow2")
    first = overlay(case / "first", "below/second", b"qcow2")
    overlay(case / "below" / "second", "third", b"qcow2")
    os.link(first, case / "below" / "third")
    (case / "link").symlink_to("linked")
    linked = overlay(case / "linked", "link", b"qcow2")
    given = overlay(case / "given", "elsewhere", b"qcow2")
    for path, gate, depth in (
        (itself, ANY, 1),
        (first, FOLDER, 2),
        (linked, ANY, 1),
        (given, OpenGate(places={"elsewhere": str(given)}), 1),
    ):
        with open_chain(path, gate) as chain:
            assert len(chain.layers) == depth
            assert chain.layers[-1].end_code == "QCOW-BACK-LOOP"
            assert "a loop" in str(chain.end)
            with pytest.raises(Damaged, match="a loop"):
                chain.disk().read_at(0, 512)


def test_version_1_loops_too(case: Path) -> None:
    path = case / "old"
    path.write_bytes(V1Recipe(1 << 16, backing=b"old").build())
    with open_chain(path, ANY) as chain:
        assert chain.layers[-1].end_code == "QCOW-BACK-LOOP"


@pytest.mark.parametrize("layers", [MAX_LAYERS, MAX_LAYERS + 1])
def test_depth(layers: int, case: Path) -> None:
    for number in range(layers):
        overlay(case / f"{number}", f"{number + 1}" if number < layers - 2 else "base.raw", b"")
        if number == layers - 2:
            break
    files = set(os.listdir("/proc/self/fd"))
    with open_chain(case / "0", FOLDER) as chain:
        assert len(chain.layers) == MAX_LAYERS
        if layers == MAX_LAYERS:
            assert chain.end is None
            assert chain.disk().read_at(0, 4) == b"case"
        else:
            assert chain.layers[-1].end_code == "QCOW-BACK-DEPTH"
            assert f"more than {MAX_LAYERS} layers" in str(chain.end)
    assert set(os.listdir("/proc/self/fd")) == files
