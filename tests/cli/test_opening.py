"""How verbs open images: files that are named, passphrases, states of the disk; one line and the right exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from qcow2inspect.build.recipe import Data, Recipe, Snapshot, Zero, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.format.header import CryptMethod
from tests.cli.conftest import ROOT, Ran, Run
from tests.image.chains import vm_recipe
from tests.images import noise, qemu_img, qemu_io, run_qemu

K = 1 << 16
SECRET = "sw0rdfish-Ж"
KEY = ("--object", f"secret,id=key,data={SECRET}")
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "NO_COLOR": "1"}
COMMAND = [sys.executable, "-m", "qcow2inspect"]

BASE = Recipe(Layout(8 * K), {1: Data(b"base")}, ())
TOP = Recipe(
    Layout(8 * K, backing_name=b"base=1.qcow2", backing_format=b"qcow2"),
    {0: Data(b"top"), 5: Zero()},
    (Snapshot(b"before", {0: Data(b"new")}),),
)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A folder with an overlay; its base lies elsewhere."""
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "top.qcow2").write_bytes(build(TOP))
    (tmp_path / "moved=2.qcow2").write_bytes(build(BASE))
    return tmp_path / "case"


@pytest.fixture(scope="module")
def luks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose guest data is encrypted with SECRET; all of it reads as sevens."""
    return _encrypted(tmp_path_factory.mktemp("luks") / "luks.qcow2", "luks", "encrypt.iter-time=10")


@pytest.fixture(scope="module")
def aes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _encrypted(tmp_path_factory.mktemp("aes") / "aes.qcow2", "aes")


def _encrypted(path: Path, method: str, *more: str) -> Path:
    options = ",".join([f"encrypt.format={method}", "encrypt.key-secret=key", *more])
    for _ in range(8):  # QEMU measures the processor, which a busy machine does not always allow
        if run_qemu("qemu-img", "create", "-q", "-f", "qcow2", *KEY, "-o", options, path, "256k").code == 0:
            break
    opened = f"driver=qcow2,file.filename={path},encrypt.key-secret=key"
    qemu_io(opened, "write -q -P 7 0 256k", how=(*KEY, "--image-opts"))
    return path


# -- files that the image names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "more"),
    [("map", ()), ("export", ("out",)), ("hexdump", ("0", "--guest")), ("info", ())],
)
def test_every_verb_takes_the_options_of_following(
    verb: str, more: tuple[str, ...], case: Path, run: Run, tmp_path: Path
) -> None:
    arguments: list[str | Path] = [verb, case / "top.qcow2", *more]
    found = run(*arguments, "--backing", f"base=1.qcow2={tmp_path / 'moved=2.qcow2'}", cwd=tmp_path)
    assert found.code == 0, found.err
    assert "warning" not in found.err
    (case / "base=1.qcow2").write_bytes(build(BASE))
    for follow in ("folder", "any"):
        (tmp_path / "out").unlink(missing_ok=True)
        assert run(*arguments, "--follow", follow, cwd=tmp_path).code == 0
    refused = run(*arguments, "--follow", "all", cwd=tmp_path)
    assert refused.code == 64
    assert "--follow" in refused.err


def test_a_place_that_no_image_asks_for_is_named(case: Path, run: Run, tmp_path: Path) -> None:
    wrong = run("map", case / "top.qcow2", "--backing", f"base.qcow2={tmp_path / 'moved=2.qcow2'}")
    assert "--backing base.qcow2=" in wrong.err
    assert "no file of this chain is called that" in wrong.err
    for text in ("base.qcow2", "=x", "x=", "="):
        bad = run("map", case / "top.qcow2", "--backing", text)
        assert (bad.code, bad.err.count("\n")) == (64, 1)
        assert "write NAME=PATH" in bad.err


def test_without_permission_the_export_says_what_would_be_opened(case: Path, run: Run, tmp_path: Path) -> None:
    done = run("export", case / "top.qcow2", tmp_path / "out")
    assert done.code == 66
    assert f"would be {case / 'base=1.qcow2'}, and nothing is opened unless allowed" in done.err
    assert "393,216 B (384 KiB) of 512 KiB, from guest offset 0x10000 on" in done.err
    assert not (tmp_path / "out").exists()


def test_missing_zero_names_the_amount(case: Path, run: Run, tmp_path: Path) -> None:
    done = run("export", case / "top.qcow2", tmp_path / "out", "--missing", "zero")
    assert done.code == 0, done.err
    assert "warning: 393,216 B (384 KiB) lie in a file that is not there, from guest offset 0x10000 on" in done.err
    assert (tmp_path / "out").read_bytes() == (b"new" * K)[:K] + bytes(7 * K)
    rows = json.loads(run("map", case / "top.qcow2", "--missing", "zero", "--json").out)
    assert sum(row["length"] for row in rows if row.get("absent")) == 6 * K
    assert (
        "absent: its file is not there" in run("hexdump", case / "top.qcow2", "64K", "--guest", "--missing", "zero").out
    )
    assert run("hexdump", case / "top.qcow2", "64K", "--guest", "-n", "16").code == 66


# -- states and layers --------------------------------------------------------------------------------------------


def test_layers_have_the_number_they_have_in_the_chain(case: Path, run: Run) -> None:
    (case / "base=1.qcow2").write_bytes(build(BASE))
    chosen = (case / "top.qcow2", "--follow", "folder", "--layer", "1")
    rows = json.loads(run("map", *chosen, "--layers", "--json").out)
    assert {(row["layer"], Path(row["file"]).name) for row in rows} == {(1, "base=1.qcow2")}
    assert "1 " + str(case / "base=1.qcow2") in run("map", *chosen, "--layers").out
    pieces = json.loads(run("hexdump", chosen[0], "64K", *chosen[1:], "-n", "4", "--json").out)
    assert [(piece["layer"], bytes.fromhex(piece["bytes"])) for piece in pieces] == [(1, b"base")]
    assert f"layer 1 {case / 'base=1.qcow2'}" in pieces[0]["place"]
    theirs = qemu_img("map", "--output=json", case / "base=1.qcow2")
    assert json.loads(run("map", *chosen, "--json-compat", "qemu-img").out) == json.loads(theirs)


def test_the_whole_chain_is_never_a_target(case: Path, run: Run, tmp_path: Path) -> None:
    base = case / "base=1.qcow2"
    base.write_bytes(build(BASE))
    before = base.read_bytes()
    for more in (("--follow", "folder", "--layer", "0"), ("--missing", "zero"), ("--follow", "any")):
        done = run("export", case / "top.qcow2", base, "--force", *more)
        assert done.code == 77, done.err
        assert base.read_bytes() == before
    os.link(base, tmp_path / "other name")
    assert run("export", case / "top.qcow2", tmp_path / "other name", "--force", "--missing", "zero").code == 77


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--layer", "1"), "there is no layer 1, the last is 0; the chain ends there: "),
        (("--layer", "-1"), "there is no layer -1"),
        (("--layer", "x"), "invalid int value"),
        (("--layer", "0", "--snapshot", "1"), "either --layer or --snapshot"),
        (("--vm-state",), "--vm-state needs --snapshot"),
        (
            ("--vm-state", "--snapshot", "1", "--layer", "0"),
            "--vm-state needs --snapshot, which says whose, and no --layer",
        ),
        (("--vm-state", "--snapshot", "1"), "has no VM state"),
        (("--snapshot", "2"), "there is no snapshot “2”; the image has: "),
        (("--snapshot", ""), "there is no snapshot “”"),
        (("--missing", "ones"), "--missing"),
    ],
)
@pytest.mark.parametrize("verb", ["map", "export", "hexdump"])
def test_states_that_are_not_there(
    verb: str, options: tuple[str, ...], said: str, case: Path, run: Run, tmp_path: Path
) -> None:
    more = {"map": [], "export": [str(tmp_path / "out")], "hexdump": ["0"]}[verb]
    done = run(verb, case / "top.qcow2", *more, *options)
    assert (done.code, done.out, done.err.count("\n")) == (64, "", 1)
    assert said in done.err
    assert not (tmp_path / "out").exists()


def test_vm_state(run: Run, tmp_path: Path) -> None:
    state = b"QEVM" + noise(1, 3000)
    (tmp_path / "image").write_bytes(build(vm_recipe(state)))
    chosen = ("--snapshot", "s", "--vm-state")
    assert run("export", tmp_path / "image", tmp_path / "out", *chosen).code == 0
    assert (tmp_path / "out").read_bytes() == state
    rows = json.loads(run("map", tmp_path / "image", "--json", *chosen).out)
    assert sum(row["length"] for row in rows) == len(state)
    dumped = run("hexdump", tmp_path / "image", "0", "-n", "4", *chosen)
    assert dumped.out.startswith("0x0000000000  51 45 56 4d")


def test_hexdump_of_nothing_prints_nothing(case: Path, run: Run) -> None:
    done = run("hexdump", case / "top.qcow2", "0", "--guest", "-n", "0")
    assert (done.code, done.out) == (0, "")
    beyond = run("hexdump", case / "top.qcow2", "1G", "--guest")
    assert (beyond.code, beyond.err.count("\n")) == (64, 1)


def test_info_compat_has_no_snapshot(case: Path, run: Run) -> None:
    done = run("info", case / "top.qcow2", "--json-compat", "qemu-img", "--snapshot", "1")
    assert (done.code, done.out) == (64, "")


def test_lenient_says_what_it_passes_over(run: Run, tmp_path: Path) -> None:
    recipe = vm_recipe(b"QEVM")
    (tmp_path / "image").write_bytes(build(replace(recipe, damage={"hdr.refcount_order": 9})))
    for more in (("--guest",), ("--layer", "0"), ("--snapshot", "s", "--vm-state")):
        assert run("hexdump", tmp_path / "image", "0", *more).code == 65
        done = run("hexdump", tmp_path / "image", "0", *more, "--lenient")
        assert done.code == 0, done.err
        assert "refcount_order" in done.err
        assert "QEMU refuses the image" in done.err


# -- passphrases --------------------------------------------------------------------------------------------------


def _reads(done: Ran, path: Path) -> None:
    assert done.code == 0, done.err
    assert path.read_bytes() == b"\7" * (256 << 10)


@pytest.mark.parametrize("after", ["", "\n", "\r\n"])
def test_a_passphrase_file(after: str, luks: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "pass").write_bytes((SECRET + after).encode())
    _reads(run("export", luks, tmp_path / "out", "--passphrase-file", tmp_path / "pass"), tmp_path / "out")
    dumped = run("hexdump", luks, "0", "--guest", "-n", "4", "--passphrase-file", tmp_path / "pass")
    assert "07 07 07 07" in dumped.out


def test_a_passphrase_that_ends_with_a_line_end_is_tried_as_it_is_first(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "image"
    (tmp_path / "pass").write_bytes(b"abc\n")
    secret = ("--object", f"secret,id=key,file={tmp_path / 'pass'}")
    options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"
    for _ in range(8):
        if run_qemu("qemu-img", "create", "-q", "-f", "qcow2", *secret, "-o", options, path, "1M").code == 0:
            break
    assert run("hexdump", path, "0", "--guest", "--passphrase-file", tmp_path / "pass").code == 0
    (tmp_path / "pass").write_bytes(b"abc")
    assert run("hexdump", path, "0", "--guest", "--passphrase-file", tmp_path / "pass").code == 77


def test_a_wrong_passphrase(luks: Path, run: Run, tmp_path: Path) -> None:
    for wrong in (b"guess-Me-not", b"guess-Me-not\n", b"", b"\xff\0"):
        (tmp_path / "pass").write_bytes(wrong)
        done = run("export", luks, tmp_path / "out", "--passphrase-file", tmp_path / "pass")
        assert (done.code, done.out, done.err.count("\n")) == (77, "", 1)
        assert "the passphrase" in done.err
        assert "guess-Me" not in done.err
        assert not (tmp_path / "out").exists()


def test_without_a_passphrase(luks: Path, aes: Path, run: Run, tmp_path: Path) -> None:
    for path in (luks, aes):
        done = run("export", path, tmp_path / "out")
        assert (done.code, done.err.count("\n")) == (77, 1)
        assert "--passphrase-file FILE" in done.err
        assert run("map", path).code == 0
        dumped = run("hexdump", path, "0", "--guest", "-n", "16")
        assert dumped.code == 77
        assert "?? ??" in dumped.out


def test_an_aes_key_cannot_be_verified(aes: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "pass").write_bytes(SECRET.encode())
    done = run("export", aes, tmp_path / "out", "--passphrase-file", tmp_path / "pass")
    _reads(done, tmp_path / "out")
    assert "a legacy AES key cannot be verified: a wrong passphrase gives noise\n" in done.err
    (tmp_path / "pass").write_bytes(b"short\n")
    done = run("export", aes, tmp_path / "noise", "--passphrase-file", tmp_path / "pass")
    assert done.code == 0
    assert "the line end of the passphrase counts too" in done.err


def test_a_passphrase_from_a_descriptor(luks: Path, tmp_path: Path) -> None:
    def export(number: int, *, open_it: bool) -> subprocess.CompletedProcess[str]:
        reading, writing = os.pipe()
        os.write(writing, SECRET.encode())
        os.close(writing)
        command = [*COMMAND, "export", str(luks), str(tmp_path / "out"), "--passphrase-fd"]
        command.append(str(reading if open_it else number))
        kept = (reading,) if open_it else ()
        done = subprocess.run(
            command, capture_output=True, text=True, env=ENV, pass_fds=kept, stdin=subprocess.DEVNULL, check=False
        )
        os.close(reading)
        return done

    assert export(0, open_it=True).returncode == 0
    assert (tmp_path / "out").read_bytes() == b"\7" * (256 << 10)
    for number in (77, -1, 1 << 40):
        done = export(number, open_it=False)
        assert (done.returncode, done.stderr.count("\n")) == (66, 1), done.stderr
        assert f"file descriptor {number}: the passphrase cannot be read" in done.stderr


def test_a_passphrase_file_may_be_a_fifo(luks: Path, run: Run, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_text(SECRET))
    writer.start()
    _reads(run("export", luks, tmp_path / "out", "--passphrase-file", fifo), tmp_path / "out")
    writer.join()


def test_passphrase_files_that_are_none(luks: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(bytes((1 << 20) + 1))
    for file, said in (
        (tmp_path / "gone", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "huge", "more than"),
    ):
        done = run("export", luks, tmp_path / "out", "--passphrase-file", file)
        assert (done.code, done.err.count("\n")) == (66, 1)
        assert said in done.err
    both = run("export", luks, tmp_path / "out", "--passphrase-file", "x", "--passphrase-fd", "3")
    assert both.code == 64


def test_no_passphrase_is_read_for_an_image_that_needs_none(case: Path, run: Run) -> None:
    gone = ("--passphrase-file", case / "gone")
    assert run("hexdump", case / "top.qcow2", "0", "--guest", "-n", "4", *gone).code == 0


def _on_a_terminal(typed: bytes, *words: str | Path) -> tuple[int, str]:
    """Exit code and everything that appears on the terminal of a process that has one."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(COMMAND[0], [*COMMAND, *map(str, words)], ENV)
    shown = b""
    while b"passphrase of" not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, typed)
    while True:
        try:
            more = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        if not more:
            break
        shown += more
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    return code, shown.decode()


def test_the_passphrase_is_asked_for_on_a_terminal(luks: Path, tmp_path: Path) -> None:
    code, shown = _on_a_terminal(SECRET.encode() + b"\n", "export", luks, tmp_path / "out")
    assert code == 0, shown
    assert f"passphrase of {luks}: " in shown
    assert SECRET not in shown
    assert (tmp_path / "out").read_bytes() == b"\7" * (256 << 10)
    code, shown = _on_a_terminal(b"wrong\n", "export", luks, tmp_path / "out2")
    assert code == 77
    assert "wrong" not in shown.replace("wrong passphrase", "")
    code, shown = _on_a_terminal(b"\4", "export", luks, tmp_path / "out3")
    assert code == 77
    assert "no passphrase was typed" in shown
    code, shown = _on_a_terminal(b"\3", "export", luks, tmp_path / "out4")
    assert code == 130


def test_closed_standard_streams_are_no_terminal(luks: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "export", luks, tmp_path / "out"],
        capture_output=True,
        text=True,
        env=ENV,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (77, 1), done.stderr


def test_the_passphrase_appears_nowhere(luks: Path, tmp_path: Path) -> None:
    """Not in what is printed, not in arguments or environment; and no child is started that could be told it."""
    code = f"""
import sys, faulthandler, os
from qcow2inspect.cli.main import run
def watch(frame, event, argument):
    if event == 'call' and frame.f_code.co_name in ('fork_exec', '_execute_child', 'system'):
        print('CHILD', frame.f_code.co_name)
sys.setprofile(watch)
file = sys.argv[1]
codes = [run([verb, {str(luks)!r}, *more, '--passphrase-file', file]) for verb, more in
         (('export', [{str(tmp_path / "out")!r}]), ('hexdump', ['0', '--guest']), ('export', ['/proc/nowhere/out']))]
print('CODES', codes, [text for text in (*sys.argv, *os.environ.values()) if 'fish' in text])
"""
    for text in (SECRET, "gold-fish"):
        (tmp_path / "out").unlink(missing_ok=True)
        (tmp_path / "pass").write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "pass"],
            capture_output=True,
            text=True,
            env=ENV,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert "CODES" in done.stdout, done.stderr
        assert done.stdout.endswith("[]\n")
        assert "CHILD" not in done.stdout
        assert text not in done.stdout + done.stderr
        assert "fish" not in (done.stdout + done.stderr).replace(str(tmp_path), "")


def test_a_crash_does_not_show_the_passphrase(luks: Path, tmp_path: Path) -> None:
    code = f"""
import qcow2inspect.cipher.luks as luks
from qcow2inspect.cli.main import run
def broken(*arguments, **more): raise RuntimeError('broken')
luks.derive = broken
run(['export', {str(luks)!r}, {str(tmp_path / "out")!r}, '--passphrase-file', {str(tmp_path / "pass")!r}])
"""
    (tmp_path / "pass").write_text(SECRET)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV, check=False)
    assert "RuntimeError: broken" in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_one_passphrase_that_opens_one_of_two_layers(luks: Path, run: Run, tmp_path: Path) -> None:
    layout = Layout(256 << 10, crypt_method=CryptMethod.AES, backing_name=str(luks).encode(), backing_format=b"qcow2")
    path = tmp_path / "top"
    path.write_bytes(build(Recipe(layout, {0: Data(b"top")}, passphrase=b"abc")))
    (tmp_path / "pass").write_bytes(b"abc")
    chosen = ("--guest", "-n", "4", "--follow", "any", "--passphrase-file", tmp_path / "pass")
    top = run("hexdump", path, "0", *chosen)
    assert top.code == 0
    assert "74 6f 70 74" in top.out
    assert f"warning: {luks}: the passphrase" in top.err
    assert run("hexdump", path, "64K", *chosen).code == 77
