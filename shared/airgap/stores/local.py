"""Files of this machine as content: hashed when a bundle is laid out, and again while they are copied into it."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airgap import durable, limits
from airgap.descriptors import OCI_MANIFEST, Descriptor, hasher, verify
from airgap.errors import ContentMismatch, DocumentError, InvalidInput, NotFound
from airgap.references import Reference
from airgap.stores import Chunk, Content, Listed, Listing, Source
from airgap.stores.reading import verified


@dataclass(frozen=True)
class Piece:
    """One piece of content of this machine's.

    Attributes:
        descriptor: what it was when it was looked at.
        content: opens it anew; what comes may be something else by then.
        place: how errors call it.
    """

    descriptor: Descriptor
    content: Content
    place: str


def of_file(path: Path, media_type: str) -> Piece:
    """A file, read once to learn its digest; never more than a buffer of it is in memory.

    Raises:
        InvalidInput: there is none, or it is a pipe or a device.
        StoreError: it may not be read.
    """
    fresh, size = hasher("sha256:"), 0
    for chunk in _chunks(path, 0):
        fresh.update(chunk)
        size += len(chunk)
    descriptor = Descriptor(media_type, f"sha256:{fresh.hexdigest()}", size)
    return Piece(descriptor, lambda offset: _chunks(path, offset), str(path))


def of_bytes(data: bytes, media_type: str, place: str, again: Callable[[], bytes] | None = None) -> Piece:
    """Bytes at hand; or, with `again`, bytes that are not kept but made once more when they are wanted."""
    make = again or (lambda: data)
    descriptor = Descriptor.of(data, media_type)
    return Piece(descriptor, lambda offset: _slices(make(), offset), place)


class LocalStore:
    """Names whose content is on this machine; all other names are looked for behind it."""

    def __init__(self, manifests: Mapping[Reference, bytes], pieces: Iterable[Piece], behind: Source) -> None:
        self._manifests = manifests
        self._pieces = {piece.descriptor.digest: piece for piece in pieces}
        self._names = frozenset(reference.name for reference in manifests)
        self._by_digest = {Descriptor.of(data, OCI_MANIFEST).digest: data for data in manifests.values()}
        self._behind = behind

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for."""
        if reference.name not in self._names:
            return self._behind.resolve(reference)
        if reference not in self._manifests:
            raise NotFound(f"`{reference}` is not on this machine")
        return Descriptor.of(self._manifests[reference], OCI_MANIFEST)

    def referrers(self, name: str, digest: str) -> Listed:
        """What is listed behind it; to what is made here nothing refers."""
        if name in self._names or not isinstance(self._behind, Listing):
            return Listed(())
        return self._behind.referrers(name, digest)

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked."""
        if name not in self._names:
            return self._behind.manifest(name, descriptor)
        return verify(self._by_digest[descriptor.digest], descriptor, name)

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked.

        Raises:
            DocumentError: the file is not what it was when its digest was taken.
        """
        if name not in self._names:
            return self._behind.blob(name, descriptor, offset)
        return _unchanged(self._pieces[descriptor.digest], offset)


def _unchanged(piece: Piece, offset: int) -> Iterator[Chunk]:
    try:
        yield from verified(piece.content(offset), piece.descriptor, piece.place, offset)
    except ContentMismatch as error:
        hint = "type the same command again once nobody writes to it"
        raise DocumentError(piece.place, "it changed while it was packed", hint=hint) from error


def _slices(data: bytes, offset: int) -> Iterator[Chunk]:
    view = memoryview(data)
    return (view[at : at + limits.CHUNK] for at in range(offset, len(data), limits.CHUNK))


def _chunks(path: Path, offset: int) -> Iterator[Chunk]:
    with durable.explained(path):
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would be to wait for its writer
            raise InvalidInput(f"`{path}` is no plain file")
        buffer = memoryview(bytearray(limits.CHUNK))
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            while count := file.readinto(buffer):
                yield buffer[:count]
