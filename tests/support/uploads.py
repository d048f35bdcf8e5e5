"""What tests of uploads have in common: a blob that counts how it is read, and a store that waits briefly."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.limits import KIB
from airgap.stores import Chunk
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.journal import Journal
from airgap.stores.registry.retry import Patience
from airgap.stores.registry.uploads import Uploads
from tests.support.faultproxy import Answer
from tests.support.registry import (
    Registry,
    store_for,
)

CHUNK = 100 * KIB
SIZE = 5 * CHUNK - 7
UPLOADS = "/blobs/uploads/"


@dataclasses.dataclass
class Blob:
    """Bytes nobody has pushed yet, and how often they were read."""

    data: bytes = dataclasses.field(default_factory=lambda: os.urandom(SIZE))
    opened: list[int] = dataclasses.field(default_factory=list)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor.of(self.data, OCI_LAYER)

    def content(self, offset: int) -> Iterator[Chunk]:
        self.opened.append(offset)
        for start in range(offset, len(self.data), 30_000):
            yield self.data[start : start + 30_000]


def store(*, chunk: int = 0, journal: Journal | None = None, attempts: int = 4) -> RegistryStore:
    patience = Patience(attempts=attempts, backoff=0.01)
    return RegistryStore(Connections(patience=patience), uploads=Uploads(journal, chunk))


def repository(registry: Registry, host: str) -> str:
    return f"{host}/{registry.repository().partition('/')[2]}"


def check_stored(registry: Registry, name: str, blob: Blob) -> None:
    """Ask the registry itself, and read the content back."""
    direct = f"{registry.host}/{name.partition('/')[2]}"
    got = b"".join(bytes(chunk) for chunk in store_for(registry).blob(direct, blob.descriptor))
    assert got == blob.data


def answering(status: int, body: bytes = b"", **headers: str) -> Answer:
    pairs = [(key.replace("_", "-"), value) for key, value in headers.items()]
    return Answer(status, [*pairs, ("Content-Length", str(len(body)))], body)


def starts_at(headers: object, offset: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"{offset}-")  # type: ignore[attr-defined]
