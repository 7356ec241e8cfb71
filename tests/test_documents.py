"""What the documents tell people to type works: every command block is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qcow2inspect.build.demo import write_demo

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SETUP = {"sh install.sh && .venv/bin/qcow2inspect demo", "tests/run"}
"""What installs or is this run itself; the continuous integration runs both."""


def blocks(path: Path) -> list[str]:
    """The blocks of a document that are for a shell."""
    return [found.strip() for found in re.findall(r"^```sh\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)]


BLOCKS = [(path.name, text) for path in DOCUMENTS for text in blocks(path)]
RUN = [(name, text) for name, text in BLOCKS if text not in SETUP]


def test_the_readme_starts_with_the_two_commands() -> None:
    assert set(blocks(ROOT / "README.md")[:2]) == SETUP
    for script in ("install.sh", "tests/run", ".ci/run"):
        assert (ROOT / script).is_file()
    assert "tests/run" in (ROOT / ".ci" / "run").read_text()
    assert "sh install.sh dev" in (ROOT / "tests" / "run").read_text()


def test_blocks_name_their_language() -> None:
    """So that none escapes being run."""
    for path in DOCUMENTS:
        opening = re.findall(r"^```(.*)$", path.read_text(), re.MULTILINE)[::2]
        assert set(opening) <= {"sh", "", "text", "json"}, path.name
        bare = re.findall(r"^```\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
        assert not [text for text in bare if re.search(r"^(\$ )?(qcow2inspect|tests/|sh |python) ", text, re.MULTILINE)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the demo leaves it, with the program on the path as an installation has it."""
    demo = tmp_path / "qcow2inspect-demo"
    write_demo(str(demo))
    program = tmp_path / "bin" / "qcow2inspect"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m qcow2inspect "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(("name", "text"), RUN, ids=[f"{name}:{number}" for number, (name, _) in enumerate(RUN)])
def test_blocks_do_what_they_say(folder: Path, name: str, text: str) -> None:
    """Each line ends with the exit code that its comment tells, 0 without one."""
    where = folder
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    for line in text.splitlines():
        command, _, comment = line.partition("#")
        if command.startswith("cd "):
            where = where / command.split()[1]
            continue
        expected = re.search(r"exit code (\d+)", comment)
        done = subprocess.run(["bash", "-c", command], cwd=where, env=environment, capture_output=True, check=False)
        assert done.returncode == int(expected[1] if expected else 0), f"{name}: {line}\n{done.stderr.decode()}"


def test_examples_of_the_manual_page_work(folder: Path) -> None:
    from qcow2inspect.cli.manual import EXAMPLES

    demo = folder / "qcow2inspect-demo"
    (demo / "demo.qcow2").rename(demo / "disk.qcow2")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    for command, _ in EXAMPLES:
        done = subprocess.run(["bash", "-c", command], cwd=demo, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr.decode()}"
