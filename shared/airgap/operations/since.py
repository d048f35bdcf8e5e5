"""What the other side has already: the content of an earlier bundle, which a delta leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from airgap import durable, limits
from airgap.bundles import inventory as inventories
from airgap.bundles.inventory import Inventory
from airgap.bundles.reader import Bundle
from airgap.errors import DamagedBundle, InvalidInput
from airgap.operations import places
from airgap.operations.environment import Run
from airgap.relocation.policy import Relocation
from airgap.stores import partlist
from airgap.transfer import pool
from airgap.transfer.graph import Graph, among, walk

REGISTRY: Final = "oci://"
_Known = dict[str, tuple[str, ...]]  # digest → source names that have it


def known(place: str, graph: Graph, run: Run) -> Mapping[str, tuple[str, ...]]:
    """Digest → source names that had it, of everything in an earlier bundle.

    Args:
        place: a bundle, wherever it lies; an inventory (`inspect --inventory`); or a registry that can be asked now,
            as `oci://HOST/PREFIX`.
        graph: what is packed now; an inventory does not say which image has which content, so that its names count
            for all of it where they are no longer packed.
        run: how places are reached.

    Raises:
        InvalidInput: there is nothing at that place. DamagedBundle: it is no bundle and no inventory.
        UntrustedBundle: none of the run's keys has signed it.
    """
    if place.startswith(REGISTRY):
        return _of_registry(Relocation.to(place), graph, run)
    path = Path(place)
    with durable.explained(path):
        if path.is_file() and not path.name.endswith(partlist.SUFFIX) and _looks_like_json(path):
            return _of_inventory(_inventory(path, run), graph)
    try:
        bundle = places.open_bundle(place, run)
    except InvalidInput as error:
        if "/" in place and not path.exists():
            error.hint = f"check the path; a registry is written {REGISTRY}HOST/PREFIX"
        raise
    with bundle:
        return _of_bundle(bundle, run)


def _of_registry(relocation: Relocation, graph: Graph, run: Run) -> _Known:
    """What it has of these images, under the names that a push gives them; another naming is proved at the push."""
    target = run.target()
    wanted = {
        (blob.digest, image.reference.name): (blob, relocation.target_of(image.reference).name)
        for image in graph.images
        for blob in graph.blobs_of(image)
    }
    there = pool.every(lambda ask: target.has(ask[1], ask[0]), list(wanted.values()), run.workers, run.stopped)
    names: dict[str, set[str]] = {}
    for (digest, source), has in zip(wanted, there, strict=True):
        if has:
            names.setdefault(digest, set()).add(source)
    return {digest: tuple(sorted(found)) for digest, found in names.items()}


def _of_bundle(bundle: Bundle, run: Run) -> _Known:
    """From its manifests, which tell what belongs to what."""
    names: dict[str, set[str]] = {}
    walked = walk(bundle.store, bundle.references, among(bundle.digests), workers=run.workers, stopped=run.stopped)
    for image in walked.images:
        for blob in walked.blobs_of(image):
            names.setdefault(blob.digest, set()).add(image.reference.name)
    for absent in bundle.inventory.absent:
        names.setdefault(absent.digest, set()).update(absent.repositories)
    return {digest: tuple(sorted(found)) for digest, found in names.items()}


def _of_inventory(inventory: Inventory, graph: Graph) -> _Known:
    packed = {image.reference.name for image in graph.images}
    gone = tuple(sorted({item.reference.name for item in inventory.items} - packed))
    absent = {row.digest: row.repositories for row in inventory.absent}
    return {blob.digest: gone for blob in inventory.blobs} | absent


def _looks_like_json(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"{"


def _inventory(path: Path, run: Run) -> Inventory:
    """An inventory on its own; its signature, if it has one, lies beside it as it does in a bundle."""
    data, signature = _read(path), path.with_suffix(".sig")
    run.keys.check(data, _read(signature) if signature.exists() else None, str(path))
    return inventories.loads(data, str(path))


def _read(path: Path) -> bytes:
    if path.stat().st_size > limits.INVENTORY:
        raise DamagedBundle(f"`{path}` is larger than an inventory may be", hint="name a bundle or its inventory")
    return path.read_bytes()
