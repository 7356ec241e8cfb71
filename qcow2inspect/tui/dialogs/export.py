"""Export: what and where to, and the checks before the first byte."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from qcow2inspect.errors import Qcow2InspectError
from qcow2inspect.export.choices import Choices, OnError, Sparse
from qcow2inspect.export.leftovers import leftovers
from qcow2inspect.tui.dialogs.order import OVERWRITE, OrderDialog, default_target, in_keys
from qcow2inspect.tui.dialogs.parts import Caption, Cycle, Toggle
from qcow2inspect.tui.exporting import Order, parse_range
from qcow2inspect.tui.states import states_of
from qcow2inspect.units import exact_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from qcow2inspect.tui.exporting import Preflighted
    from qcow2inspect.tui.location import GuestState
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.theme import Look

__all__ = ["ExportDialog"]

_POLICIES = {
    OnError.FAIL: "stop, and write nothing",
    OnError.ZERO: "zeros, each range listed",
    OnError.PATTERN: "a pattern to search for, each range listed",
    OnError.BEST: "what broken streams give, each range listed",
}
_FORMATS = ["raw: every byte of the disk", "mapped: only what the tables map, and a list"]
_ZEROS = {
    (Sparse.MAP, False): "holes where the tables tell of zeros",
    (Sparse.DETECT, False): "holes wherever there are 4 KiB of zeros",
    (Sparse.OFF, False): "no holes: every byte is allocated",
    (Sparse.MAP, True): "as the first, and room for all data reserved",
}
_PARTS = {0: "one file", 650 << 20: "parts of 650 MiB", 2 << 30: "parts of 2 GiB", 4 << 30: "parts of 4 GiB"}
_FORCE = "force: overwrite an existing file, start though the disk looks full"
_CONTINUE = "continue the unfinished export that is there"
_MORE = "A on any screen works out what must be assumed of broken tables: more may come out then"
_HASHES = {
    (): "none",
    ("sha256",): "SHA-256",
    ("md5", "sha1", "sha256"): "MD5, SHA-1, SHA-256",
    ("blake2b",): "BLAKE2b",
}


class ExportDialog(OrderDialog):
    """Asks what to write, and how; the result is an order that can be carried out, or None.

    Args:
        session: the image.
        look: colours and glyphs.
        target: where to write, at first; a name that fits the bytes if it is empty.
    """

    AUTO_FOCUS = "#target"
    BINDINGS = [Binding("enter", "start", "start", show=False)]

    def __init__(self, session: Session, look: Look, target: str = "") -> None:
        super().__init__(session, look)
        self._target = target
        self._states = [*states_of(session.chain), *(session.residues or ())]

    # -- the form ---------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """What, where to, how; then the checks."""
        with Vertical(id="dialog", classes="form"):
            yield self._cycle("bytes", [state.title for state in self._states], "state", self._first())
            yield from self._field(
                "to", "target", self._target or self._default(self._states[self._first()]), "path of the raw file"
            )
            yield from self._field("range", "range", "", "all of it; or START:END, START+SIZE, for example 1MiB:3MiB")
            yield self._cycle("format", _FORMATS, "format")
            yield self._cycle("unreadable", list(_POLICIES.values()), "policy")
            yield self._cycle("zeros", list(_ZEROS.values()), "zeros")
            yield self._cycle("parts", list(_PARTS.values()), "split")
            yield self._cycle("hashes", list(_HASHES.values()), "hashes", 1)
            yield Toggle(self.look, "verify: read the file back from the disk", value=True, id="verify")
            yield Toggle(self.look, "compare: read the image again, byte for byte", value=False, id="compare")
            yield from self._extras()
            yield self.checks

    def _extras(self) -> Iterator[Toggle]:
        """Choices that most exports do not need."""
        yield Toggle(self.look, _FORCE, value=False, id="force")
        yield Toggle(self.look, _CONTINUE, value=False, id="resume")
        if self.session.chain.end is not None:
            text = "zeros where a file of the chain is missing; each range is named"
            yield Toggle(self.look, text, value=False, id="zero")
        if self.session.image.obstacles:
            text = "read on though QEMU refuses the image for its header"
            yield Toggle(self.look, text, value=False, id="lenient")

    def _cycle(self, label: str, options: list[str], name: str, index: int = 0) -> Cycle:
        return Cycle(self.look, f"{label:<10}", options, index, id=name)

    def _field(self, label: str, name: str, value: str, hint: str) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Caption(self.look, label)
            yield Input(value, placeholder=hint, id=name, select_on_focus=False)

    def on_mount(self) -> None:
        """Check the default target."""
        self.entitle("Export raw bytes")
        self._renew()

    # -- what the user asks for -------------------------------------------------------------------------------

    def _first(self) -> int:
        """The state that the user looks at."""
        return self._states.index(self.session.state) if self.session.state in self._states else 0

    def _default(self, state: GuestState) -> str:
        suffix = {"snapshot": f".snap{state.index}", "vm-state": f".vmstate{state.index}"}.get(state.kind, "")
        if state.kind == "layer":
            suffix = f".layer{state.index}"
        elif state.kind == "residue":
            suffix = f".{state.residue}"
        target, case = default_target(self.session.image.name, f"{suffix}.raw"), self.session.case
        return os.path.abspath(case.place(os.path.basename(target), "exports")) if case is not None else target

    @property
    def state(self) -> GuestState:
        """Which bytes shall be written."""
        return self._states[self.query_one("#state", Cycle).index]

    @property
    def target(self) -> str:
        """Where to write."""
        return os.path.expanduser(self.query_one("#target", Input).value)

    def _disk_size(self) -> int:
        return self.state.view(self.session.chain).size

    @property
    def order(self) -> Order:
        """What the user asks for.

        Raises:
            ValueError: the range is none.
        """
        on = {toggle.id for toggle in self.query(Toggle) if toggle.value and toggle.display}
        text = self.query_one("#range", Input).value
        sparse, preallocate = list(_ZEROS)[self.query_one("#zeros", Cycle).index]
        choices = Choices(
            force="force" in on,
            sparse=sparse,
            preallocate=preallocate,
            on_error=list(_POLICIES)[self.query_one("#policy", Cycle).index],
            hashes=list(_HASHES)[self.query_one("#hashes", Cycle).index],
            verify="verify" in on,
            within=parse_range(text, self._disk_size()) if text.strip() else None,
            split=list(_PARTS)[self.query_one("#split", Cycle).index],
            keep=True,
            resume="resume" in on,
        )
        compares = "compare" in on and not choices.split
        order = Order(self.state, self.target, choices, compares, absent_as_zero="zero" in on, lenient="lenient" in on)
        return replace(order, mapped=self.query_one("#format", Cycle).index == 1)

    # -- checks -----------------------------------------------------------------------------------------------

    def on_cycle_changed(self, event: Cycle.Changed) -> None:
        """Other bytes have another name, unless the user wrote one."""
        event.stop()
        target = self.query_one("#target", Input)
        if target.value in (self._default(state) for state in self._states):
            target.value = self._default(self.state)
        self._renew()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another target or range: check again."""
        event.stop()
        self._renew()

    def on_toggle_changed(self, event: Toggle.Changed) -> None:
        """Another choice: check again."""
        event.stop()
        self._renew()

    def _renew(self) -> None:
        self.begin_checks()
        self.query_one("#compare").display = not self.query_one("#split", Cycle).index
        try:
            order = self.order
            self._offer_to_continue(order)
        except (ValueError, Qcow2InspectError) as error:
            self.checks.show(("no", str(error), "bad"))
            return
        if self.target:
            self.check(order)

    def _offer_to_continue(self, order: Order) -> None:
        within = order.choices.within
        size = within.size if within is not None else self._disk_size()
        left = leftovers(order.target, size, order.choices.split) if order.target else []
        self.query_one("#resume").display = len(left) > 1

    def on_preflighted(self, message: Preflighted) -> None:
        """Show the checks."""
        message.stop()
        if message.order != self.order:
            return
        result = message.result
        notes = self.outcome(result)
        if message.order.choices.on_error is OnError.BEST and not self.session.image.assumed:
            notes.append(("dot", _MORE, "dim"))
        if result.problem is None:
            notes.append(("points", self._next_words(message.order, result.plan.seconds), "dim"))
            self._ready = message.order
        elif result.problem.hint:
            notes.append(("points", self._way_out(result.problem.hint), "key"))
        ranks = {"no": 0, "points": 1} if result.problem is not None else {}
        self.checks.show(*sorted(notes, key=lambda note: ranks.get(note[0], 2)))
        self.offer("Enter start   Tab next   Space change   Esc close" if self._ready else "Esc close")

    def _way_out(self, hint: str) -> str:
        """What to do, in the words of the form."""
        hint = in_keys(self.session, hint).replace(OVERWRITE, "force")
        hint = hint.replace("--on-error", "the line “unreadable”")
        toggle = self.query_one("#resume", Toggle)
        return f"mark “continue”, or {hint}" if toggle.display and not toggle.value else hint

    def _next_words(self, order: Order, seconds: float) -> str:
        within = order.choices.within
        what = f"{exact_size(within.size)} from guest {within.start} on; " if within is not None else ""
        return f"{what}about {max(1, round(seconds)):,} s; written as .part, renamed when it is complete"

    # -- end --------------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a field starts."""
        event.stop()
        self.action_start()

    def action_start(self) -> None:
        """Give the order, if all checks are good."""
        if self._ready is not None:
            self.give(self._ready)
