"""What must be done, as a frozen value: computed before the first byte, printed by `--dry-run`, run by the engine."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from airgap import limits
from airgap.descriptors import Descriptor
from airgap.errors import IncompleteError
from airgap.references import Reference
from airgap.stores import Probing, Target
from airgap.transfer import pool
from airgap.transfer.graph import Graph, Image


@dataclass(frozen=True, slots=True)
class Copy:
    """One blob to be copied from the source's name to the target's.

    Attributes:
        also: other repositories of the target that want it, to be mounted there once it has arrived.
        mount_from: a repository of the target that has it already; copied only if mounting fails.
        lacking: the source does not have it, so mounting is the only way.
    """

    descriptor: Descriptor
    source: str
    target: str
    also: tuple[str, ...] = ()
    mount_from: str = ""
    lacking: bool = False


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
    def requests(self) -> int:
        """About how many requests it will take: start and end of each upload, each mount, each manifest."""
        uploads = sum(not copy.mount_from for copy in self.copies)
        mounts = sum(bool(copy.mount_from) + len(copy.also) for copy in self.copies)
        return 2 * uploads + mounts + sum(len(image.manifests) for image in self.images if not image.complete)


def plan(
    graph: Graph,
    target: Target,
    names: Mapping[Reference, Reference],
    *,
    lacking: Mapping[str, Sequence[str]] = MappingProxyType({}),
    workers: int = limits.WORKERS,
    stopped: threading.Event | None = None,
) -> Plan:
    """Ask the target what it has, and say what is left to do. Small blobs may turn out to be there when they are put.

    Args:
        graph: what is to move.
        target: where to.
        names: source name → target name, for every image of the graph.
        lacking: digest → repositories of the target that may have it, of content that the source does not have.
        workers: how many questions are asked at a time.
        stopped: ends the questions when set.

    Raises:
        StoreError: the target cannot be asked.
        IncompleteError: neither source nor target have some content; whose it is, is told.
    """
    stopped = stopped or threading.Event()

    def ask(image: Image) -> Publish:
        return _publish(graph, image, target, names[image.reference])

    images = pool.every(ask, graph.images, workers, stopped)
    places = _places(graph, [image for image in images if not image.complete])
    unasked = target.unasked if isinstance(target, Probing) else -1
    questions = [
        (descriptor, name)
        for descriptor, wanted in places.values()
        if descriptor.size > unasked or descriptor.digest in lacking
        for name in wanted
    ]
    answers = pool.every(lambda question: target.has(question[1], question[0]), questions, workers, stopped)
    there = {(d.digest, name) for (d, name), has in zip(questions, answers, strict=True) if has}
    holders = _holders(target, _nowhere(places, lacking, there), workers, stopped)
    copies = [copy for digest in places for copy in _copies(places[digest], there, holders.get(digest))]
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


_Lacking = tuple[Descriptor, tuple[str, ...], tuple[str, ...]]  # what, who wants it, who may have it


def _nowhere(
    places: Mapping[str, _Wanted], lacking: Mapping[str, Sequence[str]], there: set[tuple[str, str]]
) -> list[_Lacking]:
    """What the source lacks and some repository of the target still wants."""
    return [
        (descriptor, tuple(wanted), tuple(dict.fromkeys((*wanted, *lacking[digest]))))
        for digest, (descriptor, wanted) in places.items()
        if digest in lacking and any((digest, name) not in there for name in wanted)
    ]


def _holders(target: Target, questions: Sequence[_Lacking], workers: int, stopped: threading.Event) -> dict[str, str]:
    """Digest → a repository of the target that has it, for everything that the source lacks."""

    def ask(question: _Lacking) -> str:
        descriptor, _, candidates = question
        return next((name for name in candidates if target.has(name, descriptor)), "")

    answers = pool.every(ask, questions, workers, stopped)
    missing = [(d, wanted) for (d, wanted, _), holder in zip(questions, answers, strict=True) if not holder]
    if missing:
        by_name: dict[str, list[int]] = {}
        for descriptor, wanted in missing:
            by_name.setdefault(wanted[0], []).append(descriptor.size)
        raise IncompleteError(
            f"the target lacks {len(missing)} blobs that the delta leaves out; nothing was changed",
            tuple(f"{name}: {len(sizes)} blobs, {sum(sizes)} bytes" for name, sizes in sorted(by_name.items())),
            hint="push the bundle first that this delta was made against, or pack without --since",
        )
    return {descriptor.digest: holder for (descriptor, _, _), holder in zip(questions, answers, strict=True)}


def _copies(wanted: _Wanted, there: set[tuple[str, str]], holder: str | None) -> list[Copy]:
    """One upload per registry host; its other repositories mount the blob from the first that has it.

    Of content that the source lacks, `holder` is where in the target it is.
    """
    descriptor, names = wanted
    if holder is not None:
        lack = [name for name in names if (descriptor.digest, name) not in there]
        return [Copy(descriptor, names[name], name, mount_from=holder, lacking=True) for name in lack]
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
