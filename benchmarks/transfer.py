"""Pack and push against skopeo and curl, as ratios within one run: `make bench`.

The images are made here: random layers (nothing to gain from compression), small configs. Every contender moves the
same content between registries on loopback; a push goes into a registry that has nothing. What our program takes to
start, measured as a run that ends before anything is moved, is left out of our times: it does not grow
with what is moved. The others' starts are left in.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airgap.descriptors import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor

CHUNK = 1 << 20
PLAIN = ("--plain-http", "127.0.0.1:1")  # else the start would have the reading of certificates in it


@dataclass(frozen=True)
class Scene:
    """A registry with images, and where files may go."""

    source: str
    images: tuple[str, ...]
    blobs: tuple[tuple[str, Descriptor], ...]  # repository, blob
    work: Path
    workers: int

    @property
    def megabytes(self) -> float:
        return sum(blob.size for _, blob in self.blobs) / 1e6


@dataclass(frozen=True)
class Row:
    what: str
    ours: float  # seconds, without the start
    theirs: float
    goal: float  # ours must be at least so many times as fast

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    @property
    def holds(self) -> bool:
        return self.ratio >= self.goal


@contextmanager
def registry(directory: Path) -> Iterator[str]:
    """A plain distribution registry on a free port."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.support.registry import serving_registry

    directory.mkdir(parents=True)
    with serving_registry(directory) as running:
        yield running.host


def fill(
    host: str, count: int, megabytes: int, layers: int
) -> tuple[tuple[str, ...], tuple[tuple[str, Descriptor], ...]]:
    """Push `count` images of random layers; returns their names and their blobs."""
    rng = random.Random(7)
    names, blobs = [], []
    for number in range(count):
        repository = f"bench/image-{number:02d}"
        sizes = [megabytes * 1_000_000 // count // layers] * layers
        parts = [rng.randbytes(size) for size in sizes]
        descriptors = [upload(host, repository, data, OCI_LAYER) for data in parts]
        diff_ids = [descriptor.digest for descriptor in descriptors]
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        configured = upload(host, repository, json.dumps(config).encode(), OCI_CONFIG)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": configured.to_json(),
            "layers": [descriptor.to_json() for descriptor in descriptors],
        }
        send(f"http://{host}/v2/{repository}/manifests/1", json.dumps(manifest).encode(), OCI_MANIFEST)
        names.append(f"{host}/{repository}:1")
        blobs += [(repository, descriptor) for descriptor in (*descriptors, configured)]
    return tuple(names), tuple(blobs)


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
    """Run our command, and note the largest resident set it ever had (in KiB)."""
    program = Path(sys.executable).with_name("kubectl-airgap")
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen([str(program), *arguments], stdout=subprocess.DEVNULL, stderr=words)
        while process.poll() is None:
            with contextlib.suppress(OSError, StopIteration, IndexError):
                status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
                PEAK["ours"] = max(PEAK["ours"], peak)
            time.sleep(0.01)
        if process.returncode:
            words.seek(0)
            sys.exit(words.read().decode())


def pack(scene: Scene, bundle: Path) -> None:
    bundle.unlink(missing_ok=True)
    images = [word for name in scene.images for word in ("--image", name)]
    ours("pack", "--quiet", "-j", str(scene.workers), *images, "-o", str(bundle))


def skopeo_and_tar(scene: Scene) -> None:
    """What people do today: copy one image after another into a layout, then make a tar of it."""
    layout = scene.work / "skopeo-layout"
    for name in scene.images:
        short = name.rpartition("/")[2]
        run("skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{name}", f"oci:{layout}:{short}")
    run("tar", "-cf", str(scene.work / "skopeo.tar"), "-C", str(layout), ".")
    shutil.rmtree(layout)
    (scene.work / "skopeo.tar").unlink()


def skopeo_push(scene: Scene, target: str) -> None:
    for name in scene.images:
        short = name.rpartition("/")[2]
        place = f"docker://{target}/skopeo/{short}"
        run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{scene.work}/pushed:{short}", place)


def skopeo_layout(scene: Scene) -> None:
    for name in scene.images:
        short = name.rpartition("/")[2]
        run(
            "skopeo",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            f"docker://{name}",
            f"oci:{scene.work}/pushed:{short}",
        )


def bare_download(scene: Scene) -> None:
    """The ceiling: the same blobs, the same workers, hashed and thrown away."""

    def fetch(item: tuple[str, Descriptor]) -> None:
        repository, blob = item
        digest = hashlib.sha256()
        with urllib.request.urlopen(f"http://{scene.source}/v2/{repository}/blobs/{blob.digest}") as answer:
            while chunk := answer.read(CHUNK):
                digest.update(chunk)

    with concurrent.futures.ThreadPoolExecutor(scene.workers) as pool:
        list(pool.map(fetch, scene.blobs))


def curl_uploads(scene: Scene, target: str, files: dict[str, Path]) -> None:
    """The other ceiling: as many curls as workers, one upload each."""

    def put(item: tuple[str, Descriptor]) -> None:
        repository, blob = item
        start = f"http://{target}/v2/curl/{repository}/blobs/uploads/"
        with urllib.request.urlopen(urllib.request.Request(start, b"", method="POST")) as answer:
            location = answer.headers["Location"]
        headers = ("-H", "Content-Type: application/octet-stream")
        run("curl", "-sf", "-T", str(files[blob.digest]), *headers, f"{location}&digest={blob.digest}")

    with concurrent.futures.ThreadPoolExecutor(scene.workers) as pool:
        list(pool.map(put, scene.blobs))


def unpacked(scene: Scene, bundle: Path) -> dict[str, Path]:
    directory = scene.work / "unpacked"
    directory.mkdir()
    run("tar", "-xf", str(bundle), "-C", str(directory))
    return {blob.digest: directory / blob.blob_path for _, blob in scene.blobs}


def sha256sum(bundle: Path) -> None:
    run("sha256sum", str(bundle))


def best(times: int, action: Callable[[], object]) -> float:
    """The fastest of several runs: on a busy machine the others measure the neighbours."""
    return min(timed(action) for _ in range(times))


def best_push(times: int, scene: Scene, action: Callable[[str], object]) -> float:
    """The same, each time into a registry that has nothing: one that has a blob already is spared the upload."""
    seconds = []
    for number in range(times):
        with registry(scene.work / f"target-{number}") as target:
            seconds.append(timed(lambda target=target: action(target)))  # type: ignore[misc]
        shutil.rmtree(scene.work / f"target-{number}")
    return min(seconds)


def start_of(times: int, *arguments: str) -> float:
    """How long a command takes that ends before anything is moved: at a refused connection, or a missing file."""
    program = str(Path(sys.executable).with_name("kubectl-airgap"))
    return best(times, lambda: subprocess.run([program, *arguments], capture_output=True, check=False))


def measure(scene: Scene, times: int) -> Iterator[Row]:
    bundle = scene.work / "ours.tar"
    nothing = str(scene.work / "never-written.tar")
    start = start_of(times, "pack", "--image", "127.0.0.1:1/x:1", *PLAIN, "-o", nothing)
    print(f"start of pack: {start:.2f} s, left out below\n")
    packing = best(times, lambda: pack(scene, bundle)) - start
    tarred = best(times, lambda: skopeo_and_tar(scene))
    yield Row("pack, against skopeo copy one after another plus tar", packing, tarred, 4)
    yield Row("pack, against bare download and hash", packing, best(times, lambda: bare_download(scene)), 0.6)
    yield from measure_push(scene, bundle, times)
    verifying = best(times, lambda: ours("verify", "--quiet", str(bundle))) - start_of(times, "verify", nothing)
    cores = min(os.cpu_count() or 1, scene.workers)
    summing = best(times, lambda: sha256sum(bundle)) / cores
    yield Row(f"verify, against sha256sum on {cores} cores", verifying, summing, 0.8)


def measure_push(scene: Scene, bundle: Path, times: int) -> Iterator[Row]:
    start = start_of(times, "push", str(bundle), "127.0.0.1:1", *PLAIN)
    words = ("push", "--quiet", "-j", str(scene.workers), str(bundle))
    pushing = best_push(times, scene, lambda target: ours(*words, f"{target}/ours")) - start
    skopeo_layout(scene)
    copying = best_push(times, scene, lambda target: skopeo_push(scene, target))
    yield Row("push, against skopeo copy one after another", pushing, copying, 2)
    files = unpacked(scene, bundle)
    uploading = best_push(times, scene, lambda target: curl_uploads(scene, target, files))
    yield Row("push, against as many curl -T", pushing, uploading, 0.9)
    with registry(scene.work / "again") as target:
        ours(*words, f"{target}/ours")
        again = best(times, lambda: ours(*words, f"{target}/ours")) - start
    yield Row("push again, against the first push", again, pushing, 20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--work", type=Path, default=None, help="where files go (default: a temporary directory)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.work) as name:
        work = Path(name)
        with registry(work / "source") as source:
            images, blobs = fill(source, asked.images, asked.megabytes, asked.layers)
            scene = Scene(source, images, blobs, work, asked.workers)
            print(f"{len(images)} images, {scene.megabytes:.0f} MB, {asked.workers} workers, best of {asked.times}")
            print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
            failed = 0
            for row in measure(scene, asked.times):
                verdict = "holds" if row.holds else "MISSED"
                failed += not row.holds
                times = f"{row.theirs:7.2f} s / {row.ours:6.3f} s = {row.ratio:6.2f}"
                print(f"{row.what:55} {times}  (goal {row.goal}) {verdict}")
            print(f"\nour largest resident set: {PEAK['ours'] / 1024:.0f} MiB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
