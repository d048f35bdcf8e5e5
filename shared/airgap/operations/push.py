"""Pushing: a bundle into a registry, proved by asking for every tag again."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airgap import limits
from airgap.bundles import artifacts, verification
from airgap.bundles.inventory import Item
from airgap.bundles.lock import Lock, LockEntry
from airgap.bundles.reader import Bundle
from airgap.errors import AirgapError, ContentMismatch, InvalidInput, UnknownContent
from airgap.operations import admission, places
from airgap.operations.environment import Run
from airgap.references import Reference
from airgap.relocation.policy import Relocation
from airgap.stores import Target
from airgap.stores.registry.journal import Journal
from airgap.stores.registry.uploads import Uploads
from airgap.stores.stream import StreamReader
from airgap.transfer import engine, events, graph, plan, pool, referrers, unloading
from airgap.transfer.engine import Conduct, Outcome, Report, Result

if TYPE_CHECKING:
    from airgap.stores.registry import RegistryStore


@dataclass(frozen=True)
class Wishes:
    """How a push is to be done.

    Attributes:
        filter_index: push an index that lacks platforms as one of those that are in the bundle. That one has another
            digest, so what is attached to the old one stays behind.
        images_only: leave out charts, manifests and files, for registries that take none.
        referrers: push what is attached to images too.
        create_projects: make projects that are not there, if the registry is a Harbor.
        chunk: bytes that one request may carry, where a proxy before the registry has a limit; 0 where none has.
        dry_run: change nothing: say which projects would be made.
    """

    filter_index: bool = False
    images_only: bool = False
    referrers: bool = True
    create_projects: bool = False
    chunk: int = 0
    dry_run: bool = False


@dataclass(frozen=True)
class Push:
    """What a push would do now, from a bundle to the names of a relocation.

    Attributes:
        projects: of a Harbor, that were not there before.
        left: referrers that stay behind, as what they are about is not pushed as it was.
    """

    bundle: Bundle
    plan: plan.Plan
    target: unloading.Place
    journal: Journal
    projects: tuple[str, ...] = ()
    left: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        lock: where every image that arrived is now.
        counts: how many of what arrived.
        charts: where the charts are.
    """

    lock: Lock
    report: Report
    counts: Mapping[str, int]
    charts: tuple[Reference, ...] = ()

    @property
    def failures(self) -> tuple[tuple[Reference, AirgapError], ...]:
        """The images that did not arrive, with the reasons, where the others were to."""
        return tuple((o.image.reference, o.failure) for o in self.report.outcomes if o.failure is not None)


def prepare(bundle: Bundle, relocation: Relocation, run: Run, wishes: Wishes | None = None) -> Push:
    """Read the bundle's manifests, name everything anew, and ask the registry what it has.

    Raises:
        InvalidInput: two images would get one name, or the bundle has no image.
        StoreError: the registry cannot be asked, or is no Harbor though projects are to be made.
        UntrustedBundle: the bundle is older than the last one, or expired.
        DamagedBundle, ContentMismatch: a manifest of the bundle is damaged, or what stands before it.
        InvalidManifest: a set of files has a file that leads elsewhere.
    """
    wishes = wishes or Wishes()
    items = _wanted(bundle, wishes)
    if not items:
        raise InvalidInput(f"`{bundle.place}` has no image in it")
    admission.admit(bundle, run)
    images, left = _moving(bundle, items, run, wishes)
    journal = Journal(places.journal_of(bundle), lambda text: run.observe(events.Note(text)))
    target = run.target(Uploads(journal, _chunk(bundle, wishes.chunk)))
    names = _settled(images, _names(bundle, items, relocation))
    projects = _projects(target, names, dry_run=wishes.dry_run) if wishes.create_projects else ()
    lacking = _lacking(bundle, relocation, names)
    todo = plan.plan(images, target, names, lacking=lacking, workers=run.workers, stopped=run.stopped)
    return Push(bundle, todo, target, journal, projects, left)


def _chunk(bundle: Bundle, asked: int) -> int:
    """What one request carries; of a stream no more than is kept, so that a broken one can be sent again."""
    if not isinstance(bundle.store, StreamReader):
        return asked
    return min(asked or limits.UPLOAD_CHUNK, limits.UPLOAD_CHUNK)


def _wanted(bundle: Bundle, wishes: Wishes) -> list[Item]:
    """What of a bundle is asked for; a referrer goes where that goes which it is about."""
    left_out = artifacts.KINDS_MADE if wishes.images_only else ()
    items = [item for item in bundle.inventory.items if item.kind not in left_out]
    kept = {item.reference for item in items}
    owners = bundle.inventory.owners if wishes.referrers else {}
    return [item for item in items if not item.is_referrer or owners.get(item.reference) in kept]


def _moving(
    bundle: Bundle, items: Sequence[Item], run: Run, wishes: Wishes
) -> tuple[graph.Graph, tuple[Reference, ...]]:
    """The graph of it; and the referrers that are left, as they are about an index that is not pushed."""
    wanted = {item.reference for item in items}
    present = graph.among(bundle.digests)
    everything = graph.walk(bundle.store, bundle.references, present, workers=run.workers, stopped=run.stopped)
    verification.check_documents(bundle, everything)
    images = graph.only(everything, lambda image: image.reference in wanted)
    artifacts.tally(items, images)  # before anything is sent, every name of a file has been looked at
    if wishes.filter_index:
        images = graph.filtered(images)
    left = {image.reference for image in referrers.left_behind(images, bundle.inventory.owners)}
    return graph.only(images, lambda image: image.reference not in left), tuple(sorted(left, key=str))


def _names(bundle: Bundle, items: Sequence[Item], relocation: Relocation) -> dict[Reference, Reference]:
    """What everything is called at the target: a referrer as it is, in the repository of what it is about."""
    owners = bundle.inventory.owners
    names = relocation.mapping(item.reference for item in items if not item.is_referrer)
    for reference in (item.reference for item in items if item.is_referrer):
        names[reference] = replace(names[owners[reference]], tag=reference.tag, digest=reference.digest)
    return names


def _projects(target: RegistryStore, names: Mapping[Reference, Reference], *, dry_run: bool) -> tuple[str, ...]:
    """The projects of a Harbor that were not there; unless only looking, they are now."""
    from airgap.stores.registry import harbor

    some = next(iter(names.values()))
    ask = harbor.missing if dry_run else harbor.create
    return ask(target.client_of(some.name), harbor.projects_of(names.values()))


def _lacking(
    bundle: Bundle, relocation: Relocation, names: Mapping[Reference, Reference]
) -> dict[str, tuple[str, ...]]:
    """Digest → repositories of the target that may have it, of what a delta leaves out: likely ones first."""
    anywhere = tuple(sorted({target.name for target in names.values()}))

    def targets(sources: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(relocation.target_of(Reference.parse(source)).name for source in sources)

    return {row.digest: (*targets(row.repositories), *anywhere) for row in bundle.inventory.absent}


def execute(push: Push, run: Run, *, keep_going: bool = False) -> Pushed:
    """Do it, then ask for each tag again and compare: what a registry says it stored is not yet what it serves.

    Raises:
        StoreError: the registry refused; what it took stays, and the next run does not send it again.
        ContentMismatch: the bundle is damaged, or a tag leads elsewhere afterwards.
    """
    try:
        report = _moved(push, run.conduct(keep_going=keep_going))
    except UnknownContent as error:
        raise _about_missing(error, push.plan) from error
    report = _proved(push, report, run, keep_going=keep_going)
    for outcome in report.outcomes:
        if isinstance(outcome.failure, UnknownContent):
            _about_missing(outcome.failure, push.plan)
    if all(outcome.failure is None for outcome in report.outcomes):
        admission.remember(push.bundle, run)
        push.journal.finish()
    return _concluded(push, report)


def _concluded(push: Push, report: Report) -> Pushed:
    """The lock is about images; where charts are is told apart."""
    arrived = {outcome.image.reference: outcome.target for outcome in report.outcomes if outcome.failure is None}
    items = [item for item in push.bundle.inventory.items if item.reference in arrived]
    images = {item.reference for item in items if item.kind == "image"}
    charts = tuple(arrived[item.reference] for item in items if item.kind == "chart")
    return Pushed(lock_of(push.plan, images), report, artifacts.tally(items, push.plan.graph), charts)


def _moved(push: Push, conduct: Conduct) -> Report:
    store = push.bundle.store
    if isinstance(store, StreamReader):
        return unloading.unload(push.plan, store, push.target, conduct)
    return engine.run(push.plan, store, push.target, conduct)


def lock_of(todo: plan.Plan, arrived: Container[Reference]) -> Lock:
    """Where every image of a plan that arrived is."""
    return Lock.of(
        LockEntry(
            publish.image.reference,
            publish.image.root.digest,
            publish.target,
            tuple(str(platform) for platform in todo.graph.platforms_of(publish.image)),
        )
        for publish in todo.images
        if publish.image.reference in arrived
    )


def _settled(images: graph.Graph, names: Mapping[Reference, Reference]) -> dict[Reference, Reference]:
    """Who gets a tag that several claim: `a:1` before `a:1@sha256:…`, which is found by its digest all the same.

    A pin is to what is pushed: of an index that was filtered, to the new one.
    """
    owners: dict[tuple[str, str | None], str] = {}
    for image in sorted(images.images, key=lambda image: (image.reference.digest is not None, str(image.reference))):
        target = names[image.reference]
        owners.setdefault((target.name, target.tag), image.root.digest)
    return {
        image.reference: (replace(target, digest=image.root.digest) if target.digest else target)
        if owners[target.name, target.tag] == image.root.digest
        else replace(target, tag=None, digest=image.root.digest)
        for image in images.images
        for target in (names[image.reference],)
    }


def _about_missing(error: UnknownContent, todo: plan.Plan) -> UnknownContent:
    """A registry that wants content which is not in the bundle says only that it is unknown; we know which and why."""
    if error.digests & {layer.digest for layer in todo.graph.foreign}:
        error.hint = "the layer may not be distributed, so it stayed where it was; this registry takes no image without"
    elif any(todo.graph.is_sparse(publish.image) for publish in todo.images):
        error.hint = (
            "it wants every platform that an index lists, and the bundle has some only: pack without --platform, or "
            "push with --filter-index, which makes indexes of what is there (their digests change)"
        )
    return error


def _proved(push: Push, report: Report, run: Run, *, keep_going: bool) -> Report:
    """The report, once each tag that was pushed has been asked for again, and each list of referrers."""

    def ask(outcome: Outcome) -> None:
        if outcome.result is Result.DONE:
            _prove(outcome, push.target)

    answers = pool.each(ask, report.outcomes, run.workers, run.stopped)
    wrong = {o.image.reference: a for o, a in zip(report.outcomes, answers, strict=True) if a is not None}
    there = [
        (outcome.image, outcome.target)
        for outcome in report.outcomes
        if outcome.failure is None and outcome.image.reference not in wrong
    ]
    failures = wrong | referrers.enlist(push.plan.graph, there, push.target, run.workers, run.stopped)
    if failures and not keep_going:
        raise next(iter(failures.values()))
    outcomes = (
        replace(outcome, result=Result.FAILED, failure=failures[outcome.image.reference])
        if outcome.image.reference in failures
        else outcome
        for outcome in report.outcomes
    )
    return replace(report, outcomes=tuple(outcomes))


def _prove(outcome: Outcome, target: Target) -> None:
    name = outcome.target.by_tag()
    found = target.find(name)
    if found is None or found.digest != outcome.image.root.digest:
        raise ContentMismatch(str(name), outcome.image.root.digest, found.digest if found else "not there")
