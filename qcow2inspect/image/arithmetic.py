"""Integer arithmetic in addresses: ``8*2``, ``(3 << 16) + 0x10``, ``2c - 1s``; exact, bounded, without surprises.

==============================  ============================================
``4096`` ``0x1000`` ``1000h``   decimal and hexadecimal numbers
``64K`` ``1MiB``                binary units
``3c`` ``1s``                   clusters of the image, sectors of 512 bytes
``+ - * // % << >> & |``        as in Python; ``( )`` groups
==============================  ============================================
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from qcow2inspect.errors import BadAddress
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["evaluate", "number"]

_LONGEST = 256
_DEEPEST = 30
_LARGEST = 1 << 128
_TOKEN = re.compile(r"\s*(//|<<|>>|[-+*%&|()]|[0-9]\w*)")
_LEVELS: tuple[dict[str, Callable[[int, int], int]], ...] = (
    {"|": operator.or_},
    {"&": operator.and_},
    {"<<": operator.lshift, ">>": operator.rshift},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "//": operator.floordiv, "%": operator.mod},
)


def number(text: str, cluster_size: int) -> int | None:
    """The number that one word means; None if it is none."""
    word = text.strip().lower()
    if len(word) > _LONGEST or not word.isascii() or not word[:1].isdigit():
        return None
    if re.fullmatch(r"[0-9][0-9a-f]*h", word):
        return int(word[:-1], 16)
    if re.fullmatch(r"[0-9]+[cs]", word):
        return int(word[:-1]) * (cluster_size if word[-1] == "c" else SECTOR)
    try:
        return parse_size(word)
    except ValueError:
        return int(word, 16) if re.fullmatch(r"[0-9][0-9a-f]*", word) else None


def evaluate(text: str, cluster_size: int) -> int | None:
    """What an expression of numbers amounts to; None if the text is none.

    Args:
        text: the expression.
        cluster_size: bytes of a cluster.

    Raises:
        BadAddress: it is one, but has no value: a division by zero, a number beyond all bounds.
    """
    tokens = _tokens(text)
    if not tokens:
        return None
    parser = _Parser(tokens, cluster_size)
    try:
        value = parser.level(0, 0)
    except _NoExpressionError:
        return None
    except ZeroDivisionError:
        raise BadAddress(f"“{text.strip()}” divides by zero") from None
    return value if parser.done else None


class _NoExpressionError(Exception):
    """The text is no arithmetic."""


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    text = text.strip()
    if len(text) > _LONGEST:
        return []
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return []
        found.append(match[1])
        at = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[str], cluster_size: int) -> None:
        self._tokens = tokens
        self._at = 0
        self._cluster_size = cluster_size

    @property
    def done(self) -> bool:
        return self._at == len(self._tokens)

    def level(self, level: int, depth: int) -> int:
        if level == len(_LEVELS):
            return self._factor(depth)
        value = self.level(level + 1, depth)
        while not self.done and self._tokens[self._at] in _LEVELS[level]:
            sign = self._tokens[self._at]
            self._at += 1
            other = self.level(level + 1, depth)
            if sign in ("<<", ">>") and not 0 <= other <= 64:
                raise BadAddress(f"{sign} {other}: a shift is by 0 to 64 bits")
            value = _bounded(_LEVELS[level][sign](value, other))
        return value

    def _factor(self, depth: int) -> int:
        if self.done or depth > _DEEPEST:
            raise _NoExpressionError
        token = self._tokens[self._at]
        self._at += 1
        if token in ("+", "-"):
            value = self._factor(depth + 1)
            return -value if token == "-" else value
        if token == "(":
            value = self.level(0, depth + 1)
            if self.done or self._tokens[self._at] != ")":
                raise _NoExpressionError
            self._at += 1
            return value
        found = number(token, self._cluster_size)
        if found is None:
            raise _NoExpressionError
        return _bounded(found)


def _bounded(value: int) -> int:
    if abs(value) >= _LARGEST:
        raise BadAddress("a number on the way is beyond any 64-bit offset")
    return value
