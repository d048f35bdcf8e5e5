"""Bundles made of what is in a store, without the command line."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from airgap.bundles.composition import Asked, Composition, Label, compose
from airgap.references import Reference
from airgap.stores import Source, tar
from airgap.stores.archive import ArchiveLayout, ArchiveWriter
from airgap.stores.media import FileCanvas
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk, without


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
