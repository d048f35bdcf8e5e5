"""Loading: a bundle's images into a container runtime of this machine, through the runtime's own importer.

Each image is a stream of its own: what arrived stays when a later one fails, and a runtime that keeps its input on
disk meanwhile keeps one image at a time. Nothing is written by us.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from airgap.adapters.runtimes import programs
from airgap.adapters.runtimes.kinds import Engine, Held, Runtime
from airgap.bundles.composition import DOCKER_FILE, docker_document, runnable
from airgap.bundles.inventory import REFERRER
from airgap.bundles.reader import Bundle
from airgap.descriptors import Descriptor
from airgap.errors import AirgapError, ContentError, ContentMismatch, IncompleteError, InvalidInput
from airgap.operations import admission
from airgap.operations.environment import Run
from airgap.operations.singles import platform_of
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.relocation.policy import Relocation
from airgap.stores import Chunk, tar
from airgap.stores.layout import INDEX_FILE, LAYOUT, LAYOUT_FILE, index_document
from airgap.stores.stream import StreamReader
from airgap.transfer import events
from airgap.transfer.engine import Outcome, Report, Result
from airgap.transfer.graph import Choice, Graph, Image, walk


@dataclass(frozen=True)
class Wishes:
    """How images shall be loaded.

    Attributes:
        platform: instead of this machine's.
        relocation: the names that they get instead of their own.
        keep_names: their own names as well.
        pin: keep them from the kubelet's garbage collection.
    """

    platform: Platform | None = None
    relocation: Relocation | None = None
    keep_names: bool = False
    pin: bool = False


@dataclass(frozen=True)
class Arrival:
    """A name that an image gets in the runtime, and whether it has it already."""

    image: Image
    name: Reference
    present: bool


@dataclass(frozen=True)
class Delivery:
    """One content with all its names there.

    Attributes:
        wanted: digests of what the runtime must have afterwards.
        lacking: what is streamed for it.
        known_as: the digest by which docker or podman have it already, under whatever name.
    """

    root: Descriptor
    arrivals: tuple[Arrival, ...]
    wanted: frozenset[str]
    lacking: tuple[Descriptor, ...]
    known_as: str = ""

    @property
    def present(self) -> bool:
        """Whether there is nothing to do."""
        return not self.lacking and all(arrival.present for arrival in self.arrivals)

    @property
    def bytes(self) -> int:
        """Bytes that are streamed."""
        return sum(blob.size for blob in self.lacking)


@dataclass(frozen=True)
class Loading:
    """What a load would do now.

    Attributes:
        platform: what the importer is told; empty for this machine's own.
        nameless: what the runtime could not name, so that nothing would find it.
    """

    bundle: Bundle
    runtime: Runtime
    graph: Graph
    deliveries: tuple[Delivery, ...]
    pin: bool
    platform: str
    nameless: tuple[tuple[Reference, AirgapError], ...]

    @property
    def bytes(self) -> int:
        """Bytes that are streamed."""
        return sum(delivery.bytes for delivery in self.deliveries if not delivery.present)


@dataclass(frozen=True)
class Loaded:
    """What a load did; `report` has an outcome for each name, which the runtime was asked for again."""

    report: Report
    failures: tuple[tuple[Reference, AirgapError], ...]


def prepare(bundle: Bundle, runtime: Runtime, wishes: Wishes, run: Run) -> Loading:
    """Choose each image's platform, name everything, and ask the runtime what it has.

    Raises:
        InvalidInput: nothing in the bundle is an image, two would get one name, the runtime cannot pin, or the bundle
            passes by once: each runtime wants its own order.
        UntrustedBundle: it is older than the last one of its name, or expired.
        IncompleteError: images lack the platform, or content that neither bundle nor runtime has.
        StoreError: the runtime cannot be asked. ContentError: a manifest of the bundle is damaged.
    """
    if isinstance(bundle.store, StreamReader):
        raise InvalidInput(f"a bundle on {bundle.place} cannot be loaded", hint="write it to a file first")
    if wishes.pin:
        runtime.pin(())  # refuses now, if it must
    admission.admit(bundle, run)
    platform = wishes.platform or Platform.host()
    references = [item.reference for item in bundle.inventory.items if item.kind == "image"]
    choice = _choice(bundle.digests, platform)
    graph = walk(bundle.store, references, choice, workers=run.workers, stopped=run.stopped)
    graph = _only_images(graph, bundle, run)
    _check_platform(graph, bundle, platform)
    names, nameless = _names(graph, runtime, wishes)
    there = runtime.contents()
    deliveries = tuple(_deliveries(graph, runtime, names, there))
    _check_content(deliveries, bundle)
    told = str(platform) if wishes.platform and not Platform.host().covers(platform) else ""
    return Loading(bundle, runtime, graph, deliveries, wishes.pin, told, nameless)


def execute(loading: Loading, run: Run) -> Loaded:
    """Stream what is lacking, then ask the runtime for each name again.

    Raises:
        ContentError: the bundle is damaged; the importer was killed before its input ended, so nothing counts of the
            image that is named. Or a name leads elsewhere afterwards.
        StoreError: the runtime refused. Cancelled: stopped; no importer is left.
    """
    todo = [delivery for delivery in loading.deliveries if not delivery.present]
    run.observe(events.Planned(loading.bytes, len(todo)))
    seconds: dict[str, float] = {}
    for delivery in todo:
        began = time.monotonic()
        _deliver(delivery, loading, run)
        seconds[delivery.root.digest] = time.monotonic() - began
    held = loading.runtime.images()
    _prove(loading, held)
    if loading.pin:
        names = {arrival.name for delivery in loading.deliveries for arrival in delivery.arrivals}
        loading.runtime.pin(sorted((name for name in names if not held[name].pinned), key=str))
    if not loading.nameless:
        admission.remember(loading.bundle, run)
    return Loaded(_report(loading, seconds), loading.nameless)


def _choice(present: Container[str], platform: Platform) -> Choice:
    """Of an index, the children for one platform; where there are none, all that are here, to be told of."""

    def choose(children: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
        here = [c for c in children if c.digest in present and not (c.platform and c.platform.is_attestation)]
        fitting = [c for c in here if c.platform is None or platform.covers(c.platform)]
        fitting.sort(key=lambda c: c.platform is not None and c.platform.variant not in ("", platform.variant))
        return tuple(fitting or here)

    return choose


def _only_images(graph: Graph, bundle: Bundle, run: Run) -> Graph:
    """Without charts and other artifacts, which a runtime has no use for; each is told, but signatures and their like.

    Raises:
        InvalidInput: nothing is left.
    """
    can_run = {image: runnable(graph, image.root) is not None for image in graph.images}
    others = [item.reference for item in bundle.inventory.items if item.kind not in ("image", REFERRER)]
    others += [image.reference for image in graph.images if not can_run[image]]
    for reference in others:
        run.observe(events.Note(f"not loaded: {reference}, which is no image that can run"))
    if not any(can_run.values()):
        raise InvalidInput(f"`{bundle.place}` has no image in it that can run")
    return replace(graph, images=tuple(image for image in graph.images if can_run[image]))


def _check_platform(graph: Graph, bundle: Bundle, platform: Platform) -> None:
    other: list[str] = []
    for image in graph.images:
        made = _made_for(image, graph, bundle)
        if made and not any(platform.covers(found) or not found.architecture for found in made):
            other.append(f"{image.reference} is here for {', '.join(map(str, made))}")
    if other:
        raise IncompleteError(
            f"{len(other)} of {len(graph.images)} images in `{bundle.place}` are not made for {platform}",
            tuple(other),
            hint=f"pack them with --platform {platform}, or name what they are made for with --platform here",
        )


def _made_for(image: Image, graph: Graph, bundle: Bundle) -> tuple[Platform, ...]:
    """An image's platforms; none are known where a delta leaves out the config, which alone tells the platform."""
    if image.root.is_index:
        return graph.platforms_of(image)
    config = graph.nodes[image.root.digest].manifest.children[0]
    return (platform_of(image, graph, bundle.store),) if config.digest in bundle.digests else ()


_Named = dict[str, list[tuple[Image, Reference]]]  # root digest → the names that content gets


def _names(graph: Graph, runtime: Runtime, wishes: Wishes) -> tuple[_Named, tuple[tuple[Reference, AirgapError], ...]]:
    """The names of each content, and the images that would have none.

    A tag that several images claim is given to the one that is asked for by it, not to one that was pinned.
    """
    references = [image.reference for image in graph.images]
    targets = wishes.relocation.mapping(references) if wishes.relocation else {r: r for r in references}
    owners: dict[Reference, str] = {}
    named: _Named = {}
    nameless: list[tuple[Reference, AirgapError]] = []
    for image in sorted(graph.images, key=lambda image: (image.reference.digest is not None, str(image.reference))):
        wanted = {targets[image.reference], *([image.reference] if wishes.keep_names else [])}
        forms = [form for name in sorted(wanted, key=str) for form in _forms(name, by_digest=runtime.by_digest)]
        if not forms:
            error = InvalidInput(f"{runtime.kind} names images by tag only, and this one has none")
            nameless.append((image.reference, error))
        for form in forms:
            if owners.setdefault(form, image.root.digest) == image.root.digest:
                named.setdefault(image.root.digest, []).append((image, form))
    return named, tuple(nameless)


def _forms(name: Reference, *, by_digest: bool) -> Iterator[Reference]:
    """The names by which a kubelet finds an image: by its digest if it has one, by its tag as well."""
    if name.digest and by_digest:
        yield name.without_tag()
    if name.tag:
        yield name.by_tag()


def _deliveries(graph: Graph, runtime: Runtime, named: _Named, there: frozenset[str]) -> Iterator[Delivery]:
    """In the order of names; what one brings, the next ones find there, where the runtime keeps content."""
    brought = set(there)
    held = runtime.images()
    digests = {row.digest for row in held.values()} if isinstance(runtime, Engine) else set()
    roots = {image.root.digest: image for image in graph.images}
    for digest in sorted(named, key=lambda digest: str(named[digest][0][1])):
        image = roots[digest]
        known_by = _known_by(graph, image.root, runtime)
        arrivals = tuple(
            Arrival(source, name, name in held and held[name].digest in known_by) for source, name in named[digest]
        )
        content = (*graph.manifests_of(image), *graph.blobs_of(image))
        known_as = min((known_by & digests) - _of_any_platform(image.root), default="")
        lacking = () if known_as else tuple(blob for blob in content if blob.digest not in brought)
        if runtime.has_content:
            brought.update(blob.digest for blob in lacking)
        yield Delivery(image.root, arrivals, frozenset(blob.digest for blob in content), lacking, known_as)


def _known_by(graph: Graph, root: Descriptor, runtime: Runtime) -> frozenset[str]:
    """What the runtime may call this very content: docker and podman know it by its config."""
    manifest = runnable(graph, root)
    if not runtime.takes_docker or manifest is None or manifest.config is None:
        return frozenset({root.digest})
    return frozenset({root.digest, manifest.descriptor.digest, manifest.config.digest})


def _check_content(deliveries: Iterable[Delivery], bundle: Bundle) -> None:
    missing = [
        f"{delivery.arrivals[0].name}: {blob.digest}, {blob.size} bytes"
        for delivery in deliveries
        for blob in delivery.lacking
        if blob.digest not in bundle.digests
    ]
    if missing:
        raise IncompleteError(
            f"`{bundle.place}` leaves out {len(missing)} blobs that this runtime does not have; nothing was loaded",
            tuple(missing),
            hint="load the bundle first that this delta was made against, or pack without --since",
        )


def _of_any_platform(root: Descriptor) -> frozenset[str]:
    """Docker with the image store of containerd knows an index by its digest, whichever platforms of it are there."""
    return frozenset({root.digest} if root.is_index else ())


def _deliver(delivery: Delivery, loading: Loading, run: Run) -> None:
    name, runtime = delivery.arrivals[0].name, loading.runtime
    if delivery.known_as and isinstance(runtime, Engine):
        for arrival in delivery.arrivals:
            runtime.tag(delivery.known_as, arrival.name)
    else:
        archive = _archive(delivery, loading, run.observe)
        try:
            programs.feed(runtime.importer(loading.platform), archive, run.stopped)
        except ContentError as error:
            error.hint = f"nothing of `{name}` was loaded, what came before it is; carry the bundle over again"
            raise
    run.observe(events.Done(str(name)))


def _archive(delivery: Delivery, loading: Loading, observe: events.Observer) -> Iterator[Chunk]:
    """The tar that the importer reads: the lists that it knows, then content in the order of a bundle."""
    yield b"".join(tar.member(name, data) for name, data in _documents(delivery, loading).items())
    nodes, store = loading.graph.nodes, loading.bundle.store
    for blob in delivery.lacking:
        yield tar.header(blob.blob_path, blob.size)
        content = [nodes[blob.digest].data] if blob.digest in nodes else store.blob(str(delivery.root.digest), blob)
        for chunk in content:
            yield chunk
            observe(events.Moved(len(chunk)))
        yield tar.padding(blob.size)
    yield tar.END


def _documents(delivery: Delivery, loading: Loading) -> dict[str, bytes]:
    names = [arrival.name for arrival in delivery.arrivals]
    oci = {LAYOUT_FILE: LAYOUT, INDEX_FILE: index_document((name, delivery.root) for name in names)}
    images = tuple(Image(name, delivery.root) for name in names)
    docker = {DOCKER_FILE: docker_document(replace(loading.graph, images=images))}
    return (oci if loading.runtime.takes_oci else {}) | (docker if loading.runtime.takes_docker else {})


def _prove(loading: Loading, held: Mapping[Reference, Held]) -> None:
    there = loading.runtime.contents()
    for delivery in loading.deliveries:
        known_by = _known_by(loading.graph, delivery.root, loading.runtime)
        for arrival in delivery.arrivals:
            found = held.get(arrival.name)
            if found is None or found.digest not in known_by:
                place = f"{loading.runtime.place}, {arrival.name}"
                raise ContentMismatch(place, delivery.root.digest, found.digest if found else "not there")
        gone = sorted(delivery.wanted - there) if loading.runtime.has_content else []
        if gone:
            raise ContentMismatch(loading.runtime.place, gone[0], "not there")


def _report(loading: Loading, seconds: Mapping[str, float]) -> Report:
    """What was streamed for a content counts for the first of its names."""
    outcomes: list[Outcome] = []
    for delivery in loading.deliveries:
        took, count = seconds.get(delivery.root.digest, 0.0), delivery.bytes
        for arrival in delivery.arrivals:
            result = Result.UNCHANGED if delivery.present else Result.DONE
            outcomes.append(Outcome(arrival.image, arrival.name, result, 0 if delivery.present else count, took))
            count = 0
    copied = sum(len(delivery.lacking) for delivery in loading.deliveries if not delivery.present)
    present = sum(len(delivery.wanted) for delivery in loading.deliveries) - copied
    return Report(sum(outcome.bytes for outcome in outcomes), copied, 0, present, tuple(outcomes))
