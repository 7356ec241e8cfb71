"""What is behind an image: files that it names, keys, states of the disk."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual import events

from qcow2inspect.build.demo import encrypted_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.tui.dialogs.files import FilesDialog
from qcow2inspect.tui.dialogs.passphrase import PassphraseDialog
from qcow2inspect.tui.dialogs.states import StatesDialog
from qcow2inspect.tui.tasks.running import Progressed
from tests.rules.chains import CHAINS
from tests.tui.qemu_images import chain_in, encrypted_in
from tests.tui.stage import guest, inspector, memory_image, playing, press, settle, shown, tap, type_text

if TYPE_CHECKING:
    pass


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
async def test_nothing_is_opened_unless_the_user_says_so(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path)) as pilot:
        assert "“mid.qcow2” (qcow2), not opened" in shown(pilot.app)
        await press(pilot, "o")
        dialog = pilot.app.screen
        assert isinstance(dialog, FilesDialog)
        assert f"would open {tmp_path}/mid.qcow2; not opened" in dialog.files.text
        await press(pilot, "enter")
        assert "say where the file lies" in dialog.outcome.text
        assert len(inspector(pilot).session.chain.layers) == 1
        await press(pilot, "escape", "5")
        assert "?? ?? ??" in shown(pilot.app)
        assert "?? unreadable" in shown(pilot.app)
        assert "11 11 11" not in shown(pilot.app)


@pytest.mark.oracle
async def test_the_folder_is_allowed(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path)) as pilot:
        await press(pilot, "5", "o", "tab", "space", "enter")
        dialog = pilot.app.screen
        assert isinstance(dialog, FilesDialog)
        assert "all files that the image names are open" in dialog.outcome.text
        await press(pilot, "escape")
        assert "11 11 11" in shown(pilot.app)
        assert "layer 2 base.raw" in shown(pilot.app)
        await press(pilot, "1")
        assert "2 files opened" in shown(pilot.app)


async def test_files_that_are_opened_are_judged(tmp_path: Path) -> None:
    async with playing(Image.open(CHAINS["QCOW-BACK-SIZE"](tmp_path))) as pilot:
        await press(pilot, "4")
        assert "QCOW-BACK-SIZE" not in [finding.code for finding in inspector(pilot).session.knowledge.findings]
        await press(pilot, "o", "tab", "space", "enter", "escape")
        assert "QCOW-BACK-SIZE" in [finding.code for finding in inspector(pilot).session.knowledge.findings]
        assert inspector(pilot).session.knowledge.surveyed


@pytest.mark.oracle
async def test_a_file_that_moved_is_named(tmp_path: Path) -> None:
    top = chain_in(tmp_path)
    (tmp_path / "mid.qcow2").rename(tmp_path / "moved.qcow2")
    async with playing(top) as pilot:
        await press(pilot, "o")
        await type_text(pilot, str(tmp_path / "nowhere"))
        await press(pilot, "enter")
        dialog = pilot.app.screen
        assert isinstance(dialog, FilesDialog)
        assert "No such file" in dialog.outcome.text
        await type_text(pilot, str(tmp_path / "moved.qcow2"))
        await press(pilot, "enter")
        assert len(inspector(pilot).session.chain.layers) == 2
        assert "“base.raw”" in dialog.files.text
        await type_text(pilot, str(tmp_path / "base.raw"))
        await press(pilot, "enter")
        assert len(inspector(pilot).session.chain.layers) == 3
        assert "all files" in dialog.outcome.text


async def test_an_image_that_names_nothing_says_so() -> None:
    async with playing(memory_image()) as pilot:
        await press(pilot, "o")
        assert "the image names no other file" in shown(pilot.app)


async def test_the_two_permissions_exclude_each_other(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path)) as pilot:
        await press(pilot, "o", "tab", "space", "tab", "space")
        text = shown(pilot.app)
        assert "[ ] open regular files below" in text
        assert "[x] open any regular file" in text


@pytest.mark.oracle
async def test_the_command_line_allows_files_and_gives_the_key(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path), gate=OpenGate(Follow.FOLDER)) as pilot:
        assert "2 files opened" in shown(pilot.app)
    async with playing(encrypted_in(tmp_path, "luks"), passphrase=b"abc\n") as pilot:
        assert "unlocked" in shown(pilot.app)
        await press(pilot, "5")
        assert "55 55 55" in shown(pilot.app)
        assert inspector(pilot)._passphrase is None
    async with playing(tmp_path / "luks.qcow2", passphrase=b"wrong") as pilot:
        assert "does not open the only active key slot" in shown(pilot.app)
        assert "locked" in shown(pilot.app)


# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
async def test_a_luks_passphrase_wrong_then_right(tmp_path: Path) -> None:
    async with playing(encrypted_in(tmp_path, "luks")) as pilot:
        assert "key needed" in shown(pilot.app)
        await press(pilot, "5")
        assert "?? ?? ??" in shown(pilot.app)
        await press(pilot, "p", "x", "y", "enter")
        dialog = pilot.app.screen
        assert isinstance(dialog, PassphraseDialog)
        assert "wrong passphrase: the passphrase does not open the only active key slot" in dialog.outcome.text
        await press(pilot, "a", "b", "q", "backspace", "c", "enter")
        assert "layer 0: unlocked" in dialog.outcome.text
        await press(pilot, "escape")
        assert "55 55 55 55" in shown(pilot.app)
        assert "unlocked" in shown(pilot.app)


async def test_a_legacy_key_cannot_be_verified() -> None:
    async with playing(memory_image(build(encrypted_recipe()))) as pilot:
        await press(pilot, "5", "p", *"wrong", "enter")
        dialog = pilot.app.screen
        assert isinstance(dialog, PassphraseDialog)
        assert "cannot be verified" in dialog.outcome.text
        await press(pilot, "escape")
        assert "verified" in shown(pilot.app), "not only in the dialog"
        await press(pilot, "p", *"demo", "enter", "escape", "1")
        assert "key given, cannot be verified" in shown(pilot.app)
        await press(pilot, "5", "g")
        await type_text(pilot, "0x280000")
        await press(pilot, "enter")
        assert "guest cluster 40" in shown(pilot.app)


async def test_the_passphrase_stays_where_it_is_typed(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    with caplog.at_level(logging.DEBUG):
        async with playing(memory_image(build(encrypted_recipe()))) as pilot:
            app = inspector(pilot)
            await press(pilot, "p")
            dialog = pilot.app.screen
            assert isinstance(dialog, PassphraseDialog)
            original = dialog.post_message

            def spy(message: object) -> bool:
                if not isinstance(message, events.Event):
                    seen.append(repr(vars(message)))
                return original(message)  # type: ignore[arg-type]

            dialog.post_message = spy  # type: ignore[method-assign]
            pilot.app.post_message(events.Paste("sesame-2026\nrest"))
            await settle(pilot)
            assert dialog.secret._typed == "sesame-2026"
            assert "***********" in shown(pilot.app)
            assert "sesame" not in shown(pilot.app)
            await press(pilot, "enter")
            assert dialog.secret._typed == ""
            workers = [repr(worker) + worker.description for worker in app.workers]
            await press(pilot, "escape")
            assert "sesame" not in repr(app.session.history) + repr(app.session.done) + repr(workers)
    assert seen
    assert "sesame" not in "".join(seen) + caplog.text


async def test_trying_a_passphrase_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from qcow2inspect.image.chain import Layer

    def slow(self: Layer, passphrase: bytes, progress: object = None) -> None:
        progress.begin("trying key slot 0", None)  # type: ignore[attr-defined]
        while True:
            progress.advance(0)  # type: ignore[attr-defined]
            time.sleep(0.005)

    monkeypatch.setattr(Layer, "unlock", slow)
    async with playing(memory_image(build(encrypted_recipe()))) as pilot:
        await press(pilot, "p")
        dialog = pilot.app.screen
        assert isinstance(dialog, PassphraseDialog)
        await tap(pilot, *"abc", "enter")
        while "trying key slot 0" not in dialog.outcome.text:
            await pilot.pause(0.005)
        await tap(pilot, "escape")
        await settle(pilot)
        assert "cancelled" in dialog.outcome.text
        await press(pilot, "escape")
        assert pilot.app.screen is not dialog


async def test_nothing_to_unlock() -> None:
    async with playing(memory_image()) as pilot:
        await press(pilot, "p")
        assert "nothing is encrypted" in shown(pilot.app)


def test_progress_tells_the_newest_only() -> None:
    old, new = Progressed("unlock", "a", 0, None, 0.0), Progressed("unlock", "b", 0, None, 1.0)
    assert new.can_replace(old)


# -- states ----------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
async def test_a_snapshot_is_another_disk(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path), gate=OpenGate(Follow.FOLDER)) as pilot:
        await press(pilot, "5", "g")
        await type_text(pilot, "128K")
        await press(pilot, "enter")
        assert "44 44 44" in shown(pilot.app)
        await press(pilot, "S")
        dialog = pilot.app.screen
        assert isinstance(dialog, StatesDialog)
        text = shown(pilot.app)
        assert "first" in text
        assert "base.raw" in text
        await press(pilot, "down", "enter")
        assert guest(pilot).hex.at == 128 << 10
        assert "33 33 33" in shown(pilot.app)
        assert "snapshot 1 “first”" in shown(pilot.app)
        await press(pilot, "less_than_sign")
        assert "44 44 44" in shown(pilot.app)


@pytest.mark.oracle
async def test_a_layer_alone_marks_what_it_does_not_hold(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path), gate=OpenGate(Follow.FOLDER)) as pilot:
        await press(pilot, "S", "end", "up", "enter")
        screen = guest(pilot)
        assert screen.session.state.kind == "layer"
        assert screen.session.state.index == 1
        assert "-- -- --" in shown(pilot.app)
        assert "-- absent" in shown(pilot.app)
        await press(pilot, "g")
        await type_text(pilot, "64K")
        await press(pilot, "enter")
        assert "22 22 22" in shown(pilot.app)
        assert "layer 1" in shown(pilot.app)


async def test_the_list_of_states_walks_over_what_can_be_chosen() -> None:
    async with playing(memory_image()) as pilot:
        await press(pilot, "S")
        dialog = pilot.app.screen
        assert isinstance(dialog, StatesDialog)
        assert dialog.list.value is not None
        assert dialog.list.value.kind == "active"
        await press(pilot, "down")
        assert dialog.list.value.kind == "snapshot"
        await press(pilot, "down")
        assert dialog.list.value.kind == "snapshot"
        await press(pilot, "home")
        assert dialog.list.value.kind == "active"
        assert "2023-11-14 22:13:20Z" in shown(pilot.app)
        await press(pilot, "o")
        assert isinstance(pilot.app.screen, FilesDialog)
