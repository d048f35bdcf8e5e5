"""A store in memory: for tests, and for content that is made rather than fetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from airgap.descriptors import Descriptor, verify
from airgap.errors import NotFound
from airgap.references import Reference
from airgap.stores import Chunk, Content
from airgap.stores.reading import pieces, verified


class MemoryStore:
    """Content by digest, names by reference; both roles."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.names: dict[str, Descriptor] = {}
        self._lock = threading.Lock()

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for."""
        found = self.find(reference)
        if found is None:
            raise NotFound(f"`{reference}` is not in memory")
        return found

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked."""
        return verify(self._bytes(descriptor), descriptor, f"memory, {name}")

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked."""
        return verified(pieces(self._bytes(descriptor), offset), descriptor, f"memory, {name}", offset)

    def find(self, reference: Reference) -> Descriptor | None:
        """What a name stands for, or None."""
        with self._lock:
            return self.names.get(str(reference)) or self.names.get(str(reference.without_tag()))

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether the content is here."""
        return descriptor.digest in self.blobs

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        """Keep a blob once it is whole."""
        self.blobs[descriptor.digest] = b"".join(content(0))

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Keep a manifest."""
        self.blobs[descriptor.digest] = verify(data, descriptor, f"memory, {name}")

    def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Name a manifest; it is found by tag and by digest."""
        self.put_manifest(reference.name, descriptor, data)
        with self._lock:
            self.names[str(reference)] = descriptor
            self.names[f"{reference.name}@{descriptor.digest}"] = descriptor

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        """Nothing to do: repositories are not kept apart."""
        return self.has(name, descriptor)

    def _bytes(self, descriptor: Descriptor) -> bytes:
        try:
            return self.blobs[descriptor.digest]
        except KeyError:
            raise NotFound(f"`{descriptor.digest}` is not in memory") from None
