"""What has to move: the graph below a set of names, walked once, several manifests at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from airgap import limits
from airgap.descriptors import Descriptor, Manifest, parse_manifest, select
from airgap.errors import AirgapError, IncompleteError, InvalidManifest
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores import Source
from airgap.transfer import pool


@dataclass(frozen=True, slots=True)
class Node:
    """A manifest or index, its bytes as they were served, and those of its children that are wanted."""

    manifest: Manifest
    data: bytes
    wanted: tuple[Descriptor, ...]

    @property
    def is_sparse(self) -> bool:
        """Whether some platforms of an index were left out."""
        return len(self.wanted) < len(self.manifest.children)


@dataclass(frozen=True, slots=True)
class Image:
    """A name and the descriptor it stood for when the walk began."""

    reference: Reference
    root: Descriptor


@dataclass(frozen=True)
class Graph:
    """Images and everything below them.

    Attributes:
        images: sorted by name.
        nodes: digest → manifest or index.
        foreign: layers that may not be distributed and so do not move.
        unreadable: names that could not be read, with the reason, where the others were to go on.
    """

    images: tuple[Image, ...]
    nodes: Mapping[str, Node]
    foreign: tuple[Descriptor, ...] = ()
    unreadable: tuple[tuple[Reference, AirgapError], ...] = ()

    def manifests_of(self, image: Image) -> Iterator[Descriptor]:
        """The image's manifests, each once, children before parents, the root last."""
        seen: set[str] = set()

        def visit(descriptor: Descriptor) -> Iterator[Descriptor]:
            if descriptor.digest in seen:
                return
            seen.add(descriptor.digest)
            for child in self.nodes[descriptor.digest].wanted:
                if child.is_manifest:
                    yield from visit(child)
            yield descriptor

        yield from visit(image.root)

    def blobs_of(self, image: Image) -> Iterator[Descriptor]:
        """The image's configs and layers, each once."""
        seen: set[str] = set()
        for manifest in self.manifests_of(image):
            for child in self.nodes[manifest.digest].wanted:
                if not child.is_manifest and child.digest not in seen:
                    seen.add(child.digest)
                    yield child

    def is_sparse(self, image: Image) -> bool:
        """Whether an index of the image lists platforms that are not here."""
        return any(self.nodes[d.digest].is_sparse for d in self.manifests_of(image) if d.is_index)

    def platforms_of(self, image: Image) -> tuple[Platform, ...]:
        """The platforms that come along, as indexes name them, each once; empty for a single manifest."""

        def visit(index: Descriptor) -> Iterator[Platform]:
            for child in self.nodes[index.digest].wanted:
                if child.is_index:
                    yield from visit(child)
                elif child.platform and not child.platform.is_attestation:
                    yield child.platform

        return tuple(dict.fromkeys(visit(image.root)))


Choice = Callable[[tuple[Descriptor, ...]], tuple[Descriptor, ...]]
"""Which children of an index are wanted."""


def everything(children: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
    """All platforms."""
    return children


def of_platforms(platforms: tuple[Platform, ...]) -> Choice:
    """Those of the platforms asked for, with their attestations, and indexes that may have some; of none, all."""
    return lambda children: select(children, platforms)


def among(digests: Container[str]) -> Choice:
    """Those that are there: what is left of an index whose other platforms stayed behind."""
    return lambda children: tuple(child for child in children if child.digest in digests)


def walk(
    source: Source,
    references: Sequence[Reference],
    choice: Choice = everything,
    *,
    keep_going: bool = False,
    workers: int = limits.WORKERS,
    stopped: threading.Event | None = None,
) -> Graph:
    """Resolve every name once, and read all manifests below.

    Args:
        source: where they are.
        references: each once; a name that cannot be read does not keep the others from being tried.
        choice: which children of an index come along. An image without an index comes as it is.
        keep_going: names that cannot be read are left out and noted, unless all of them are.
        workers: how many are read at a time.
        stopped: ends the walk when set.

    Raises:
        StoreError: the one name that could not be read.
        IncompleteError: more than one, each named with its reason.
    """
    walker = Walker(source, choice)
    results = pool.each(walker.image, list(references), workers, stopped or threading.Event())
    failures = [(r, e) for r, e in zip(references, results, strict=True) if isinstance(e, AirgapError)]
    if keep_going and len(failures) < len(references):
        return walker.graph(results, failures)
    if len(failures) == 1:
        raise failures[0][1]
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {len(references)} images cannot be read",
            tuple(f"{reference}: {error.message}" for reference, error in failures),
            hint=failures[0][1].hint,
        )
    return walker.graph(results)


def without(graph: Graph, digests: Container[str]) -> Graph:
    """The same images, with some of their configs and layers left out: what a delta carries."""

    def reduced(node: Node) -> Node:
        wanted = tuple(child for child in node.wanted if child.is_manifest or child.digest not in digests)
        return replace(node, wanted=wanted)

    return replace(graph, nodes={digest: reduced(node) for digest, node in graph.nodes.items()})


def only(graph: Graph, keep: Callable[[Image], bool]) -> Graph:
    """Some of the images."""
    return replace(graph, images=tuple(image for image in graph.images if keep(image)))


def filtered(graph: Graph) -> Graph:
    """The same images, with each index that lacks platforms replaced by one of those that are there.

    Its digest is another then, so a name that is pinned to the old one will not find it; for registries that refuse
    an index whose children they do not have (distribution 2.8 does).
    """
    nodes = dict(graph.nodes)
    images = tuple(Image(image.reference, _filtered(image.root, nodes)) for image in graph.images)
    return Graph(images, nodes, graph.foreign)


def _filtered(root: Descriptor, nodes: dict[str, Node]) -> Descriptor:
    node = nodes[root.digest]
    if not root.is_index:
        return root
    wanted = tuple(_filtered(child, nodes) for child in node.wanted)
    if wanted == node.manifest.children:
        return root
    renamed = {old.digest: new for old, new in zip(node.wanted, wanted, strict=True)}
    document = json.loads(node.data)
    document["manifests"] = [
        {**entry, "digest": renamed[entry["digest"]].digest, "size": renamed[entry["digest"]].size}
        for entry in document["manifests"]
        if entry["digest"] in renamed
    ]
    data = json.dumps(document, indent=2).encode()
    descriptor = replace(Descriptor.of(data, root.media_type), platform=root.platform)
    nodes[descriptor.digest] = Node(replace(node.manifest, descriptor=descriptor, children=wanted), data, wanted)
    return descriptor


class Walker:
    """Reads manifests into one table that all images share.

    Args:
        source: where they are.
        choice: which children of an index come along.
        known: what was read before; it is not read again, and what is read now must agree with it.
    """

    def __init__(self, source: Source, choice: Choice = everything, known: Graph | None = None) -> None:
        self.source = source
        self.choice = choice
        self.nodes: dict[str, Node] = dict(known.nodes) if known else {}
        self.foreign: dict[str, Descriptor] = {layer.digest: layer for layer in known.foreign} if known else {}
        self.sizes: dict[str, int] = {}
        self._barren: dict[str, tuple[str, ...]] = {}  # indexes without a platform that is wanted: what they have
        for node in self.nodes.values():
            self.sizes |= {d.digest: d.size for d in (node.manifest.descriptor, *node.manifest.children)}

    def graph(
        self, results: Iterable[Image | AirgapError], unreadable: Iterable[tuple[Reference, AirgapError]] = ()
    ) -> Graph:
        """What was read; of images that could not be read to the end, nothing."""
        images = sorted((r for r in results if isinstance(r, Image)), key=lambda image: str(image.reference))
        whole = Graph(tuple(images), self.nodes, tuple(self.foreign.values()), tuple(unreadable))
        used = {manifest.digest for image in images for manifest in whole.manifests_of(image)}
        return replace(whole, nodes={digest: node for digest, node in self.nodes.items() if digest in used})

    def image(self, reference: Reference) -> Image:
        """Read a name and everything below it.

        Raises:
            StoreError, ContentError: it cannot be read. IncompleteError: it has none of the platforms asked for.
        """
        root = self.source.resolve(reference)
        if not self._visit(reference, root, 0):
            there = ", ".join(dict.fromkeys(self._barren[root.digest]))
            hint = f"it is made for {there}" if there else "its index names no platform: pack it without --platform"
            raise IncompleteError(f"`{reference}` has none of the platforms asked for", hint=hint)
        return Image(reference, root)

    def _visit(self, reference: Reference, descriptor: Descriptor, depth: int) -> bool:
        """Read what is below a manifest; whether any of it is wanted."""
        what = f"the manifest of `{reference}`"
        if depth > limits.INDEX_DEPTH:
            raise InvalidManifest(f"{what} has indexes in indexes, more than {limits.INDEX_DEPTH} deep")
        if descriptor.size > limits.MANIFEST:
            raise InvalidManifest(f"{what} is larger than {limits.MANIFEST} bytes")
        if descriptor.digest in self.nodes:
            return True
        if descriptor.digest in self._barren:
            return False
        data = self.source.manifest(reference.name, descriptor)
        manifest = parse_manifest(data, descriptor, what)
        self._check_sizes(manifest, what)
        chosen = self._chosen(manifest)
        below = {c: self._visit(reference, c, depth + 1) for c in dict.fromkeys(chosen) if c.is_manifest}
        wanted = tuple(child for child in chosen if below.get(child, True))
        if descriptor.is_index and manifest.children and not wanted:
            self._barren[descriptor.digest] = tuple(self._platforms_in(manifest))
            return False
        self.nodes[descriptor.digest] = Node(manifest, data, wanted)
        return True

    def _check_sizes(self, manifest: Manifest, what: str) -> None:
        """One content has one size: where two manifests say otherwise, one of them lies about what follows it."""
        for child in (manifest.descriptor, *manifest.children):
            known = self.sizes.setdefault(child.digest, child.size)
            if known != child.size:
                raise InvalidManifest(f"{what} says that `{child.digest}` has {child.size} bytes, others say {known}")

    def _chosen(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        if manifest.descriptor.is_index:
            return self.choice(manifest.children)
        self.foreign.update((c.digest, c) for c in manifest.children if c.is_foreign)
        return tuple(child for child in manifest.children if not child.is_foreign)

    def _platforms_in(self, manifest: Manifest) -> Iterator[str]:
        for child in manifest.children:
            if child.digest in self._barren:
                yield from self._barren[child.digest]
            elif child.platform and not child.platform.is_attestation:
                yield str(child.platform)
