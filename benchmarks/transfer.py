"""Pack and push against skopeo and curl, as ratios within one run: `make bench`.

The images are made here: random layers (nothing to gain from compression), small configs. Every contender moves the
same content between the same two registries on loopback; files go to the directory of `--work`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import os
import platform
import random
import resource
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


@dataclass(frozen=True)
class Scene:
    """Two registries, the images in the first, and where files may go."""

    source: str
    target: str
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
    ours: float
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


def ours(*arguments: str) -> None:
    program = Path(sys.executable).with_name("kubectl-airgap")
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)


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


def skopeo_push(scene: Scene, prefix: str) -> None:
    for name in scene.images:
        short = name.rpartition("/")[2]
        place = f"docker://{scene.target}/{prefix}/{short}"
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


def curl_uploads(scene: Scene, files: dict[str, Path]) -> None:
    """The other ceiling: as many curls as workers, one upload each."""

    def put(item: tuple[str, Descriptor]) -> None:
        repository, blob = item
        start = f"http://{scene.target}/v2/curl/{repository}/blobs/uploads/"
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


def best(times: int, action: Callable[[int], object]) -> float:
    """The fastest of several runs: on a busy machine the others measure the neighbours."""
    return min(timed(lambda number=number: action(number)) for number in range(times))  # type: ignore[misc]


def measure(scene: Scene, times: int) -> Iterator[Row]:
    bundle = scene.work / "ours.tar"
    packing = best(times, lambda _: pack(scene, bundle))
    yield Row(
        "pack, against skopeo copy one after another plus tar", packing, best(times, lambda _: skopeo_and_tar(scene)), 4
    )
    yield Row("pack, against bare download and hash", packing, best(times, lambda _: bare_download(scene)), 0.6)
    skopeo_layout(scene)
    pushing = best(
        times, lambda n: ours("push", "--quiet", "-j", str(scene.workers), str(bundle), f"{scene.target}/ours-{n}")
    )
    yield Row(
        "push, against skopeo copy one after another",
        pushing,
        best(times, lambda n: skopeo_push(scene, f"skopeo-{n}")),
        2,
    )
    files = unpacked(scene, bundle)
    yield Row("push, against as many curl -T", pushing, best(times, lambda _: curl_uploads(scene, files)), 0.9)
    again = best(times, lambda _: ours("push", "--quiet", str(bundle), f"{scene.target}/ours-0"))
    yield Row("push again, against the first push", again, pushing, 1)
    verifying = best(times, lambda _: ours("verify", "--quiet", str(bundle)))
    cores = min(os.cpu_count() or 1, scene.workers)
    yield Row(
        f"verify, against sha256sum on {cores} cores", verifying, best(times, lambda _: sha256sum(bundle)) / cores, 0.8
    )


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
        with registry(work / "source") as source, registry(work / "target") as target:
            images, blobs = fill(source, asked.images, asked.megabytes, asked.layers)
            scene = Scene(source, target, images, blobs, work, asked.workers)
            print(f"{len(images)} images, {scene.megabytes:.0f} MB, {asked.workers} workers, best of {asked.times}")
            print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
            failed = 0
            for row in measure(scene, asked.times):
                verdict = "holds" if row.holds else "MISSED"
                failed += not row.holds
                times = f"{row.theirs:7.2f} s / {row.ours:6.2f} s = {row.ratio:6.2f}"
                print(f"{row.what:55} {times}  (goal {row.goal}) {verdict}")
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"\nlargest resident set of any child: {peak:.0f} MiB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
