"""How verbs open an image: which of the files it names may be opened, which passphrase, which state of the disk."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qcow2inspect.cli.common import assumed_of, progress_bar, warn
from qcow2inspect.errors import BadAddress, CannotRead, NeedsKey, Qcow2InspectError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.gate import OpenGate
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.view import View

__all__ = [
    "add_data",
    "add_following",
    "add_key",
    "add_snapshot",
    "add_states",
    "chosen_view",
    "first_layer",
    "gate_of",
    "given_passphrase",
    "guest_disk",
    "opened",
    "reads_on",
    "unlock",
]

_LONGEST = 1 << 20


def add_following(parser: argparse.ArgumentParser) -> None:
    """``--follow`` and ``--backing``."""
    group = parser.add_argument_group("files that the image names (backing files, external data files)")
    text = "open none of them (the default); regular files below the image's own folder; any regular file"
    group.add_argument("--follow", choices=["none", "folder", "any"], default="none", help=text)
    text = "where the file that an image calls NAME lies now; may be repeated"
    group.add_argument("--backing", metavar="NAME=PATH", action="append", default=[], help=text)


def add_snapshot(parser: argparse.ArgumentParser) -> None:
    """``--snapshot``."""
    parser.add_argument("--snapshot", metavar="ID|NAME", help="this snapshot instead of the active state")


def add_data(parser: argparse.ArgumentParser, *, key: bool = True) -> None:
    """What reading guest data needs: files, passphrase, and what to do about what is missing."""
    add_following(parser)
    if key:
        add_key(parser)
    group = parser.add_argument_group("images that are not whole")
    text = "guest data that lies in a backing file that is not there: stop (the default), or zeros, each range named"
    group.add_argument("--missing", choices=["fail", "zero"], default="fail", help=text)
    text = "read on where QEMU refuses the image for something that guest data does not depend on"
    group.add_argument("--lenient", action="store_true", help=text)


def add_key(parser: argparse.ArgumentParser) -> None:
    """``--passphrase-file`` and ``--passphrase-fd``."""
    group = parser.add_argument_group("encrypted images; without these the passphrase is asked for on a terminal")
    text = "file with the passphrase; all its bytes count, as in QEMU"
    group.add_argument("--passphrase-file", metavar="FILE", help=text)
    group.add_argument("--passphrase-fd", metavar="N", type=int, help="open file descriptor with the passphrase")


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[Chain]:
    """The image of the options with the files it names, as far as the options allow it."""
    from qcow2inspect.evidence import protect, release
    from qcow2inspect.image.follow import open_chain
    from qcow2inspect.source.shield import require_apart

    with open_chain(options.image, gate_of(options), assumed_of(options)) as chain:
        names = {name for layer in chain.layers for file in layer.named for name in (file.text, file.stored)}
        for text in options.backing:
            if not _splits(text).keys() & names:
                warn(f"--backing {text}: no file of this chain is called that")
        evidence = chain.evidence  # files that the image names and nobody opened are evidence too
        require_apart(f"{options.image}, or a file that it names,", evidence)
        protect(evidence)
        try:
            yield chain
        finally:
            release(evidence)


def gate_of(options: argparse.Namespace) -> OpenGate:
    """What the options of :func:`add_following` allow.

    Raises:
        BadAddress: ``--backing`` is not written as it must be.
    """
    from qcow2inspect.image.gate import Follow, OpenGate

    places: dict[str, str] = {}
    for text in options.backing:
        splits = _splits(text)
        if not splits:
            raise BadAddress(f"--backing {text}: write NAME=PATH, the name as it stands in the image")
        places |= splits
    return OpenGate(Follow(options.follow), places)


def _splits(text: str) -> dict[str, str]:
    """All that ``NAME=PATH`` may mean, name to path: both may hold equals signs, and the image knows its names."""
    return {text[:at]: text[at + 1 :] for at in range(1, len(text) - 1) if text[at] == "="}


def guest_disk(options: argparse.Namespace, chain: Chain, *, key: bool = True) -> View:
    """The disk that the options ask for, unlocked if it is encrypted, ``key`` says so, and a passphrase can be had.

    Raises:
        BadAddress: there is no such snapshot.
        Damaged: QEMU refuses the image for its header.
        NeedsKey: the passphrase is wrong.
    """
    _prepare(options, chain, key=key)
    snapshot = getattr(options, "snapshot", None)
    return chain.disk(snapshot, lenient=reads_on(options), absent_as_zero=options.missing == "zero")


def _prepare(options: argparse.Namespace, chain: Chain, *, key: bool) -> None:
    """What every view needs first: a word about what ``--lenient`` passes over, and the key."""
    for layer in chain.layers:
        if layer.stated and layer.stated != layer.format and {layer.stated, layer.format} <= {"qcow", "qcow2"}:
            warn(f"{layer.name} is stated to be {layer.stated} and is read as {layer.format}, as its magic says")
    for layer in chain.layers if reads_on(options) else ():
        for obstacle in getattr(layer.image, "obstacles", ()):
            warn(f"{layer.name}: {obstacle.place}: {obstacle.what}; QEMU refuses the image")
    if key:
        unlock(options, chain)


def add_states(parser: argparse.ArgumentParser) -> None:
    """Which bytes: the active state, a snapshot, its VM state, what one layer holds, or what no guest sees."""
    add_snapshot(parser)
    parser.add_argument(
        "--vm-state", action="store_true", help="the VM state (RAM) of the snapshot instead of its disk"
    )
    text = "what one file of the chain holds: 0 the image, 1 its backing file, ...; the rest reads as zeros"
    parser.add_argument("--layer", metavar="N", type=int, help=text)
    text = "bytes that no guest sees, one after the other: a kind that “check --deep” lists, for example free"
    parser.add_argument("--residue", metavar="KIND", help=text)


def chosen_view(options: argparse.Namespace, chain: Chain, *, key: bool = True) -> View:
    """The view that the options of :func:`add_states` and :func:`add_data` ask for; see :func:`guest_disk`."""
    if options.residue is not None:
        if options.layer is not None or options.vm_state or options.snapshot is not None:
            raise BadAddress("--residue takes all of the image file: give no --layer, --snapshot or --vm-state")
        return _residue(options.residue, chain.qcow2)
    if options.layer is None and not options.vm_state:
        return guest_disk(options, chain, key=key)
    if options.vm_state:
        if options.snapshot is None or options.layer is not None:
            raise BadAddress("--vm-state needs --snapshot, which says whose, and no --layer")
        _prepare(options, chain, key=key)
        return chain.vm_state(options.snapshot, lenient=reads_on(options))
    if options.snapshot is not None:
        raise BadAddress("give either --layer or --snapshot")
    if not 0 <= options.layer < len(chain.layers):
        end = f"; the chain ends there: {chain.end.what}" if chain.end else ""
        raise BadAddress(f"there is no layer {options.layer}, the last is {len(chain.layers) - 1}{end}")
    _prepare(options, chain, key=key)
    return chain.layer_disk(options.layer, lenient=reads_on(options))


def _residue(kind: str, image: Image) -> View:
    """What a deep look at an image finds of one kind.

    Raises:
        BadAddress: there is no such kind, or the image has nothing of it.
    """
    from qcow2inspect.survey.deep import look_deep
    from qcow2inspect.survey.residues import KINDS
    from qcow2inspect.survey.survey import take_survey

    if kind not in KINDS:
        raise BadAddress(f"--residue: “{kind}” is no kind of residue; there are {', '.join(KINDS)}")
    with progress_bar() as progress:
        found = {residue.name: residue for residue in look_deep(take_survey(image, progress), progress).residues}
    if kind not in found:
        raise BadAddress(f"{image.name} has nothing of {kind}: {KINDS[kind]}; it has {', '.join(found) or 'none'}")
    if not found[kind].is_whole:
        warn(f"{kind}: the first {len(found[kind].ranges):,} of {found[kind].count:,} ranges only")
    return found[kind].view(image)


def reads_on(options: argparse.Namespace) -> bool:
    """True if what QEMU refuses an image for shall not stop us as long as guest data does not depend on it."""
    return options.lenient or bool(getattr(options, "assume", ())) or getattr(options, "on_error", "") == "best"


def first_layer(options: argparse.Namespace) -> int:
    """The layer of the chain that the extents of :func:`chosen_view` call 0."""
    return options.layer or 0


def unlock(options: argparse.Namespace, chain: Chain) -> None:
    """Give the chain its key, if it needs one and one can be had.

    Raises:
        NeedsKey: the passphrase is wrong.
        CannotRead: the passphrase cannot be read.
    """
    if not chain.is_encrypted:
        return
    passphrase = _passphrase(options, chain)
    if passphrase is None:
        return
    bare = passphrase.removesuffix(b"\n").removesuffix(b"\r")
    with progress_bar() as progress:
        try:
            chain.unlock(passphrase, progress)
        except NeedsKey:
            # A passphrase file is taken as it is, as QEMU takes it; but editors end files with a line end.
            if bare == passphrase:
                raise
            chain.unlock(bare, progress)
    for layer in chain.layers:
        if isinstance(layer.cipher, Qcow2InspectError):
            warn(f"{layer.name}: {layer.cipher}")
        elif layer.cipher is not None and not layer.cipher.counts_host_sectors:
            line_end = "" if bare == passphrase else "; the line end of the passphrase counts too"
            warn(f"{layer.name}: a legacy AES key cannot be verified: a wrong passphrase gives noise{line_end}")


def given_passphrase(options: argparse.Namespace) -> bytes | None:
    """The passphrase of ``--passphrase-file`` or ``--passphrase-fd``; None if there is neither.

    Raises:
        BadAddress: there are both.
        CannotRead: it cannot be read.
    """
    if options.passphrase_file is not None and options.passphrase_fd is not None:
        raise BadAddress("give either --passphrase-file or --passphrase-fd")
    if options.passphrase_file is not None:
        return _read_passphrase(options.passphrase_file, options.passphrase_file)
    if options.passphrase_fd is not None:
        return _read_passphrase(options.passphrase_fd, f"file descriptor {options.passphrase_fd}")
    return None


def _passphrase(options: argparse.Namespace, chain: Chain) -> bytes | None:
    """The passphrase as given; asked for where a person sits, else None."""
    given = given_passphrase(options)
    if given is not None:
        return given
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return None
    import getpass

    names = ", ".join(layer.name for layer in chain.layers if layer.is_encrypted)
    try:
        return os.fsencode(getpass.getpass(f"passphrase of {names}: ", sys.stderr))
    except EOFError:
        raise NeedsKey("no passphrase was typed", hint="give --passphrase-file FILE") from None


def _read_passphrase(file: str | int, shown: str) -> bytes:
    """All bytes, with the line end if there is one."""
    try:
        os.stat(file)  # a number that can be no descriptor is told apart here
        with open(file, "rb") as stream:
            data = stream.read(_LONGEST + 1)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "there is none of that number"
        raise CannotRead(f"{shown}: the passphrase cannot be read: {why}", hint="check the path") from None
    if len(data) > _LONGEST:
        raise CannotRead(f"{shown} holds more than {_LONGEST:,} bytes: no passphrase", hint="check the path")
    return data
