"""The manual page and the completions say what the command line takes, and the wheel has them."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from qcow2inspect.cli.main import EXIT_CODES, VERBS, build_parser
from qcow2inspect.cli.manual import MAN_PAGE, SHELLS, completion, man_page, verb_parsers

ROOT = Path(__file__).parents[2]
PAGE = man_page()
PARSERS = verb_parsers(build_parser())


def section(title: str) -> str:
    """The part of the page below a heading, as it reads."""
    found = re.search(rf"^\.S[HS] {re.escape(title)}\n(.*?)(?=^\.S[HS] |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1].replace("\\-", "-").replace("\\(dq", '"')


def test_every_verb_is_in_the_page() -> None:
    assert list(PARSERS) == list(VERBS)
    assert [name.replace("\\-", "-") for name in re.findall(r"^\.SS (.+)$", PAGE, re.MULTILINE)] == list(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_every_argument_is_in_the_page(name: str) -> None:
    text = section(name)
    for action in PARSERS[name]._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        for option in action.option_strings or [str(action.metavar or action.dest)]:
            assert option in text or option.upper() in text, f"{name} {option}"
        assert (action.help or "").replace("%%", "%") in text, f"{name} {action.dest} has no help"


def test_nothing_in_the_page_is_taken_for_a_command() -> None:
    used = {line.split()[0] for line in PAGE.splitlines() if line.startswith((".", "'"))}
    assert used <= {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".BR", ".br", ".nf", ".fi", ".ad"}


def test_exit_codes_are_in_the_page() -> None:
    codes = re.findall(r"^ +(\d+) ", section("EXIT STATUS"), re.MULTILINE)
    assert codes == re.findall(r"^ +(\d+) ", EXIT_CODES, re.MULTILINE)
    assert {"0", "64", "130"} <= set(codes)


TRY = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_qcow2inspect
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ex",), {"export", "explain"}),
        (("export", "--on-error", ""), {"fail", "zero", "pattern", "best"}),
        (("export", "--passphrase-file", "dis"), {"disk.qcow2"}),
        (("check", "dis"), {"disk.qcow2"}),
        (("completion", ""), {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes(tmp_path: Path, words: tuple[str, ...], expected: set[str]) -> None:
    (tmp_path / "disk.qcow2").touch()
    script = tmp_path / "completions"
    script.write_text(completion("bash"))
    done = subprocess.run(
        ["bash", "-c", TRY, "bash", str(script), "qcow2inspect", *words],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == expected


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_the_page_and_the_completions(wheel: zipfile.ZipFile) -> None:
    shared = {name.partition(".data/data/")[2]: name for name in wheel.namelist() if ".data/data/" in name}
    assert set(shared) == {MAN_PAGE, *SHELLS.values()}
    assert wheel.read(shared[MAN_PAGE]).decode() == PAGE
    for shell, place in SHELLS.items():
        assert wheel.read(shared[place]).decode() == completion(shell)


def test_the_wheel_has_the_whole_package(wheel: zipfile.ZipFile) -> None:
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "qcow2inspect").rglob("*") if path.is_file()}
    tracked = {name for name in tracked if "__pycache__" not in name and not name.endswith(".pyc")}
    assert {name for name in wheel.namelist() if name.startswith("qcow2inspect/")} == tracked


def test_the_verb_prints_the_stored_text(tmp_path: Path, wheel: zipfile.ZipFile) -> None:
    """From an installation as pip lays it out, shtab not needed."""
    wheel.extractall(tmp_path)
    code = "import sys; sys.modules['shtab'] = None; from qcow2inspect.__main__ import main; sys.exit(main())"
    for shell in SHELLS:
        done = subprocess.run(
            [sys.executable, "-c", code, "completion", shell],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == completion(shell).strip()
