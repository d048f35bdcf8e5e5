from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.support.images import add_image, add_index, put, random_layer

from airgap.descriptors import OCI_INDEX, OCI_LAYER, Descriptor
from airgap.errors import IncompleteError, InvalidManifest, NotFound
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores import Content
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, events, plan
from airgap.transfer.graph import among, of_platforms, walk


class Apart(MemoryStore):
    """A memory that keeps repositories apart, as registries do, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[tuple[str, str]] = set()
        self.mounted: list[tuple[str, str]] = []
        self.puts: list[str] = []

    def has(self, name: str, descriptor: Descriptor) -> bool:
        return (name, descriptor.digest) in self.places

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        super().put_blob(name, descriptor, content)
        self.places.add((name, descriptor.digest))
        self.puts.append(descriptor.digest)

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        super().put_manifest(name, descriptor, data)
        self.places.add((name, descriptor.digest))

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        assert self.has(other, descriptor)
        self.places.add((name, descriptor.digest))
        self.mounted.append((name, other))
        return True


def ref(text: str) -> Reference:
    return Reference.parse(text)


def same(names: list[Reference]) -> dict[Reference, Reference]:
    return {name: name for name in names}


def test_a_shared_blob_is_copied_once_and_mounted_elsewhere() -> None:
    source, target = MemoryStore(), Apart()
    import random

    shared = [random_layer(random.Random(1), 100)]
    names = [ref("r.io/a:1"), ref("r.io/b:1"), ref("other.io/c:1")]
    for name in names:
        add_image(source, str(name), layers=shared)
    todo = plan.plan(walk(source, names), target, same(names))
    report = engine.run(todo, source, target)
    digest = Descriptor.of(shared[0][0], OCI_LAYER).digest
    assert target.puts.count(digest) == 2  # once for each registry: there is no mounting across hosts
    assert target.mounted == [("r.io/b", "r.io/a")]
    assert report.mounted == 1


def test_what_is_there_is_neither_copied_nor_asked_for_again() -> None:
    source, target = MemoryStore(), Apart()
    names = [ref("r.io/a:1"), ref("r.io/m:1")]
    add_image(source, str(names[0]))
    add_index(source, str(names[1]))
    graph = walk(source, names)
    engine.run(plan.plan(graph, target, same(names)), source, target)
    again = plan.plan(graph, target, same(names))
    assert [image.complete for image in again.images] == [True, True]
    assert again.bytes == 0
    assert again.copies == ()


def test_an_index_whose_child_is_gone_is_not_complete() -> None:
    source, target = MemoryStore(), Apart()
    names = [ref("r.io/m:1")]
    add_index(source, str(names[0]))
    graph = walk(source, names)
    engine.run(plan.plan(graph, target, same(names)), source, target)
    child = graph.nodes[graph.images[0].root.digest].wanted[0]
    target.places.discard(("r.io/m", child.digest))
    assert not plan.plan(graph, target, same(names)).images[0].complete


def test_manifests_arrive_after_their_blobs_and_names_last() -> None:
    source = MemoryStore()
    names = [ref("r.io/m:1")]
    add_index(source, str(names[0]))
    order: list[str] = []

    class Watching(Apart):
        def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
            super().put_blob(name, descriptor, content)
            order.append("blob")

        def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
            super().put_manifest(name, descriptor, data)
            order.append("index" if descriptor.media_type == OCI_INDEX else "manifest")

        def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
            super().tag(reference, descriptor, data)
            order.append("name")

    target = Watching()
    engine.run(plan.plan(walk(source, names), target, same(names)), source, target)
    assert order == ["blob"] * 6 + ["manifest"] * 2 + ["index", "name"]


def test_events_add_up_to_the_bytes_that_were_planned() -> None:
    source, target = MemoryStore(), Apart()
    names = [ref("r.io/a:1")]
    add_image(source, str(names[0]), size=3_000_000)
    seen: list[events.Event] = []
    todo = plan.plan(walk(source, names), target, same(names))
    report = engine.run(todo, source, target, engine.Conduct(observe=seen.append))
    planned = next(event for event in seen if isinstance(event, events.Planned))
    assert planned.bytes == report.bytes == sum(e.bytes for e in seen if isinstance(e, events.Moved))


def test_a_name_that_is_missing_does_not_hide_another() -> None:
    with pytest.raises(IncompleteError) as caught:
        walk(MemoryStore(), [ref("a:1"), ref("b:1")])
    assert len(caught.value.findings) == 2
    with pytest.raises(NotFound):
        walk(MemoryStore(), [ref("a:1")])


def test_platforms_are_chosen_and_the_index_stays_whole() -> None:
    source = MemoryStore()
    name = ref("r.io/m:1")
    root = add_index(source, str(name), ("linux/amd64", "linux/arm64", "windows/amd64"))
    graph = walk(source, [name], of_platforms((Platform.parse("linux/arm64"),)))
    assert [str(p) for p in graph.platforms_of(graph.images[0])] == ["linux/arm64"]
    assert graph.nodes[root.digest].data == source.blobs[root.digest]
    assert graph.nodes[root.digest].is_sparse


def test_what_is_left_of_a_sparse_index_can_be_walked() -> None:
    source = MemoryStore()
    name = ref("r.io/m:1")
    root = add_index(source, str(name))
    whole = walk(source, [name])
    kept = whole.nodes[root.digest].wanted[1]
    graph = walk(source, [name], among({kept.digest}))
    assert [d.digest for d in graph.manifests_of(graph.images[0])] == [kept.digest, root.digest]


def test_indexes_in_indexes_end_somewhere() -> None:
    source = MemoryStore()
    inner = add_image(source)
    for _ in range(6):
        inner = put(
            source,
            b'{"schemaVersion":2,"mediaType":"%b","manifests":[{"mediaType":"%b","digest":"%b","size":%d}]}'
            % (OCI_INDEX.encode(), inner.media_type.encode(), inner.digest.encode(), inner.size),
            OCI_INDEX,
        )
    name = ref("r.io/deep:1")
    source.tag(name, inner, source.blobs[inner.digest])
    with pytest.raises(InvalidManifest, match="indexes in indexes"):
        walk(source, [name])


def test_an_index_that_names_itself_over_and_over_costs_no_time() -> None:
    source = MemoryStore()
    inner = add_image(source)
    for _ in range(3):
        entry = {"mediaType": inner.media_type, "digest": inner.digest, "size": inner.size}
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * 500}
        inner = put(source, json.dumps(document).encode(), OCI_INDEX)
    name = ref("r.io/bomb:1")
    source.tag(name, inner, source.blobs[inner.digest])
    assert len(walk(source, [name]).nodes) == 4


def test_one_content_with_two_sizes_is_refused_before_it_can_overwrite_its_neighbour() -> None:
    source = MemoryStore()
    names = [ref("r.io/a:1"), ref("r.io/b:1")]
    honest = add_image(source, str(names[0]), seed=3)
    document = json.loads(source.blobs[honest.digest])
    document["layers"][0]["size"] += 512
    liar = put(source, json.dumps(document).encode(), honest.media_type)
    source.tag(names[1], liar, source.blobs[liar.digest])
    with pytest.raises(InvalidManifest, match="others say"):
        walk(source, names)


def test_layers_that_may_not_be_distributed_stay_where_they_are() -> None:
    source = MemoryStore()
    name = ref("r.io/win:1")
    plain = add_image(source, str(name))
    document = json.loads(source.blobs[plain.digest])
    foreign = replace(
        Descriptor.of(b"never fetched", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        urls=("https://x.invalid/",),
    )
    document["layers"].append({**foreign.to_json(), "urls": list(foreign.urls)})
    changed = put(source, json.dumps(document).encode(), plain.media_type)
    source.tag(name, changed, source.blobs[changed.digest])
    graph = walk(source, [name])
    assert [layer.digest for layer in graph.foreign] == [foreign.digest]
    assert foreign.digest not in {blob.digest for blob in graph.blobs_of(graph.images[0])}


class Failing(Apart):
    """Refuses everything for one repository."""

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        if name == "r.io/bad":
            raise NotFound("`r.io/bad` refuses")
        super().put_blob(name, descriptor, content)


def test_an_image_that_fails_does_not_keep_the_others_from_arriving() -> None:
    source, target = MemoryStore(), Failing()
    names = [ref("r.io/a:1"), ref("r.io/bad:1"), ref("r.io/c:1")]
    for name in names:
        add_image(source, str(name))
    todo = plan.plan(walk(source, names), target, same(names))
    report = engine.run(todo, source, target, engine.Conduct(keep_going=True))
    assert [outcome.result for outcome in report.outcomes] == ["done", "failed", "done"]
    assert str(report.outcomes[1].failure) == "`r.io/bad` refuses"
    assert target.find(names[2]) is not None
    assert target.find(names[1]) is None


def test_without_keep_going_the_first_failure_ends_the_run() -> None:
    source, target = MemoryStore(), Failing()
    names = [ref("r.io/bad:1")]
    add_image(source, str(names[0]))
    with pytest.raises(NotFound):
        engine.run(plan.plan(walk(source, names), target, same(names)), source, target)


def test_each_byte_counts_for_one_image_and_what_was_there_for_none() -> None:
    import random

    source, target = MemoryStore(), Apart()
    shared = [random_layer(random.Random(1), 1_000)]
    names = [ref("r.io/a:1"), ref("r.io/b:1"), ref("r.io/c:1")]
    for name in names:
        add_image(source, str(name), layers=shared)
    engine.run(plan.plan(walk(source, names[2:]), target, same(names)), source, target)
    report = engine.run(plan.plan(walk(source, names), target, same(names)), source, target)
    assert sum(outcome.bytes for outcome in report.outcomes) == report.bytes
    assert report.outcomes[2].result == "unchanged"
    assert report.outcomes[2].bytes == 0


def test_what_cannot_be_read_is_left_out_and_named_if_the_rest_is_to_go_on() -> None:
    source = MemoryStore()
    add_image(source, "r.io/a:1")
    graph = walk(source, [ref("r.io/a:1"), ref("r.io/gone:1")], keep_going=True)
    assert [str(image.reference) for image in graph.images] == ["r.io/a:1"]
    assert [str(reference) for reference, _ in graph.unreadable] == ["r.io/gone:1"]
    assert set(graph.nodes) == {graph.images[0].root.digest}
    with pytest.raises(NotFound):
        walk(source, [ref("r.io/gone:1")], keep_going=True)


def test_what_neither_side_has_is_named_before_anything_moves() -> None:
    source, target = MemoryStore(), Apart()
    names = [ref("r.io/a:1")]
    add_image(source, str(names[0]))
    graph = walk(source, names)
    absent = next(graph.blobs_of(graph.images[0]))
    with pytest.raises(IncompleteError) as caught:
        plan.plan(graph, target, same(names), lacking={absent.digest: ["r.io/other"]})
    assert caught.value.findings == (f"r.io/a: 1 blobs, {absent.size} bytes",)
    target.places.add(("r.io/other", absent.digest))
    todo = plan.plan(graph, target, same(names), lacking={absent.digest: ["r.io/other"]})
    assert [(c.mount_from, c.lacking) for c in todo.copies if c.descriptor == absent] == [("r.io/other", True)]
