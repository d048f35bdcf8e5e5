"""A world to try things in: two real registries on loopback, the first of which stands for the internet.

`python -m hack.world NAMES -- COMMAND…` generates a small image for each name in the file NAMES (or `-`), puts them
into the first registry under the paths that the names have, and runs the command with

    INTERNET   host and port of the first registry
    INSIDE     host and port of the second, which is empty
    AIRGAP_MIRROR  flags in the environment: the first registry stands for every host that the names have
    HELM_DATA_HOME a folder for helm's plugins, with `helm relocate` and `relocate-images` installed if there is a helm
    WORK       a directory that is removed afterwards
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.images import add_image, add_index
from tests.support.registry import Registry, serving_registry

from airgap.descriptors import Descriptor
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import Connections, RegistryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import Graph, Image, walk


@dataclass(frozen=True)
class World:
    """The outside, the inside, and the digest that each name has outside."""

    internet: Registry
    inside: Registry
    digests: dict[Reference, str]
    work: Path

    @property
    def mirrors(self) -> list[str]:
        """The flags by which the first registry stands for every host that the names have."""
        hosts = sorted({reference.registry for reference in self.digests})
        return [word for host in hosts for word in ("--mirror", f"{host}={self.internet.host}")]


@contextmanager
def world(names: Iterable[str]) -> Iterator[World]:
    """Start both registries, fill the first, and stop everything at the end."""
    with tempfile.TemporaryDirectory(prefix="airgap-world-") as directory:
        work = Path(directory)
        for side in ("internet", "inside", "work"):
            (work / side).mkdir()
        with serving_registry(work / "internet") as internet, serving_registry(work / "inside") as inside:
            digests = fill(internet, [Reference.parse(name) for name in names])
            yield World(internet, inside, digests, work / "work")


def fill(registry: Registry, references: Sequence[Reference]) -> dict[Reference, str]:
    """Push a generated image for each name; every third one is made for two platforms."""
    store = MemoryStore()
    images: dict[Reference, Descriptor] = {}
    for number, reference in enumerate(sorted(set(references), key=str)):
        images[reference] = add_index(store, f"x/x-{number}:1") if number % 3 == 2 else add_image(store, size=20_000)
    graph = _renamed(store, images)
    places = {r: Reference(registry.host, r.repository, r.tag or "pinned") for r in images}
    target = RegistryStore(Connections())
    engine.run(plan.plan(graph, target, places), store, target)
    return {reference: descriptor.digest for reference, descriptor in images.items()}


def _renamed(store: MemoryStore, images: dict[Reference, Descriptor]) -> Graph:
    """The graph of all images under the names that ask for them."""
    for reference, descriptor in images.items():
        plain = Reference(reference.registry, reference.repository, reference.tag or "pinned")
        store.tag(plain, descriptor, store.blobs[descriptor.digest])
    walked = walk(store, [Reference(r.registry, r.repository, r.tag or "pinned") for r in images])
    return Graph(tuple(Image(r, d) for r, d in images.items()), walked.nodes)


def main(arguments: list[str]) -> int:
    """Run a command in a world."""
    names, separator, *command = arguments
    if separator != "--" or not command:
        sys.exit(__doc__)
    text = sys.stdin.read() if names == "-" else Path(names).read_text()
    with world(line for line in text.split("\n") if line.strip()) as made:
        env = {
            "INTERNET": made.internet.host,
            "INSIDE": made.inside.host,
            "AIRGAP_MIRROR": " ".join(made.mirrors[1::2]),
            "HELM_DATA_HOME": str(made.work / ".helm"),
            "WORK": str(made.work),
        }
        for plugin in ("helm-relocate", "helm-relocate-images"):
            install = ["helm", "plugin", "install", f"plugins/{plugin}"]
            with contextlib.suppress(FileNotFoundError):
                subprocess.run(install, env={**os.environ, **env}, check=False, capture_output=True)
        return subprocess.run(command, env={**os.environ, **env}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
