"""A bundle before it is written: from a graph to the exact bytes of its leading members and the place of each blob."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from airgap import strictjson
from airgap.bundles import inventory as inventories
from airgap.bundles.inventory import Absent, Blob, Inventory, Item, Why
from airgap.descriptors import Descriptor, Manifest
from airgap.references import Reference
from airgap.stores.archive import ArchiveLayout, blob_offsets
from airgap.stores.layout import INDEX_FILE, LAYOUT, LAYOUT_FILE, index_document
from airgap.transfer.graph import Graph, Image

INVENTORY_FILE: Final = "airgap-inventory.json"
SIGNATURE_FILE: Final = "airgap-inventory.sig"
DOCKER_FILE: Final = "manifest.json"
INVENTORY_DIGEST: Final = "dev.airgap.inventory.digest"
_PREFERRED: Final = ("linux", "amd64")


@dataclass(frozen=True)
class Composition:
    """The inventory, and where everything lies."""

    inventory: Inventory
    layout: ArchiveLayout
    docker_readable: bool  # whether `docker load` and `podman load` find something in it

    @property
    def documents(self) -> dict[str, bytes]:
        """The leading members, in order."""
        return dict(self.layout.members)


@dataclass(frozen=True, slots=True)
class Label:
    """What the user calls a bundle."""

    name: str
    version: str = ""
    sequence: int | None = None
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an item is, and who asked for it; see `inventory.Item`."""

    why: tuple[Why, ...] = ()
    kind: str = "image"
    subject: str = ""


def compose(
    graph: Graph,
    asked: Mapping[Reference, Asked],
    label: Label,
    absent: Mapping[str, tuple[str, ...]] | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> Composition:
    """Lay a bundle out.

    The same resolved digests and reasons give the same bytes; the order in which anything was read does not matter.

    Args:
        graph: what it shall hold.
        asked: what each name is, and why it is here.
        label: how it is called.
        absent: digest → source names that had it before, of content to leave out. Manifests come along all the same.
        sign: the member `SIGNATURE_FILE` for the inventory's bytes.
    """
    left_out = absent or {}
    ordered = _ordered(graph)
    blobs = [blob for blob in ordered if blob.digest in graph.nodes or blob.digest not in left_out]
    offsets, _ = blob_offsets(blobs)
    inventory = Inventory(
        label.name,
        label.version,
        tuple(_item(graph, image, asked.get(image.reference, Asked())) for image in graph.images),
        tuple(Blob(blob.digest, blob.size, offsets[blob.digest]) for blob in blobs),
        tuple(
            Absent(blob.digest, blob.size, tuple(sorted(left_out[blob.digest])))
            for blob in sorted(ordered, key=lambda blob: blob.digest)
            if blob.digest not in offsets
        ),
        label.sequence,
        label.expires,
    )
    written = inventories.dumps(inventory)
    others = documents_for_others(graph, written, offsets)
    signature = [(SIGNATURE_FILE, sign(written))] if sign else []
    members = [(LAYOUT_FILE, LAYOUT), (INVENTORY_FILE, written), *signature, *others.items()]
    return Composition(inventory, ArchiveLayout.of(members, blobs), DOCKER_FILE in others)


def documents_for_others(graph: Graph, inventory: bytes, present: Container[str]) -> dict[str, bytes]:
    """What other tools read in place of the inventory; it follows from the images, and names the inventory's digest.

    Of a delta, only images whose content is all here are told: others would be read as damaged.
    """
    graph = _complete(graph, present)
    names = ((image.reference, image.root) for image in graph.images)
    artifacts = {image.root.digest for image in graph.images if not _can_run(graph, image.root)}
    docker = docker_document(graph)
    return {
        INDEX_FILE: index_document(names, {INVENTORY_DIGEST: digest_of(inventory)}, artifacts),
        **({DOCKER_FILE: docker} if docker else {}),
    }


def digest_of(inventory: bytes) -> str:
    """The digest that `index.json` knows the inventory by."""
    return Descriptor.of(inventory, inventories.MEDIA_TYPE).digest


def _ordered(graph: Graph) -> list[Descriptor]:
    """Manifests and configs first, then layers, each group by size and digest: what is read first lies in front."""
    small: dict[str, Descriptor] = {digest: node.manifest.descriptor for digest, node in graph.nodes.items()}
    large: dict[str, Descriptor] = {}
    for node in graph.nodes.values():
        config = node.manifest.config
        for child in node.wanted:
            if child.is_manifest:
                continue
            group = small if config is not None and child.digest == config.digest else large
            group[child.digest] = child
    groups = (small.values(), (blob for digest, blob in large.items() if digest not in small))
    return [blob for group in groups for blob in sorted(group, key=lambda d: (d.size, d.digest))]


def _item(graph: Graph, image: Image, asked: Asked) -> Item:
    platforms = tuple(str(platform) for platform in graph.platforms_of(image))
    why = tuple(sorted(set(asked.why), key=lambda w: (w.source, w.path, w.line)))
    root = image.root
    return Item(asked.kind, image.reference, root.digest, root.media_type, platforms, why, asked.subject)


def docker_document(graph: Graph) -> bytes:
    """The docker-archive list: one entry per image config, with all its names; empty where nothing can run."""
    entries: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    for image in sorted(graph.images, key=lambda image: image.reference.digest is not None):
        manifest = runnable(graph, image.root)
        if manifest is None or manifest.config is None:
            continue
        layers = [layer.blob_path for layer in manifest.layers]
        entry = {"Config": manifest.config.blob_path, "RepoTags": [], "Layers": layers}
        names = entries.setdefault(manifest.config.digest, entry)["RepoTags"]
        tag = str(image.reference.by_tag())
        if image.reference.tag and owners.setdefault(tag, manifest.config.digest) == manifest.config.digest:
            names.append(tag)  # of an image that was pinned before its tag moved, docker is not told the tag
    ordered = [entries[digest] for digest in sorted(entries)]
    for entry in ordered:
        entry["RepoTags"] = sorted(set(entry["RepoTags"]))
    return strictjson.dumps(ordered) if ordered else b""


def _complete(graph: Graph, present: Container[str]) -> Graph:
    images = (image for image in graph.images if all(blob.digest in present for blob in graph.blobs_of(image)))
    return replace(graph, images=tuple(images))


def _can_run(graph: Graph, root: Descriptor) -> bool:
    """Whether a runtime could unpack it: charts, files, signatures and the like have layers of other kinds."""
    node = graph.nodes[root.digest]
    if root.is_index:
        return any(_can_run(graph, child) for child in node.wanted if child.is_manifest)
    return node.manifest.is_image and all(layer.is_file_system for layer in node.manifest.layers)


def runnable(graph: Graph, root: Descriptor) -> Manifest | None:
    """The single-platform image that docker should see: linux/amd64 of an index, else its first."""
    node = graph.nodes[root.digest]
    if not root.is_index:
        complete = not any(layer.is_foreign for layer in node.manifest.layers)
        return node.manifest if _can_run(graph, root) and complete else None
    images = [c for c in node.wanted if c.is_manifest and not (c.platform and c.platform.is_attestation)]
    images.sort(key=lambda c: c.platform is None or (c.platform.os, c.platform.architecture) != _PREFERRED)
    found = (runnable(graph, child) for child in images)
    return next((manifest for manifest in found if manifest is not None), None)
