"""The linear mode: the same words, places and facts as the screens, one in each line."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qcow2inspect.build.demo import demo_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.errors import BadAddress
from qcow2inspect.export.damage import find_damage
from qcow2inspect.rules.explain import explain
from qcow2inspect.survey.survey import take_survey
from qcow2inspect.tui.commands import COMMANDS
from qcow2inspect.tui.linear import Linear
from qcow2inspect.tui.lines import spoken
from qcow2inspect.tui.location import Location
from qcow2inspect.tui.nearby import NEARBY
from qcow2inspect.tui.places import text_of
from qcow2inspect.tui.session import Session
from qcow2inspect.tui.words import KINDS, WORDS
from qcow2inspect.units import exact_size
from tests.rules import recipes
from tests.tui.stage import ROOT, memory_image
from tests.tui.terminal import running

_NOT_TYPED = {
    # what needs eyes on colours, columns or a pane
    "palette": "help lists all words",
    "line": "everything is typed here",
    "assume": "qcow2inspect open --plain --assume EXPR=VALUE",
    "theme": "there are no colours",
    "map.explore": "go goes to any cluster",
    "map.order": "map tells of the whole file, tree and go of the guest's order",
    "map.colours": "map tells by owner; refcounts are told at every place",
    "filter.off": "findings without words",
    "compare.swap": "compare tells which side is A",
    "compare.only": "compare lists differences only",
    "compare.guest": "guest OFFSET",
    "compare.level": "qcow2inspect compare --what mapping and --what fields",
    "log.show": "an export is done before the next line is read",
    "log.pause": "the same",
    "log.stop": "an interrupt stops it",
}
_SAME_WORD = {
    "evidence": "go",
    "bad": "next",
    "bad.back": "previous",
    "filter": "findings",
    "finding.note": "note",
    "guest.entry": "follow",
    "guest.swap": "swap",
    "compare": "compare",
    "compare.next": "compare",
    "compare.previous": "compare",
    "select": "write",
    "to_mark": "go",
    "search_on": "search",
    "search_back": "search",
}
"""Commands that a word of another command does: a screen's own form of it."""


class Talk:
    """The linear mode, and what it said last."""

    def __init__(self, data: bytes | None = None) -> None:
        self.session = Session.of(memory_image(data))
        self.session.here = Location()
        self.lines: list[str] = []
        self.linear = Linear(self.session, self.lines.append, self._explain)
        self.linear.begin(None)
        self.greeting, self.lines[:] = list(self.lines), []

    def _explain(self, topic: str) -> None:
        if topic == "nonsense":
            raise BadAddress("nonsense is nothing")
        self.lines.append(f"about {topic}")

    def __call__(self, line: str) -> list[str]:
        self.lines.clear()
        self.linear.do(line)
        return list(self.lines)


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_each_word_is_done_and_belongs_to_the_command_table() -> None:
    ids = {command.id for command in COMMANDS}
    assert [word.word for word in WORDS if not hasattr(Linear, f"_do_{word.word}")] == []
    assert {word.command for word in WORDS} - {""} <= ids
    assert all(word.help for word in WORDS)
    done = {name.removeprefix("_do_") for name in dir(Linear) if name.startswith("_do_")}
    assert done == {word.word for word in WORDS}


def test_each_command_has_a_word_or_a_reason() -> None:
    """What a key does, a word does: the same verbs, except for what makes sense to eyes alone."""
    words = {word.command for word in WORDS}
    names = {word.word for word in WORDS}
    assert set(_SAME_WORD.values()) <= names
    assert not words & _NOT_TYPED.keys()
    left = []
    for command in COMMANDS:
        name = command.id.rpartition(".")[2]
        known = command.id in words or f"explore.{name}" in words or command.id in _NOT_TYPED
        moves = command.group == "Move" or name in ("pane", "previous_pane") or command.id.startswith("pane")
        stops = name == "stop"  # an interrupt stops whatever runs
        if not (known or moves or stops or command.id in _SAME_WORD or name in _SAME_WORD):
            left.append(command.id)
    assert left == []


def test_kinds_are_those_of_the_screens() -> None:
    assert set(KINDS.values()) - {"]"} <= set(NEARBY)


def test_it_begins_with_the_verdict(talk: Talk) -> None:
    assert talk.greeting[-2:] == [
        f"demo.qcow2: {talk.session.knowledge.dossier.verdict}",
        "note: help lists all words",
    ]


def test_places_are_those_of_the_goto_language(talk: Talk) -> None:
    assert "place: L2 entry 0 of L1[0]" in talk("go L1[0].L2[0]")
    assert text_of(talk.session, talk.session.here) == "L1[0].L2[0]"
    assert talk("follow")[0] == "address: L1[0].L2[0].data"
    assert talk("swap")[0] == "address: @active G0x0"
    assert talk("swap")[0] == "address: L1[0].L2[0].data"
    assert talk("back")[0] == "address: @active G0x0"
    assert talk("forward")[0] == "address: L1[0].L2[0].data"
    assert talk("go @snap[0] 1MiB")[0] == "address: @snap[0] G0x100000"
    talk("mark a")
    talk("go map: 0x30000")
    assert talk.session.here.mode == "explore"
    assert talk("go 'a")[0] == "address: @snap[0] G0x100000"


def test_bytes_have_their_offset_and_their_text(talk: Talk) -> None:
    assert talk("hex 16") == ["0x0: 51 46 49 fb 00 00 00 03 00 00 00 00 00 00 00 00 text QFI............."]
    assert talk("hex 5000") == ["error: hex takes 1 to 4,096 bytes; export writes more"]


def test_bytes_that_cannot_be_read_are_no_zeros() -> None:
    talk = Talk(recipes.damaged("L1[0].L2[0]", 0x80000000_01234500))
    talk("guest")
    said = talk("hex 16")
    assert "??" in said[0]
    assert " 00 " not in said[0]
    assert said[-1].startswith("cannot be read: ")


def test_findings_lead_to_their_bytes() -> None:
    talk = Talk(recipes.damaged("L1[0].L2[0]", 0x80000000_01234500))
    code = next(finding.code for finding in talk.session.knowledge.findings if finding.code.startswith("QCOW-L2"))
    assert any(line.split()[1].rstrip(":,") == code for line in talk("findings L2"))
    proof = talk(f"go {code}.1")
    talk("go 0")
    while talk("next finding")[0] != proof[0]:
        assert not talk.lines[0].startswith("error"), talk.lines
    assert talk("findings nonsense") == ["no finding has these words"]


def test_next_and_previous_are_those_of_the_screens(talk: Talk) -> None:
    assert talk("next field")[0] == "address: hdr.version"
    assert talk("previous fie")[0] == "address: hdr.magic"
    assert talk("next cluster")[0] == "address: 0x10000"
    talk("guest 0")
    assert talk("next type")[0].startswith("address: @active G0x")
    assert talk("previous f")[0] == "error: “f” is not one kind: field, finding"


def test_this_place_is_explained_in_the_words_of_the_topic(talk: Talk) -> None:
    talk("go hdr.l1_size")
    text = explain("hdr.l1_size")[0]
    assert talk("explain") == [text.title, *(spoken(f"{label}: {value}") for label, value in text.rows)]
    talk("guest 0")
    assert talk("explain")[0].startswith("L2Entry: ")
    assert talk("explain size") == ["about size"]


def test_marks_and_notes(talk: Talk) -> None:
    talk("go L1[0]")
    assert talk("mark a")
    assert "note at L1[0]: odd entry" in talk("note odd entry")
    assert "mark a: go L1[0]" in talk("marks")
    assert "note at L1[0]: odd entry" in talk("marks")
    talk("note")
    assert "note at L1[0]: odd entry" not in talk("marks")


def test_who_points_to_a_place(talk: Talk) -> None:
    """As on the screens: the entries that lead to a cluster, never the letters of the address."""
    assert "address: 0x30000" in talk("search -> L1[0].L2")
    talk("go L1[0].L2")
    assert "address: 0x30000" in talk("search ->")
    assert "address: 0x28" in talk("search -> c3")
    assert "“nonsense” is no address" in str(talk("search -> nonsense"))
    talk("guest 0")
    assert "pointers are in the image file" in str(talk("search ->"))


def test_a_note_that_is_not_there_is_not_removed(talk: Talk) -> None:
    assert "there is no note here" in str(talk("note"))
    talk("note seen")
    assert "removed" in str(talk("note"))


def test_search_finds_what_stands_here_once(talk: Talk) -> None:
    assert talk("search QFI")[1] == "address: 0x0"
    assert "from the start again" in talk("search")
    assert talk("search hex:5146")[1] == "address: 0x0"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("frobnicate", "there is no such word"),
        ("re", "write report FILE"),
        ("f", "f may be follow, forward"),
        ("go", "write go ADDRESS"),
        ("go nowhere", "is no address"),
        ("go 0xffffffffff", "past the end"),
        ("go compare:", "is a screen"),
        ("compare", "write compare FILE"),
        ("tree hdr.size", "has no parts"),
        ("mark ab", "one letter"),
        ("hex many", ""),
        ("explain nonsense", "nonsense is nothing"),
        ("next weather", "is not one kind"),
        ("files everything", "files any"),
        ("passphrase", "nothing is encrypted"),
        ("back", "where you began"),
        ("export /nowhere/at/all.raw", ""),
        ("report /nowhere/at/all.txt", ""),
    ],
)
def test_what_goes_wrong_is_one_line(talk: Talk, line: str, words: str) -> None:
    said = [text for text in talk(line) if not text.startswith("note: ")]
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert words in said[0]


def test_nothing_is_said_in_boxes(talk: Talk) -> None:
    told = [*talk.greeting]
    for line in ("info", "findings", "where", "steps", "tree", "tree L1[0]", "map", "states", "files", "log", "help"):
        told += talk(line)
    for line in ("go L1[0].L2[0]", "steps", "guest", "where", "steps", "hex 64"):
        told += talk(line)
    assert all(told)
    for text in told:
        assert spoken(text) == text
        assert text.isprintable()


def test_what_is_unprintable_is_escaped_and_what_is_drawn_is_said() -> None:
    assert spoken("a\x1b[2J\n│ 3‥5 → Größe") == "a\\x1b[2J 3 to 5 to Größe"


def test_export_and_report_are_those_of_the_screens(talk: Talk, tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    said = talk(f"export {raw}")
    assert not any(line.startswith("error") for line in said), said
    assert raw.stat().st_size == talk.session.view().size
    view = talk.session.view()
    assert raw.read_bytes()[: 1 << 20] == view.read_at(0, 1 << 20)
    assert talk(f"export {raw}")[-1].startswith("error: ")
    assert talk(f"report {tmp_path / 'r.md'}")[-1].endswith("written as markdown")
    assert (tmp_path / "r.md").read_text().startswith("#")


def test_exports_have_the_policies_of_the_command_line(tmp_path: Path) -> None:
    talk = Talk(recipes.damaged("L1[0].L2[0]", 0x80000000_01234500))
    out = tmp_path / "a b.raw"
    assert talk(f"export {out}")[-1].startswith("error: ")
    said = talk(f"export {out} --on-error pattern --hash md5,sha256 --range 0:1MiB")
    assert not any(line.startswith("error") for line in said), said
    data = out.read_bytes()
    assert len(data) == 1 << 20
    assert data.startswith(b"UNREADABLE")
    assert f"md5: {hashlib.md5(data).hexdigest()}" in said
    assert (tmp_path / "a b.raw.errors.json").exists()
    assert talk(f"export {out} --on-error zero --force --range 0:64KiB")[-1]
    assert out.read_bytes()[: talk.session.image.geometry.cluster_size].strip(b"\0") == b""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("export x --on-error maybe", "invalid choice"),
        ("export x --hash md9", "is unknown"),
        ("export x --nonsense", "unrecognized"),
        ("export x --range 9:1", "is no range"),
        ("copy nonsense", "copy takes one of"),
        ("compare /nowhere/at/all", "was not opened"),
        ("compare @snap[9]", "has no snap[9]"),
        ("states snap[9]", "has no snap[9]"),
    ],
)
def test_wrong_options_are_told(talk: Talk, line: str, words: str) -> None:
    assert words in talk(line)[-1]
    assert talk.lines[-1].startswith("error: ")


def test_parts_are_written_and_copied(talk: Talk, tmp_path: Path) -> None:
    talk("go hdr")
    assert not any(line.startswith("error") for line in talk(f"write {tmp_path / 'header'}"))
    source = talk.session.image.source
    assert (tmp_path / "header").read_bytes() == source.read_at(0, len((tmp_path / "header").read_bytes()))
    talk(f"write {tmp_path / 'four'} --length 4")
    assert (tmp_path / "four").read_bytes() == b"QFI\xfb"
    talk("guest 1MiB")
    assert talk(f"write {tmp_path / 'none'}")[-1].startswith("error: ")
    talk(f"write {tmp_path / 'guest'} --length 512")
    assert (tmp_path / "guest").read_bytes() == talk.session.view().read_at(1 << 20, 512)
    talk("go hdr")
    assert "".join(talk("copy hexadecimal 4")).replace(" ", "") == "514649fb"
    assert "qcow2inspect" in talk("copy command 4")[0]


def test_states_are_chosen_and_compared(talk: Talk, tmp_path: Path) -> None:
    said = talk("compare @snap[0]")
    assert said[-1].startswith("different: ")
    assert any(line.startswith("side B: snapshot") for line in said)
    talk("states snap[0]")
    assert text_of(talk.session, talk.session.here) == "@snap[0] G0x0"
    assert talk("compare @snap[0]")[-1] == "the same"
    raw = tmp_path / "same.raw"
    talk(f"export {raw}")
    assert talk(f"compare {raw}")[-1] == "the same"
    talk("states active")
    assert talk(f"compare {raw}")[-1].startswith("different: ")


def test_findings_come_with_the_blast_radius() -> None:
    talk = Talk(recipes.damaged("L1[0].L2[0]", 0x80000000_01234500))
    damage = find_damage(talk.session.view(), take_survey(talk.session.image))
    last = talk("findings")[-1]
    assert last.startswith("blast radius: lost ")
    assert f"lost {exact_size(damage.lost_bytes)}" in last


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("linear") / "demo.qcow2"
    path.write_bytes(build(demo_recipe()))
    return path


def test_lines_may_come_from_a_pipe(image: Path) -> None:
    lines = b"go hdr.size\nexplain QCOW-HDR-DIRTY\nexplain zzzz\ngo \xff\xfe\nquit\nwhere\n"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "qcow2inspect", "open", "--plain", str(image)]
    done = subprocess.run(command, input=lines, capture_output=True, env=env, timeout=60, check=False)
    out = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\naddress: hdr.size\nplace: size\n" in out
    assert "QCOW-HDR-DIRTY: " in out
    assert out.count("error: ") == 2
    assert "> " not in out
    assert "\x1b" not in out


def test_a_terminal_that_can_show_lines_only_gets_lines(image: Path) -> None:
    with running(image, env={"TERM": "dumb"}) as program:
        program.wait(lambda: "help lists all words" in program.text, "greeting")
        program.press("hex 4\n")
        program.see("0x0: 51 46 49 fb")
        program.press("quit\n")
        assert program.end() == 0
        assert b"\x1b" not in program.output
