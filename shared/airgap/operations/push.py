"""Pushing: a bundle into a registry, proved by asking for every tag again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from airgap.bundles.lock import Lock, LockEntry
from airgap.bundles.reader import Bundle
from airgap.errors import ContentMismatch, InvalidInput, StoreError
from airgap.operations.environment import Run
from airgap.references import Reference
from airgap.relocation.policy import Relocation
from airgap.stores import Target
from airgap.transfer import engine, graph, plan, pool


@dataclass(frozen=True)
class Push:
    """What a push would do now, from a bundle to the names of a relocation."""

    bundle: Bundle
    plan: plan.Plan
    target: Target


@dataclass(frozen=True)
class Pushed:
    """What a push did; the lock says where every image is now."""

    lock: Lock
    bytes: int
    copied: int
    mounted: int
    present: int
    unchanged: int  # images that were there already, tag and all


def prepare(bundle: Bundle, relocation: Relocation, run: Run, *, filter_index: bool = False) -> Push:
    """Read the bundle's manifests, name everything anew, and ask the registry what it has.

    With `filter_index`, an index that lacks platforms is pushed as one of those that are in the bundle.

    Raises:
        InvalidInput: two images would get one name, or the bundle has no image.
        StoreError: the registry cannot be asked.
        DamagedBundle, ContentMismatch: a manifest of the bundle is damaged.
    """
    if not bundle.references:
        raise InvalidInput(f"`{bundle.path}` has no image in it")
    present = graph.among(bundle.offsets)
    images = graph.walk(bundle.store, bundle.references, present, workers=run.workers, stopped=run.stopped)
    if filter_index:
        images = graph.filtered(images)
    target = run.target()
    names = _settled(images, relocation.mapping(bundle.references))
    todo = plan.plan(images, target, names, workers=run.workers, stopped=run.stopped)
    return Push(bundle, todo, target)


def execute(push: Push, run: Run) -> Pushed:
    """Do it, then ask for each tag again and compare: what a registry says it stored is not yet what it serves.

    Raises:
        StoreError: the registry refused; what it took stays, and the next run does not send it again.
        ContentMismatch: the bundle is damaged, or a tag leads elsewhere afterwards.
    """
    try:
        report = engine.run(
            push.plan, push.bundle.store, push.target, workers=run.workers, observe=run.observe, stopped=run.stopped
        )
    except StoreError as error:
        raise _about_platforms(error, push.plan) from error
    todo = [publish for publish in push.plan.images if not publish.complete]
    pool.every(lambda publish: _prove(publish, push.target), todo, run.workers, run.stopped)
    unchanged = len(push.plan.images) - len(todo)
    return Pushed(lock_of(push.plan), report.bytes, report.copied, report.mounted, report.present, unchanged)


def lock_of(todo: plan.Plan) -> Lock:
    """Where every image of a plan is once the plan is done."""
    return Lock.of(
        LockEntry(
            publish.image.reference,
            publish.image.root.digest,
            publish.target,
            tuple(str(platform) for platform in todo.graph.platforms_of(publish.image)),
        )
        for publish in todo.images
    )


def default_lock(bundle: Path) -> Path:
    """Where the lock goes unless the user says otherwise: beside the bundle."""
    return bundle.with_name(bundle.name.removesuffix(".tar") + ".lock.yaml")


def _settled(images: graph.Graph, names: Mapping[Reference, Reference]) -> dict[Reference, Reference]:
    """Who gets a tag that several claim: `a:1` before `a:1@sha256:…`, which is found by its digest all the same."""
    owners: dict[tuple[str, str | None], str] = {}
    for image in sorted(images.images, key=lambda image: (image.reference.digest is not None, str(image.reference))):
        target = names[image.reference]
        owners.setdefault((target.name, target.tag), image.root.digest)
    return {
        image.reference: target
        if owners[target.name, target.tag] == image.root.digest
        else replace(target, tag=None, digest=image.root.digest)
        for image in images.images
        for target in (names[image.reference],)
    }


def _about_platforms(error: StoreError, todo: plan.Plan) -> StoreError:
    """A registry that does not know a child of an index says only that a blob is unknown; we know which and why."""
    sparse = any(todo.graph.is_sparse(publish.image) for publish in todo.images)
    if sparse and not error.hint and "UNKNOWN" in error.message:
        error.hint = (
            "it wants every platform that an index lists, and the bundle has some only: pack without --platform, or "
            "push with --filter-index, which makes indexes of what is there (their digests change)"
        )
    return error


def _prove(publish: plan.Publish, target: Target) -> bool:
    name = publish.target.by_tag()
    found = target.find(name)
    if found is None or found.digest != publish.image.root.digest:
        raise ContentMismatch(str(name), publish.image.root.digest, found.digest if found else "not there")
    return True
