"""What must not type-check does not: host and guest offsets, words and columns."""

import re
from pathlib import Path

import pytest
from mypy import api

SNIPPETS = sorted((Path(__file__).parent / "typing").glob("*.py"))


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda path: path.stem)
def test_exactly_the_marked_lines_are_refused(snippet: Path, tmp_path: Path) -> None:
    expected = {n for n, line in enumerate(snippet.read_text().splitlines(), 1) if line.endswith("# refused")}
    assert expected, "a snippet that expects nothing proves nothing"
    output, _, _ = api.run(["--strict", "--no-error-summary", "--cache-dir", str(tmp_path), str(snippet)])
    refused = {int(found[1]) for found in re.finditer(rf"{snippet.name}:(\d+): error", output)}
    assert refused == expected, output
