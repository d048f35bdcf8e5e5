"""Bundles made of what is in a store, without the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from airgap.bundles.composition import Asked, Composition, Label, compose
from airgap.references import Reference
from airgap.stores import Source
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
) -> Composition:
    """Write a whole bundle."""
    graph = walk(store, references)
    composition = compose(graph, asked or {}, label or Label("x"), absent)
    with writing(path, composition.layout) as writer:
        carried = without(graph, absent or {})
        engine.run(plan.plan(carried, writer, {r: r for r in references}), store, writer)
        writer.finish()
    return composition
