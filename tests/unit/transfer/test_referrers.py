from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.support.images import add_image, add_index
from tests.support.referrers import attach, sign

from airgap import limits
from airgap.descriptors import Descriptor
from airgap.errors import AccessDenied, Cancelled
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores import Listed
from airgap.stores.memory import MemoryStore
from airgap.transfer import events
from airgap.transfer.graph import Graph, filtered, of_platforms, walk
from airgap.transfer.referrers import Attached, attached, enlist, left_behind

NAME = "r.io/team/app:1"


class Lists(MemoryStore):
    """A memory that lists what refers to its content, as a registry with the API does."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str]] = []

    def referrers(self, name: str, digest: str) -> Listed:
        self.asked.append((name, digest))
        return Listed(tuple(self.lists.get(digest, ())))

    def enlist(self, name: str, digest: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.lists.setdefault(digest, []).extend(entry["digest"] for entry in entries)

    def attach(self, subject: Descriptor, text: str = "parts", name: str = NAME) -> Descriptor:
        found = attach(self, name, subject, text)
        self.lists.setdefault(subject.digest, []).append(found.digest)
        return found


@pytest.fixture
def store() -> Lists:
    return Lists()


def ref(text: str) -> Reference:
    return Reference.parse(text)


def search(store: MemoryStore, graph: Graph | None = None) -> tuple[Attached, list[str]]:
    seen: list[events.Event] = []
    found = attached(graph or walk(store, [ref(NAME)]), store, 4, seen.append, threading.Event())
    return found, [event.text for event in seen if isinstance(event, events.Note)]


def names(found: Attached) -> set[str]:
    return {str(reference) for reference in found.subjects}


def test_what_is_listed_comes_along_by_digest_and_what_cosign_made_by_its_tag(store: Lists) -> None:
    image = add_image(store, NAME)
    parts = store.attach(image)
    signature, attestation = sign(store, NAME, image), sign(store, NAME, image, "att")
    found, notes = search(store)
    assert names(found) == {f"r.io/team/app@{parts.digest}", str(signature), str(attestation)}
    assert set(found.subjects.values()) == {ref(NAME)}
    assert {i.reference for i in found.graph.images} == {ref(NAME), *found.subjects}
    assert notes == []


def test_the_signature_of_an_attestation_is_about_the_attestation(store: Lists) -> None:
    image = add_image(store, NAME)
    parts = store.attach(image)
    signature = sign(store, NAME, parts)
    found, _ = search(store)
    assert found.subjects[signature] == ref(f"r.io/team/app@{parts.digest}")


def test_a_chain_of_referrers_is_followed_so_far_and_no_further(store: Lists) -> None:
    subject = add_image(store, NAME)
    for number in range(limits.REFERRER_DEPTH + 2):
        subject = store.attach(subject, f"link {number}")
    assert len(search(store)[0].subjects) == limits.REFERRER_DEPTH


def test_a_signature_whose_tag_leads_back_to_its_image_ends_the_search(store: Lists) -> None:
    image = add_image(store, NAME)
    store.tag(ref(f"r.io/team/app:sha256-{image.hex}.sig"), image, store.blobs[image.digest])
    assert len(search(store)[0].subjects) == 1
    assert store.asked.count(("r.io/team/app", image.digest)) == 1


def test_what_is_attached_to_platforms_that_stay_behind_stays_behind(store: Lists) -> None:
    index = add_index(store, NAME)
    whole = walk(store, [ref(NAME)])
    first, second = whole.nodes[index.digest].wanted
    for child in (index, first, second):
        store.attach(child, f"parts of {child.digest}")
        sign(store, NAME, child)
    chosen = walk(store, [ref(NAME)], of_platforms((Platform.parse("linux/arm64"),)))
    found, _ = search(store, chosen)
    about = {found.graph.nodes[i.root.digest].manifest.subject for i in found.graph.images}
    assert {subject.digest for subject in about if subject} == {index.digest, second.digest}
    assert f"r.io/team/app:sha256-{first.hex}.sig" not in names(found)
    assert len(found.subjects) == 4


def test_a_listed_manifest_that_is_about_something_else_is_left(store: Lists) -> None:
    image, other = add_image(store, NAME), add_image(store)
    store.lists[image.digest] = [store.attach(other).digest, other.digest]
    assert search(store)[0].subjects == {}


def test_what_is_listed_and_not_there_is_told_once_and_the_rest_comes(store: Lists) -> None:
    image = add_image(store, NAME)
    store.attach(image)
    store.lists[image.digest] += [f"sha256:{number:064x}" for number in range(5)]
    found, notes = search(store)
    assert len(found.subjects) == 1
    assert len(notes) == 1
    assert "4 more like it" in notes[0]


def test_a_refusal_is_a_note_and_not_a_failure(store: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    image = add_image(store, NAME)
    signature = sign(store, NAME, image)

    def refuse(name: str, digest: str) -> Listed:
        raise AccessDenied("`r.io` answered 401")

    monkeypatch.setattr(store, "referrers", refuse)
    found, notes = search(store)
    assert list(found.subjects) == [signature]
    assert "`r.io` answered 401" in notes[0]


def test_a_stop_is_not_taken_for_a_refusal(store: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    add_image(store, NAME)

    def stop(name: str, digest: str) -> Listed:
        raise Cancelled("stopped")

    monkeypatch.setattr(store, "referrers", stop)
    with pytest.raises(Cancelled):
        search(store)


def test_a_referrer_that_lies_about_an_image_s_layer_is_left_and_the_image_is_not_harmed(store: Lists) -> None:
    image = add_image(store, NAME)
    graph = walk(store, [ref(NAME)])
    layer = graph.nodes[image.digest].manifest.layers[0]
    liar = attach(store, NAME, image)
    told = store.blobs[liar.digest].replace(
        store.blobs[liar.digest].partition(b'"layers": [')[2].partition(b"]")[0],
        b'{"mediaType": "x/y", "digest": "%b", "size": %d}' % (layer.digest.encode(), layer.size + 512),
    )
    bad = Descriptor.of(told, liar.media_type)
    store.tag(ref(f"r.io/team/app@{bad.digest}"), bad, told)
    store.lists[image.digest] = [bad.digest]
    found, notes = search(store, graph)
    assert found.subjects == {}
    assert found.graph.nodes == graph.nodes
    assert "others say" in notes[0]


def test_a_referrer_larger_than_any_attachment_is_left(store: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    image = add_image(store, NAME)
    store.attach(image, "x" * 2_000)
    store.attach(image, "y" * 10)
    monkeypatch.setattr(limits, "REFERRER", 1_000)
    found, notes = search(store)
    assert len(found.subjects) == 1
    assert "more than 1000" in notes[0]


def test_an_image_that_is_packed_anyway_is_no_referrer(store: Lists) -> None:
    image = add_image(store, NAME)
    signature = sign(store, NAME, image)
    found, _ = search(store, walk(store, [ref(NAME), signature]))
    assert found.subjects == {}


def test_one_image_under_two_tags_is_asked_about_once(store: Lists) -> None:
    image = add_image(store, NAME)
    store.tag(ref("r.io/team/app:2"), image, store.blobs[image.digest])
    store.attach(image)
    found, _ = search(store, walk(store, [ref(NAME), ref("r.io/team/app:2")]))
    assert len(found.subjects) == 1
    assert store.asked.count(("r.io/team/app", image.digest)) == 1


def test_a_source_without_lists_has_nothing_attached() -> None:
    store = MemoryStore()
    sign(store, NAME, add_image(store, NAME))
    assert search(store)[0].subjects == {}


def test_a_new_index_leaves_behind_what_is_about_the_old_one(store: Lists) -> None:
    index = add_index(store, NAME)
    chosen = walk(store, [ref(NAME)], of_platforms((Platform.parse("linux/arm64"),)))
    child = chosen.nodes[index.digest].wanted[0]
    parts = store.attach(index, "parts of the index")
    gone = {ref(f"r.io/team/app@{parts.digest}"), sign(store, NAME, index), sign(store, NAME, parts)}
    kept = sign(store, NAME, child)
    found, _ = search(store, chosen)
    assert set(found.subjects) == {*gone, kept}
    assert left_behind(found.graph, found.subjects) == ()
    assert {i.reference for i in left_behind(filtered(found.graph), found.subjects)} == gone


def test_the_target_is_told_of_all_referrers_of_a_subject_at_once(store: Lists) -> None:
    image = add_image(store, NAME)
    parts = [store.attach(image, text) for text in ("one", "two")]
    found, _ = search(store)
    told: list[tuple[str, str, list[Any]]] = []

    class Target(Lists):
        def enlist(self, name: str, digest: str, entries: Sequence[Mapping[str, Any]]) -> None:
            told.append((name, digest, list(entries)))

    pushed = [(i, i.reference) for i in found.graph.images]
    assert enlist(found.graph, pushed, Target(), 2, threading.Event()) == {}
    assert [(name, digest) for name, digest, _ in told] == [("r.io/team/app", image.digest)]
    entries = told[0][2]
    assert {entry["digest"] for entry in entries} == {part.digest for part in parts}
    assert entries[0]["artifactType"] == "application/spdx+json"
    assert entries[0]["annotations"] == {"made.by": "a test"}


def test_a_list_that_cannot_be_kept_fails_its_referrers_and_not_the_image(store: Lists) -> None:
    image = add_image(store, NAME)
    parts = store.attach(image)
    found, _ = search(store)

    class Refusing(Lists):
        def enlist(self, name: str, digest: str, entries: Sequence[Mapping[str, Any]]) -> None:
            raise AccessDenied("no")

    failures = enlist(found.graph, [(i, i.reference) for i in found.graph.images], Refusing(), 2, threading.Event())
    assert [str(reference) for reference in failures] == [f"r.io/team/app@{parts.digest}"]
