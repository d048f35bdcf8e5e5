from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.images import add_image

from airgap import limits
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import DamagedBundle, StoreError
from airgap.references import Reference
from airgap.stores import Chunk
from airgap.stores.directory import DirectoryFiles
from airgap.stores.layoutstore import LayoutStore, LayoutWriter
from airgap.stores.memory import MemoryStore

MEMBERS: dict[str, bytes | None] = {"oci-layout": b"{}", "index.json": b"new", "manifest.json": b"[]"}


@pytest.fixture
def files(tmp_path: Path) -> DirectoryFiles:
    return DirectoryFiles.create(tmp_path / "shop")


def test_index_json_is_written_last(files: DirectoryFiles) -> None:
    with LayoutWriter(files, MEMBERS) as writer:
        (files.path / "manifest.json").mkdir()  # so that this one cannot be written
        with pytest.raises(StoreError):
            writer.finish()
    assert not (files.path / "index.json").exists()


def test_two_do_not_write_to_one_directory_at_a_time(files: DirectoryFiles) -> None:
    with LayoutWriter(files, MEMBERS) as first:
        with pytest.raises(StoreError, match="another process"):
            LayoutWriter(DirectoryFiles(files.path), MEMBERS)
        first.finish()
    with LayoutWriter(DirectoryFiles(files.path), MEMBERS) as second:
        second.finish()


def test_what_was_cut_and_is_no_longer_wanted_is_removed_with_the_bundle(files: DirectoryFiles) -> None:
    partial = files.path / "blobs/sha256" / f".{'0' * 64}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"half")
    with LayoutWriter(files, MEMBERS) as writer:
        writer.finish()
    assert not partial.exists()


def test_names_of_others_stay_when_one_is_added(files: DirectoryFiles) -> None:
    for name in ("r.example/a:1", "r.example/b:2"):
        origin = MemoryStore()
        root = add_image(origin, name)
        LayoutStore(DirectoryFiles(files.path)).tag(Reference.parse(name), root, origin.blobs[root.digest])
    found = LayoutStore(files).names()
    assert [str(reference) for reference, _ in found] == ["r.example/a:1", "r.example/b:2"]


def test_a_document_that_is_too_large_is_not_read(files: DirectoryFiles) -> None:
    (files.path / "index.json").write_bytes(b"x" * 11)
    assert files.document("index.json", 11) == b"x" * 11
    with pytest.raises(DamagedBundle):
        files.document("index.json", 10)


def test_what_a_directory_lacks_is_counted_in_bytes(files: DirectoryFiles) -> None:
    here, absent = Descriptor.of(b"here", OCI_LAYER), Descriptor.of(b"absent", OCI_LAYER)
    files.put(here, lambda offset: iter([b"here"[offset:]]))
    assert files.lacking([here, absent]) == absent.size


def test_a_blob_that_was_cut_is_gone_on_with_inside(files: DirectoryFiles) -> None:
    data = os.urandom(3 * limits.MIB)
    descriptor = Descriptor.of(data, OCI_LAYER)
    asked: list[int] = []

    def breaking(offset: int) -> Iterator[Chunk]:
        asked.append(offset)
        yield data[offset : offset + 300_000]
        raise StoreError("the line broke")

    def whole(offset: int) -> Iterator[Chunk]:
        asked.append(offset)
        yield data[offset:]

    with pytest.raises(StoreError):
        files.put(descriptor, breaking)
    assert not files.has(descriptor)
    files.put(descriptor, whole)
    assert asked == [0, 300_000]
    assert (files.path / descriptor.blob_path).read_bytes() == data
    assert [path.name for path in (files.path / "blobs/sha256").iterdir()] == [descriptor.hex]


def test_what_was_left_in_a_directory_and_is_wrong_is_written_again(files: DirectoryFiles) -> None:
    data = os.urandom(3 * limits.MIB)
    descriptor = Descriptor.of(data, OCI_LAYER)
    partial = files.path / f"blobs/sha256/.{descriptor.hex}.partial"
    partial.parent.mkdir(parents=True)
    for left in (bytes(300_000), data + b"more"):
        partial.write_bytes(left)
        files.put(descriptor, lambda offset: iter([data[offset:]]))
        assert (files.path / descriptor.blob_path).read_bytes() == data
        assert not partial.exists()
