"""The first half minute of an examiner: verdict, findings, proof, guest, export, mark, report, what stays behind."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Input

from qcow2inspect.build.demo import damaged_recipe
from qcow2inspect.build.recipe import build
from qcow2inspect.tui.app import summary
from qcow2inspect.tui.dialogs.export import ExportDialog
from qcow2inspect.tui.dialogs.report import ReportDialog
from qcow2inspect.tui.screens.findings import FindingsScreen
from tests.tui.stage import explore, guest, inspector, playing, settle, shown, tap


async def test_the_first_thirty_seconds(tmp_path: Path) -> None:
    image = tmp_path / "evid.qcow2"
    image.write_bytes(build(damaged_recipe()))
    async with playing(image, size=(80, 24)) as pilot:
        app = inspector(pilot)
        assert "DAMAGED" in shown(pilot.app)  # the verdict is final

        await tap(pilot, "4")
        await settle(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, FindingsScreen)
        assert "lost 128 KiB" in shown(pilot.app)  # a few groups, the first chosen, how far it reaches
        await tap(pilot, "right", "down", "down")
        await settle(pilot)
        finding = screen.list.finding
        assert finding is not None
        assert finding.code == "QCOW-L2-UNALIGNED"

        await tap(pilot, "enter")
        await settle(pilot)
        where = finding.evidence[0].where
        assert explore(pilot).hex.at == where.start  # the guilty bytes, and the way to them
        assert "L2[40]" in shown(pilot.app).splitlines()[0]
        await tap(pilot, "s")
        await settle(pilot)
        assert guest(pilot).hex.guest == finding.guest[0].start  # what the guest has there
        await tap(pilot, "less_than_sign", "less_than_sign")
        await settle(pilot)
        assert isinstance(pilot.app.screen, FindingsScreen)

        await tap(pilot, "e")
        await settle(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, ExportDialog)
        assert dialog.query_one("#target", Input).value  # filled in already
        await tap(pilot, "escape", "2", "m", "a")
        await settle(pilot)
        assert "a" in app.session.marks

        await tap(pilot, "r")
        await settle(pilot)
        report = pilot.app.screen
        assert isinstance(report, ReportDialog)
        report.query_one("#target", Input).value = str(tmp_path / "evid.md")
        await settle(pilot)
        await tap(pilot, "enter")
        await settle(pilot)
        assert (tmp_path / "evid.md").read_text().count("QCOW-L2-UNALIGNED")
        await tap(pilot, "escape")
        await settle(pilot)
        assert "evid.md" in str(summary(app.session))  # stays in the terminal
    assert image.read_bytes() == build(damaged_recipe())
