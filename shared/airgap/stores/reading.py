"""Reading that cannot be fooled: size and digest are checked on the way, not afterwards by whoever remembers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airgap import limits
from airgap.descriptors import Descriptor, hasher
from airgap.errors import ContentMismatch
from airgap.stores import Chunk


def verified(chunks: Iterable[Chunk], descriptor: Descriptor, place: str, offset: int = 0) -> Iterator[Chunk]:
    """Pass chunks on and fail at the end, or before, unless they are what the descriptor names.

    A reader that is given too many bytes never sees more than the descriptor's size (trailing data is an error);
    a reader of too few learns it by an exception, not by a short file. From an offset only the length can be checked.
    """
    fresh = hasher(descriptor.digest)
    count = offset
    for chunk in chunks:
        count += len(chunk)
        if count > descriptor.size:
            raise ContentMismatch(place, _named(descriptor), f"longer than that: trailing data after {descriptor.size}")
        if not offset:
            fresh.update(chunk)
        yield chunk
    if count != descriptor.size:
        raise ContentMismatch(place, _named(descriptor), f"cut short at {count} bytes")
    if not offset and fresh.hexdigest() != descriptor.hex:
        raise ContentMismatch(place, descriptor.digest, f"{descriptor.digest.partition(':')[0]}:{fresh.hexdigest()}")


def pieces(data: bytes, offset: int = 0) -> Iterator[Chunk]:
    """Bytes at hand, from an offset on, as chunks."""
    view = memoryview(data)
    return (view[at : at + limits.CHUNK] for at in range(offset, len(view), limits.CHUNK))


def _named(descriptor: Descriptor) -> str:
    return f"{descriptor.digest}, {descriptor.size} bytes"
