"""The same image through qemu-img and through the package, in a folder with the files that the seeds name.

Every qemu-img runs with limits on time and file size, and with the memory limit of the worker: hostile images make
it crash and hang.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from qcow2inspect.errors import CannotRead, Qcow2InspectError
from qcow2inspect.image.chain import Chain
from qcow2inspect.image.follow import open_chain
from qcow2inspect.image.gate import Follow, OpenGate
from qcow2inspect.image.image import Image
from qcow2inspect.reports.qemu import info_document, map_entries
from qcow2inspect.reports.qemu_check import check_document
from qcow2inspect.survey.survey import take_survey
from tests.fuzz.seeds import BASE_SIZE, PASSPHRASE
from tests.images import noise

WHOLE = 2 << 20
"""Disks up to this size are compared whole, with their maps; of larger ones the beginning is."""
FIRST = 1 << 18
IMAGE = "fuzzed.qcow2"
_ITERATIONS = 100_000
_WAIT = 90.0
"""Seconds of any time for one qemu-img; the limit on processor time comes first unless it sleeps."""
_LIMITS = 'ulimit -t 10; ulimit -f 1000000; ulimit -c 0; exec "$@"'
_NOT_COMPARED = ("actual-size", "filename", "full-backing-filename")


@dataclass(frozen=True)
class Answer:
    """What one side says to one question.

    Attributes:
        value: the answer; None if there is none.
        error: why there is none, in the words of that side.
        crashed: qemu-img ended by a signal.
    """

    value: Any = None
    error: str = ""
    crashed: bool = False

    @property
    def given(self) -> bool:
        return self.value is not None


@dataclass(frozen=True)
class Difference:
    """A question to which the two sides give different answers.

    Attributes:
        question: ``info``, ``check``, ``bytes`` or ``map`` for qemu-img; ``open``, ``read`` and the like for qemu-io.
        ours: what the package says.
        theirs: what QEMU says.
        at: the guest offset in question, if it is about one.
    """

    question: str
    ours: Answer
    theirs: Answer
    at: int | None = None

    def __str__(self) -> str:
        def side(answer: Answer) -> str:
            if answer.error:
                return f"refuses: {answer.error:.300}"
            return f"{len(answer.value)} bytes" if isinstance(answer.value, bytes) else f"{answer.value!s:.600}"

        where = "" if self.at is None else f" at {self.at:#x}"
        return f"{self.question}{where}: we: {side(self.ours)} | QEMU: {side(self.theirs)}"


class Oracle:
    """Compares images with QEMU in one folder.

    Args:
        folder: an empty folder; the files that seeds name are made in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / IMAGE
        (folder / "base.raw").write_bytes(noise(11, BASE_SIZE))
        (folder / "data.raw").write_bytes(noise(12, 60 << 10))

    def compare(self, data: bytes) -> list[Difference]:
        """Where the two sides differ about an image."""
        kind = kind_of(data)
        with self.ours(data) as ours:
            if ours.takes_too_long:
                return []
            theirs = Theirs(self.folder, kind, encrypted=ours.is_encrypted)
            pairs = [("info", ours.info(), theirs.info())]
            if kind == "qcow2" and (len(data) < 8 or data[7] in (2, 3)):
                pairs += [("check", ours.check(), theirs.check())]
            if ours.size <= WHOLE:
                pairs += [("bytes", ours.whole(), theirs.whole()), ("map", ours.map(), theirs.map())]
            else:
                pairs += [("bytes", ours.first(), theirs.first())]
        return [Difference(name, one, other) for name, one, other in pairs if not _same(one, other)]

    def ours(self, data: bytes) -> Ours:
        """Our side about an image, which now is the one in the folder."""
        self._path.write_bytes(data)
        return Ours(self._path)


def kind_of(data: bytes) -> str:
    """The name of the format for QEMU."""
    return "qcow" if data[4:8] == bytes([0, 0, 0, 1]) else "qcow2"


def _compared(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _NOT_COMPARED}


def _same(ours: Answer, theirs: Answer) -> bool:
    return ours.given == theirs.given and ours.value == theirs.value


class Ours:
    """The package's answers about the image at a path."""

    def __init__(self, path: Path) -> None:
        self._chain: Chain | None = None
        self._error = ""
        self.takes_too_long = False
        try:
            self._chain = open_chain(path, OpenGate(Follow.FOLDER))
            self._unlock(self._chain)
        except Qcow2InspectError as error:
            self._error = str(error)

    def _unlock(self, chain: Chain) -> None:
        luks = chain.top.luks if isinstance(chain.top, Image) else None
        if luks is not None and (
            luks.fields.mk_digest_iterations > _ITERATIONS or any(slot.iterations > _ITERATIONS for slot in luks.slots)
        ):
            self.takes_too_long = True
        elif self.is_encrypted:
            chain.unlock(PASSPHRASE)

    @property
    def is_encrypted(self) -> bool:
        return self._chain is not None and self._chain.is_encrypted

    @property
    def size(self) -> int:
        return int(self._chain.top.header.size) // 512 * 512 if self._chain else 0

    def info(self) -> Answer:
        if self._chain is None:
            return Answer(error=self._error)
        for obstacle in self._chain.top.obstacles:
            return Answer(error=f"{obstacle.code}: {obstacle.what}")
        document = info_document(self._chain.top)
        return Answer(_compared(document))

    def _ask_disk(self, question: Callable[[Chain], Any]) -> Answer:
        """An answer that needs guest data: none if a file is missing, as QEMU opens all before it reads a byte."""
        for missing in self._missing():
            return Answer(error=str(missing))
        return self._ask(question)

    def _ask(self, question: Callable[[Chain], Any]) -> Answer:
        if self._chain is None or self._error:
            return Answer(error=self._error)
        try:
            return Answer(question(self._chain))
        except CannotRead:
            raise
        except Qcow2InspectError as error:
            return Answer(error=f"{type(error).__name__}: {error}")

    def check(self) -> Answer:
        if self._chain is None:
            return Answer(error=self._error)
        check = take_survey(self._chain.qcow2).qemu
        document = check_document("", check)
        return Answer(error=check.failed) if check.failed else Answer(_compared(document))

    def disk(self) -> Answer:
        """The guest disk, to be read from."""
        return self._ask_disk(lambda chain: chain.disk())

    def _missing(self) -> Iterator[Qcow2InspectError]:
        layers = self._chain.layers if self._chain else []
        for layer in layers:
            if layer.end is not None:
                yield layer.end
            if isinstance(layer.data_file, Qcow2InspectError):
                yield layer.data_file

    def whole(self) -> Answer:
        return self._ask_disk(lambda chain: chain.disk().read_at(0, WHOLE))

    def first(self) -> Answer:
        return self._ask_disk(lambda chain: chain.disk().read_at(0, FIRST))

    def map(self) -> Answer:
        return self._ask_disk(lambda chain: list(map_entries(chain.disk(), [layer.image for layer in chain.layers])))

    def __enter__(self) -> Ours:
        return self

    def __exit__(self, *_: object) -> None:
        if self._chain is not None:
            self._chain.close()


@cache
def program() -> str:
    """Path of qemu-img; the fuzzer does not run without it."""
    found = shutil.which("qemu-img")
    assert found, "qemu-img is not installed (Debian: apt-get install qemu-utils)"
    return found


class Theirs:
    """QEMU's answers about the image in a folder."""

    def __init__(self, folder: Path, kind: str, *, encrypted: bool) -> None:
        self._folder = folder
        self._raw = folder / "by-qemu.raw"
        self._image: tuple[str, ...] = ("-f", kind, IMAGE)
        self._dd: tuple[str, ...] = ("-f", kind, f"if={IMAGE}")
        if encrypted:
            secret = ("--object", f"secret,id=key,data={PASSPHRASE.decode()}")
            options = f"driver={kind},file.filename={IMAGE},encrypt.key-secret=key"
            self._image = (*secret, "--image-opts", options)
            self._dd = (*secret, "--image-opts", f"if={options}")
        self._kind = kind

    def _run(self, *arguments: str) -> Answer:
        command = ["sh", "-c", _LIMITS, "sh", program(), *arguments]
        try:
            done = subprocess.run(command, cwd=self._folder, capture_output=True, timeout=_WAIT, check=False)
        except subprocess.TimeoutExpired:
            return Answer(error="qemu-img hangs", crashed=True)
        if done.returncode and not (arguments[0] == "check" and done.stdout.strip()):
            error = done.stderr.decode(errors="replace").replace(IMAGE, "…") or f"exit code {done.returncode}"
            return Answer(error=error, crashed=done.returncode >= 128 or done.returncode < 0)
        return Answer(done.stdout)

    def info(self) -> Answer:
        answer = self._run("info", "--output=json", "-f", self._kind, IMAGE)
        if not answer.given:
            return answer
        document = json.loads(answer.value.decode(errors="surrogateescape"))
        return Answer(_compared(document))

    def _bytes(self, answer: Answer) -> Answer:
        if not answer.given:
            return answer
        data = self._raw.read_bytes()
        self._raw.unlink()
        return Answer(data)

    def whole(self) -> Answer:
        return self._bytes(self._run("convert", *self._image, "-O", "raw", self._raw.name))

    def first(self) -> Answer:
        unit = 1 << 16
        return self._bytes(
            self._run("dd", *self._dd, "-O", "raw", f"bs={unit}", f"count={FIRST // unit}", f"of={self._raw.name}")
        )

    def map(self) -> Answer:
        answer = self._run("map", "--output=json", *self._image)
        return Answer(json.loads(answer.value)) if answer.given else answer

    def check(self) -> Answer:
        answer = self._run("check", "--output=json", *self._image)
        return Answer(_compared(json.loads(answer.value))) if answer.given else answer
