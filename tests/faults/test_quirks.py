"""Push and pull through the ways of nine registries, with one client that knows none of them by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.faultproxy import Fault, FaultProxy, fault_proxy
from tests.support.images import add_image, add_index, layer
from tests.support.quirks import PROFILES, SCALE, refusing
from tests.support.registry import Registry, TokenServer, login

from airgap import limits
from airgap.descriptors import OCI_EMPTY, Descriptor
from airgap.errors import AccessDenied, StoreError
from airgap.limits import MIB
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.retry import Patience
from airgap.transfer import engine, plan
from airgap.transfer.graph import Graph, walk


def store() -> RegistryStore:
    return RegistryStore(Connections(patience=Patience(attempts=4, backoff=0.01)))


def images(host: str, repository: str) -> tuple[MemoryStore, list[Reference]]:
    """Blobs of every kind of size, one of them in two repositories."""
    origin = MemoryStore()
    shared = layer(os.urandom(9 * MIB // SCALE))
    names = [f"{host}/{repository}/{name}:1" for name in ("large", "twin", "multi")]
    add_image(origin, names[0], layers=[shared, layer(os.urandom(10 * MIB // SCALE)), layer(b"small")])
    add_image(origin, names[1], layers=[shared])
    add_index(origin, names[2])
    return origin, [Reference.parse(name) for name in names]


def copy(graph: Graph, source: MemoryStore | RegistryStore, target: MemoryStore | RegistryStore) -> None:
    names = {image.reference: image.reference for image in graph.images}
    engine.run(plan.plan(graph, target, names), source, target, engine.Conduct(workers=1))


@pytest.fixture
def registries(
    registry: Registry, basic_registry: Registry, token_registry: Registry, token_server: tuple[TokenServer, Path]
) -> dict[str, Registry]:
    return {"": registry, "basic": basic_registry, "token": token_registry}


@pytest.mark.parametrize("name", PROFILES)
def test_f20_images_go_through_a_registry_of_its_own_ways_and_come_back_the_same(
    name: str,
    registries: dict[str, Registry],
    token_server: tuple[TokenServer, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    profile = PROFILES[name]
    for limit, size in (("WHOLE", 1), ("CHUNK", 6), ("CHUNK_SMALL", 4)):
        monkeypatch.setattr(limits, f"UPLOAD_{limit}", size * MIB // SCALE)
    monkeypatch.setattr(token_server[0], "lifetime", profile.token_seconds - 60)  # what clocks may differ by
    real = registries[profile.auth]
    with fault_proxy(real.host, *profile.faults()) as proxy:
        if profile.auth:
            login(monkeypatch, tmp_path, proxy.host)
        origin, names = images(proxy.host, real.repository().partition("/")[2])
        copy(walk(origin, names), origin, store())
        assert refused_uploads(proxy) <= profile.refused
        back = MemoryStore()
        source = store()
        copy(walk(source, names), source, back)
    for reference in names:
        assert back.resolve(reference).digest == origin.resolve(reference).digest
    assert back.blobs == origin.blobs


def refused_uploads(proxy: FaultProxy) -> int:
    """Uploads that were opened and not completed."""
    uploads = [(request, status) for request, status in proxy.answers if "/blobs/uploads/" in request]
    opened = sum(request.startswith("POST") and status == 202 for request, status in uploads)
    return opened - sum(request.startswith("PUT") and status == 201 for request, status in uploads)


def test_what_a_registry_refuses_once_is_not_tried_again_in_the_run(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UPLOAD_WHOLE", 1000)
    blobs = [os.urandom(5000 + number) for number in range(4)]
    with fault_proxy(registry.host, *PROFILES["google"].faults()) as proxy:
        name = f"{proxy.host}/{registry.repository().partition('/')[2]}"
        target = store()
        for data in blobs:
            target.put_blob(name, Descriptor.of(data, "x"), lambda offset, data=data: iter([data[offset:]]))  # type: ignore[misc]
        assert proxy.count("PATCH") == 1
        assert proxy.count("PUT") == len(blobs)


def test_an_artifact_that_is_refused_is_said_to_be_one(registry: Registry) -> None:
    """Quay's list of artifact types (oras-project/oras#738)."""
    manifest = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        b'"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:%b","size":2},"layers":[]}'
        % (b"0" * 64)
    )
    refused = refusing(400, "MANIFEST_INVALID", "manifest schema or media type is not allowed")
    descriptor = Descriptor.of(manifest, "application/vnd.oci.image.manifest.v1+json")
    with fault_proxy(registry.host, Fault("PUT", "/manifests/", answer=refused)) as proxy:
        with pytest.raises(StoreError) as caught:
            store().put_manifest(f"{proxy.host}/a/b", descriptor, manifest)
        assert proxy.count("PUT") == 1
    assert "application/vnd.cncf.helm.config.v1+json" in caught.value.hint
    assert "ALLOWED_OCI_ARTIFACT_TYPES" in caught.value.hint


def test_harbors_quota_is_told_in_its_own_words(registry: Registry) -> None:
    words = "adding 1 MiB of storage resource will exceed the configured upper limit of 10.0 MiB"
    with fault_proxy(registry.host, Fault("PUT", "/manifests/", answer=refusing(403, "DENIED", words))) as proxy:
        origin, names = MemoryStore(), [Reference.parse(f"{proxy.host}/{registry.repository().partition('/')[2]}:1")]
        add_image(origin, str(names[0]))
        with pytest.raises(AccessDenied) as caught:
            copy(walk(origin, names), origin, store())
    assert words in caught.value.message
    assert "quota" in caught.value.hint


def test_the_empty_config_of_artifacts_can_be_pushed(registry: Registry) -> None:
    blob = Descriptor.of(b"{}", OCI_EMPTY)
    name = registry.repository()
    store().put_blob(name, blob, lambda offset: iter([b"{}"[offset:]]))
    assert store().has(name, blob)
