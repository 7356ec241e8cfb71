"""Write the raw disk of an image to a file, to standard output or to a block device.

The file appears as OUT when it is complete, OUT.part until then. What cannot be read stops the export unless
--on-error says otherwise; then OUT.map (for ddrescue's tools) and OUT.errors.json list every byte that is not as the
guest had it. Nothing is ever replaced without being listed there; what can be read but contradicts the rest of the
image is listed there, too, whatever the policy.

An export that is stopped, or whose disk is full or fails, leaves OUT.part and OUT.journal: the same command with
--resume continues it, after a kill or a loss of power too, and the bytes are those of an export that was never stopped.
With --discard nothing is left of it.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.cli.common import add_image, folders_of, progress_bar, say, warn
from qcow2inspect.cli.opening import add_data, add_states, chosen_view, opened
from qcow2inspect.errors import BadAddress
from qcow2inspect.export.choices import HASHES, Choices, OnError, Sparse
from qcow2inspect.export.names import STDOUT
from qcow2inspect.export.raw import export, preflight
from qcow2inspect.format.geometry import SECTOR
from qcow2inspect.layout.structure import visible
from qcow2inspect.progress import Cancelled
from qcow2inspect.units import GuestOffset, GuestRange, exact_size, human_size, parse_size

if TYPE_CHECKING:
    import argparse

    from qcow2inspect.export.raw import ExportResult, Preflight
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.view import View

__all__ = ["add_arguments", "run", "writes"]

_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    text = "the raw file to write; - for standard output; a block device with --force-device"
    parser.add_argument("out", metavar="OUT", help=text)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    text = "replace OUT and the files beside it, and start though the disk looks too full; nothing is replaced while "
    text += "the image names a file that is not opened (--follow): what is there might be a file behind that one"
    parser.add_argument("--force", action="store_true", help=text)
    _add_target(parser)
    _add_care(parser)
    add_states(parser)
    add_data(parser)


def _add_target(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to write")
    text = "guest bytes START to END (not included) only, for example 1MiB:3MiB"
    group.add_argument("--range", metavar="START:END", help=text)
    text = (
        "bytes of the image file at an address, as “hexdump” takes it, instead of guest bytes: hdr, L1[0].L2, 0x30000"
    )
    group.add_argument("--at", metavar="EXPR", help=text)
    text = "how many of them; without it all of the named range"
    group.add_argument("-n", "--length", metavar="N", help=text)
    text = "the disk byte for byte (raw, the default), or only what the tables map, with OUT.pieces saying where each "
    text += "piece belongs (mapped)"
    group.add_argument("--format", choices=["raw", "mapped"], default="raw", help=text)
    group.add_argument("--split", metavar="SIZE", help="parts OUT.001, OUT.002, ... of this size, for example 2GiB")
    text = "zeros that become holes: those that the tables tell of (map, the default), every 4 KiB of zeros, none"
    either = group.add_mutually_exclusive_group()
    either.add_argument("--sparse", choices=[sparse.value for sparse in Sparse], default=Sparse.MAP.value, help=text)
    either.add_argument("--no-sparse", action="store_true", help="the same as --sparse=off: allocate every byte")
    text = "reserve the space of all data before the first byte is written"
    group.add_argument("--preallocate", action="store_true", help=text)
    text = "OUT may be a block device: everything on it is lost"
    group.add_argument("--force-device", action="store_true", help=text)


def _add_care(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("care")
    text = "bytes that cannot be read: stop (the default), zeros, a text that a search finds, or what broken streams "
    text += "still give and zeros for the rest"
    group.add_argument("--on-error", choices=[policy.value for policy in OnError], default="fail", help=text)
    text = f"hashes of the exported bytes, computed while they are written: {', '.join(HASHES)}; separated by commas"
    group.add_argument("--hash", metavar="NAMES", help=text)
    text = "read the output back from the disk and compare it with what was written"
    group.add_argument("--verify", action="store_true", help=text)
    text = "write OUT.manifest.json and OUT.manifest.txt; implied by --hash, --verify and --on-error"
    group.add_argument("--manifest", action="store_true", help=text)
    text = "put the SHA-256 of the image, and of every file behind it, into the manifest"
    group.add_argument("--hash-sources", action="store_true", help=text)
    text = "leave nothing behind when the export is stopped or fails, instead of what --resume could continue"
    either = group.add_mutually_exclusive_group()
    either.add_argument("--discard", action="store_true", help=text)
    text = "continue what OUT.part and OUT.journal hold; begin if there is nothing yet"
    either.add_argument("--resume", action="store_true", help=text)


def writes(options: argparse.Namespace) -> list[str]:
    """Where files appear: beside the output, or on a device; and troubles that nobody asked to keep."""
    import tempfile

    if options.dry_run or options.out == STDOUT:
        return [tempfile.gettempdir()]
    if options.force_device:
        return [options.out, tempfile.gettempdir()]
    return [*folders_of([options.out]), tempfile.gettempdir()]


def run(options: argparse.Namespace) -> int:
    """Export."""
    if options.length is not None and options.at is None:
        raise BadAddress("--length needs --at; guest bytes are given by --range")
    with opened(options) as chain:
        view = chosen_view(options, chain) if options.at is None else _host_bytes(options, chain)
        size = chain.top.header.size
        if options.at is None and size % SECTOR and view.size == size // SECTOR * SECTOR:
            warn(f"the disk size {size:,} is no multiple of {SECTOR}: its last bytes are left out, as in QEMU")
        choices = _choices(options, view)
        if options.format == "mapped":
            view, choices = _mapped(options, view, choices)
        if options.dry_run:
            return _dry_run(view, options.out, choices)
        try:
            with progress_bar() as progress:
                result = export(view, options.out, choices, progress=progress, command=_command())
        except (KeyboardInterrupt, Cancelled):
            if not choices.keep or not _left(view, options.out, choices):
                raise
            return _INTERRUPTED
    _tell(result)
    return 0


def _left(view: View, target: str, choices: Choices) -> bool:
    """Say what is left of an export that was stopped; False if nothing is."""
    from qcow2inspect.export.leftovers import leftovers

    names = leftovers(target, choices.within.size if choices.within else view.size, choices.split)
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        warn(f"interrupted; {shlex.quote(names[0])}{more} kept; the same command with --resume continues")
    return bool(names)


def _host_bytes(options: argparse.Namespace, chain: Chain) -> View:
    """The bytes of the image file that ``--at`` names.

    Raises:
        BadAddress: it names none, or other options ask for guest bytes.
    """
    from qcow2inspect.image.address import bytes_at
    from qcow2inspect.image.tree import Tree

    guest = (options.range, options.snapshot, options.layer, options.residue)
    if options.vm_state or options.format == "mapped" or any(option is not None for option in guest):
        raise BadAddress("--at takes bytes of the image file: give no option that asks for guest bytes")
    size = _size("--length", options.length) if options.length is not None else None
    return bytes_at(Tree(chain.qcow2), options.at, size)


def _mapped(options: argparse.Namespace, view: View, choices: Choices) -> tuple[View, Choices]:
    """What the tables map of a view, and the choices for it."""
    from qcow2inspect.export.mapped import MappedView

    if options.out == STDOUT or choices.device:
        raise BadAddress("--format mapped needs a file: the list of pieces lies beside it")
    with progress_bar() as progress:
        return MappedView(view, choices.within, progress), replace(choices, within=None)


def _choices(options: argparse.Namespace, view: View) -> Choices:
    return Choices(
        force=options.force,
        sparse=Sparse.OFF if options.no_sparse else Sparse(options.sparse),
        preallocate=options.preallocate,
        on_error=OnError(options.on_error),
        hashes=_hashes(options.hash) if options.hash is not None else (),
        verify=options.verify,
        manifest=options.manifest,
        hash_sources=options.hash_sources,
        within=_range(options.range, view.size),
        split=_part_size(options.split) if options.split is not None else 0,
        device=options.force_device,
        keep=options.resume or not options.discard,
        resume=options.resume,
    )


def _hashes(text: str) -> tuple[str, ...]:
    names = [name for name in text.lower().replace("-", "").split(",") if name]
    for name in names or [text]:
        if name not in HASHES:
            raise BadAddress(f"--hash: “{name}” is unknown; known are {', '.join(HASHES)}")
    return tuple(dict.fromkeys(names))


def _part_size(text: str) -> int:
    size = _size("--split", text)
    if not size:
        raise BadAddress(f"--split {text}: parts of no bytes; write a size, for example 2GiB")
    return size


def _range(text: str | None, size: int) -> GuestRange | None:
    if text is None:
        return None
    low, colon, high = text.partition(":")
    start = _size("--range", low) if low else 0
    end = _size("--range", high) if high else size
    if not colon or not start < end <= size:
        raise BadAddress(f"--range {text}: write START:END, both at most {exact_size(size)}")
    return GuestRange(GuestOffset(start), GuestOffset(end))


def _size(option: str, text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise BadAddress(f"{option}: {error}") from None


def _command() -> tuple[str, ...]:
    return ("qcow2inspect", *sys.argv[1:])


def _dry_run(view: View, target: str, choices: Choices) -> int:
    with progress_bar() as progress:
        flight = preflight(view, target, choices=choices, progress=progress)
    for line in _plan_lines(flight):
        say(visible(line))
    if flight.problem is not None:
        raise flight.problem
    return 0


def _plan_lines(flight: Preflight) -> list[str]:
    plan = flight.plan
    lines = [
        f"output       {exact_size(plan.size)}",
        f"to copy      {exact_size(plan.plain)}",
        f"to inflate   {exact_size(plan.compressed)}",
        f"zeros        {exact_size(plan.size - plan.to_write - plan.unreadable)}",
        f"unreadable   {exact_size(plan.unreadable)}",
        f"past the end {exact_size(plan.past_end)}",
        f"absent       {exact_size(plan.absent)}",
        f"time         about {max(1, round(plan.seconds)):,} s",
    ]
    lines += [f"{'yes' if check.ok else 'NO ':<12} {check.text}" for check in flight.checks]
    return lines + [f"warning      {warning}" for warning in flight.warnings]


def _tell(result: ExportResult) -> None:
    for warning in result.warnings:
        warn(warning)
    for name, value in result.hashes.items():
        print(f"{name:<8} {value}", file=sys.stderr)
    rate = human_size(int(result.written / max(result.seconds, 1e-3)))
    done = f"{exact_size(result.size)}, {human_size(result.written)} of them written in {result.seconds:.1f} s"
    path = "standard output" if result.path == "-" else result.path
    print(visible(f"{path}: {done} ({rate}/s)"), file=sys.stderr)
    beside = [name for name in result.files if name != result.path]
    if beside:
        print(visible(f"also written: {shlex.join(beside)}"), file=sys.stderr)
