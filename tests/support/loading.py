"""Bundles to be loaded, and the command that does it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from airgap.descriptors import Descriptor
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from tests.support.bundles import pack_into
from tests.support.cli import Ended, kubectl_airgap
from tests.support.images import add_image, add_index, random_layer
from tests.support.runtimes import Runtime

HOST = str(Platform.host())
OTHER = "linux/s390x" if HOST == "linux/arm64" else "linux/arm64"


@dataclass
class World:
    """Images under names that nobody else uses, and a bundle of them."""

    directory: Path
    prefix: str
    store: MemoryStore

    def name(self, short: str) -> str:
        return f"{self.prefix}/{short}"

    def bundle(self, shorts: Sequence[str], absent: Sequence[Descriptor] = ()) -> Path:
        path = self.directory / f"{uuid4().hex}.tar"
        references = [Reference.parse(self.name(short)) for short in shorts]
        pack_into(path, self.store, references, absent={blob.digest: (self.prefix,) for blob in absent})
        return path

    def digest(self, short: str) -> str:
        return self.store.resolve(Reference.parse(self.name(short))).digest

    def child(self, short: str, platform: str = HOST) -> str:
        """Of an index, the digest of one platform's manifest; of anything else, its own."""
        entries = self.document(self.digest(short)).get("manifests", [])
        fitting = (e["digest"] for e in entries if Platform.from_json(e["platform"]).covers(Platform.parse(platform)))
        return str(next(fitting, self.digest(short)))

    def config(self, short: str, platform: str = HOST) -> str:
        return str(self.document(self.child(short, platform))["config"]["digest"])

    def layers(self, short: str, platform: str = HOST) -> list[Descriptor]:
        entries = self.document(self.child(short, platform))["layers"]
        return [Descriptor(entry["mediaType"], entry["digest"], entry["size"]) for entry in entries]

    def document(self, digest: str) -> Any:
        return json.loads(self.store.blobs[digest])

    def known_as(self, short: str, runtime: Runtime) -> str:
        """What a runtime calls an image: docker and podman by its config, containerd by its manifest or index."""
        return self.digest(short) if runtime.kind == "containerd" else self.config(short)


def made(directory: Path) -> World:
    """Two images for this machine that share a layer, `web:1` and `db:2`, and `tool:3` for two platforms."""
    world = World(directory, f"quay.io/t{uuid4().hex[:10]}", MemoryStore())
    shared = random_layer(random.Random(world.prefix), 400_000)
    own = random_layer(random.Random(world.prefix + "x"), 3_000)
    add_image(world.store, world.name("web:1"), layers=[shared, own], platform=HOST)
    add_image(world.store, world.name("db:2"), layers=[shared, shared], platform=HOST)
    add_index(world.store, world.name("tool:3"), (OTHER, HOST))
    return world


def load(bundle: Path, runtime: Runtime, *more: object) -> Ended:
    return kubectl_airgap("load", bundle, "--runtime", runtime.kind, *runtime.flags, *more, env=runtime.env)
