"""Where content lives: a tar (a bundle), a directory, a registry, memory.

Four media, two roles. A `Source` is read from, a `Target` is written to, and the transfer engine copies from any one
to any other. Content is asked for by name and descriptor: the name (`quay.io/argoproj/argocli`) matters to
registries, which keep each repository apart; the others know content by its digest alone. A store that lists what
refers to its content has the role `Listing` besides.

What a source yields has been checked against its descriptor by the time the last byte is out; a target keeps
nothing that it has not been given whole. `tests/contract/test_stores.py` says the same of every store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from airgap.descriptors import Descriptor
from airgap.references import Reference

Chunk = bytes | memoryview
"""At most `limits.CHUNK` bytes; a memoryview is valid only until the next chunk is asked for."""

Content = Callable[[int], Iterator[Chunk]]
"""Opens content at an offset, as often as a retry needs. From 0 it fails at its end, with ContentMismatch, unless it
is what its descriptor names: each byte is hashed once on its way, where it is read."""


class Source(Protocol):
    """The side that is read."""

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for now.

        Raises:
            NotFound: nothing has that name.
        """
        ...

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest or index, whole, as the very bytes that were hashed.

        Raises:
            NotFound: it is not there.
            ContentMismatch: what is there is something else.
        """
        ...

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob from `offset` on. From 0 the digest is checked, from elsewhere only the length can be.

        Raises:
            NotFound: it is not there.
            ContentMismatch: at the end, or as soon as there are too many bytes.
        """
        ...


class Target(Protocol):
    """The side that is written. All methods may be called from several threads at a time."""

    def find(self, reference: Reference) -> Descriptor | None:
        """What the name stands for there, or None; cheaper than `resolve`, and the size may be unknown (0)."""
        ...

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether the content is there."""
        ...

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        """Store a blob; putting what is there already changes nothing. Where `content` fails, nothing of it is kept."""
        ...

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Store a manifest under its digest; all it names must be there."""
        ...

    def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Give a manifest a name; the last step of an image."""
        ...

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        """Take a blob over from another repository of the same registry; False where that cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """What a store lists as referring to some content. It is only its word: the manifests themselves tell.

    Attributes:
        digests: of the manifests.
        doubt: why there may be more than these; empty where all could be asked.
    """

    digests: tuple[str, ...]
    doubt: str = ""


@runtime_checkable
class Listing(Protocol):
    """A source with lists of what refers to its content, such as signatures. Registries have them."""

    def referrers(self, name: str, digest: str) -> Listed:
        """What is listed as having this content as its subject.

        Raises:
            StoreError, ContentError: it cannot be asked.
        """
        ...


@runtime_checkable
class Enlisting(Protocol):
    """A target with such lists."""

    def enlist(self, name: str, digest: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """See to it that referrers which are there, by their descriptors, are on the list of their subject.

        Raises:
            StoreError, ContentError: they are not, and it cannot be helped.
        """
        ...


@runtime_checkable
class Probing(Protocol):
    """A target that, when it is given a small blob, finds out at no cost whether it has it: it need not be asked first.

    Attributes:
        unasked: the most bytes that such a blob has.
    """

    unasked: int
