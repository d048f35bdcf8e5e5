"""Files of this machine as content."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest
from tests.support.images import add_image

from airgap import stores
from airgap.descriptors import OCI_MANIFEST, Descriptor
from airgap.errors import DocumentError, InvalidInput, NotFound
from airgap.references import Reference
from airgap.stores.local import LocalStore, Piece, of_bytes, of_file
from airgap.stores.memory import MemoryStore

HERE = Reference.parse("airgap.alt/files/x:1")
TYPE = "application/octet-stream"


def store(piece: Piece, behind: MemoryStore | None = None) -> LocalStore:
    return LocalStore({HERE: b"{}"}, [piece], behind or MemoryStore())


def read(source: LocalStore, piece: Piece, offset: int = 0) -> bytes:
    return b"".join(bytes(chunk) for chunk in source.blob(HERE.name, piece.descriptor, offset))


def test_a_file_is_content_from_any_offset(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(data := os.urandom(3_000_000))
    piece = of_file(path, TYPE)
    assert piece.descriptor == Descriptor(TYPE, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    assert read(store(piece), piece) == data
    assert read(store(piece), piece, 2_500_000) == data[2_500_000:]


def test_bytes_are_content_and_may_be_made_when_they_are_wanted() -> None:
    made: list[int] = []

    def again() -> bytes:
        made.append(1)
        return b"hello"

    piece = of_bytes(b"hello", TYPE, "a chart", again)
    assert not made
    assert read(store(piece), piece, 2) == b"llo"
    assert made


def test_only_a_buffer_of_a_file_is_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        piece = of_file(path, TYPE)
        for _ in store(piece).blob(HERE.name, piece.descriptor):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_what_has_no_name_here_is_looked_for_behind() -> None:
    behind = MemoryStore()
    root = add_image(behind, "r.io/a:1")
    source = store(of_bytes(b"", TYPE, "nothing"), behind)
    name = Reference.parse("r.io/a:1")
    assert source.resolve(name) == root
    assert source.manifest(name.name, root) == behind.blobs[root.digest]
    config = next(d for d in behind.blobs if d != root.digest)
    blob = Descriptor(TYPE, config, len(behind.blobs[config]))
    assert b"".join(bytes(chunk) for chunk in source.blob(name.name, blob)) == behind.blobs[config]
    assert source.resolve(HERE) == Descriptor.of(b"{}", OCI_MANIFEST)
    assert source.manifest(HERE.name, source.resolve(HERE)) == b"{}"
    with pytest.raises(NotFound):
        source.resolve(Reference.parse("airgap.alt/files/x:2"))


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_refused_without_waiting_for_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(InvalidInput, match="no plain file"):
        of_file(path, TYPE)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    piece = of_file(path, TYPE)
    path.unlink()
    with pytest.raises(InvalidInput, match="no such file"):
        read(store(piece), piece)


@pytest.mark.parametrize("after", [b"hellO", b"hell", b"hello!"])
def test_f45_a_file_that_is_not_what_it_was_is_an_error(after: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    piece = of_file(path, TYPE)
    path.write_bytes(after)
    with pytest.raises(DocumentError, match="changed while it was packed") as caught:
        read(store(piece), piece)
    assert str(path) in caught.value.place


class Listed(MemoryStore):
    """A memory with a signature on everything."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def referrers(self, name: str, digest: str) -> stores.Listed:
        self.asked.append(name)
        return stores.Listed(("sha256:" + "a" * 64,))


def test_signatures_are_looked_for_behind_it_and_never_on_what_is_made_here() -> None:
    behind = Listed()
    source = store(of_bytes(b"x", TYPE, "x"), behind)
    assert isinstance(source, stores.Listing)
    assert source.referrers("quay.io/a/b", "sha256:" + "b" * 64).digests
    assert not source.referrers(HERE.name, "sha256:" + "b" * 64).digests
    assert behind.asked == ["quay.io/a/b"]


def test_no_registry_is_asked_for_a_name_that_stands_for_this_machine() -> None:
    with pytest.raises(NotFound, match="on this machine"):
        store(of_bytes(b"x", TYPE, "x")).resolve(Reference.parse(f"{HERE.name}:other"))
