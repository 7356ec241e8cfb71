"""Marks and notes: written at any place, listed, kept in the case, and found again when it is opened."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from qcow2inspect.build.demo import damaged_recipe, write_demo
from qcow2inspect.build.recipe import build
from qcow2inspect.case import Case, read_log
from qcow2inspect.image.image import Image
from qcow2inspect.tui.app import InspectApp
from qcow2inspect.tui.dialogs.notes import NoteDialog, NotesDialog
from qcow2inspect.tui.notes import marks_of
from qcow2inspect.tui.session import Session
from tests.tui.stage import (
    COLOURED,
    explore,
    go,
    guest,
    inspector,
    memory_image,
    playing,
    settle,
    shown,
    tap,
    type_text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from textual.pilot import Pilot


async def note(pilot: Pilot[None], words: str) -> None:
    await tap(pilot, "plus")
    assert isinstance(pilot.app.screen, NoteDialog)
    await type_text(pilot, words)
    await tap(pilot, "enter")
    await settle(pilot)


@asynccontextmanager
async def opened(image: str, case: str) -> AsyncIterator[Pilot[None]]:
    """The inspector with a case, as the command line opens it."""
    session = Session.of(Image.open(image))
    session.case = Case(case)
    async with InspectApp(session, COLOURED).run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        yield pilot
    session.close()


async def test_a_note_is_written_changed_listed_and_removed() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "M")
        await settle(pilot)
        assert "there are no marks and notes" in shown(pilot.app)
        await go(pilot, "L1[0].L2[5]")
        await note(pilot, "odd entry")
        await tap(pilot, "m", "q", "5")
        await settle(pilot)
        await note(pilot, "boot sector")
        assert marks_of(inspector(pilot).session) == (
            ("L1[0].L2[5]", f"mark q, {int(inspector(pilot).session.marks['q'].offset):#x}"),
            ("L1[0].L2[5]", "odd entry"),
            ("@active G0x0", "boot sector"),
        )
        await tap(pilot, "M")
        await settle(pilot)
        assert isinstance(pilot.app.screen, NotesDialog)
        assert all(words in shown(pilot.app) for words in ("L1[0].L2[5]", "odd entry", "boot sector"))
        await tap(pilot, "down", "enter")
        await settle(pilot)
        assert getattr(explore(pilot).node, "path", "") == "L1[0].L2[5]"
        await tap(pilot, "plus")
        assert pilot.app.screen.query_one(Input).value == "odd entry"
        await tap(pilot, "escape")
        await note(pilot, "  ")
        await tap(pilot, "M", "x")
        await settle(pilot)
        assert isinstance(pilot.app.screen, NotesDialog)
        assert marks_of(inspector(pilot).session) == (("@active G0x0", "boot sector"),)
        await tap(pilot, "x")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, NotesDialog)


async def test_a_note_at_a_finding_stands_at_its_bytes() -> None:
    async with playing(memory_image(build(damaged_recipe()))) as pilot:
        await tap(pilot, "4", "down")
        await settle(pilot)
        await note(pilot, "see the report of the vendor")
        ((_, text),) = marks_of(inspector(pilot).session)
        assert text == "see the report of the vendor"
        (found,) = inspector(pilot).session.notes.values()
        assert any(
            found.there.offset == evidence.where.start
            for finding in inspector(pilot).session.knowledge.findings
            for evidence in finding.evidence
        )


async def test_a_case_gives_marks_and_notes_back(tmp_path: Path) -> None:
    demo, _, _ = write_demo(str(tmp_path))
    case = str(tmp_path / "case")
    async with opened(demo, case) as pilot:
        await go(pilot, "L1[0].L2[5]")
        await tap(pilot, "m", "a")
        await note(pilot, "first words")
        await note(pilot, "better words")
        await go(pilot, "@snap[0] G0x12345")
        await tap(pilot, "m", "b", "right", "m", "b")
        await settle(pilot)
    kept = [words.partition(",")[0] for _, words in Case(case).marks]
    assert sorted(kept) == ["better words", "mark a", "mark b"]
    said = [action["words"][2] for action in read_log(case)]
    assert said[:3] == [
        "mark a at L1[0].L2[5]",
        "note at L1[0].L2[5]: first words",
        "note at L1[0].L2[5]: better words",
    ]
    async with opened(demo, case) as pilot:
        await tap(pilot, "2", "apostrophe", "b")
        await settle(pilot)
        assert guest(pilot).hex.at == 0x12346
        assert guest(pilot).session.state.kind == "snapshot"
        await tap(pilot, "apostrophe", "a")
        await settle(pilot)
        assert getattr(explore(pilot).node, "path", "") == "L1[0].L2[5]"
        await tap(pilot, "plus")
        assert pilot.app.screen.query_one(Input).value == "better words"
        await tap(pilot, "escape")
        await note(pilot, "")
    assert [words.split(",")[0] for _, words in Case(case).marks] == ["mark a", "mark b"]


async def test_a_mark_that_is_set_before_all_is_recalled_takes_nothing_away(tmp_path: Path) -> None:
    demo, _, _ = write_demo(str(tmp_path))
    case = Case(str(tmp_path / "case"))
    case.remember((), [("hdr.size", "mark a, 0x18"), ("L1[0]", "look here"), ("no such address", "for the report")])
    session = Session.of(Image.open(demo))
    session.case = case
    session.marks["b"] = session.here
    from qcow2inspect.tui.notes import keep

    keep(session, "mark b")
    assert {words for _, words in case.marks} == {"mark a, 0x18", "look here", "for the report", "mark b, 0x0"}
    assert sorted(session.marks) == ["a", "b"]
    session.close()


async def test_a_case_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo, _, _ = write_demo(str(tmp_path))
    async with opened(demo, str(tmp_path / "case")) as pilot:
        (tmp_path / "case/actions.jsonl").write_text("tampered\n")
        await tap(pilot, "2", "m", "a")
        await settle(pilot)
        assert "the case does not keep it" in shown(pilot.app)
