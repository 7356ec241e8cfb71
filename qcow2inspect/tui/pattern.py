"""What can be searched for: text, bytes with wildcards, regular expressions, numbers in a range, pointers.

=============================  ===========================================================
``text`` ``"text"``            UTF-8; ``u16:text`` UTF-16 as Windows has it, ``u16be:text`` big-endian
``hex:51 46 ?? f?``            bytes; ``?`` is any digit
``re:MBR|GPT[0-9]{1,3}``       a regular expression on bytes, without ``*`` and ``+``
``be64:0xa80000..0xaaffff``    a big-endian number or a range of them; ``be16``, ``be32``, ``le16``, ``le32``, ``le64``
``->`` ``-> c138``             who points to the host cluster under the cursor, or to that of an address
=============================  ===========================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcow2inspect.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pattern", "parse_pattern", "pointers_to"]

_LONGEST = 4096
_SPAN = 256
_EXAMPLES = 'write text, "text", u16:text for UTF-16, hex:51 46 ?? fb, re:[A-Z]{3}, be64:0x10000..0x1ffff or ->'
_NUMBER = re.compile(r"([bl])e(16|32|64):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is looked for.

    Attributes:
        text: as the user typed it.
        regex: matches it.
        size: its bytes.
        shown: the bytes for people: ``51 46 ?? fb``.
        is_zero: True if zero bytes alone match it: then nothing may be passed over.
        accepts: tells whether a match at an offset counts; None if all do.
    """

    text: str
    regex: re.Pattern[bytes]
    size: int
    shown: str
    is_zero: bool
    accepts: Callable[[int], bool] | None = None


def parse_pattern(text: str) -> Pattern:
    """What ``text`` asks to look for.

    Raises:
        ValueError: it asks for nothing; the message says what is possible.
    """
    number = _NUMBER.match(text)
    if number is not None:
        return _numbers(text, int(number[2]) // 8, text[number.end() :], little=number[1].lower() == "l")
    if text.startswith("re:"):
        return _expression(text)
    if text.lower().startswith("hex:"):
        cells = _hex_cells(text[4:])
    elif text.lower().startswith("u16be:"):
        cells = [f"{byte:02x}" for byte in _unquoted(text[6:]).encode("utf-16-be", "replace")]
    elif text.lower().startswith("u16:"):
        cells = [f"{byte:02x}" for byte in _unquoted(text[4:]).encode("utf-16-le", "replace")]
    else:
        cells = [f"{byte:02x}" for byte in _unquoted(text).encode("utf-8", "surrogateescape")]
    if not cells:
        raise ValueError(_EXAMPLES)
    if len(cells) > _LONGEST:
        raise ValueError(f"the pattern has {len(cells):,} bytes; {_LONGEST:,} are possible")
    regex = re.compile(b"".join(map(_cell_regex, cells)), re.DOTALL)
    return Pattern(text, regex, len(cells), " ".join(cells), regex.fullmatch(bytes(len(cells))) is not None)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text


def _hex_cells(text: str) -> list[str]:
    digits = re.sub(r"[\s,]|0x", "", text.lower())
    if len(digits) % 2 or re.fullmatch(r"[0-9a-f?]*", digits) is None:
        raise ValueError("hex: takes pairs of hexadecimal digits, ? for any digit: hex:51 46 ?? fb")
    return [digits[index : index + 2] for index in range(0, len(digits), 2)]


def _cell_regex(cell: str) -> bytes:
    high, low = cell[0], cell[1]
    if "?" not in cell:
        return re.escape(bytes.fromhex(cell))
    if high == low == "?":
        return b"."
    if low == "?":
        return f"[\\x{high}0-\\x{high}f]".encode()
    return b"[" + b"".join(f"\\x{digit:x}{low}".encode() for digit in range(16)) + b"]"


# -- numbers ----------------------------------------------------------------------------------------------------


def _numbers(text: str, size: int, wanted: str, *, little: bool) -> Pattern:
    """Numbers of ``size`` bytes from the first to the last of ``wanted``."""
    first, dots, last = wanted.partition("..")
    try:
        low = parse_size(first)
        high = parse_size(last) if dots else low
    except ValueError:
        raise ValueError(f"{text[:5]} takes a number or a range: be64:0xa80000 or be64:0xa80000..0xaaffff") from None
    if not low <= high < 1 << 8 * size:
        raise ValueError(f"the range must go up, and fit {size} bytes")
    if little:
        raw = _little_range(low, high, size)
    else:
        raw = _range(low.to_bytes(size, "big"), high.to_bytes(size, "big"))
    shown = f"{low:#x}" if low == high else f"{low:#x} to {high:#x}"
    regex = re.compile(raw, re.DOTALL)
    return Pattern(text, regex, size, f"{shown} in {size} bytes", low == 0)


def _byte(low: int, high: int) -> bytes:
    return b"[" + re.escape(bytes([low])) + b"-" + re.escape(bytes([high])) + b"]"


def _range(low: bytes, high: bytes) -> bytes:
    """Matches byte strings from ``low`` to ``high``, which are of one length."""
    if low == high:
        return re.escape(low)
    same = next(at for at, (a, b) in enumerate(zip(low, high, strict=True)) if a != b)
    rest = len(low) - same - 1
    parts = [re.escape(low[same : same + 1]) + _from(low[same + 1 :])]
    if high[same] - low[same] > 1:
        parts.append(_byte(low[same] + 1, high[same] - 1) + b".{%d}" % rest)
    parts.append(re.escape(high[same : same + 1]) + _up_to(high[same + 1 :]))
    return re.escape(low[:same]) + b"(?:" + b"|".join(parts) + b")"


def _from(low: bytes) -> bytes:
    """Matches byte strings of one length that are not below ``low``."""
    if not low:
        return b""
    parts = [re.escape(low[:1]) + _from(low[1:])]
    if low[0] < 255:
        parts.append(_byte(low[0] + 1, 255) + b".{%d}" % (len(low) - 1))
    return b"(?:" + b"|".join(parts) + b")"


def _up_to(high: bytes) -> bytes:
    """Matches byte strings of one length that are not above ``high``."""
    if not high:
        return b""
    parts = [re.escape(high[:1]) + _up_to(high[1:])]
    if high[0] > 0:
        parts.append(_byte(0, high[0] - 1) + b".{%d}" % (len(high) - 1))
    return b"(?:" + b"|".join(parts) + b")"


def _little_range(low: int, high: int, size: int) -> bytes:
    """The same with the least significant byte first: any bytes, then a look back at each possible upper part."""
    if low == high:
        return re.escape(low.to_bytes(size, "little"))
    if size == 1 or (low >> 8) == (high >> 8):
        upper = re.escape((low >> 8).to_bytes(size - 1, "little")) if size > 1 else b""
        return _byte(low & 255, high & 255) + upper
    parts = []
    first, last = (low >> 8) + (low & 255 > 0), (high >> 8) - (high & 255 < 255)
    if low & 255:
        parts.append(_byte(low & 255, 255) + re.escape((low >> 8).to_bytes(size - 1, "little")))
    if first <= last:
        parts.append(b"." + _little_range(first, last, size - 1))
    if high & 255 < 255:
        parts.append(_byte(0, high & 255) + re.escape((high >> 8).to_bytes(size - 1, "little")))
    return b"(?:" + b"|".join(parts) + b")"


# -- expressions ------------------------------------------------------------------------------------------------


def _expression(text: str) -> Pattern:
    source = text[3:]
    if not source:
        raise ValueError(_EXAMPLES)
    _bounded(source)
    try:
        regex = re.compile(source.encode("latin-1"), re.DOTALL)
    except (re.error, UnicodeEncodeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no regular expression on bytes: {error}") from None
    if regex.match(b"") is not None:
        raise ValueError("this expression matches nothing at all, everywhere")
    return Pattern(text, regex, _SPAN, source, regex.search(bytes(_SPAN)) is not None)


def _bounded(source: str) -> None:
    """Refuse expressions whose search could take forever: repetitions without a bound, and inside one another.

    Raises:
        ValueError: it is one of them.
    """
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", source, flags=re.DOTALL)
    bare = bare.replace("(?", "(")
    if re.search(r"[*+]|\{\d*,\}|\d{4}", bare) or len(source) > _LONGEST // 16:
        raise ValueError("write how often at most: x{0,40} instead of x* or x+")
    depth_with_repeat = [False]
    at = 0
    while at < len(bare):
        if bare[at] == "(":
            depth_with_repeat.append(False)
        elif bare[at] == ")" and len(depth_with_repeat) > 1:
            inner = depth_with_repeat.pop()
            repeated = bare[at + 1 : at + 2] in ("{", "?")
            if inner and repeated:
                raise ValueError("a repetition inside a repetition could take forever")
            depth_with_repeat[-1] |= inner or repeated
        elif bare[at] in "{?":
            depth_with_repeat[-1] = True
        at += 1


# -- pointers ---------------------------------------------------------------------------------------------------


def pointers_to(start: int, end: int, target: Callable[[int], int | None], text: str = "->") -> Pattern:
    """Entries and fields that point into a range of host bytes.

    Args:
        start: first host byte of the range, less than 2^48.
        end: the byte behind the last.
        target: what the field at a host offset points to, if one begins there.
        text: as the user typed it.
    """
    low, high = start.to_bytes(6, "big"), (end - 1).to_bytes(6, "big")
    regex = re.compile(b".." + _range(low, high), re.DOTALL)

    def accepts(offset: int) -> bool:
        found = target(offset)
        return found is not None and start <= found < end

    return Pattern(text, regex, 8, f"pointers to {start:#x}", start == 0, accepts)
