"""How evidence is kept from being changed, in words: which layers hold for a file, and which do not and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qcow2inspect.source import landlock, shield
from qcow2inspect.source.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qcow2inspect.source.protocol import Source

__all__ = ["Guard", "badge", "guards_of", "protection_words"]


class Guard(NamedTuple):
    """One layer of protection of one file.

    Attributes:
        key: its name for programs.
        label: its name for people.
        holds: True if it does.
        words: what it does, or why it does not hold.
    """

    key: str
    label: str
    holds: bool
    words: str


def guards_of(source: Source) -> tuple[Guard, ...]:
    """The layers for a file, the innermost first; none for what is in memory."""
    if not isinstance(source, FileSource):
        return ()
    return (_descriptor(source), _hook(), _kernel(source))


def _descriptor(source: FileSource) -> Guard:
    return Guard("descriptor", "file descriptor", source.is_read_only, source.protection)


def _hook() -> Guard:
    raised = shield.is_raised()
    words = "refuses to write, rename, remove or touch" if raised else "none: the process is not our own"
    return Guard("audit_hook", "audit hook", raised, words)


def _kernel(source: FileSource) -> Guard:
    holds = landlock.confinement()
    if not holds.abi:
        return Guard("landlock", "Landlock", False, holds.why_not)
    name = f"Landlock ABI {holds.abi}"
    if holds.covers(source.name):
        return Guard("landlock", "Landlock", True, f"{name}: the kernel refuses all writes, of child processes too")
    place = holds.open_place(source.name)
    return Guard("landlock", "Landlock", False, f"{name} cannot hold here: files shall be written to {place}")


def protection_words(source: Source) -> str:
    """All layers of a file in one line; empty for what is in memory."""
    guards = guards_of(source)
    return "; ".join(
        guard.words if number == 0 else f"{guard.label}: {guard.words}" for number, guard in enumerate(guards)
    )


def badge(sources: Iterable[Source]) -> tuple[str, bool]:
    """What a person should see at a glance of all files together: words, and True if every layer holds."""
    found = [guards_of(source) for source in sources]
    guards = [guard for guards in found for guard in guards]
    if not guards:
        return "in memory", True
    if all(guard.holds for guard in guards):
        return "write-blocked (kernel)", True
    missing = {guard.key for guard in guards if not guard.holds}
    if "descriptor" in missing:
        return "NOT READ-ONLY", False
    return ("read-only, changes refused" if missing == {"landlock"} else "read-only"), False
