"""Proving a bundle: every byte of it is accounted for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from airgap import limits
from airgap.bundles import artifacts
from airgap.bundles.composition import DOCKER_FILE, INVENTORY_FILE, documents_for_others
from airgap.bundles.reader import Bundle
from airgap.descriptors import Descriptor
from airgap.errors import AirgapError, ContentError, DamagedBundle, IncompleteError, NotFound, StoreError
from airgap.stores.layout import INDEX_FILE, LAYOUT, LAYOUT_FILE
from airgap.stores.stream import CutOff, StreamReader
from airgap.transfer import events, pool
from airgap.transfer.graph import Graph, among, walk


@dataclass(frozen=True)
class Verification:
    """What was proved: so many images, charts and files, so many blobs and bytes hashed."""

    counts: Mapping[str, int]
    blobs: int
    bytes: int


def verify(
    bundle: Bundle,
    *,
    workers: int = limits.WORKERS,
    observe: events.Observer = events.silent,
    stopped: threading.Event | None = None,
) -> Verification:
    """Hash every blob, and follow every image down to its last layer.

    Headers, padding and the end mark are compared too: a byte that is nobody's content is still part of the file.

    Raises:
        DamagedBundle: with each damaged object by name.
    """
    stopped = stopped or threading.Event()
    blobs = [Descriptor("-", blob.digest, blob.size) for blob in bundle.inventory.blobs]
    observe(events.Planned(bundle.inventory.size, len(blobs)))
    images = _images(bundle)

    def check(blob: Descriptor) -> int:
        for chunk in bundle.store.blob("", blob):
            observe(events.Moved(len(chunk)))
        observe(events.Done(blob.digest))
        return blob.size

    if isinstance(bundle.store, StreamReader):
        results = pool.each(check, blobs, 1, stopped)  # as they pass
    else:
        results = pool.each(check, sorted(blobs, key=lambda blob: -blob.size), workers, stopped)
    _raise_all(bundle, [result for result in results if isinstance(result, AirgapError)])
    if isinstance(bundle.store, StreamReader):
        bundle.store.finish()
    if isinstance(images, AirgapError):
        raise DamagedBundle(f"`{bundle.place}`: {images.message}") from images
    check_documents(bundle, images)
    return Verification(_tally(bundle, images), len(blobs), bundle.inventory.size)


def _raise_all(bundle: Bundle, failures: list[AirgapError]) -> None:
    if not failures:
        return
    for failure in failures:
        if not isinstance(failure, ContentError | NotFound) or isinstance(failure, CutOff):
            raise failure
    users = "\n".join(f"  {failure.message}" for failure in failures)
    count = f"{len(failures)} of {len(bundle.inventory.blobs)} blobs are damaged"
    raise DamagedBundle(
        f"`{bundle.place}`: {count}:\n{users}", hint="carry the bundle over again, then verify it again"
    )


def _images(bundle: Bundle) -> Graph | AirgapError:
    """What hangs together, or why that cannot be said; platforms that were left out are not asked for."""
    try:
        return walk(bundle.store, bundle.references, among(bundle.digests))
    except CutOff:
        raise
    except (ContentError, StoreError, IncompleteError) as error:
        return error


def _tally(bundle: Bundle, graph: Graph) -> Mapping[str, int]:
    """How many there are of what, once everything has led to content that is here."""
    known = bundle.digests | {absent.digest for absent in bundle.inventory.absent}
    for image in graph.images:
        lacking = [blob.digest for blob in graph.blobs_of(image) if blob.digest not in known]
        if lacking:
            raise DamagedBundle(f"`{bundle.place}`: `{image.reference}` lacks `{lacking[0]}`")
    try:
        return artifacts.tally(bundle.inventory.items, graph)
    except ContentError as error:
        raise DamagedBundle(f"`{bundle.place}`: {error.message}") from error


def check_documents(bundle: Bundle, graph: Graph) -> None:
    """Prove what stands before the blobs: it follows from the images, so it can be made again and compared.

    Raises:
        DamagedBundle: it is something else.
    """
    bundle.store.check_frame()
    made = documents_for_others(graph, bundle.documents[INVENTORY_FILE], bundle.digests) | {LAYOUT_FILE: LAYOUT}
    for name in (LAYOUT_FILE, INDEX_FILE, DOCKER_FILE):
        if bundle.documents.get(name) != made.get(name):
            raise DamagedBundle(f"`{bundle.place}`: `{name}` is not what its images make", hint="carry it over again")
