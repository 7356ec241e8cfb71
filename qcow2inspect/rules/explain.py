"""What a code, a field or a flag means: one text for the command line, for pipes and for the screens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress
from qcow2inspect.format.glossary import Declared, declared
from qcow2inspect.format.texts import THINGS
from qcow2inspect.layout.structure import visible
from qcow2inspect.rules import all_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from qcow2inspect.layout.node import Node
    from qcow2inspect.rules.base import Rule

__all__ = [
    "Explanation",
    "explain",
    "field_of",
    "find_topic",
    "of_field",
    "of_node",
    "of_rule",
    "of_structure",
    "of_thing",
]

_PREFIX = "QCOW-"
_PARTS = {"hdr": "header", "l1": "l1entry", "l2": "l2entry", "rt": "refcount", "snap": "snapshot", "ext": "record"}
"""What addresses call a structure, and how its declaration starts."""
_WORDS = (
    (".L2[", ("L2Entry", "L2EntryExtended", "SubclusterBitmap", "CompressedDescriptor")),
    ("L1[", ("L1Entry",)),
    ("rt[", ("RefcountTableEntry",)),
    ("snap[", ("SnapshotEntry", "SnapshotExtra")),
    ("bitmap[", ("BitmapDirectoryEntry", "BitmapFlags", "BitmapTableEntry")),
    ("ext[", ("Record", "BitmapsPointer", "EncryptionPointer", "FeatureName")),
    ("luks", ("LuksHeaderFields", "LuksKeySlot")),
    ("hdr", ("HeaderV2", "HeaderV3", "Header", "Incompatible", "Compatible", "Autoclear")),
)
"""A piece of an address, and the structures whose fields stand there."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text about one thing.

    Attributes:
        title: what it is, in a sentence.
        rows: labels and short values.
        paragraphs: what else there is to say.
        is_rule: True for a finding.
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    paragraphs: tuple[str, ...] = ()
    is_rule: bool = False


def of_rule(rule: Rule) -> Explanation:
    """The text about a finding."""
    title, _, text = rule.explanation.partition("\n")
    rows = (("severity", str(rule.severity)), ("category", str(rule.category)), ("spec", rule.spec))
    paragraphs = tuple(" ".join(one.split()) for one in text.strip().split("\n\n"))
    return Explanation(f"{rule.code}: {title}", rows, paragraphs, is_rule=True)


def of_field(field: Declared) -> Explanation:
    """The text about a field or a flag."""
    rows = (
        ("part of", f"{field.structure}: {field.about}"),
        ("place", field.place),
        ("spec", field.spec),
        ("values", ", ".join(field.values)),
        ("QEMU", field.qemu),
        ("look at", field.look),
    )
    return Explanation(f"{field.name}: {field.meaning}.", tuple(row for row in rows if row[1]))


def of_thing(kind: str) -> Explanation:
    """The text about a kind of structure."""
    what, qemu, look = THINGS[kind]
    return Explanation(f"{kind}: {what}.", (("QEMU", qemu), ("look at", look)))


def of_structure(name: str) -> Explanation:
    """The text about a structure as a whole: its fields, each in a sentence."""
    fields = [field for field in declared() if field.structure == name]
    rows = tuple((field.place, f"{field.name}: {field.meaning}") for field in fields)
    return Explanation(f"{name}: {fields[0].about}.", (*rows, ("spec", fields[0].spec)))


def of_node(node: Node) -> list[Explanation]:
    """What there is to say about a node: its field, or the structure that it is, and what kind of thing it is."""
    field = field_of(node)
    if field is not None:
        return [of_field(field)]
    inside = () if node.is_leaf else node.children()[:1]
    first = next((one for part in inside if (one := field_of(part)) is not None), None)
    found = [of_structure(first.structure)] if first is not None else []
    return [*found, of_thing(node.kind)] if node.kind in THINGS else found


def explain(topic: str) -> list[Explanation]:
    """The texts about whatever a word means; one for each place that has a field of that name.

    Raises:
        BadAddress: it means nothing; the message says what comes close.
    """
    word = topic.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    structures = {field.structure.lower(): field.structure for field in declared()}
    kind = word if word in THINGS else word.removesuffix("table")
    found = [of_thing(kind)] if kind in THINGS else []
    found += [of_structure(structures[word])] if word in structures else []
    if found:
        return found
    rules, fields = find_topic(topic)
    return [*map(of_rule, rules), *map(of_field, fields)]


def field_of(node: Node) -> Declared | None:
    """The declaration of the field or flag that a node is; None if it is something else."""
    name = node.path.rpartition(".")[2] if node.bits is None else node.name
    structures = next((found for piece, found in _WORDS if piece in node.path), ())
    fields = [field for field in declared() if field.name in (name, node.name) and field.structure in structures]
    return next((field for field in fields if field.meaning == node.doc), fields[0] if fields else None)


def find_topic(topic: str) -> tuple[Sequence[Rule], Sequence[Declared]]:
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
