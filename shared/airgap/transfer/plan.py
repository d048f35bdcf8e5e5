"""What must be done, as a frozen value: computed before the first byte, printed by `--dry-run`, run by the engine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from airgap import limits
from airgap.descriptors import Descriptor
from airgap.references import Reference
from airgap.stores import Target
from airgap.transfer import pool
from airgap.transfer.graph import Graph, Image


@dataclass(frozen=True, slots=True)
class Copy:
    """One blob to be copied from the source's name to the target's.

    Attributes:
        also: other repositories of the target that want it, to be mounted there once it has arrived.
        mount_from: a repository of the target that has it already; copied only if mounting fails.
    """

    descriptor: Descriptor
    source: str
    target: str
    also: tuple[str, ...] = ()
    mount_from: str = ""


@dataclass(frozen=True, slots=True)
class Publish:
    """The manifests of one image, children before the root, and the name it gets last."""

    image: Image
    target: Reference
    manifests: tuple[Descriptor, ...]
    complete: bool = False  # the target has it already, name and all


@dataclass(frozen=True)
class Plan:
    """All copies, largest first, and all images."""

    graph: Graph
    copies: tuple[Copy, ...]
    images: tuple[Publish, ...]
    present: int = 0  # blobs that are there already

    @property
    def bytes(self) -> int:
        """Bytes that cross the line; what can be mounted does not."""
        return sum(copy.descriptor.size for copy in self.copies if not copy.mount_from)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return all(image.complete for image in self.images)


def plan(
    graph: Graph,
    target: Target,
    names: Mapping[Reference, Reference],
    *,
    workers: int = limits.WORKERS,
    stopped: threading.Event | None = None,
) -> Plan:
    """Ask the target what it has, and say what is left to do.

    Args:
        graph: what is to move.
        target: where to.
        names: source name → target name, for every image of the graph.
        workers: how many questions are asked at a time.
        stopped: ends the questions when set.

    Raises:
        StoreError: the target cannot be asked.
    """
    stopped = stopped or threading.Event()

    def ask(image: Image) -> Publish:
        return _publish(graph, image, target, names[image.reference])

    images = pool.every(ask, graph.images, workers, stopped)
    places = _places(graph, [image for image in images if not image.complete])
    questions = [(descriptor, name) for descriptor, wanted in places.values() for name in wanted]
    answers = pool.every(lambda question: target.has(question[1], question[0]), questions, workers, stopped)
    there = {(d.digest, name) for (d, name), has in zip(questions, answers, strict=True) if has}
    copies = [copy for digest in places for copy in _copies(places[digest], there)]
    copies.sort(key=lambda copy: (-copy.descriptor.size, copy.descriptor.digest))
    return Plan(graph, tuple(copies), tuple(images), len(there))


def _publish(graph: Graph, image: Image, target: Target, name: Reference) -> Publish:
    manifests = tuple(graph.manifests_of(image))
    found = target.find(name.by_tag())
    complete = (
        found is not None
        and found.digest == image.root.digest
        and all(target.has(name.name, manifest) for manifest in manifests[:-1])
    )
    return Publish(image, name, manifests, complete)


_Wanted = tuple[Descriptor, dict[str, str]]  # a blob, and target repository → source repository


def _places(graph: Graph, images: list[Publish]) -> dict[str, _Wanted]:
    """Which target repositories want which blob."""
    places: dict[str, _Wanted] = {}
    for publish in images:
        for blob in graph.blobs_of(publish.image):
            wanted = places.setdefault(blob.digest, (blob, {}))[1]
            wanted.setdefault(publish.target.name, publish.image.reference.name)
    return places


def _copies(wanted: _Wanted, there: set[tuple[str, str]]) -> list[Copy]:
    """One upload per registry host; its other repositories mount the blob from the first that has it."""
    descriptor, names = wanted
    result: list[Copy] = []
    by_host: dict[str, list[str]] = {}
    for name in names:
        by_host.setdefault(name.partition("/")[0], []).append(name)
    for repositories in by_host.values():
        having = [name for name in repositories if (descriptor.digest, name) in there]
        lacking = [name for name in repositories if (descriptor.digest, name) not in there]
        if having:
            result += [Copy(descriptor, names[name], name, mount_from=having[0]) for name in lacking]
        elif lacking:
            result.append(Copy(descriptor, names[lacking[0]], lacking[0], also=tuple(lacking[1:])))
    return result
