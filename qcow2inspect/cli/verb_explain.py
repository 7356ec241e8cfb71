"""Explain a finding, a field or a flag: what it is, why it matters, what else could explain it, what QEMU does.

qcow2inspect explain QCOW-HDR-DIRTY    a finding; the start of a code will do, in small letters too
qcow2inspect explain refcount_order    a field, wherever the format has one of that name
qcow2inspect explain l2-entry          a structure, with all its fields
qcow2inspect explain --list            all findings
"""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_json, dump_json, print_rows, say
from qcow2inspect.rules import all_rules
from qcow2inspect.rules.explain import explain, find_topic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from qcow2inspect.format.glossary import Declared
    from qcow2inspect.rules.base import Rule
    from qcow2inspect.rules.explain import Explanation

__all__ = ["add_arguments", "print_topic", "run"]

_WIDEST = 100
_LABEL = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "topic", metavar="TOPIC", nargs="?", help="code of a finding, or name of a field, flag or structure"
    )
    parser.add_argument("--list", action="store_true", help="all findings with their titles")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the explanation."""
    if options.list or options.topic is None:
        _list(all_rules(), as_json=options.json)
        return 0
    if options.json:
        rules, fields = find_topic(options.topic)
        dump_json([_rule_document(rule) for rule in rules] + [_field_document(field) for field in fields])
        return 0
    print_topic(options.topic)
    return 0


def print_topic(topic: str) -> None:
    """Print what a word means.

    Raises:
        BadAddress: it is neither a code nor the name of a field or structure; the message says what comes close.
    """
    texts = explain(topic)
    if len(texts) > 1 and texts[0].is_rule:
        _list(find_topic(topic)[0], as_json=False)
        return
    for number, text in enumerate(texts):
        if number:
            say()
        _print_one(text)


def _list(rules: Sequence[Rule], *, as_json: bool) -> None:
    if as_json:
        dump_json([_rule_document(rule) for rule in rules])
    else:
        print_rows(("code", "severity", "title"), ((rule.code, str(rule.severity), rule.title) for rule in rules))


def _print_one(text: Explanation) -> None:
    _wrapped(text.title)
    say()
    for label, value in text.rows:
        _wrapped(value, f"{label:<{max(_LABEL, len(label) + 2)}}")
    for paragraph in text.paragraphs:
        say()
        _wrapped(paragraph)


def _wrapped(text: str, label: str = "") -> None:
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    indent = " " * len(label)
    say(textwrap.fill(" ".join(text.split()), width, initial_indent=label, subsequent_indent=indent))


def _rule_document(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "title": rule.title,
        "severity": str(rule.severity),
        "category": str(rule.category),
        "spec": rule.spec,
        "needs_tables": rule.needs_tables,
        "needs_deep": rule.needs_deep,
        "text": rule.explanation,
    }


def _field_document(field: Declared) -> dict[str, Any]:
    return {
        "name": field.name,
        "meaning": field.meaning,
        "structure": field.structure,
        "about": field.about,
        "place": field.place,
        "spec": field.spec,
        "values": list(field.values),
        "qemu": field.qemu,
        "look": field.look,
    }
