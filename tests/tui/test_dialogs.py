"""Export and report: the whole job, what is refused, and stopping half-way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest
from textual.widgets import Input

from qcow2inspect.build.demo import damaged_recipe, demo_disk, demo_recipe, write_demo
from qcow2inspect.build.recipe import Cluster, Data, Recipe, build
from qcow2inspect.build.writer import Layout
from qcow2inspect.cli import main
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.source.memory import MemorySource
from qcow2inspect.tui.app import summary
from qcow2inspect.tui.dialogs.export import ExportDialog
from qcow2inspect.tui.dialogs.job import JobDialog
from qcow2inspect.tui.dialogs.order import default_target
from qcow2inspect.tui.dialogs.parts import duration
from qcow2inspect.tui.dialogs.report import ReportDialog
from qcow2inspect.tui.exporting import ExportProgress, parse_range
from qcow2inspect.tui.jobs import JobState
from qcow2inspect.tui.screens.overview import OverviewScreen
from qcow2inspect.tui.tasks.running import TaskProgress
from tests.images import qemu_img
from tests.tui.qemu_images import chain_in
from tests.tui.stage import (
    COLOURED,
    PLAIN,
    ROOT,
    SIZES,
    check_grid,
    compare_golden,
    explore,
    inspector,
    memory_image,
    playing,
    settle,
    shown,
    tap,
    type_text,
)

if False:  # pragma: no cover - for the type checker only
    from textual.pilot import Pilot


@pytest.fixture
def demo(tmp_path: Path) -> str:
    return write_demo(str(tmp_path))[0]


class SlowSource(MemorySource):
    """Memory that takes its time."""

    delay = 0.0

    def read_at(self, offset: int, size: int) -> bytes:
        time.sleep(self.delay)
        return super().read_at(offset, size)


async def open_export(pilot: Pilot[None], target: Path) -> ExportDialog:
    await tap(pilot, "e")
    await settle(pilot)
    dialog = pilot.app.screen
    assert isinstance(dialog, ExportDialog)
    dialog.query_one("#target", Input).value = str(target)
    await settle(pilot)
    return dialog


async def order_export(pilot: Pilot[None], target: Path) -> None:
    """Give an order while others may still be carried out."""
    await tap(pilot, "e")
    dialog = pilot.app.screen
    assert isinstance(dialog, ExportDialog)
    dialog.query_one("#target", Input).value = str(target)
    await pilot.pause(0.05)
    while dialog._ready is None:
        await pilot.pause(0.02)
    await tap(pilot, "enter")
    await pilot.pause(0.05)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports that wait before their first byte, with everything open, until they are let go."""
    begin = ExportProgress.begin

    def wait(self: ExportProgress, what: str, total: int | None) -> None:
        if what.startswith("Exporting"):
            self.pause(True)
        begin(self, what, total)

    monkeypatch.setattr(ExportProgress, "begin", wait)


async def choose(pilot: Pilot[None], *names: str) -> None:
    """Change choices of the dialog in front."""
    for name in names:
        pilot.app.screen.query_one(f"#{name}").focus()
        await tap(pilot, "space")
        await settle(pilot)


async def start(pilot: Pilot[None]) -> JobDialog:
    """Give the order, and wait until all is done."""
    await tap(pilot, "enter")
    await settle(pilot)
    dialog = pilot.app.screen
    assert isinstance(dialog, JobDialog)
    return dialog


async def test_the_whole_job(demo: str, tmp_path: Path) -> None:
    """Open, follow the header's pointer down to the data, export, compare."""
    target = tmp_path / "out.raw"
    async with playing(demo) as pilot:
        await tap(pilot, "g")
        await type_text(pilot, "hdr.l1_table_offset")
        for _ in range(4):
            await tap(pilot, "enter")
            await settle(pilot)
        screen = explore(pilot)
        assert screen.node is not None
        assert screen.node.kind == "data"
        await open_export(pilot, target)
        assert "✓" in shown(pilot.app)
        dialog = await start(pilot)
        assert "written" in dialog.outcome.text
        assert "sha256" in dialog.outcome.text
        await tap(pilot, "escape")
        await settle(pilot)
        assert str(target) in str(summary(inspector(pilot).session))
        assert "export of raw disk" in shown(pilot.app)
    assert target.read_bytes() == demo_disk()
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


@pytest.mark.oracle
async def test_the_whole_job_on_an_image_of_qemu(tmp_path: Path) -> None:
    image, target, expected = tmp_path / "q.qcow2", tmp_path / "q.raw", tmp_path / "e.raw"
    commands = ["write -P 0x41 0 100k", "write -P 0x42 3M 1M", "write -z 1M 192k", "write -c -P 0x43 8M 64k"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "16M"], check=True)
    asked = [part for command in commands for part in ("-c", command)]
    subprocess.run(["qemu-io", *asked, str(image)], check=True, capture_output=True)
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(image), str(expected)], check=True)
    async with playing(image) as pilot:
        await open_export(pilot, target)
        await tap(pilot, "enter")
        await settle(pilot)
    assert target.read_bytes() == expected.read_bytes()


async def test_a_full_export_has_no_holes(demo: str, tmp_path: Path) -> None:
    target = tmp_path / "full.raw"
    async with playing(demo) as pilot:
        await open_export(pilot, target)
        await choose(pilot, "zeros", "zeros")
        assert "every byte is allocated" in shown(pilot.app)
        await start(pilot)
    assert target.read_bytes() == demo_disk()
    assert target.stat().st_blocks * 512 >= len(demo_disk())


CONFINED = """
import sys
from qcow2inspect.source.landlock import confine_process
confine_process([], asks_later=True)
from qcow2inspect.image.image import Image
from qcow2inspect.tui.exporting import ExportJob, ExportProgress, Order, carry_out
from qcow2inspect.tui.location import ACTIVE
from qcow2inspect.tui.session import Session
order = Order(ACTIVE, sys.argv[2])
job = ExportJob("export", ExportProgress(order.stages, lambda _: None), order=order)
session = Session.of(Image.open(sys.argv[1]))
carry_out(session, job, lambda _: None)
session.close()
print(job.state, job.outcome)
"""


def test_a_confined_program_exports(demo: str, tmp_path: Path) -> None:
    target = tmp_path / "out.raw"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CONFINED, demo, str(target)]
    ran = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert "JobState.DONE" in ran.stdout, ran.stderr
    assert target.read_bytes() == demo_disk()


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("key", ["k", "d"])
async def test_cancel_keeps_or_deletes(demo: str, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / "out.raw"
    async with playing(demo) as pilot:
        await open_export(pilot, target)
        await tap(pilot, "enter")
        job = inspector(pilot).exports[0]
        while not job.progress.paused:
            await pilot.pause(0.01)
        await tap(pilot, "d")
        assert not job.progress.stopped, "nobody was asked yet"
        await tap(pilot, "c")
        assert "k keep" in shown(pilot.app)
        await tap(pilot, "escape", "c", key)
        await settle(pilot)
        assert job.state is JobState.CANCELLED
        assert "cancelled" in shown(pilot.app)
        await tap(pilot, "escape")
        await settle(pilot)
        assert isinstance(pilot.app.screen, OverviewScreen)
        left = sorted(path.name for path in folder.iterdir())
        assert left == (["out.raw.journal", "out.raw.part"] if key == "k" else [])
        if key == "k":
            monkeypatch.undo()
            await open_export(pilot, target)
            assert "✗" in shown(pilot.app), "the unfinished file is in the way"
            await choose(pilot, "resume")
            assert (await start(pilot)).job.state is JobState.DONE
            assert target.read_bytes() == demo_disk()


@pytest.mark.usefixtures("held")
async def test_an_export_waits_and_goes_on(demo: str, tmp_path: Path) -> None:
    async with playing(demo) as pilot:
        await open_export(pilot, tmp_path / "out.raw")
        await tap(pilot, "enter")
        job = inspector(pilot).exports[0]
        while not job.progress.paused:
            await pilot.pause(0.01)
        await pilot.pause(0.1)
        assert "paused" in shown(pilot.app)
        assert "p go on" in shown(pilot.app)
        assert (job.progress.done, job.state) == (0, JobState.RUNNING)
        await tap(pilot, "p")
        await settle(pilot)
        assert job.state is JobState.DONE
    assert (tmp_path / "out.raw").read_bytes() == demo_disk()


@pytest.mark.usefixtures("held")
async def test_exports_go_on_in_the_background_one_after_the_other(demo: str, tmp_path: Path) -> None:
    async with playing(demo) as pilot:
        for name in ("one.raw", "two.raw"):
            await order_export(pilot, tmp_path / name)
            await tap(pilot, "escape")
        jobs = inspector(pilot).exports
        assert [job.state for job in jobs] == [JobState.RUNNING, JobState.WAITING]
        assert "export " in shown(pilot.app)
        assert "paused, 1 more" in shown(pilot.app)
        await tap(pilot, "q")
        await pilot.pause(0)
        assert "q again leaves" in shown(pilot.app)
        for job in jobs:
            while not job.progress.paused:
                await pilot.pause(0.01)
            job.progress.pause(False)
        await settle(pilot)
        assert [job.state for job in jobs] == [JobState.DONE, JobState.DONE]
        assert "two.raw" in str(summary(inspector(pilot).session))
        await tap(pilot, "2")
        await settle(pilot)
        assert "all tables read" in shown(pilot.app)
    assert (tmp_path / "one.raw").read_bytes() == (tmp_path / "two.raw").read_bytes() == demo_disk()


async def test_a_range_in_parts_with_all_three_stages(demo: str, tmp_path: Path) -> None:
    target = tmp_path / "part.raw"
    async with playing(demo) as pilot:
        dialog = await open_export(pilot, target)
        for text, words in (("1MiB", "write START:END"), ("1MiB:1PiB", "no range"), ("1MiB+512", "512 B from guest")):
            dialog.query_one("#range", Input).value = text
            await settle(pilot)
            assert words in dialog.checks.text
        await choose(pilot, "compare", "hashes")
        job = (await start(pilot)).job
        assert [stage.name for stage in job.stages] == ["copy", "verify", "compare"]
        assert all(stage.is_over for stage in job.stages)
        assert sorted(job.hashes) == ["md5", "sha1", "sha256"]
        command = job.order.command(inspector(pilot).session.chain) if job.order else ()
        assert command[:4] == ("qcow2inspect", "export", demo, str(target))
        assert "--range" in command
    assert target.read_bytes() == demo_disk()[1 << 20 : (1 << 20) + 512]


async def test_damage_is_written_only_as_the_policy_says(tmp_path: Path) -> None:
    image = memory_image(build(damaged_recipe()))
    async with playing(image) as pilot:
        dialog = await open_export(pilot, tmp_path / "out.raw")
        assert "cannot be read" in dialog.checks.text
        assert "the line “unreadable” says what shall stand in its place" in dialog.checks.text.replace("\n", " ")
        await tap(pilot, "enter")
        await settle(pilot)
        assert pilot.app.screen is dialog
        await choose(pilot, "policy")
        assert "zeros, each range listed" in shown(pilot.app)
        job = (await start(pilot)).job
        assert job.state is JobState.DONE
        assert any("zeros stand in their place" in note for note in job.notes)
        assert "beside it: out.raw.map, out.raw.errors.json, out.raw.manifest.json," in shown(pilot.app)
    assert (tmp_path / "out.raw.errors.json").exists()


async def test_the_form_says_what_to_mark_and_the_stages_how_long_they_took(demo: str, tmp_path: Path) -> None:
    (tmp_path / "out.raw").touch()
    async with playing(demo) as pilot:
        dialog = await open_export(pilot, tmp_path / "out.raw")
        assert "mark “force”" in dialog.checks.text
        assert "--force" not in dialog.checks.text
        await choose(pilot, "force")
        await start(pilot)
        assert re.search(r"1 copy .* 100% .* in \d+\.\d s ", shown(pilot.app))


def contents(folder: Path) -> dict[str, bytes]:
    """Name -> bytes; manifests hold the command that was given."""
    return {path.name: b"" if ".manifest." in path.name else path.read_bytes() for path in folder.iterdir()}


async def test_only_what_is_mapped_with_room_for_it(demo: str, tmp_path: Path) -> None:
    """What the form gives is what the command that it names gives."""
    target = tmp_path / "some.raw"
    async with playing(demo) as pilot:
        dialog = await open_export(pilot, target)
        dialog.query_one("#range", Input).value = "1MiB:40MiB"
        await choose(pilot, "format", "zeros", "zeros", "zeros", "compare")
        assert "39 MiB" in dialog.checks.text
        job = (await start(pilot)).job
        assert job.state is JobState.DONE, job.outcome
        assert all(stage.is_over for stage in job.stages)
        assert job.title.startswith("export of what is mapped of a part of raw disk to ")
        command = job.order.command(inspector(pilot).session.chain) if job.order else ()
    assert {"--format", "mapped", "--preallocate", "--range"} <= set(command)
    before = contents(tmp_path)
    assert main.run([*command[1:], "--force"]) == 0
    assert contents(tmp_path) == before


async def test_what_stopped_and_what_came_out_stays_in_the_terminal(demo: str, tmp_path: Path) -> None:
    async with playing(demo) as pilot:
        await open_export(pilot, tmp_path / "out.raw")
        job = (await start(pilot)).job
        app = inspector(pilot)
        assert app.session.done == [f"export of raw disk: {job.outcome}", f"sha256   {job.hashes['sha256']}"]
        job.state = JobState.RUNNING
        assert job.summary == [f"{job.title}: stopped; what is unfinished is kept and can be continued"]
        job.state = JobState.WAITING
        assert job.summary == [f"{job.title}: not begun"]
        job.state = JobState.DONE


async def test_the_form_offers_to_continue_and_to_show_the_rest(demo: str, tmp_path: Path) -> None:
    for name in ("out.raw.part", "out.raw.journal"):
        (tmp_path / name).touch()
    async with playing(demo, size=(80, 16)) as pilot:
        dialog = await open_export(pilot, tmp_path / "out.raw")
        assert "mark “continue”, or " in dialog.checks.text
        form = dialog.query_one("#dialog")
        assert "PgDn more" in str(form.border_subtitle)
        await tap(pilot, "pagedown")
        assert form.scroll_y == form.max_scroll_y > 0


async def test_golden_of_the_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcow2inspect.tui.dialogs.export.default_target", lambda *_: "/cases/7/demo.raw")
    monkeypatch.setattr("qcow2inspect.export.preflight.free_space", lambda _: 55 << 30)
    monkeypatch.setattr("qcow2inspect.export.preflight.check", lambda *_: None)
    monkeypatch.setattr("qcow2inspect.export.preflight.check_target", lambda *_, **__: None)
    monkeypatch.setattr("qcow2inspect.output.check_target", lambda *_, **__: None)
    for size in SIZES:
        for look, name in ((COLOURED, ""), (PLAIN, "-plain")):
            monkeypatch.setenv("NO_COLOR", "1" if name else "")
            async with playing(memory_image(), size=size, look=look) as pilot:
                await tap(pilot, "e")
                await settle(pilot)
                check_grid(pilot.app, size)
                await compare_golden(pilot, f"export-{size[0]}x{size[1]}{name}")


async def test_an_existing_target_is_refused_until_it_is_allowed(demo: str, tmp_path: Path) -> None:
    target = tmp_path / "taken.raw"
    target.write_bytes(b"mine")
    async with playing(demo) as pilot:
        dialog = await open_export(pilot, target)
        assert "✗" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
        assert target.read_bytes() == b"mine"
        assert pilot.app.screen is dialog
        await choose(pilot, "force")
        assert "written" in (await start(pilot)).outcome.text
    assert target.read_bytes() == demo_disk()


async def test_what_may_be_behind_a_file_that_is_not_open_is_never_a_target(tmp_path: Path) -> None:
    """A file two levels down: nobody knows that it is there. What is to be done is said in keys."""
    for name, backing in {"overlay": b"middle", "middle": b"base", "base": b""}.items():
        clusters: dict[int, Cluster] = {} if backing else {1: Data(b"x")}
        (tmp_path / name).write_bytes(build(Recipe(Layout(1 << 20, backing_name=backing), clusters)))
    before = (tmp_path / "base").read_bytes()
    async with playing(str(tmp_path / "overlay")) as pilot:
        dialog = await open_export(pilot, tmp_path / "base")
        await choose(pilot, "zero", "force")
        words = "base exists and is not replaced: "
        assert words in dialog.checks.text
        assert "open all files of the chain (o)" in dialog.checks.text
        await tap(pilot, "enter", "escape", "r")
        await settle(pilot)
        await type_text(pilot, str(tmp_path / "base"))
        await tap(pilot, "tab", "space", "enter")
        await settle(pilot)
        report = cast("ReportDialog", pilot.app.screen)
        assert words in report.notes.text
        assert "--follow" not in report.notes.text
    assert (tmp_path / "base").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["base", "middle", "overlay"]


async def test_the_evidence_is_never_a_target(demo: str) -> None:
    before = Path(demo).read_bytes()
    async with playing(demo) as pilot:
        await open_export(pilot, Path(demo))
        await choose(pilot, "force")
        assert "✗" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
        await tap(pilot, "escape", "r")
        await settle(pilot)
        await type_text(pilot, demo)
        await tap(pilot, "tab", "space", "enter")
        await settle(pilot)
        assert "✗" in shown(pilot.app)
    assert Path(demo).read_bytes() == before


@pytest.mark.parametrize("target", ["/nowhere/at/all.raw", "/dev/null", "", "/proc/x.raw"])
async def test_impossible_targets_are_explained(demo: str, target: str) -> None:
    async with playing(demo) as pilot:
        await tap(pilot, "e")
        await settle(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, ExportDialog)
        dialog.query_one("#target", Input).value = target
        await settle(pilot)
        await tap(pilot, "enter")
        await settle(pilot)
        assert pilot.app.screen is dialog
        assert inspector(pilot).exports == []


async def test_an_encrypted_image_says_that_it_needs_a_key(tmp_path: Path) -> None:
    _, encrypted, _ = write_demo(str(tmp_path))
    async with playing(encrypted) as pilot:
        await open_export(pilot, tmp_path / "x.raw")
        assert "encrypted" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
    assert not (tmp_path / "x.raw").exists()


async def test_keys_work_while_an_export_runs(tmp_path: Path) -> None:
    source = SlowSource(build(demo_recipe()), "slow.qcow2")
    async with playing(Image(source)) as pilot:
        await open_export(pilot, tmp_path / "out.raw")
        source.delay = 0.02
        await tap(pilot, "enter")
        await pilot.pause(0.3)
        assert "%" in shown(pilot.app)
        await pilot.resize_terminal(100, 30)
        source.delay = 0.0
        await settle(pilot)
    assert (tmp_path / "out.raw").read_bytes() == demo_disk()


async def test_the_report_is_written(demo: str, tmp_path: Path) -> None:
    target = tmp_path / "r.txt"
    async with playing(demo) as pilot:
        await tap(pilot, "r")
        await settle(pilot)
        assert isinstance(pilot.app.screen, ReportDialog)
        await type_text(pilot, str(target))
        await tap(pilot, "enter")
        await settle(pilot)
        assert "report written" in shown(pilot.app)
        await tap(pilot, "enter")
        await settle(pilot)
        assert "✗" in shown(pilot.app), "it exists now"
        await tap(pilot, "tab", "space", "enter")
        await settle(pilot)
        assert "report written" in shown(pilot.app)
        await tap(pilot, "escape")
        await settle(pilot)
    assert "NO DAMAGE SEEN" in target.read_text(encoding="utf-8")


async def test_leaving_prints_a_summary() -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "q")
        await pilot.pause(0)
        text = str(cast("list[object]", pilot.app._exit_renderables)[0])
        assert "demo.qcow2: NO DAMAGE SEEN" in text
        assert "qcow2 version 3" in text
        assert pilot.app.return_code == 0


# -- parts -------------------------------------------------------------------------------------------------------------


def test_default_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "disk.qcow2"
    assert default_target(str(image), ".raw") == str(tmp_path / "disk.raw")
    assert default_target(str(tmp_path / "disk"), ".raw") == str(tmp_path / "disk.raw")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.chdir(tmp_path)
    assert default_target("/evidence/disk.img", ".report.txt") == str(tmp_path / "disk.report.txt")


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (4.4, "0:04"), (75, "1:15"), (3723, "1:02:03")])
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_progress_speaks_at_most_ten_times_a_second() -> None:
    said: list[object] = []
    progress = TaskProgress("export", said.append)
    progress.begin("copying", 1_000_000)
    for _ in range(10_000):
        progress.advance(100)
    assert len(said) <= 3


@pytest.mark.parametrize(
    ("text", "wanted"), [("", None), (":512", (0, 512)), ("512:", (512, 4096)), ("1K+1K", (1024, 2048))]
)
def test_ranges(text: str, wanted: tuple[int, int] | None) -> None:
    found = parse_range(text, 4096)
    assert (found and (found.start, found.end)) == wanted


async def test_typing_in_the_target_does_not_start_or_cancel(tmp_path: Path) -> None:
    async with playing(memory_image()) as pilot:
        await tap(pilot, "e")
        await settle(pilot)
        await tap(pilot, "c", "q")
        assert pilot.app.screen.query_one("#target", Input).value.endswith("cq")


# -- other states ------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
async def test_a_snapshot_is_exported(tmp_path: Path) -> None:
    top = chain_in(tmp_path)
    expected = tmp_path / "expected.raw"
    qemu_img("convert", "-l", "snapshot.name=first", "-O", "raw", top, expected)
    async with playing(top, gate=OpenGate(Follow.FOLDER)) as pilot:
        await tap(pilot, "S", "down", "enter")
        await settle(pilot)
        await tap(pilot, "e")
        await settle(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, ExportDialog)
        assert dialog.state.kind == "snapshot"
        assert dialog.target == str(tmp_path / "top.snap0.raw")
        assert "written" in (await start(pilot)).outcome.text
    assert (tmp_path / "top.snap0.raw").read_bytes() == expected.read_bytes()


@pytest.mark.oracle
async def test_what_is_missing_is_zero_only_if_the_user_says_so(tmp_path: Path) -> None:
    async with playing(chain_in(tmp_path)) as pilot:
        dialog = await open_export(pilot, tmp_path / "out.raw")
        assert "backing file" in dialog.checks.text
        await tap(pilot, "enter")
        await settle(pilot)
        assert not (tmp_path / "out.raw").exists()
        await choose(pilot, "zero")
        assert "zeros stand in their place" in dialog.checks.text
        assert "zeros stand in their place" in (await start(pilot)).outcome.text
    data = (tmp_path / "out.raw").read_bytes()
    assert data[2 << 16 : 3 << 16] == b"\x44" * (1 << 16)
    assert data.count(0) == (16 << 20) - (1 << 16)


async def test_the_name_follows_the_state_until_it_is_written_by_hand(demo: str) -> None:
    async with playing(demo) as pilot:
        await tap(pilot, "e")
        await settle(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, ExportDialog)
        await tap(pilot, "shift+tab", "space")
        await settle(pilot)
        assert dialog.target.endswith("demo.snap0.raw")
        assert "snapshot 1 “before the change”" in shown(pilot.app)
        dialog.query_one("#target", Input).value = "/nowhere/mine.raw"
        await tap(pilot, "left")
        await settle(pilot)
        assert dialog.target == "/nowhere/mine.raw"
        assert dialog.state.kind == "active"
