"""containerd's own store of content, as a source: every blob as it was pulled, under the digest it had."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from airgap import limits
from airgap.adapters.runtimes.kinds import Containerd, Held
from airgap.descriptors import Descriptor, verify
from airgap.errors import InvalidManifest, NotFound
from airgap.references import Reference
from airgap.stores import Chunk
from airgap.stores.reading import verified


class ContentStore:
    """The images of one namespace."""

    def __init__(self, runtime: Containerd) -> None:
        self._runtime = runtime

    @cached_property
    def _names(self) -> dict[Reference, Held]:
        return self._runtime.images()

    @cached_property
    def _digests(self) -> frozenset[str]:
        return self._runtime.contents()

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for; its size is that of what is there, whose digest is checked when it is read."""
        held = self._by_digest(reference) if reference.digest else self._names.get(reference)
        if held is None:
            raise NotFound(f"`{reference}` is not in {self._runtime.place}")
        return Descriptor(held.media_type, held.digest, len(self._document(held.digest)))

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether the content is there."""
        return descriptor.digest in self._digests

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked."""
        return verify(self._document(descriptor.digest), descriptor, self._runtime.place)

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked."""
        chunks = _from(self._content(descriptor.digest), offset)
        return verified(chunks, descriptor, self._runtime.place, offset)

    def _by_digest(self, reference: Reference) -> Held | None:
        """What stands under any tag of the name, if it is the digest asked for."""
        rows = ((name, held) for name, held in self._names.items() if held.digest == reference.digest)
        return next((held for name, held in rows if name.name == reference.name), None)

    def _document(self, digest: str) -> bytes:
        data = bytearray()
        for chunk in self._content(digest):
            data += chunk
            if len(data) > limits.MANIFEST:
                raise InvalidManifest(f"`{digest}` in {self._runtime.place} is larger than {limits.MANIFEST} bytes")
        return bytes(data)

    def _content(self, digest: str) -> Iterator[bytes]:
        if digest not in self._digests:
            raise NotFound(f"`{digest}` is not in {self._runtime.place}")
        return self._runtime.content(digest)


def _from(chunks: Iterator[bytes], offset: int) -> Iterator[bytes]:
    """What lies from an offset on; ctr can only begin at the beginning."""
    skipped = 0
    for chunk in chunks:
        if skipped < offset:
            taken = min(len(chunk), offset - skipped)
            skipped += taken
            chunk = chunk[taken:]
        if chunk:
            yield chunk
