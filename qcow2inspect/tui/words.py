"""The words of the linear mode: the same commands as those of the keys, typed instead of pressed."""

from __future__ import annotations

from dataclasses import dataclass

from qcow2inspect.tui.commands import COMMANDS

__all__ = ["KINDS", "WORDS", "Word", "word_of"]

KINDS = {
    "field": "]",
    "finding": "f",
    "entry": "e",
    "type": "t",
    "unexplained": "u",
    "border": "s",
    "cluster": "c",
    "mark": "m",
}
"""What comes after ``next`` and ``previous`` -> its key on the screens."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the linear mode.

    Attributes:
        word: what is typed.
        takes: what comes after it, for people; empty if nothing does.
        command: id of the command that does the same by key; empty if there is none.
        own: what it does, in a sentence; that of the command if empty.
        needed: True if it makes no sense without what it takes.
    """

    word: str
    takes: str = ""
    command: str = ""
    own: str = ""
    needed: bool = False

    @property
    def help(self) -> str:
        """What it does, in one sentence."""
        return self.own or next(command.help for command in COMMANDS if command.id == self.command)

    @property
    def shown(self) -> str:
        """How it is written."""
        return f"{self.word} {self.takes}".strip()


_NEARBY = ", ".join(KINDS)
_POLICIES = (
    "--on-error fail|zero|pattern|best, --hash, --range, --split, --sparse, --force, --resume as on the command line"
)

WORDS: tuple[Word, ...] = (
    Word("info", command="overview", own="The verdict and the facts"),
    Word("where", command="explore", own="The place where you are: what it is, what it says, what it belongs to"),
    Word("go", "ADDRESS", "goto", needed=True),
    Word("guest", "OFFSET", "guest", "Go to the disk as the guest sees it; there, numbers are guest offsets"),
    Word("follow", command="follow", own="Go where the pointer leads; from guest bytes, to the entry that maps them"),
    Word("swap", command="swap", own="Go from host bytes to the guest bytes that they hold or map, and back"),
    Word("back", command="back"),
    Word("forward", command="forward"),
    Word("next", "KIND", "explore.next", f"Go to the next of a kind: {_NEARBY}", needed=True),
    Word("previous", "KIND", "explore.previous", f"Go to the previous of a kind: {_NEARBY}", needed=True),
    Word(
        "search", "WHAT", "explore.search", "Search from here on for text, hex:51 46 ?? or be64:0x30000; again if bare"
    ),
    Word("mark", "LETTER", "explore.mark", needed=True),
    Word("note", "WORDS", "explore.note", "Write a note at this place; without words, remove it"),
    Word("marks", command="notes"),
    Word("hex", "COUNT", own="The bytes here, 16 in a line; 64 if no count is given"),
    Word("steps", own="How the address is computed, step by step, with the numbers of this image"),
    Word("tree", "ADDRESS", "tree", "The parts of the structure at an address; the top of the file if bare"),
    Word("findings", "WORDS", "findings", "All findings, the heaviest first; only those with some words"),
    Word(
        "explain",
        "TOPIC",
        "explain",
        "What a finding, a field or a flag means: explain QCOW-L2-EOF; this place if bare",
    ),
    Word("map", command="map", own="How many clusters of the image file belong to what"),
    Word(
        "states",
        "STATE",
        "states",
        "Snapshots, VM states and layers, each with the address that goes there; with one, look at it: states snap[0]",
    ),
    Word("files", "folder|any", "open_files", "The files that the image names; with a word, open those that it allows"),
    Word("passphrase", command="passphrase"),
    Word(
        "export",
        "FILE OPTIONS",
        "export",
        f"Write the raw disk, or the state you look at, to a new file; {_POLICIES}",
        needed=True,
    ),
    Word(
        "write",
        "FILE --length N",
        "explore.write",
        "Write the structure here, or so many bytes from here on, to a new file",
        needed=True,
    ),
    Word("copy", "FORM COUNT", "explore.copy", "The bytes here as hex, C, Python, base64 and more", needed=True),
    Word(
        "compare",
        "FILE|@STATE",
        "compare.choose",
        "Compare the state you look at with another file or state: compare @snap[0]",
        needed=True,
    ),
    Word("report", "FILE", "report", "Write the report to a new file; its ending says the format", needed=True),
    Word("log", command="log", own="What was done and said"),
    Word("tour", command="tour"),
    Word("help", "WORD", "help", "All words, or what one of them does"),
    Word("quit", command="quit", own="Leave"),
)
"""All of them, in the order of the help."""


def word_of(text: str) -> Word | list[Word]:
    """The word that ``text`` is or begins; all that it may begin if that is not clear."""
    found = [word for word in WORDS if word.word.startswith(text)]
    exact = [word for word in found if word.word == text]
    one = exact or found
    return one[0] if len(one) == 1 else found
