"""A registry that has images, as a user's has, and what they are in truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk
from tests.support.registry import Registry, store_for


@dataclass(frozen=True)
class Origin:
    """Images in a repository of a real registry, and the same in memory."""

    repository: str
    store: MemoryStore

    @property
    def names(self) -> list[str]:
        """By tag; memory knows each by its digest too."""
        return sorted(name for name in self.store.names if "@" not in name)

    @property
    def flags(self) -> list[str]:
        """All of them, as flags of `pack`."""
        return [word for name in self.names for word in ("--image", name)]

    def digest(self, name: str) -> str:
        return self.store.resolve(Reference.parse(name)).digest

    def digests(self) -> list[str]:
        return [self.digest(name) for name in self.names]


def publish(registry: Registry, fill: Callable[[MemoryStore, str], object]) -> Origin:
    """Have `fill` add images below a new repository, and push them."""
    origin = Origin(registry.repository(), MemoryStore())
    fill(origin.store, origin.repository)
    references = [Reference.parse(name) for name in origin.names]
    target = store_for(registry)
    engine.run(plan.plan(walk(origin.store, references), target, {r: r for r in references}), origin.store, target)
    return origin
