"""Packing: find the images, resolve them once, lay the bundle out, fetch every blob to its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airgap import durable, limits, strictjson
from airgap.bundles.composition import Composition, compose
from airgap.bundles.inventory import Why
from airgap.discovery.findings import Certainty, Discovery, Finding
from airgap.errors import IncompleteError, InvalidInput, InvalidManifest
from airgap.operations.environment import Run
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores import Source
from airgap.stores.archive import ArchiveWriter
from airgap.transfer import engine, plan, pool
from airgap.transfer.graph import Graph, Image, of_platforms, walk


@dataclass(frozen=True)
class Packing:
    """A bundle that could be written now: its exact bytes are known but for the blobs' own.

    Attributes:
        path: where it goes.
        graph: what it holds.
        composition: how it lies.
        source: where its content is fetched from.
        free: bytes free where it goes.
    """

    path: Path
    graph: Graph
    composition: Composition
    source: Source
    free: int

    @property
    def size(self) -> int:
        """Bytes of the finished file."""
        return self.composition.layout.size


@dataclass(frozen=True)
class Packed:
    """A bundle that was written: the file's size, and the bytes that had to be fetched for it."""

    path: Path
    size: int
    images: int
    blobs: int
    fetched: int
    kept: int  # blobs that an interrupted run had left in place


def prepare(
    discovery: Discovery, path: Path, platforms: tuple[Platform, ...], run: Run, *, allow_incomplete: bool = False
) -> Packing:
    """Resolve what was found and lay the bundle out; nothing is written yet.

    Raises:
        IncompleteError: something could not be examined, or images cannot be read.
        InvalidInput: nothing was found, or the bundle has no place.
        NoSpace: the bundle would not fit.
    """
    if discovery.problems and not allow_incomplete:
        raise IncompleteError(
            "not everything could be examined, so images may be missing",
            tuple(f"{problem.place}: {problem.reason}" for problem in discovery.problems),
            hint="mend that, or pack what was found with --allow-incomplete",
        )
    if not discovery.references:
        raise InvalidInput("no image was found, so there is nothing to pack")
    check_place(path)
    source = run.sources()
    graph = walk(source, discovery.references, of_platforms(platforms), workers=run.workers, stopped=run.stopped)
    if platforms:
        _check_single(graph, source, platforms, run)
    composition = compose(graph, _reasons(discovery.findings), path.name.removesuffix(".tar"), "")
    return Packing(path, graph, composition, source, durable.free_space(path.absolute().parent))


def _check_single(graph: Graph, source: Source, platforms: tuple[Platform, ...], run: Run) -> None:
    """An image without an index has one platform, which only its config tells."""
    single = [image for image in graph.images if graph.nodes[image.root.digest].manifest.is_image]

    def made_for(image: Image) -> Platform:
        config = graph.nodes[image.root.digest].manifest.children[0]
        if config.size > limits.MANIFEST:
            raise InvalidManifest(f"the config of `{image.reference}` is larger than {limits.MANIFEST} bytes")
        data = b"".join(source.blob(image.reference.name, config))
        value = strictjson.loads(data, f"the config of `{image.reference}`")
        return Platform.from_json(value if isinstance(value, dict) else {})

    found = pool.every(made_for, single, run.workers, run.stopped)
    other = [(i, p) for i, p in zip(single, found, strict=True) if not any(asked.covers(p) for asked in platforms)]
    if other:
        raise IncompleteError(
            f"{len(other)} of {len(graph.images)} images have none of the platforms asked for",
            tuple(f"{image.reference} is made for {platform}" for image, platform in other),
            hint="ask for those platforms too, with --platform once more, or leave the images out",
        )


def without_off(discovery: Discovery) -> tuple[Discovery, tuple[Reference, ...]]:
    """What is needed as things are, and the images that only chart features which are off would need."""
    needed = tuple(finding for finding in discovery.findings if finding.certainty is not Certainty.VALUES)
    kept = Discovery(needed, discovery.problems)
    return kept, tuple(reference for reference in discovery.references if reference not in set(kept.references))


def write(packing: Packing, run: Run) -> Packed:
    """Fetch everything; the file has its name only once it is whole.

    Raises:
        NoSpace: before the first byte, with both numbers.
        StoreError: a source refused; what was fetched stays in `NAME.partial`, and the next run goes on from there.
    """
    with ArchiveWriter(packing.path, packing.composition.layout) as writer:
        names = {image.reference: image.reference for image in packing.graph.images}
        todo = plan.plan(packing.graph, writer, names, workers=run.workers, stopped=run.stopped)
        report = engine.run(todo, packing.source, writer, workers=run.workers, observe=run.observe, stopped=run.stopped)
        writer.finish()
    blobs = len(packing.composition.layout.blobs)
    return Packed(packing.path, packing.size, len(packing.graph.images), blobs, report.bytes, report.present)


def check_place(path: Path) -> None:
    """Refuse an output that cannot become a bundle file.

    Raises:
        InvalidInput: a directory, a device, a link, or in a directory that is not there.
    """
    with durable.explained(path):
        path.exists()  # a name that is too long is said to be so
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InvalidInput(f"`{path}` is not a plain file", hint="name a file that is new, or a bundle to replace")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"there is no directory `{path.absolute().parent}`", hint="make it first")


def _reasons(findings: tuple[Finding, ...]) -> Mapping[Reference, list[Why]]:
    reasons: dict[Reference, list[Why]] = {}
    for finding in findings:
        place = finding.place
        reason = Why(place.source, place.path, place.line, finding.certainty.value)
        reasons.setdefault(finding.reference, []).append(reason)
    return reasons
