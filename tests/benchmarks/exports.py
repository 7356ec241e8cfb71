"""Images to export, made by qemu-img out of what is installed on the machine."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

KEY = "swordfish"
SECRET = ["--object", f"secret,id=key,data={KEY}"]


def programs(path: Path, mebibytes: int) -> Path:
    """A raw disk full of what is installed here."""
    with path.open("wb") as file:
        tar = subprocess.Popen(
            ["tar", "cf", "-", "/usr/lib", "/usr/bin", "/usr/share"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert tar.stdout is not None
        while file.tell() < mebibytes << 20 and (data := tar.stdout.read(1 << 20)):
            file.write(data)
        tar.stdout.close()
        tar.wait()
        file.truncate(mebibytes << 20)
    return path


def _convert(raw: Path, image: Path, *options: str) -> Path:
    for _ in range(20):  # QEMU times its key derivation and gives up on a busy machine
        command: list[str | Path] = ["qemu-img", "convert", *SECRET, "-f", "raw", "-O", "qcow2", *options, raw, image]
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return image
    raise RuntimeError(f"qemu-img does not make {image}")


def _written(image: Path, commands: list[str]) -> Path:
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "--cache=unsafe", image],
        input="\n".join([*commands, "quit", ""]).encode(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return image


def fragmented(image: Path, mebibytes: int) -> Path:
    """Clusters written in random order."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, f"{mebibytes}M"], check=True)
    order = list(range(mebibytes * 16))
    random.Random(1).shuffle(order)
    return _written(image, [f"write -q -P {1 + at % 255} {at << 16} 65536" for at in order])


def chain(raw: Path, folder: Path) -> Path:
    """Five layers; each overlay holds a tenth of the clusters."""
    rng, clusters = random.Random(2), raw.stat().st_size >> 16
    below = _convert(raw, folder / "layer0.qcow2")
    for number in range(1, 5):
        image = folder / f"layer{number}.qcow2"
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", below.name, "-F", "qcow2", str(image)]
        subprocess.run(create, check=True)
        places = [rng.randrange(clusters) << 16 for _ in range(clusters // 10)]
        below = _written(image, [f"write -q -P {number} {at} 65536" for at in places])
    return below


def extended(image: Path, mebibytes: int) -> Path:
    """Extended L2 entries, half of the subclusters written one by one."""
    options = ["-o", "extended_l2=on,cluster_size=128k"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, image, f"{mebibytes}M"], check=True)
    rng, count = random.Random(3), mebibytes * 256
    places = [rng.randrange(count) << 12 for _ in range(count // 4)]
    runs = [at << 20 for at in range(0, mebibytes, 2)]
    commands = [f"write -q -P {at >> 20 & 255} {at} 1M" for at in runs]
    return _written(image, commands + [f"write -q -P {1 + at % 251} {at} 4096" for at in places])


def files_of(image: Path) -> list[Path]:
    """The files that an image consists of."""
    return sorted(image.parent.glob("layer*.qcow2")) if image.name.startswith("layer") else [image]


_INFLATED = 1024
"""Mebibytes from which on nothing is inflated: it takes long, and the ratio is that of the smaller disk."""


def images(folder: Path, mebibytes: int) -> Iterator[tuple[str, Path, float]]:
    """Name, image, and the ratio that is the goal; an image may be removed when the next is asked for."""
    raw = programs(folder / "programs.raw", mebibytes)
    makers: list[tuple[str, float, Callable[[], Path]]] = [
        ("zlib", 0.6, lambda: _convert(raw, folder / "zlib.qcow2", "-c", "-W", "-m", "16")),
        ("zstd", 1.0, lambda: _convert(raw, folder / "zstd.qcow2", "-c", "-o", "compression_type=zstd")),
        ("plain", 0.8, lambda: _convert(raw, folder / "plain.qcow2")),
        ("fragmented", 0.8, lambda: fragmented(folder / "fragmented.qcow2", mebibytes)),
        ("chain of five", 0.8, lambda: chain(raw, folder)),
        ("extended L2", 1.0, lambda: extended(folder / "extended.qcow2", mebibytes)),
        ("LUKS", 1.0, lambda: _convert(raw, folder / "luks.qcow2", "-o", LUKS)),
    ]
    for name, goal, make in makers[2 if mebibytes > _INFLATED else 0 :]:
        yield name, make(), goal


LUKS = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=100"


def source_options(name: str, image: Path) -> list[str]:
    """How qemu-img is told of an image."""
    if name != "LUKS":
        return ["-f", "qcow2", str(image)]
    return ["--image-opts", f"driver=qcow2,file.filename={image},encrypt.key-secret=key"]
