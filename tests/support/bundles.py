"""Bundles made of what is in a store, without the command line."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from airgap.bundles.composition import Asked, Composition, Label, compose
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.references import Reference
from airgap.stores import Source, tar
from airgap.stores.archive import ArchiveLayout, ArchiveWriter
from airgap.stores.media import FileCanvas
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk, without
from tests.support.images import add_image, layer


def writing(path: Path, layout: ArchiveLayout) -> ArchiveWriter:
    """An archive to be filled."""
    return ArchiveWriter(FileCanvas(path, layout.size), layout)


def pack_into(
    path: Path,
    store: Source,
    references: Sequence[Reference],
    label: Label | None = None,
    *,
    asked: Mapping[Reference, Asked] | None = None,
    absent: Mapping[str, tuple[str, ...]] | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> Composition:
    """Write a whole bundle."""
    graph = walk(store, references)
    composition = compose(graph, asked or {}, label or Label("x"), absent, sign)
    with writing(path, composition.layout) as writer:
        carried = without(graph, absent or {})
        engine.run(plan.plan(carried, writer, {r: r for r in references}), store, writer)
        writer.finish()
    return composition


def members(path: Path) -> dict[str, bytes]:
    """Everything in a bundle, as Python's own reader sees it."""
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def write_members(path: Path, content: Mapping[str, bytes]) -> None:
    """Write a tar in our form, whatever is in it: what somebody would who means to deceive."""
    parts = (tar.header(name, len(data)) + data + tar.padding(len(data)) for name, data in content.items())
    path.write_bytes(b"".join(parts) + tar.END)


def hollow(size: int, digest: str = "sha256:" + "5" * 64) -> tuple[MemoryStore, Composition, Descriptor]:
    """A bundle of one image, `r.io/a:1`, whose layer is said to be of so many bytes: they are nowhere."""
    store, name = MemoryStore(), Reference.parse("r.io/a:1")
    small = layer(b"small")
    add_image(store, str(name), layers=[small])
    old, large = Descriptor.of(small[0], OCI_LAYER), Descriptor(OCI_LAYER, digest, size)
    root = store.resolve(name)
    text = store.blobs[root.digest].replace(old.digest.encode(), large.digest.encode())
    text = text.replace(f'"size": {old.size}'.encode(), f'"size": {large.size}'.encode())
    store.tag(name, Descriptor.of(text, root.media_type), text)
    return store, compose(walk(store, [name]), {}, Label("x")), large


def write_hollow(path: Path, store: MemoryStore, composition: Composition) -> None:
    """The file of such a bundle: where content is nowhere, it has a hole."""
    with path.open("wb") as file:
        file.truncate(composition.layout.size)
        for offset, data in frame(store, composition):
            file.seek(offset)
            file.write(data)


def frame(store: MemoryStore, composition: Composition) -> list[tuple[int, bytes]]:
    """(offset, bytes) of everything in a bundle but content that is nowhere."""
    layout = composition.layout
    base = len(layout.leading)
    pieces = [(0, layout.leading), (layout.size - len(tar.END), tar.END)]
    for blob in layout.blobs:
        head = tar.header(blob.blob_path, blob.size)
        at = base + layout.offsets[blob.digest]
        pieces += [(at - len(head), head), (at, store.blobs.get(blob.digest, b""))]
    return pieces
