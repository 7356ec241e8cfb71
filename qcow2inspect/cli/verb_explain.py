"""Explain a finding, a field or a flag: what it is, why it matters, what else could explain it, what QEMU does.

qcow2inspect explain QCOW-HDR-DIRTY    a finding; the start of a code will do, in small letters too
qcow2inspect explain refcount_order    a field, wherever the format has one of that name
qcow2inspect explain --list            all findings
"""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_json, dump_json, print_rows, say
from qcow2inspect.errors import BadAddress
from qcow2inspect.format.glossary import Declared, declared
from qcow2inspect.layout.structure import visible
from qcow2inspect.rules import all_rules

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Sequence

    from qcow2inspect.rules.base import Rule

__all__ = ["add_arguments", "print_topic", "run"]

_PREFIX = "QCOW-"
_PARTS = {"hdr": "header", "l1": "l1entry", "l2": "l2entry", "rt": "refcount", "snap": "snapshot", "ext": "record"}
"""What addresses call a structure, and how its declaration starts."""
_WIDEST = 100
_LABEL = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("topic", metavar="TOPIC", nargs="?", help="code of a finding, or name of a field or flag")
    parser.add_argument("--list", action="store_true", help="all findings with their titles")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the explanation."""
    if options.list or options.topic is None:
        _list(all_rules(), as_json=options.json)
        return 0
    rules, fields = _found(options.topic)
    if options.json:
        dump_json([_rule_document(rule) for rule in rules] + [_field_document(field) for field in fields])
        return 0
    _print(rules, fields)
    return 0


def print_topic(topic: str) -> None:
    """Print what a word means.

    Raises:
        BadAddress: it is neither a code nor the name of a field; the message says what comes close.
    """
    _print(*_found(topic))


def _print(rules: Sequence[Rule], fields: Sequence[Declared]) -> None:
    if len(rules) > 1:
        _list(rules, as_json=False)
    else:
        for rule in rules:
            _print_rule(rule)
    for number, field in enumerate(fields):
        if number:
            say()
        _print_field(field)


def _found(topic: str) -> tuple[Sequence[Rule], Sequence[Declared]]:
    """The rules whose code a word means, or the fields that have it as their name.

    Raises:
        BadAddress: there are neither; the message says what comes close.
    """
    rules = {rule.code: rule for rule in all_rules()}
    word = topic.strip().upper()
    codes = _starting(word, rules) or _starting(_PREFIX + word, rules)
    if codes and ("-" in word or word + "-" == _PREFIX):
        return [rules[code] for code in codes], ()
    part, _, name = topic.strip().lower().rpartition(".")
    fields = [field for field in declared() if field.name == name]
    part = _PARTS.get(part, part)
    fields = [field for field in fields if field.structure.lower().startswith(part)] or fields
    if fields or codes:
        return [rules[code] for code in codes] if not fields else (), fields
    names = _starting(name, dict.fromkeys(field.name for field in declared()))
    if len(names) == 1:
        return (), [field for field in declared() if field.name == names[0]]
    raise BadAddress(_unknown(topic, names, rules))


def _starting(word: str, words: Collection[str]) -> list[str]:
    """The one that is ``word``, or else all that start with it."""
    return [word] if word in words else [each for each in words if word and each.startswith(word)]


def _unknown(topic: str, names: Sequence[str], rules: Collection[str]) -> str:
    import difflib

    words = [*rules, *{field.name for field in declared()}]
    folded = {word.lower(): word for word in words} | {code.removeprefix(_PREFIX).lower(): code for code in rules}
    close = list(names[:3]) or [folded[word] for word in difflib.get_close_matches(topic.strip().lower(), folded, 3)]
    said = f"did you mean {', '.join(close)}?" if close else "“qcow2inspect explain --list” lists all codes"
    return f"“{visible(topic)}” is neither a code nor the name of a field; {said}"


def _list(rules: Sequence[Rule], *, as_json: bool) -> None:
    if as_json:
        dump_json([_rule_document(rule) for rule in rules])
    else:
        print_rows(("code", "severity", "title"), ((rule.code, str(rule.severity), rule.title) for rule in rules))


def _print_rule(rule: Rule) -> None:
    title, _, text = rule.explanation.partition("\n")
    _wrapped(f"{rule.code}: {title}")
    say()
    for label, value in (("severity", rule.severity), ("category", rule.category), ("spec", rule.spec)):
        say(f"{label:<{_LABEL}}{value}")
    for paragraph in text.strip().split("\n\n"):
        say()
        _wrapped(paragraph)


def _print_field(field: Declared) -> None:
    _wrapped(f"{field.name}: {field.meaning}.")
    say()
    labels = {"part of": f"{field.structure}: {field.about}", "place": field.place, "spec": field.spec}
    labels["values"] = ", ".join(field.values)
    for label, value in labels.items():
        if value:
            _wrapped(value, f"{label:<{_LABEL}}")


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
    }
