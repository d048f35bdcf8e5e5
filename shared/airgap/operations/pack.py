"""Packing: find the images, resolve them once, lay the bundle out, fetch every blob to its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from airgap.bundles import artifacts as artifacts_of_bundles
from airgap.bundles.artifacts import Artifact
from airgap.bundles.composition import SIGNATURE_FILE, Asked, Composition, Label, compose
from airgap.bundles.inventory import REFERRER, Item, Why
from airgap.bundles.keys import SigningKey
from airgap.bundles.signing import sealed
from airgap.descriptors import Descriptor
from airgap.discovery.findings import Certainty, Discovery, Finding
from airgap.errors import AirgapError, IncompleteError, InvalidInput
from airgap.operations import local, places, since
from airgap.operations.environment import Run
from airgap.operations.local import LocalSource
from airgap.operations.singles import platform_of
from airgap.platforms import Platform
from airgap.references import MADE_HERE, Reference
from airgap.stores import Source
from airgap.transfer import engine, events, loading, plan, pool
from airgap.transfer.engine import Report
from airgap.transfer.graph import Graph, Image, of_platforms, walk, without
from airgap.transfer.referrers import Attached, attached


@dataclass(frozen=True)
class Wishes:
    """What a bundle shall be.

    Attributes:
        platforms: of images that are for several; none in particular means all.
        referrers: with what is attached to them: signatures, attestations, lists of parts.
        allow_incomplete: pack what was found although not everything could be examined.
        keep_going: leave out images that cannot be read; `Packing.graph.unreadable` has them.
        since: where an earlier bundle lies, or its inventory, whose content is left out.
        split: bytes of each part that it is written in; 0 for one file.
        name, version, sequence, expires: what the user says of the bundle; it is named after its place by default.
        key: what it is signed with.
    """

    platforms: tuple[Platform, ...] = ()
    referrers: bool = True
    allow_incomplete: bool = False
    keep_going: bool = False
    since: str = ""
    split: int = 0
    name: str = ""
    version: str = ""
    sequence: int | None = None
    expires: str = ""
    key: SigningKey | None = None

    def label(self, place: str) -> Label:
        """What a bundle at a place says of itself."""
        return Label(self.name or places.name_of(place), self.version, self.sequence, self.expires)


@dataclass(frozen=True)
class Packing:
    """A bundle that could be written now: its exact bytes are known but for the blobs' own.

    Attributes:
        place: where it goes.
        graph: what it holds.
        composition: how it lies.
        source: where its content is fetched from.
        origin: where its images are, of that.
        free: bytes free where it goes, where that can be known.
        split: bytes of each part; 0 for one file.
    """

    place: str
    graph: Graph
    composition: Composition
    source: Source
    origin: Source
    free: int | None
    split: int = 0

    @property
    def size(self) -> int:
        """Bytes of the finished file, or of all its parts."""
        return self.composition.layout.size

    @property
    def parts(self) -> int:
        """How many there will be; 0 for one file."""
        return -(-self.size // self.split) if self.split else 0

    @property
    def asked(self) -> tuple[Item, ...]:
        """What was asked for; not what came along with it."""
        return tuple(item for item in self.composition.inventory.items if not item.is_referrer)

    @property
    def requests(self) -> int:
        """How many are left, one a blob: manifests have been read."""
        return len(self.composition.layout.blobs) - len(self.graph.nodes)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of what."""
        return artifacts_of_bundles.tally(self.composition.inventory.items, self.graph)

    @property
    def is_signed(self) -> bool:
        """Whether it carries a signature."""
        return SIGNATURE_FILE in self.composition.documents

    @property
    def sparse(self) -> tuple[Image, ...]:
        """Images of which other platforms stay behind."""
        return tuple(image for image in self.graph.images if self.graph.is_sparse(image))


@dataclass(frozen=True)
class Packed:
    """A bundle that was written: its size, what had to be done for it, and the names that could not be read."""

    place: str
    size: int
    report: Report
    failures: tuple[tuple[Reference, AirgapError], ...]


def prepare(
    discovery: Discovery,
    place: str,
    wishes: Wishes,
    run: Run,
    artifacts: Sequence[Artifact] = (),
    runtime: LocalSource | None = None,
) -> Packing:
    """Resolve what was found and lay the bundle out, artifacts too; nothing is written yet.

    Where a container runtime of this machine is given, images are read from it and from nowhere else.

    Raises:
        IncompleteError: something could not be examined, or images cannot be read.
        InvalidInput: nothing was found, or the bundle has no place.
        NoSpace: the bundle would not fit.
    """
    if discovery.problems and not wishes.allow_incomplete:
        raise IncompleteError(
            "not everything could be examined, so images may be missing",
            tuple(f"{problem.place}: {problem.reason}" for problem in discovery.problems),
            hint="mend that, or pack what was found with --allow-incomplete",
        )
    if not discovery.references and not artifacts:
        raise InvalidInput("no image was found, so there is nothing to pack")
    places.check_new(place, wishes.split)
    origin = runtime or _registries(discovery, run)
    source = artifacts_of_bundles.store_of(artifacts, origin)
    choice = of_platforms(wishes.platforms)
    graph = walk(
        source,
        (*discovery.references, *(artifact.reference for artifact in artifacts)),
        local.present(runtime, choice) if runtime else choice,
        keep_going=wishes.keep_going,
        workers=run.workers,
        stopped=run.stopped,
    )
    if wishes.platforms:
        _check_platforms(graph, source, wishes.platforms, run)
    if runtime:
        local.check_whole(graph, runtime)
    whole = attached(graph, source, run.workers, run.observe, run.stopped) if wishes.referrers else Attached(graph)
    absent = since.known(wishes.since, whole.graph, run) if wishes.since else {}
    sign = partial(sealed, wishes.key) if wishes.key else None
    asked = {**_asked(discovery.findings, whole.subjects), **artifacts_of_bundles.asked(artifacts)}
    composition = compose(whole.graph, asked, wishes.label(place), absent, sign)
    return Packing(place, whole.graph, composition, source, origin, places.free_space(place), wishes.split)


def _registries(discovery: Discovery, run: Run) -> Source:
    source = run.sources()
    source.announce(discovery.references)
    return source


def _check_platforms(graph: Graph, source: Source, asked: tuple[Platform, ...], run: Run) -> None:
    """Refuse images that have none of the platforms asked for, and tell which lack some of them."""
    singles = [image for image in graph.images if graph.nodes[image.root.digest].manifest.is_image]
    made_for = pool.every(lambda image: (platform_of(image, graph, source),), singles, run.workers, run.stopped)
    other = [(i, p) for i, (p,) in zip(singles, made_for, strict=True) if not any(each.covers(p) for each in asked)]
    if other:
        raise IncompleteError(
            f"{len(other)} of {len(graph.images)} images have none of the platforms asked for",
            tuple(f"{image.reference} is made for {platform}" for image, platform in other),
            hint="ask for those platforms too, with --platform once more, or leave the images out",
        )
    several = ((image, graph.platforms_of(image)) for image in graph.images if image.root.is_index)
    _note_missing([*zip(singles, made_for, strict=True), *several], asked, run.observe)


def _note_missing(
    images: Sequence[tuple[Image, tuple[Platform, ...]]], asked: tuple[Platform, ...], observe: events.Observer
) -> None:
    """Tell which images lack some of the platforms asked for: a node of those cannot run them."""
    for wanted in asked:
        lacking = [str(i.reference) for i, platforms in images if not any(map(wanted.covers, platforms))]
        if lacking:
            observe(events.Note(f"not made for {wanted}: {', '.join(sorted(lacking))}"))


def without_off(discovery: Discovery) -> tuple[Discovery, tuple[Reference, ...]]:
    """What is needed as things are, and the images that only chart features which are off would need."""
    needed = tuple(finding for finding in discovery.findings if finding.certainty is not Certainty.VALUES)
    kept = Discovery(needed, discovery.problems)
    return kept, tuple(reference for reference in discovery.references if reference not in set(kept.references))


def write(packing: Packing, run: Run) -> Packed:
    """Fetch everything; the file has its name only once it is whole, and a stream its end mark.

    Raises:
        NoSpace: before the first byte, with both numbers.
        StoreError: a source refused; what was fetched stays in `NAME.partial`, and the next run goes on from there.
    """
    carried = without(packing.graph, {absent.digest for absent in packing.composition.inventory.absent})
    if packing.place == places.STREAM:
        layout = packing.composition.layout
        report = loading.load(carried, layout, packing.source, places.write_out, run.conduct())
    else:
        report = _fill(packing, carried, run)
    _tell_drift(packing, run)
    return Packed(packing.place, packing.size, report, packing.graph.unreadable)


def _fill(packing: Packing, carried: Graph, run: Run) -> Report:
    with places.create(packing.place, packing.composition, run, packing.split) as writer:
        names = {image.reference: image.reference for image in carried.images}
        todo = plan.plan(carried, writer, names, workers=run.workers, stopped=run.stopped)
        report = engine.run(todo, packing.source, writer, run.conduct())
        writer.finish()
    return report


def _tell_drift(packing: Packing, run: Run) -> None:
    """A bundle holds what each tag led to when it was first asked for; say which of them lead elsewhere by now."""
    from airgap.stores.registry import RegistryStore

    source = packing.origin
    if not isinstance(source, RegistryStore):
        return
    named = (image for image in packing.graph.images if image.reference.registry != MADE_HERE)
    tagged = [image for image in named if image.reference.tag is not None]
    found = pool.each(lambda image: source.find(image.reference.by_tag()), tagged, run.workers, run.stopped)
    for image, now in zip(tagged, found, strict=True):
        if isinstance(now, Descriptor) and now.digest != image.root.digest:
            name = image.reference.by_tag()
            run.observe(events.Note(f"`{name}` leads to {now.digest} now; packed is {image.root.digest}"))


def _asked(findings: tuple[Finding, ...], subjects: Mapping[Reference, Reference]) -> Mapping[Reference, Asked]:
    reasons: dict[Reference, list[Why]] = {}
    for finding in findings:
        place = finding.place
        reason = Why(place.source, place.path, place.line, finding.certainty.value)
        reasons.setdefault(finding.reference, []).append(reason)
    asked = {reference: Asked(tuple(why)) for reference, why in reasons.items()}

    def identity(reference: Reference) -> str:
        kind = REFERRER if reference in subjects else asked.get(reference, Asked()).kind
        return f"{kind}:{reference}"

    about = {reference: Asked((), REFERRER, identity(subject)) for reference, subject in subjects.items()}
    return asked | about
