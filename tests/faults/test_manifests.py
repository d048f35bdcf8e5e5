"""Manifests that are refused, or whose answer is lost, by their numbers in the catalogue (docs/faults.md)."""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from pathlib import Path

import pytest
from tests.support.cli import kubectl_airgap
from tests.support.faultproxy import Answer, Fault, fault_proxy
from tests.support.images import add_image, add_index, layer, put
from tests.support.registry import Registry, serving_registry, store_for
from tests.support.uploads import CHUNK, SIZE, answering, repository, store

from airgap.descriptors import OCI_MANIFEST, Descriptor
from airgap.errors import UnknownContent
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import RegistryStore
from airgap.transfer import engine, events, plan
from airgap.transfer.graph import walk

FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def push(origin: MemoryStore, name: Reference, target: RegistryStore) -> None:
    engine.run(plan.plan(walk(origin, [name]), target, {name: name}), origin, target)


def test_f19_a_lost_answer_to_a_manifest_is_looked_up_instead_of_sent_again(registry: Registry) -> None:
    origin = MemoryStore()
    with fault_proxy(registry.host) as proxy:
        name = Reference.parse(repository(registry, proxy.host) + ":1")
        add_index(origin, str(name))
        proxy.faults += [Fault("PUT", "/manifests/sha256:", drop_answer=True), Fault("PUT", "/1$", drop_answer=True)]
        push(origin, name, store())
        assert sum(r.startswith("PUT") and "/manifests/" in r for r in proxy.requests) == 3
    found = store_for(registry).find(Reference.parse(f"{registry.host}/{name.repository}:1"))
    assert found is not None
    assert found.digest == origin.resolve(name).digest


def test_f25_a_manifest_that_is_refused_for_its_content_names_what_is_missing(registry: Registry) -> None:
    origin = MemoryStore()
    name = Reference.parse(registry.repository() + ":1")
    manifest = add_image(origin, str(name))
    with pytest.raises(UnknownContent) as caught:
        store().put_manifest(name.name, manifest, origin.blobs[manifest.digest])
    blobs = {blob.digest for image in walk(origin, [name]).images for blob in walk(origin, [name]).blobs_of(image)}
    assert caught.value.digests
    assert caught.value.digests <= blobs


@pytest.fixture
def half_there(registry: Registry) -> tuple[MemoryStore, Reference, Descriptor]:
    """An image of which the registry has all blobs but no manifest yet; and its layer."""
    origin = MemoryStore()
    name = Reference.parse(registry.repository() + ":1")
    add_image(origin, str(name), layers=[layer(os.urandom(100_000))])
    graph = walk(origin, [name])
    blobs = [blob for image in graph.images for blob in graph.blobs_of(image)]
    for one in blobs:
        store().put_blob(name.name, one, lambda offset, one=one: iter([origin.blobs[one.digest][offset:]]))  # type: ignore[misc]
    return origin, name, max(blobs, key=lambda one: one.size)


def delete(registry: Registry, name: Reference, one: Descriptor) -> None:
    request = urllib.request.Request(f"http://{registry.host}/v2/{name.repository}/blobs/{one.digest}", method="DELETE")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 202


def test_f23_a_blob_that_is_deleted_meanwhile_is_sent_once_more(
    registry: Registry, half_there: tuple[MemoryStore, Reference, Descriptor]
) -> None:
    origin, name, gone = half_there
    target = store()
    todo = plan.plan(walk(origin, [name]), target, {name: name})
    assert gone not in [copy.descriptor for copy in todo.copies]
    delete(registry, name, gone)
    notes: list[events.Event] = []
    report = engine.run(todo, origin, target, engine.Conduct(observe=notes.append))
    assert report.bytes == gone.size
    assert any(isinstance(note, events.Note) and gone.digest in note.text for note in notes)
    assert store_for(registry).resolve(name).digest == origin.resolve(name).digest


def test_f23_a_blob_that_is_deleted_each_time_is_an_error(
    registry: Registry, half_there: tuple[MemoryStore, Reference, Descriptor]
) -> None:
    origin, name, gone = half_there
    words = f'{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":"{gone.digest}"}}]}}'
    with fault_proxy(registry.host, Fault("PUT", "/manifests/", 99, answer=answering(404, words.encode()))) as proxy:
        there = Reference.parse(f"{proxy.host}/{name.repository}:1")
        todo = plan.plan(walk(origin, [name]), store(), {name: there})
        with pytest.raises(UnknownContent, match="MANIFEST_BLOB_UNKNOWN"):
            engine.run(todo, origin, store())
        assert sum(r.startswith("PUT") and "/manifests/" in r for r in proxy.requests) == 2


def test_f24_a_blob_of_another_size_than_it_should_have_is_sent_again(
    registry: Registry, half_there: tuple[MemoryStore, Reference, Descriptor]
) -> None:
    origin, name, wrong = half_there
    odd = answering(200)
    odd.headers[:] = [("Content-Length", "5")]
    with fault_proxy(registry.host, Fault("HEAD", wrong.hex, answer=odd)) as proxy:
        there = Reference.parse(f"{proxy.host}/{name.repository}:1")
        todo = plan.plan(walk(origin, [name]), store(), {name: there})
        assert wrong in [copy.descriptor for copy in todo.copies]
        engine.run(todo, origin, store())
    assert store_for(registry).resolve(name).digest == origin.resolve(name).digest


def test_f24_a_blob_that_is_said_to_be_there_and_is_not_is_sent_when_the_manifest_is_refused(
    registry: Registry,
) -> None:
    origin = MemoryStore()
    with fault_proxy(registry.host) as proxy:
        name = Reference.parse(repository(registry, proxy.host) + ":1")
        add_image(origin, str(name), layers=[layer(os.urandom(20_000))])
        graph = walk(origin, [name])
        for one in graph.blobs_of(graph.images[0]):
            lie = Answer(200, [("Content-Length", str(one.size))], b"")
            proxy.faults.append(Fault("HEAD", one.hex, 99, answer=lie))
        report = engine.run(plan.plan(graph, store(), {name: name}), origin, store())
    assert report.copied == 2
    assert store_for(registry).resolve(Reference.parse(f"{registry.host}/{name.repository}:1")) is not None


def test_f25_a_phantom_child_of_an_index_is_put_there_once_more(registry: Registry) -> None:
    """The first PUT of each child says it was stored, and was not."""
    origin = MemoryStore()
    with fault_proxy(registry.host) as proxy:
        name = Reference.parse(repository(registry, proxy.host) + ":1")
        add_index(origin, str(name))
        proxy.faults.append(Fault("PUT", "/manifests/sha256:", 2, answer=answering(201)))
        push(origin, name, store())
        assert sum(r.startswith("PUT") and "/manifests/" in r for r in proxy.requests) == 6
    found = store_for(registry).resolve(Reference.parse(f"{registry.host}/{name.repository}:1"))
    assert found.digest == origin.resolve(name).digest


def test_f44_two_pushers_with_blobs_in_common_both_succeed(registry: Registry) -> None:
    shared = layer(os.urandom(SIZE))
    origin = MemoryStore()
    place = registry.repository()
    names = [Reference.parse(f"{place}:{number}") for number in range(2)]
    for name in names:
        add_image(origin, str(name), layers=[shared, layer(os.urandom(1000))])
    failures: list[BaseException] = []

    def run(name: Reference) -> None:
        try:
            push(origin, name, store(chunk=CHUNK))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for name in names:
        assert store_for(registry).resolve(name).digest == origin.resolve(name).digest
        graph = walk(store_for(registry), [name])
        assert all(store_for(registry).has(name.name, b) for image in graph.images for b in graph.blobs_of(image))


def test_a_layer_that_may_not_be_distributed_is_named_where_a_registry_wants_it(
    registry: Registry, tmp_path: Path
) -> None:
    """distribution 2.8 answers 500 to such images unless it was told to allow them; that is not for trying again."""
    origin = MemoryStore()
    foreign = Descriptor(FOREIGN, "sha256:" + "f" * 64, 5, urls=("https://example.com/layer",))
    allowed = {"manifests": {"urls": {"allow": ["^https://"]}}}
    with serving_registry(tmp_path, validation=allowed) as tolerant:
        name = Reference.parse(tolerant.repository() + ":1")
        plain = json.loads(origin.blobs[add_image(origin, size=100).digest])
        plain["layers"].append({**foreign.to_json(), "urls": list(foreign.urls)})
        manifest = put(origin, json.dumps(plain).encode(), OCI_MANIFEST)
        origin.tag(name, manifest, origin.blobs[manifest.digest])
        push(origin, name, store_for(tolerant))
        bundle = tmp_path / "x.tar"
        assert kubectl_airgap("pack", "--quiet", "--image", name, "-o", bundle).returncode == 0
    with fault_proxy(registry.host) as proxy:
        done = kubectl_airgap("push", "--quiet", bundle, f"{proxy.host}/foreign")
        assert sum(r.startswith("PUT") and "/manifests/" in r for r in proxy.requests) == 1
    assert done.returncode == 4
    assert foreign.digest in done.stderr
    assert "may not be distributed" in done.stderr


def test_f25_a_small_blob_that_is_said_to_be_mounted_and_is_not_is_sent(registry: Registry) -> None:
    origin = MemoryStore()
    mounted = answering(201)
    with fault_proxy(registry.host, Fault("POST", "mount=", 99, answer=mounted)) as proxy:
        name = Reference.parse(repository(registry, proxy.host) + ":1")
        add_image(origin, str(name))
        target = store()
        engine.run(plan.plan(walk(origin, [name]), target, {name: name}), origin, target)
        assert store().resolve(name).digest == origin.resolve(name).digest
