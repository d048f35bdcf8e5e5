"""Pack, push, verify and deltas beside other tools, as ratios within one run: `make bench`.

Every contender moves the same content between registries on loopback; a push goes into a registry that has nothing.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import peers
from benchmarks.scene import (
    CHUNK,
    PEAK,
    PLAIN,
    Bound,
    Most,
    Row,
    Scene,
    best,
    fill,
    machine,
    ours,
    registry,
    report,
    run,
    start_of,
    timed,
)

from airgap.descriptors import Descriptor

GOALS = {"pack": {"skopeo": 4.0}, "push": {"skopeo": 2.0}}


def pack(scene: Scene, bundle: Path) -> None:
    bundle.unlink(missing_ok=True)
    # None of the others looks for signatures, so neither do we.
    ours("pack", "--quiet", "--no-referrers", "-j", str(scene.workers), *flags(scene.images), "-o", str(bundle))


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


def best_push(times: int, scene: Scene, action: Callable[[str], object]) -> float:
    """The same, each time into a registry that has nothing: one that has a blob already is spared the upload."""
    seconds = []
    for number in range(times):
        with registry(scene.work / f"target-{number}") as target:
            seconds.append(timed(lambda target=target: action(target)))  # type: ignore[misc]
        shutil.rmtree(scene.work / f"target-{number}")
    return min(seconds)


def measure(scene: Scene, times: int) -> Iterator[Bound]:
    bundle = scene.work / "ours.tar"
    nothing = str(scene.work / "never-written.tar")
    start = start_of(times, "pack", "--image", "127.0.0.1:1/x:1", *PLAIN, "-o", nothing)
    print(f"start of pack: {start:.2f} s, left out below\n")
    packing = best(times, lambda: pack(scene, bundle)) - start
    yield from measure_peers_packing(scene, packing, times)
    yield Row("pack, against bare download and hash", packing, best(times, lambda: bare_download(scene)), 0.6)
    yield from measure_push(scene, bundle, times)
    verifying = best(times, lambda: ours("verify", "--quiet", str(bundle))) - start_of(times, "verify", nothing)
    cores = min(os.cpu_count() or 1, scene.workers)
    summing = best(times, lambda: run("sha256sum", str(bundle))) / cores
    yield Row(f"verify, against sha256sum on {cores} cores", verifying, summing, 0.8)


def measure_peers_packing(scene: Scene, packing: float, times: int) -> Iterator[Row]:
    for peer in peers.found():
        seconds = best(times, lambda peer=peer: peer.pack(scene, fresh(scene.work / peer.name)))  # type: ignore[misc]
        yield Row(f"pack, against {peer} one after another plus tar", packing, seconds, GOALS["pack"].get(peer.name))


def measure_push(scene: Scene, bundle: Path, times: int) -> Iterator[Row]:
    start = start_of(times, "push", str(bundle), "127.0.0.1:1", *PLAIN)
    words = ("push", "--quiet", "-j", str(scene.workers), str(bundle))
    pushing = best_push(times, scene, lambda target: ours(*words, f"{target}/ours")) - start
    for peer in peers.found():
        place = scene.work / peer.name
        seconds = best_push(times, scene, lambda target, peer=peer, place=place: peer.push(scene, place, target))  # type: ignore[misc]
        yield Row(f"push, against {peer}", pushing, seconds, GOALS["push"].get(peer.name))
    files = unpacked(scene, bundle)
    uploading = best_push(times, scene, lambda target: curl_uploads(scene, target, files))
    yield Row("push, against as many curl -T", pushing, uploading, 0.9)
    with registry(scene.work / "again") as target:
        ours(*words, f"{target}/ours")
        again = best(times, lambda: ours(*words, f"{target}/ours")) - start
    yield Row("push again, against the first push", again, pushing, 20)


def measure_delta(scene: Scene) -> Iterator[Most]:
    """One image of fifty has one new layer: what the delta weighs against that layer and its config."""
    first, second = scene.images[:-1], (*scene.images[:-2], scene.images[-1])
    bundle, delta = scene.work / "fifty.tar", scene.work / "delta.tar"
    pack(replace(scene, images=first), bundle)
    ours("pack", "--quiet", *flags(second), "--since", str(bundle), "-o", str(delta))
    known = {blob.digest for repository, blob in scene.blobs if not repository.endswith("-changed")}
    new = sum(blob.size for _, blob in scene.blobs if blob.digest not in known)
    yield Most("delta of one changed image among fifty, by its own bytes", delta.stat().st_size / new, 1.1, "times")


def fresh(place: Path) -> Path:
    """An empty directory."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


def flags(names: Iterable[str]) -> list[str]:
    return [word for name in names for word in ("--image", name)]


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
            scene = fill(Scene(source, work, asked.workers), asked.images, asked.megabytes, asked.layers)
            print(f"{asked.images} images, {scene.megabytes:.0f} MB, {asked.workers} workers, best of {asked.times}")
            print(machine())
            failed = report(measure(scene, asked.times))
            fifty = fill(Scene(source, work, asked.workers), 50, 200, 2, changed=True)
            failed += report(measure_delta(fifty))
            failed += report([Most("our largest resident set", PEAK["ours"] / 1024, 120, "MiB")])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
