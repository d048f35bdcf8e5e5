"""One image in a real registry, and ways to read it through a proxy that misbehaves."""

from __future__ import annotations

import dataclasses
import hashlib
import os

import pytest

from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.line import Timeouts
from airgap.stores.registry.retry import Patience
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk
from tests.support.faultproxy import FaultProxy
from tests.support.images import add_image, layer
from tests.support.registry import Registry, store_for

SIZE = 3_000_000
BLOBS = r"/blobs/sha256:"


@dataclasses.dataclass(frozen=True)
class Stored:
    """An image, and its large layer."""

    registry: Registry
    repository: str  # below the host
    layer: Descriptor
    origin: MemoryStore

    @property
    def content(self) -> bytes:
        """The large layer."""
        return self.origin.blobs[self.layer.digest]

    def reference(self, host: str) -> Reference:
        return Reference(host, self.repository, "1")


@pytest.fixture
def stored(registry: Registry) -> Stored:
    """A new one, in a repository of its own."""
    return store_image(registry)


def store_image(registry: Registry, size: int = SIZE) -> Stored:
    """Push an image with a layer of that size, and none else."""
    name = registry.repository()
    origin = MemoryStore()
    big = layer(os.urandom(size))
    add_image(origin, f"{name}:1", layers=[big])
    push(origin, [Reference.parse(f"{name}:1")], registry)
    return Stored(registry, name.partition("/")[2], Descriptor.of(big[0], OCI_LAYER), origin)


def push(origin: MemoryStore, names: list[Reference], registry: Registry) -> None:
    graph = walk(origin, names)
    target = store_for(registry)
    engine.run(plan.plan(graph, target, {name: name for name in names}), origin, target)


def impatient(timeouts: Timeouts | None = None, attempts: int = 3) -> RegistryStore:
    """A store that waits for next to nothing."""
    return RegistryStore(Connections(patience=Patience(attempts=attempts, backoff=0.01), timeouts=timeouts))


def fetch(stored: Stored, proxy: FaultProxy, store: RegistryStore | None = None) -> str:
    """Read the layer through the proxy; its digest."""
    fresh = hashlib.sha256()
    for chunk in (store or impatient()).blob(f"{proxy.host}/{stored.repository}", stored.layer):
        fresh.update(chunk)
    return f"sha256:{fresh.hexdigest()}"
