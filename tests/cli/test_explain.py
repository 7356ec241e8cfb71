"""The verb explain: codes, fields, lists, near misses."""

from __future__ import annotations

import json

import pytest

from qcow2inspect.rules import all_rules
from tests.cli.conftest import Run


@pytest.mark.parametrize("word", ["QCOW-HDR-DIRTY", "qcow-hdr-dirty", "hdr-dirty", "QCOW-HDR-DI", "hdr-di"])
def test_a_code(word: str, run: Run) -> None:
    ran = run("explain", word)
    assert ran.code == 0
    assert ran.out.startswith("QCOW-HDR-DIRTY: The dirty bit is set.\n\nseverity  warning\ncategory  forensic\nspec ")
    assert "What else could explain it:" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_all_codes_with_their_titles(run: Run) -> None:
    listed = run("explain", "--list").out
    assert listed == run("explain").out
    assert [line.split()[0] for line in listed.splitlines()[1:]] == [rule.code for rule in all_rules()]
    assert all(rule.title in listed for rule in all_rules())


def test_the_start_of_several_codes_lists_them(run: Run) -> None:
    codes = [line.split()[0] for line in run("explain", "hdr-rt-").out.splitlines()[1:]]
    assert codes == [rule.code for rule in all_rules() if rule.code.startswith("QCOW-HDR-RT-")]
    assert len(codes) > 3


def test_json(run: Run) -> None:
    found = json.loads(run("explain", "QCOW-L2-EOF", "--json").out)
    assert [(each["code"], each["severity"], each["needs_tables"]) for each in found] == [
        ("QCOW-L2-EOF", "error", True)
    ]
    assert len(json.loads(run("explain", "--list", "--json").out)) == len(all_rules())
    fields = json.loads(run("explain", "crypt_method", "--json").out)
    assert fields[0]["structure"] == "HeaderV2"
    assert fields[0]["values"] == ["0 none", "1 aes", "2 luks"]


def test_a_field_is_explained_wherever_it_is(run: Run) -> None:
    everywhere = run("explain", "copied").out
    assert "L1Entry" in everywhere
    assert "L2Entry" in everywhere
    assert "bit 63" in everywhere
    one = run("explain", "hdr.l1_size").out
    assert "bytes 0x24 to 0x27" in one
    assert "SnapshotEntry" not in one


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("QCOW-HDR-DRITY", "QCOW-HDR-DIRTY"),
        ("hdr-drity", "QCOW-HDR-DIRTY"),
        ("refcuont_order", "refcount_order"),
        ("backing_f", "backing_file_offset, backing_file_size"),
        ("no such thing at all", "--list"),
    ],
)
def test_a_word_that_nothing_has(word: str, near: str, run: Run) -> None:
    ran = run("explain", word)
    assert (ran.code, ran.out) == (64, "")
    assert near in ran.err
    assert ran.err.count("\n") == 1


def test_a_word_cannot_steer_the_terminal(run: Run) -> None:
    ran = run("explain", "\x1b[31mred")
    assert ran.code == 64
    assert "\x1b" not in ran.err
