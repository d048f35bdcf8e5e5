"""Images that are valid by default, small, and different each time unless a seed says otherwise."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterable

from airgap.descriptors import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores.memory import MemoryStore


def layer(content: bytes, name: str = "content") -> tuple[bytes, str]:
    """A gzip layer with one file, and the digest of the tar inside (the config's diff id)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    plain = buffer.getvalue()
    return gzip.compress(plain, compresslevel=1, mtime=0), f"sha256:{hashlib.sha256(plain).hexdigest()}"


def random_layer(rng: random.Random, size: int) -> tuple[bytes, str]:
    return layer(rng.randbytes(size))


def put(store: MemoryStore, data: bytes, media_type: str) -> Descriptor:
    descriptor = Descriptor.of(data, media_type)
    store.blobs[descriptor.digest] = data
    return descriptor


def add_image(
    store: MemoryStore,
    name: str = "",
    *,
    layers: Iterable[tuple[bytes, str]] | None = None,
    platform: str = "linux/amd64",
    seed: int | None = None,
    size: int = 2_000,
) -> Descriptor:
    """A single-platform image; named if `name` is given."""
    rng = random.Random(seed)
    made = list(layers) if layers is not None else [random_layer(rng, size), random_layer(rng, size // 2)]
    where = Platform.parse(platform)
    config = {
        "architecture": where.architecture,
        "os": where.os,
        **({"variant": where.variant} if where.variant else {}),
        "config": {"Cmd": ["/content"]},
        "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in made]},
        "history": [{"created_by": f"made by a test ({rng.random()})"} for _ in made],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": put(store, json.dumps(config).encode(), OCI_CONFIG).to_json(),
        "layers": [put(store, data, OCI_LAYER).to_json() for data, _ in made],
    }
    # Indented on purpose: whoever serialises it anew changes its digest.
    descriptor = put(store, json.dumps(manifest, indent=3).encode(), OCI_MANIFEST)
    if name:
        reference = Reference.parse(name)
        store.tag(reference, descriptor, store.blobs[descriptor.digest])
    return descriptor


def add_index(
    store: MemoryStore, name: str, platforms: Iterable[str] = ("linux/amd64", "linux/arm64/v8")
) -> Descriptor:
    """A multi-platform image."""
    entries = []
    for number, platform in enumerate(platforms):
        child = add_image(store, platform=platform, seed=hash((name, number)) % 2**31)
        where = Platform.parse(platform)
        entries.append(Descriptor(child.media_type, child.digest, child.size, where).to_json())
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    descriptor = put(store, json.dumps(index, indent=2).encode(), OCI_INDEX)
    store.tag(Reference.parse(name), descriptor, store.blobs[descriptor.digest])
    return descriptor
