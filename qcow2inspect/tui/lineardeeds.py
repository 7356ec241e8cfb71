"""What the linear mode writes and compares: exports with all policies, parts of the image, differences."""

from __future__ import annotations

import argparse
import os
import shlex
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from qcow2inspect.errors import BadAddress
from qcow2inspect.export.choices import HASHES, Choices, OnError, Sparse
from qcow2inspect.tui import copying, exporting, lines
from qcow2inspect.tui.exporting import Preflighted
from qcow2inspect.tui.linearwork import LinearWork
from qcow2inspect.tui.location import ACTIVE, Location
from qcow2inspect.tui.places import parse_place, text_of
from qcow2inspect.tui.tasks.comparing import OtherOpened
from qcow2inspect.units import GuestOffset, GuestRange, HostOffset, counted, exact_size, parse_size

if TYPE_CHECKING:
    from qcow2inspect.image.parts import Part
    from qcow2inspect.image.view import View

__all__ = ["LinearDeeds"]

_LISTED = 8
_COPIED = 64


class _Words(argparse.ArgumentParser):
    """Options typed after a word; what is wrong with them is an error of one line."""

    def error(self, message: str) -> NoReturn:
        raise BadAddress(message)


class LinearDeeds(LinearWork):
    """The part of the linear mode that writes and compares."""

    def bytes_here(self) -> tuple[View, int]:
        """The bytes that the user looks at, and the offset in them."""
        if self.here.mode == "guest":
            return self.session.view(), self.here.guest or GuestOffset(0)
        from qcow2inspect.image.view import HostFile

        return HostFile(self.session.image.source), self.here.offset

    # -- export -----------------------------------------------------------------------------------------------

    def _do_export(self, rest: str) -> None:
        target, options = _options(rest)
        size = self.session.view().size
        choices = Choices(
            force=options.force,
            sparse=Sparse(options.sparse),
            on_error=OnError(options.on_error),
            hashes=tuple(name for name in options.hash.lower().split(",") if name),
            verify=True,
            within=exporting.parse_range(options.range or "", size),
            split=parse_size(options.split) if options.split else 0,
            keep=options.resume,
            resume=options.resume,
        )
        self._carry_out(exporting.Order(self.session.state, target, choices))

    def _do_write(self, rest: str) -> None:
        """Bytes of the image file, or of the guest, from here on."""
        target, options = _options(rest)
        length = parse_size(options.length) if options.length else 0
        choices = Choices(hashes=("sha256",), verify=True, force=options.force)
        if self.here.mode == "guest":
            at = self.here.guest or GuestOffset(0)
            if not length:
                raise BadAddress("write FILE --length N: say how many guest bytes from here on")
            within = GuestRange.at(at, length).clip(0, self.session.view().size)
            from dataclasses import replace

            self._carry_out(exporting.Order(self.session.state, target, replace(choices, within=within)))
            return
        node = lines.node_at(self.session, self.here)
        start = self.here.offset if length or node is None else node.where.start
        end = min(start + (length or (node.where.size if node else 1)), self.session.image.end)
        path = node.path if node is not None and not length else ""
        address = text_of(self.session, Location(HostOffset(start), path))
        self._carry_out(exporting.Order(ACTIVE, target, choices, address=address, size=end - start))

    def _carry_out(self, order: exporting.Order) -> None:
        found = self.post_of(
            lambda post: exporting.preflight(self.session.chain, order, self.progress("preflight"), post)
        )
        flight = next((message.result for message in found if isinstance(message, Preflighted)), None)
        if flight is None:
            return
        if flight.problem is not None:
            raise flight.problem
        for words in flight.warnings:
            self.note(words)
        self._export(order)

    # -- copy -------------------------------------------------------------------------------------------------

    def _do_copy(self, rest: str) -> None:
        form, _, count = rest.partition(" ")
        forms = {words.partition(",")[0].split()[0].lower(): key for key, words in copying.FORMS.items()}
        forms["command"] = forms.pop("the", "l")
        key = forms.get(form.lower())
        if key is None:
            raise BadAddress(f"copy takes one of {', '.join(forms)}, and a number of bytes")
        view, at = self.bytes_here()
        data = view.read_at(at, parse_size(count) if count.strip() else _COPIED)
        node = lines.node_at(self.session, self.here) if self.here.mode != "guest" else None
        copied = copying.Copied(data, self.here, self.session.image.name, node=node)
        for line in copying.copied_as(key, copied).splitlines():
            self.say(line)

    # -- compare ----------------------------------------------------------------------------------------------

    def _do_compare(self, rest: str) -> None:
        """The state that is looked at with another state of this image, or with another file."""
        from qcow2inspect.image.compare import compare
        from qcow2inspect.image.parts import Relation, Sums

        title, view = self._other(rest)
        sums = Sums()
        listed: list[Part] = []
        for part in compare(self.session.view(), view, self.progress("compare")):
            sums.add(part)
            if part.relation in (Relation.DIFFERENT, Relation.UNREADABLE) and len(listed) < _LISTED:
                listed.append(part)
        self.say(f"side A: {self.session.state.title}")
        self.say(f"side B: {title}")
        for part in islice(listed, _LISTED):
            amount = "cannot be read" if part.error is not None else f"{counted(part.differing, 'byte')} differ"
            self.say(f"{part.guest.start} to {part.guest.end - 1:#x}: {amount}")
        if sums.ranges > len(listed):
            self.say(f"and {counted(sums.ranges - len(listed), 'more range')}")
        differs = f"{exact_size(sums.differing)} differ in {counted(sums.ranges, 'range')}"
        self.say(f"different: {differs}" if sums.ranges else "the same")
        if sums.unreadable:
            self.note(f"{exact_size(sums.unreadable)} could not be compared")

    def _other(self, rest: str) -> tuple[str, View]:
        """What is compared with: a title, and the bytes.

        Raises:
            BadAddress: it is neither a state nor a file that can be opened.
        """
        if rest.startswith("@"):
            there = parse_place(self.session, f"{rest} 0", Location(mode="guest"))
            return there.state.title, there.state.view(self.session.chain)
        from qcow2inspect.tui.tasks.comparing import open_other

        path = os.path.expanduser(rest)
        found = self.post_of(lambda post: open_other(path, self.session.gate, post))
        chain = next((message.chain for message in found if isinstance(message, OtherOpened)), None)
        if chain is None:
            raise BadAddress(f"{rest} was not opened; write compare FILE, or compare @snap[0]")
        self.session.others.append(chain)
        return rest, ACTIVE.view(chain)


def _options(rest: str) -> tuple[str, argparse.Namespace]:
    """A path, which may have blanks in it, and the options behind it.

    Raises:
        BadAddress: an option is unknown, or its value is.
    """
    path, dashes, options = rest.partition(" --")
    parser = _Words(prog="export", add_help=False, allow_abbrev=False)
    parser.add_argument("--on-error", choices=[policy.value for policy in OnError], default=OnError.FAIL.value)
    parser.add_argument("--sparse", choices=[sparse.value for sparse in Sparse], default=Sparse.MAP.value)
    parser.add_argument("--hash", default="", type=_hashes)
    for name in ("--range", "--split", "--length"):
        parser.add_argument(name)
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--resume", action="store_true")
    words = shlex.split(f"--{options}") if dashes else []
    return os.path.expanduser(path.strip()), parser.parse_args(words)


def _hashes(text: str) -> str:
    unknown = [name for name in text.lower().split(",") if name and name not in HASHES]
    if unknown:
        raise argparse.ArgumentTypeError(f"“{unknown[0]}” is unknown; known are {', '.join(HASHES)}")
    return text
