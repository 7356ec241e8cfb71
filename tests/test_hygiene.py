"""The house is in order: public names, documentation, layers at run time."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import qcow2inspect

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "qcow2inspect"
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(PACKAGE)], "qcow2inspect.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_offer(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        assert getattr(module, public) is not None
    source = Path(module.__file__ or "")
    defines = [node for node in ast.parse(source.read_text()).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    public_names = {node.name for node in defines if not node.name.startswith("_")}
    assert public_names <= set(getattr(module, "__all__", public_names)), "a public name is missing in __all__"


@pytest.mark.parametrize("name", qcow2inspect.__all__)
def test_the_package_offers_its_names(name: str) -> None:
    assert getattr(qcow2inspect, name) is not None


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        qcow2inspect.nothing  # noqa: B018 - the look-up is the test


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = "import sys, qcow2inspect; sys.exit(bool({'numpy', 'textual', 'rich', 'argparse'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


HEADLESS = [name for name in MODULES if not name.startswith(("qcow2inspect.tui", "qcow2inspect.cli"))]


def test_the_core_runs_without_textual_and_rich() -> None:
    imports = "; ".join(f"import {name}" for name in HEADLESS)
    code = f"import sys; {imports}; sys.exit(bool({{'textual', 'rich'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_evidence_is_opened_in_one_place_only() -> None:
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        opened = [
            call
            for call in calls
            if (isinstance(call.func, ast.Name) and call.func.id == "open")
            or (isinstance(call.func, ast.Attribute) and ast.unparse(call.func) in ("os.open", "io.open"))
        ]
        allowed = {
            "source/file.py",
            "source/kernel.py",
            "source/landlock.py",
            "output.py",
            "export/device.py",
            "export/kin.py",  # reads what the kernel says of block devices
            "export/journal.py",
        }
        allowed |= {
            "source/kernel.py",
            "cli/main.py",
            "cli/verb_demo.py",
            "cli/opening.py",
            "cli/streams.py",
            "tui/keymap.py",
        }
        assert not opened or place in allowed, f"{place} opens files"


def test_words_that_must_not_appear_in_code() -> None:
    for path in PACKAGE.rglob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert "NotImplementedError" not in names, path


def test_no_file_is_mapped_into_memory() -> None:
    """A file that is cut off under our eyes would end the process; memory of no file is only memory."""
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text()
        if "mmap" not in source or path.name == "shield.py":
            continue
        assert path.relative_to(PACKAGE).as_posix() == "tui/nibbles.py", path
        assert "import mmap\n" in source
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        made = [call for call in calls if "mmap" in ast.unparse(call.func)]
        assert [ast.unparse(call.args[0]) for call in made] == ["-1"]


def test_no_text_is_printed_as_markup() -> None:
    for path in (PACKAGE / "tui").rglob("*.py"):
        assert "from_markup" not in path.read_text(), path
