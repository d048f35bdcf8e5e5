"""How time and memory grow with size: `make bench`. Writes the graphs beside `RESULTS.md`.

Three things are measured: bundles of growing size, a bundle of ten thousand small images, and one of 20 GB that is
mostly holes, so that the disk has no part in it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.graph import Line, draw
from benchmarks.peers import skopeo_pack, skopeo_push
from benchmarks.scene import Bound, Most, Row, Scene, fill, machine, peak_of, registry, report, timed
from tests.support.bundles import pack_into
from tests.support.images import add_image, layer

from airgap import limits
from airgap.bundles.composition import Label, compose
from airgap.descriptors import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, hasher
from airgap.references import Reference
from airgap.stores import tar
from airgap.stores.memory import MemoryStore
from airgap.transfer.graph import walk

HERE = Path(__file__).parent
SIZES = (100, 200, 400, 800)  # MB
Points = dict[str, list[tuple[float, float]]]


def growing(work: Path) -> None:
    """Time and memory of pack, push and verify over size, and skopeo's time beside them."""
    seconds: Points = {}
    memory: Points = {}
    with registry(work / "source") as source:
        for megabytes in SIZES:
            scene = fill(Scene(source, work, 6), 4, megabytes, 4)
            measure_one(scene, megabytes, seconds, memory)
            shutil.rmtree(work / "skopeo")
    made = machine()
    times = tuple(Line(name, tuple(points)) for name, points in seconds.items())
    peaks = tuple(Line(name, tuple(points)) for name, points in memory.items())
    draw(HERE / "time.svg", "Time over size, start included", f"MB in four images; {made}", "seconds", times)
    draw(HERE / "memory.svg", "Largest resident set over size", f"MB in four images; {made}", "MiB", peaks)


def measure_one(scene: Scene, megabytes: int, seconds: Points, memory: Points) -> None:
    bundle = scene.work / "growing.tar"
    images = [word for name in scene.images for word in ("--image", name)]
    with registry(scene.work / "target") as target:
        for name, words in (
            ("pack", ("pack", *images, "-o", str(bundle))),
            ("push", ("push", str(bundle), f"{target}/ours")),
            ("verify", ("verify", str(bundle))),
        ):
            started = time.perf_counter()
            peak = peak_of(*words, "--quiet")
            seconds.setdefault(name, []).append((megabytes, time.perf_counter() - started))
            memory.setdefault(name, []).append((megabytes, peak / 1024))
        place = scene.work / "skopeo"
        place.mkdir()
        seconds.setdefault("skopeo + tar", []).append((megabytes, timed(lambda: skopeo_pack(scene, place))))
        seconds.setdefault("skopeo push", []).append(
            (megabytes, timed(lambda: skopeo_push(scene, place, f"{target}/skopeo")))
        )
    shutil.rmtree(scene.work / "target")
    bundle.unlink()
    print(f"  {megabytes} MB done", flush=True)


def many(work: Path, count: int) -> Iterator[Bound]:
    """A push of so many images into a registry that has none: how long until the plan is printed.

    Each name is asked for once, and a registry takes its time to say no. So our own work has the goal, and the whole
    stands beside as many bare questions.
    """
    bundle = work / "many.tar"
    write_many(bundle, count)
    with registry(work / "empty") as target:
        before, started = cpu_of_children(), time.perf_counter()
        peak = peak_of("push", "--dry-run", str(bundle), f"{target}/many")
        seconds = time.perf_counter() - started
        yield Most(f"plan of a push of {count:,} images, our own work", cpu_of_children() - before, 10, "s of CPU")
        yield Row("  in all, against as many bare HEAD requests", seconds, timed(lambda: heads(target, count)), None)
    yield Most("  largest resident set", peak / 1024, 300, "MiB")
    yield Most("  verify it: largest resident set", peak_of("verify", "--quiet", str(bundle)) / 1024, 300, "MiB")


def cpu_of_children() -> float:
    """Seconds of all programs that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def heads(host: str, count: int) -> None:
    """Ask for so many names, with as many workers as we have."""

    def ask(worker: int) -> None:
        with contextlib.closing(http.client.HTTPConnection(host)) as connection:
            for number in range(worker, count, limits.WORKERS):
                connection.request("HEAD", f"/v2/many/team-{number % 100}/app-{number}/manifests/1")
                connection.getresponse().read()

    with concurrent.futures.ThreadPoolExecutor(limits.WORKERS) as pool:
        list(pool.map(ask, range(limits.WORKERS)))


def write_many(path: Path, count: int) -> None:
    store, rng = MemoryStore(), random.Random(1)
    shared = [layer(rng.randbytes(2_000)) for _ in range(50)]
    names = [f"quay.io/team-{number % 100}/app-{number}:1" for number in range(count)]
    for number, name in enumerate(names):
        add_image(store, name, layers=[shared[number % 50], layer(b"%d" % number)])
    pack_into(path, store, [Reference.parse(name) for name in names])


def sparse(work: Path, gigabytes: int) -> Iterator[Most]:
    """Verify a bundle of holes: every byte is hashed all the same."""
    path = work / "sparse.tar"
    write_sparse(path, gigabytes)
    started = time.perf_counter()
    peak = peak_of("verify", "--quiet", str(path))
    rate = gigabytes / (time.perf_counter() - started)
    yield Most(f"verify {gigabytes} GB ({rate:.1f} GB/s): largest resident set", peak / 1024, 120, "MiB")
    path.unlink()


def write_sparse(path: Path, gigabytes: int) -> None:
    """One image whose layers are zeros of four different lengths."""
    sizes = [gigabytes * limits.GIB // 4 + number for number in range(4)]
    layers = [Descriptor(OCI_LAYER, digest, size) for size, digest in zip(sizes, zeros(sizes), strict=True)]
    store = MemoryStore()
    config = Descriptor.of(b"{}", OCI_CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.to_json(),
        "layers": [blob.to_json() for blob in layers],
    }
    manifest = json.dumps(document).encode()
    root = Descriptor.of(manifest, OCI_MANIFEST)
    name = Reference.parse("quay.io/large/image:1")
    store.blobs |= {root.digest: manifest, config.digest: b"{}"}
    store.tag(name, root, manifest)
    layout = compose(walk(store, [name]), {}, Label("sparse")).layout
    with path.open("wb") as file:
        file.truncate(layout.size)
        file.write(layout.leading)
        base = file.tell()
        for blob in layout.blobs:
            head = tar.header(blob.blob_path, blob.size)
            file.seek(base + layout.offsets[blob.digest] - len(head))
            file.write(head + store.blobs.get(blob.digest, b""))


def zeros(sizes: list[int]) -> Iterator[str]:
    """The digests of so many zeros, for growing sizes, in one pass."""
    fresh, done, chunk = hasher("sha256:"), 0, bytes(limits.CHUNK)
    for size in sizes:
        while done < size:
            step = min(len(chunk), size - done)
            fresh.update(chunk[:step])
            done += step
        yield f"sha256:{fresh.hexdigest()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--gigabytes", type=int, default=20)
    parser.add_argument("--work", type=Path, default=None, help="where files go (default: a temporary directory)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.work) as name:
        work = Path(name)
        print(machine())
        growing(work)
        failed = report(many(work, asked.images)) + report(sparse(work, asked.gigabytes))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
