"""Everything that is declared has its texts, and what the screens show is what the command line prints."""

from __future__ import annotations

import pytest

from qcow2inspect.errors import BadAddress
from qcow2inspect.format.glossary import declared
from qcow2inspect.format.texts import TEXTS, THINGS, text_of
from qcow2inspect.image.tree import Tree
from qcow2inspect.layout.node import Node
from qcow2inspect.rules import all_rules
from qcow2inspect.rules.explain import explain, field_of, find_topic, of_field, of_node, of_rule
from tests.tui.stage import memory_image

_LEAST = 20


@pytest.mark.parametrize("field", declared(), ids=lambda field: f"{field.structure}.{field.name}")
def test_every_field_and_flag_says_what_qemu_does_and_what_to_look_at(field: object) -> None:
    assert field in declared()
    found = next(one for one in declared() if one is field)
    assert text_of(found.structure, found.name) == (found.qemu, found.look)
    for text in (found.qemu, found.look):
        assert text.endswith((".", "?"))
        assert text[0].isupper() or not text[0].isalpha() or "." in text.split()[0] or text.split()[0].islower()
    shown = of_field(found)
    assert len(" ".join(value for _, value in shown.rows)) > _LEAST
    assert ("QEMU", found.qemu) in shown.rows
    assert ("look at", found.look) in shown.rows


def test_no_text_is_about_a_field_that_there_is_not() -> None:
    known = {f"{field.structure}.{field.name}" for field in declared()}
    assert TEXTS.keys() <= known


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_every_code_says_what_it_is_what_else_it_may_be_and_what_qemu_does(rule: object) -> None:
    found = next(one for one in all_rules() if one is rule)
    text = of_rule(found)
    assert text.title.startswith(f"{found.code}: ")
    assert len(text.paragraphs) >= 2
    whole = " ".join(text.paragraphs)
    assert "QEMU" in whole or "qemu" in whole
    assert "else could explain" in whole or found.at_open or found.severity.rank > 2, found.code


@pytest.mark.parametrize("kind", THINGS)
def test_every_kind_of_structure_is_explained(kind: str) -> None:
    text = explain(kind)[0]
    assert text.title.startswith(f"{kind}: ")
    assert all(value.endswith(".") for _, value in text.rows)


@pytest.mark.parametrize(
    ("topic", "titles"),
    [
        ("QCOW-L2-EOF", ["QCOW-L2-EOF: "]),
        ("l2-entry", ["L2Entry: "]),
        ("L2 table", ["l2: "]),
        ("hdr.l1_size", ["l1_size: "]),
        ("header", ["header: ", "Header: "]),
        ("cluster_bits", ["cluster_bits: ", "cluster_bits: "]),
        ("refcount", ["refcount: "]),
    ],
)
def test_topics(topic: str, titles: list[str]) -> None:
    found = [text.title for text in explain(topic)]
    assert len(found) == len(titles)
    assert all(title.startswith(begin) for title, begin in zip(found, titles, strict=True))


def test_what_means_nothing_is_refused() -> None:
    with pytest.raises(BadAddress, match="neither a code nor"):
        explain("zzzz")
    assert find_topic("hdr-dirty")[0][0].code == "QCOW-HDR-DIRTY"


def test_every_node_of_an_image_has_a_text() -> None:
    """Down to the fields of each structure: nothing under the cursor is left unexplained."""
    tree = Tree(memory_image())
    seen = list(_below(list(tree.top), 4))
    assert len(seen) > 200
    for node in seen:
        texts = of_node(node)
        assert texts or node.kind == "file", node.path
        field = field_of(node)
        if field is not None and node.doc:
            assert field.name == node.name or node.path.endswith(field.name)
    fields = {field.name for node in seen if (field := field_of(node)) is not None}
    assert {"l1_size", "copied", "host_cluster_offset", "dirty", "nb_snapshots", "date_sec"} <= fields


def _below(nodes: list[Node], depth: int) -> list[Node]:
    """Some nodes, and the first few of what is in them."""
    found = []
    for node in nodes:
        found.append(node)
        if depth and not node.is_leaf:
            found += _below(list(node.children()[:20]), depth - 1)
    return found
