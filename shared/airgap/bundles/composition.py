"""A bundle before it is written: from a graph to the exact bytes of its leading members and the place of each blob."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airgap import strictjson
from airgap.bundles import inventory as inventories
from airgap.bundles.inventory import Blob, Inventory, Item, Why
from airgap.descriptors import Descriptor, Manifest
from airgap.references import Reference
from airgap.stores.archive import ArchiveLayout, blob_offsets
from airgap.stores.layout import INDEX_FILE, LAYOUT, LAYOUT_FILE, index_document
from airgap.transfer.graph import Graph, Image

INVENTORY_FILE: Final = "airgap-inventory.json"
DOCKER_FILE: Final = "manifest.json"
INVENTORY_DIGEST: Final = "dev.airgap.inventory.digest"
_PREFERRED: Final = ("linux", "amd64")


@dataclass(frozen=True)
class Composition:
    """The inventory, and where everything lies."""

    inventory: Inventory
    layout: ArchiveLayout
    docker_readable: bool  # whether `docker load` and `podman load` find something in it


def compose(graph: Graph, reasons: Mapping[Reference, Iterable[Why]], name: str, version: str) -> Composition:
    """Lay a bundle out.

    The same resolved digests and reasons give the same bytes; the order in which anything was read does not matter.

    Args:
        graph: what it shall hold.
        reasons: why each image is here.
        name: of the bundle.
        version: of the bundle; may be empty.
    """
    blobs = _ordered(graph)
    offsets, _ = blob_offsets(blobs)
    inventory = Inventory(
        name,
        version,
        tuple(_item(graph, image, reasons.get(image.reference, ())) for image in graph.images),
        tuple(Blob(blob.digest, blob.size, offsets[blob.digest]) for blob in blobs),
    )
    written = inventories.dumps(inventory)
    others = documents_for_others(graph, written)
    members = [(LAYOUT_FILE, LAYOUT), (INVENTORY_FILE, written), *others.items()]
    return Composition(inventory, ArchiveLayout.of(members, blobs), DOCKER_FILE in others)


def documents_for_others(graph: Graph, inventory: bytes) -> dict[str, bytes]:
    """What other tools read in place of the inventory; it follows from the images, and names the inventory's digest."""
    names = ((image.reference, image.root) for image in graph.images)
    docker = _docker_document(graph)
    return {
        INDEX_FILE: index_document(names, {INVENTORY_DIGEST: digest_of(inventory)}),
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


def _item(graph: Graph, image: Image, why: Iterable[Why]) -> Item:
    platforms = tuple(str(platform) for platform in graph.platforms_of(image))
    reasons = tuple(sorted(set(why), key=lambda w: (w.source, w.path, w.line)))
    return Item("image", image.reference, image.root.digest, image.root.media_type, platforms, reasons)


def _docker_document(graph: Graph) -> bytes:
    """The docker-archive list: one entry per image config, with all its names; empty where nothing can run."""
    entries: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    for image in sorted(graph.images, key=lambda image: image.reference.digest is not None):
        manifest = _runnable(graph, image.root)
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


def _runnable(graph: Graph, root: Descriptor) -> Manifest | None:
    """The single-platform image that docker should see: linux/amd64 of an index, else its first."""
    node = graph.nodes[root.digest]
    if not root.is_index:
        complete = not any(layer.is_foreign for layer in node.manifest.layers)
        return node.manifest if node.manifest.is_image and complete else None
    images = [c for c in node.wanted if c.is_manifest and not (c.platform and c.platform.is_attestation)]
    images.sort(key=lambda c: c.platform is None or (c.platform.os, c.platform.architecture) != _PREFERRED)
    found = (_runnable(graph, child) for child in images)
    return next((manifest for manifest in found if manifest is not None), None)
