"""What the benchmarks share: registries with images made here, a stopwatch, and the rows they print.

The images are random layers (nothing to gain from compression) with small configs. What our program takes to start,
measured as a run that ends before anything is moved, is left out of our times: it does not grow with what is moved.
The others' starts are left in.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tests.support.registry import serving_registry

from airgap.descriptors import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor

CHUNK = 1 << 20
PLAIN = ("--plain-http", "127.0.0.1:1")  # else the start would have the reading of certificates in it


@dataclass(frozen=True)
class Scene:
    """A registry with images, and where files may go.

    Attributes:
        images: names by tag.
        pinned: the same by digest.
        blobs: repository, blob.
    """

    source: str
    work: Path
    workers: int
    images: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    blobs: tuple[tuple[str, Descriptor], ...] = ()

    @property
    def megabytes(self) -> float:
        return sum(blob.size for _, blob in self.blobs) / 1e6


class Bound(Protocol):
    """A measurement with its goal."""

    @property
    def holds(self) -> bool: ...


@dataclass(frozen=True)
class Row:
    """Their time by ours."""

    what: str
    ours: float  # seconds, without the start
    theirs: float
    goal: float | None  # ours must be at least so many times as fast; of some we only want to know

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    @property
    def holds(self) -> bool:
        return self.goal is None or self.ratio >= self.goal

    def __str__(self) -> str:
        verdict = "" if self.goal is None else f"  (goal {self.goal}) {'holds' if self.holds else 'MISSED'}"
        return f"{self.what:58} {self.theirs:7.2f} s / {self.ours:6.3f} s = {self.ratio:6.2f}{verdict}"


@dataclass(frozen=True)
class Most:
    """Something that must not be larger than its bound."""

    what: str
    value: float
    most: float
    unit: str

    @property
    def holds(self) -> bool:
        return self.value <= self.most

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "MISSED"
        return f"{self.what:58} {self.value:10.2f} {self.unit:12} (at most {self.most:g}) {verdict}"


@contextmanager
def registry(directory: Path) -> Iterator[str]:
    """A plain distribution registry on a free port."""
    directory.mkdir(parents=True)
    with serving_registry(directory) as running:
        yield running.host


def fill(scene: Scene, count: int, megabytes: int, layers: int, *, changed: bool = False) -> Scene:
    """The scene with `count` images of random layers; if `changed`, the last once more with another last layer."""
    rng = random.Random(count)
    names, pinned, blobs = [], [], []
    size = megabytes * 1_000_000 // count // layers
    parts: list[bytes] = []
    for number in range(count + changed):
        repository = f"bench/of-{count}-{number:02d}" + ("-changed" if number == count else "")
        parts = [*parts[:-1], rng.randbytes(size)] if number == count else [rng.randbytes(size) for _ in range(layers)]
        found, manifest = add(scene.source, repository, parts)
        names.append(f"{scene.source}/{repository}:1")
        pinned.append(f"{scene.source}/{repository}@{manifest.digest}")
        blobs += [(repository, blob) for blob in found]
    return replace(scene, images=tuple(names), pinned=tuple(pinned), blobs=tuple(blobs))


def add(host: str, repository: str, parts: list[bytes]) -> tuple[list[Descriptor], Descriptor]:
    """Push one image; its blobs and its manifest."""
    layers = [upload(host, repository, data, OCI_LAYER) for data in parts]
    diff_ids = [layer.digest for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    configured = upload(host, repository, json.dumps(config).encode(), OCI_CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": configured.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    data = json.dumps(document).encode()
    send(f"http://{host}/v2/{repository}/manifests/1", data, OCI_MANIFEST)
    return [*layers, configured], Descriptor.of(data, OCI_MANIFEST)


def upload(host: str, repository: str, data: bytes, media_type: str) -> Descriptor:
    descriptor = Descriptor.of(data, media_type)
    start = urllib.request.Request(f"http://{host}/v2/{repository}/blobs/uploads/", b"", method="POST")
    with urllib.request.urlopen(start) as answer:
        location = answer.headers["Location"]
    send(f"{location}&digest={descriptor.digest}", data, "application/octet-stream")
    return descriptor


def send(url: str, data: bytes, media_type: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": media_type}, method="PUT")):
        pass


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


PEAK = {"ours": 0}


def ours(*arguments: str) -> None:
    """Run our command, and note the largest resident set that any run of it had (in KiB)."""
    PEAK["ours"] = max(PEAK["ours"], peak_of(*arguments))


def peak_of(*arguments: str) -> int:
    """Run our command; its largest resident set in KiB (what `wait4` says has ours in it, from before the exec)."""
    program, peak = Path(sys.executable).with_name("kubectl-airgap"), 0
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen([str(program), *arguments], stdout=subprocess.DEVNULL, stderr=words)
        while process.poll() is None:
            with contextlib.suppress(OSError, StopIteration, IndexError):
                status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                peak = max(peak, next(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
            time.sleep(0.01)
        if process.returncode:
            words.seek(0)
            sys.exit(words.read().decode())
    return peak


def best(times: int, action: Callable[[], object]) -> float:
    """The fastest of several runs: on a busy machine the others measure the neighbours."""
    return min(timed(action) for _ in range(times))


def start_of(times: int, *arguments: str) -> float:
    """How long a command takes that ends before anything is moved: at a refused connection, or a missing file."""
    program = str(Path(sys.executable).with_name("kubectl-airgap"))
    return best(times, lambda: subprocess.run([program, *arguments], capture_output=True, check=False))


def machine() -> str:
    """The machine, as far as it matters to a ratio."""
    return f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def report(rows: Iterable[Bound]) -> int:
    """Print rows as they come; how many goals were missed."""
    missed = 0
    for row in rows:
        print(row, flush=True)
        missed += not row.holds
    return missed
