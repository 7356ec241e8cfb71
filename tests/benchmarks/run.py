"""Benchmarks: ours and the peer in turn in one run, ratios of medians; prints the table that stands in README.md.

``python tests/benchmarks/run.py [--quick] [NAME ...]``; every name is a function ``bench_NAME`` below. Figures of
different machines do not compare, ratios of one run do.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import busy, checks, converts, panes, terminal  # noqa: E402 - a script finds its package only now
from tests.benchmarks.measure import ENV, OURS, Row, compile_sources, in_memory  # noqa: E402 - the same
from tests.benchmarks.metadata import Mapped  # noqa: E402 - the same


def wall(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=ENV, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def first_line(command: list[str]) -> float:
    """Seconds until the first line of output."""
    start = time.perf_counter()
    with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - start
        process.stdout.read()
    return seconds


def in_turn(ours: Callable[[], float], peer: Callable[[], float], runs: int) -> tuple[float, float]:
    """Medians of both, measured A B A B after one warm-up each."""
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def sparse_image(path: Path, size: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), size], check=True)
    return path


def plain_image(path: Path, mebibytes: int) -> Path:
    """An image full of noise, written by qemu-img."""
    raw = path.with_suffix(".source")
    noise = random.Random(7)
    with raw.open("wb") as file:
        for _ in range(mebibytes):
            file.write(noise.randbytes(1 << 20))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)], check=True)
    raw.unlink()
    return path


def bench_header(folder: Path, runs: int) -> Iterator[Row]:
    """Header facts beyond the start of the interpreter."""
    for size in ("1M", "16T"):
        image = sparse_image(folder / f"{size}.qcow2", size)
        ours, peer = in_turn(
            lambda image=image: first_line([*OURS, "info", str(image)]),  # type: ignore[misc]
            lambda: first_line([sys.executable, "-c", "print(1)"]),
            runs * 3,
        )
        beyond = f"{(ours - peer) * 1e3:.0f} ms beyond"
        yield Row(
            f"info: header facts, {size}iB disk",
            f"{ours * 1e3:.0f} ms",
            f"python {peer * 1e3:.0f} ms",
            beyond,
            "< 50 ms",
        )


def bench_export(folder: Path, runs: int) -> Iterator[Row]:
    """Export of every kind of image beside qemu-img convert."""
    with in_memory(folder) as place:
        for mebibytes in (256, 1024, 3072):  # of the small one a third is the start of Python
            yield from converts.export_rows(place, folder, mebibytes, runs)
    yield converts.empty_row(sparse_image(folder / "empty.qcow2", "15T"), folder / "ours.raw", runs)


def bench_create(folder: Path, runs: int) -> Iterator[Row]:
    """Making compressed images beside qemu-img convert -c."""
    with in_memory(folder) as place:
        yield from converts.create_rows(place, 64 if runs < 5 else 256, runs)


def bench_screen(folder: Path, runs: int) -> Iterator[Row]:
    """First screen, key to paint and memory of the interface, in a pseudo terminal of 200x60."""
    for size in ("1M", "16T"):
        image = sparse_image(folder / f"screen-{size}.qcow2", size)
        first = statistics.median(terminal.first_screen([*OURS, str(image)], ENV) for _ in range(runs * 2))
        peer = statistics.median(
            wall([sys.executable, "-c", "import textual.app, textual.screen, textual.widgets"]) for _ in range(runs)
        )
        yield Row(
            f"first screen, {size}iB disk",
            f"{first * 1e3:.0f} ms",
            f"import textual {peer * 1e3:.0f} ms",
            f"{first / peer:.2f}",
            "< 300 ms",
        )
        keys = terminal.keys([*OURS, str(image)], ENV)
        yield Row(
            f"key to paint, {size}iB disk",
            f"{keys.latency * 1e3:.0f} ms",
            f"p95 {keys.p95 * 1e3:.0f} ms",
            "-",
            "< 35 ms",
        )
        yield Row(f"memory of the interface, {size}iB disk", f"{keys.rss >> 20} MiB", "-", "-", "< 150 MB")


def bench_map(folder: Path, runs: int) -> Iterator[Row]:
    """Memory of the map of 16.7 M clusters in every colouring and both orders, and what the survey alone holds."""
    rest = 4.0 if runs < 5 else 8.0
    with in_memory(folder) as place:
        large = Mapped(1 << 40).write(place / "large.qcow2")
        small = Mapped(1 << 20).write(place / "small.qcow2")
        ready = "all tables read"
        base = terminal.memory([*OURS, str(small)], ENV, "2", ready=ready, rest=rest)[-1]
        explored, *maps = terminal.memory([*OURS, str(large)], ENV, "2" + _MAP_KEYS, ready=ready, rest=rest)[1:]
    survey = max(0, explored.rest - base.rest)
    yield Row("memory of a survey of 16.7 M clusters", f"{survey / M:.1f} MiB", "-", "-", "-")
    goal = 64 * M + (1 << 24) + survey
    for (what, _), found in zip(_MAPS, maps, strict=True):
        said = f"<= {goal / M:.0f} MiB: {'met' if found.rest <= goal else 'missed'}"
        row = f"memory of the map of 16.7 M clusters, {what}"
        yield Row(row, f"{found.rest / M:.0f} MiB", f"peak {found.peak / M:.0f} MiB", "-", said)


M = 1 << 20
_MAPS = (
    ("type", "3"),
    ("refcount", "t"),
    ("snapshot", "t"),
    ("entropy", "t"),
    ("type again", "t"),
    ("guest order, type", "s"),
    ("guest order, refcount", "t"),
    ("guest order, snapshot", "t"),
    ("guest order, entropy", "t"),
)
"""What the map shows, and the key that asks for it."""
_MAP_KEYS = "".join(key for _, key in _MAPS)


def bench_busy(folder: Path, runs: int) -> Iterator[Row]:
    """Key latency and cancelling while the interface exports, checks and searches."""
    with in_memory(folder) as place:
        yield from busy.rows(place, quick=runs < 5)


def bench_panes(folder: Path, runs: int) -> Iterator[Row]:
    """CPU time of keys in the hex pane and of the map, at 200x60."""
    del runs
    small = panes.pane_costs(folder, 1 << 20)
    large = panes.pane_costs(folder, 10**12)
    for name, one, other, goal in (
        ("cursor move", small.move, large.move, "<= 16 ms"),
        ("page", small.page, large.page, "<= 35 ms"),
    ):
        row = f"{name} on 10^12 bytes, CPU"
        yield Row(row, f"{other * 1e3:.1f} ms", f"on 1 MiB {one * 1e3:.1f} ms", f"{other / one:.2f}", goal)
    costs = panes.map_costs(16_777_216)
    for name, seconds in costs.redraw.items():
        yield Row(f"map of 16.7 M clusters, {name}, CPU", f"{seconds * 1e3:.0f} ms", "-", "-", "<= 150 ms")
    yield Row("strip beside the bytes, its part of a page, CPU", f"{costs.key * 1e3:.2f} ms", "-", "-", "<= 1 ms")
    made = f"{costs.strip * 1e3:.0f} ms"
    yield Row("strip beside the bytes, made once for 16.7 M clusters, CPU", made, "-", "-", "in a thread")


def bench_random(folder: Path, runs: int) -> Iterator[Row]:
    """Random reads of 4 KiB beside other readers, which are installed into an environment of their own."""
    mebibytes, count = (128, 2000) if runs < 5 else (1024, 10000)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    others = str(folder / "venv" / "bin" / "python")
    wanted = ["libqcow-python", "dissect.hypervisor"]
    subprocess.run([others, "-m", "pip", "install", "-q", *wanted], check=True, stderr=subprocess.DEVNULL)
    plain = plain_image(folder / "plain.qcow2", mebibytes)
    packed = folder / "packed.qcow2"
    subprocess.run(["qemu-img", "convert", "-c", "-O", "qcow2", str(text_disk(folder, 64)), str(packed)], check=True)
    for image in (plain, packed):
        ours, digest = _random(sys.executable, "ours", image, count, runs)
        for name in ("pyqcow", "dissect"):
            theirs, other = _random(others, name, image, count, runs)
            remark = "" if other == digest else ", other bytes!"
            what = f"{count} random reads of 4 KiB, {image.stem}"
            yield Row(what, f"{ours:.2f} s", f"{name} {theirs:.2f} s{remark}", f"{ours / theirs:.2f}", "<= 1.0")


def _random(python: str, name: str, image: Path, count: int, runs: int) -> tuple[float, str]:
    script = str(Path(__file__).with_name("random_reads.py"))
    found = []
    for _ in range(max(1, runs // 2)):
        done = subprocess.run(
            [python, script, name, str(image), str(count)], env=ENV, check=True, capture_output=True, text=True
        )
        found.append(done.stdout.split())
    return statistics.median(float(seconds) for seconds, _ in found), found[0][1]


def text_disk(folder: Path, mebibytes: int) -> Path:
    """A raw disk that compresses to about a third."""
    raw = folder / "text.source"
    chance = random.Random(5)
    words = [chance.randbytes(chance.randrange(3, 12)) for _ in range(3000)]
    with raw.open("wb") as file:
        while file.tell() < mebibytes << 20:
            file.write(b"".join(chance.choices(words, k=20000)))
        file.truncate(mebibytes << 20)
    return raw


def bench_check(folder: Path, runs: int) -> Iterator[Row]:
    """The consistency check against qemu-img check: whole processes, wall and CPU seconds and memory of both."""
    small, empty = sparse_image(folder / "small.qcow2", "1M"), sparse_image(folder / "empty.qcow2", "64T")
    with in_memory(folder) as place:
        yield from checks.rows(place, empty, small, runs)


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | ours | compared with | ratio | goal |", "|---|---|---|---|---|"]
    lines += [f"| {row.what} | {row.ours} | {row.peer} | {row.ratio} | {row.goal} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    benches = {name.removeprefix("bench_"): value for name, value in globals().items() if name.startswith("bench_")}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*benches, []], help="which; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer runs on smaller images")
    options = parser.parse_args()
    compile_sources()
    rows: list[Row] = []
    for name in options.names or benches:
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR")))
        try:
            rows += benches[name](folder, 3 if options.quick else 7)
        finally:
            shutil.rmtree(folder)
    busy = f"{os.getloadavg()[0]:.1f} processes at work on {os.cpu_count()} processors"
    print(f"Whole processes, with compiled byte code as an installed program has it; {busy}.\n")
    print(table(rows))


if __name__ == "__main__":
    main()
