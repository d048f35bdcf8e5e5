"""What registries get wrong about referrers (D26 and its kin), and lists that several write at once."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

import pytest
from tests.support.faultproxy import Answer, Fault, FaultProxy, fault_proxy, sink
from tests.support.images import add_image, add_index
from tests.support.referrers import answered, api, attach, entry, get_tag, list_of, put_tag
from tests.support.registry import Registry, store_for

from airgap import limits
from airgap.descriptors import OCI_INDEX, Descriptor
from airgap.errors import InvalidManifest, StoreError
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.referrers import tag_of
from airgap.stores.registry.retry import Patience
from airgap.transfer import engine, events, plan
from airgap.transfer.graph import walk
from airgap.transfer.referrers import attached

API = "/referrers/"
LIST = r"/manifests/sha256-[0-9a-f]{64}$"


@dataclass(frozen=True)
class Stored:
    """An image in a real registry with three referrers that nothing lists yet."""

    registry: Registry
    name: str
    image: Descriptor
    parts: tuple[Descriptor, ...]

    @property
    def tag(self) -> str:
        return tag_of(self.image.digest)

    @property
    def entries(self) -> list[dict[str, object]]:
        return [entry(part) for part in self.parts]

    @property
    def digests(self) -> set[str]:
        return {part.digest for part in self.parts}

    def at(self, proxy: FaultProxy) -> str:
        """The repository, by way of the proxy."""
        return f"{proxy.host}/{self.name.partition('/')[2]}"

    def listed(self) -> list[str]:
        """What the real registry's tag lists."""
        return [child["digest"] for child in json.loads(get_tag(self.name, self.tag))["manifests"]]


@pytest.fixture
def stored(registry: Registry) -> Stored:
    name, origin = registry.repository(), MemoryStore()
    image = add_image(origin, f"{name}:1")
    parts = tuple(attach(origin, f"{name}:1", image, text) for text in ("one", "two", "three"))
    put_all(origin, registry)
    return Stored(registry, name, image, parts)


def put_all(origin: MemoryStore, registry: Registry) -> None:
    names = [Reference.parse(name) for name in origin.names]
    target = store_for(registry)
    engine.run(plan.plan(walk(origin, names), target, {name: name for name in names}), origin, target)


def impatient() -> RegistryStore:
    return RegistryStore(Connections(patience=Patience(attempts=3, backoff=0.01)))


def found(stored: Stored, proxy: FaultProxy) -> tuple[set[str], list[str]]:
    """The digests of what is found attached to the image, and the notes."""
    store, seen = impatient(), list[events.Event]()
    graph = walk(store, [Reference.parse(f"{stored.at(proxy)}:1")])
    result = attached(graph, store, 4, seen.append, threading.Event())
    digests = {image.root.digest for image in result.graph.images} - {stored.image.digest}
    return digests, [event.text for event in seen if isinstance(event, events.Note)]


REFUSALS = [
    pytest.param(Answer(401, [("WWW-Authenticate", 'Basic realm="x"')], b""), id="401"),
    pytest.param(Answer(401, [("WWW-Authenticate", 'Bearer realm="http://127.0.0.1:1/t"')], b""), id="401-to-nowhere"),
    pytest.param(Answer(403, [], b'{"errors":[{"code":"DENIED"}]}'), id="403"),
    pytest.param(Answer(400, [], b""), id="400"),
    pytest.param(Answer(500, [], b""), id="500"),
    pytest.param(Answer(200, [("Content-Type", "text/html")], b"<html>hello</html>"), id="a-page-for-people"),
    pytest.param(answered(b'{"schemaVersion":2,"manifests":{}}'), id="no-list"),
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_odd_answer_to_the_question_is_a_note_and_tags_are_looked_at(stored: Stored, refusal: Answer) -> None:
    put_tag(stored.name, stored.tag, list_of(stored.entries))
    with fault_proxy(stored.registry.host, Fault("GET", API, 99, answer=refusal)) as proxy:
        digests, notes = found(stored, proxy)
    assert digests == stored.digests
    assert len(notes) == 1
    assert "only tags are looked at" in notes[0]


def test_a_tag_that_is_refused_is_a_note(stored: Stored) -> None:
    refusal = Fault("GET", r"\.(sig|att|sbom)$", 99, answer=Answer(403, [], b""))
    with fault_proxy(stored.registry.host, *api({stored.image.digest: stored.entries}), refusal) as proxy:
        digests, notes = found(stored, proxy)
    assert digests == stored.digests
    assert len(notes) == 1
    assert "403" in notes[0]


def test_a_registry_that_stops_answering_is_not_asked_for_every_tag(stored: Stored) -> None:
    broken = Fault("GET", r"\.(sig|att|sbom)$", 999, answer=Answer(503, [], b""))
    with fault_proxy(stored.registry.host, *api({stored.image.digest: stored.entries}), broken) as proxy:
        digests, notes = found(stored, proxy)
        asked = [request for request in proxy.requests if request.endswith((".sig", ".att", ".sbom"))]
    assert digests == stored.digests
    assert len(asked) == 3  # one question, tried three times
    assert "503" in notes[0]


def test_gitlab_which_takes_the_tag_for_the_subject_lists_nothing(registry: Registry) -> None:
    name, origin = registry.repository(), MemoryStore()
    index = add_index(origin, f"{name}:1")
    put_all(origin, registry)
    itself = Answer(200, [("Content-Type", OCI_INDEX)], origin.blobs[index.digest])
    with fault_proxy(registry.host, Fault("GET", f"sha256-{index.hex}$", 9, answer=itself)) as proxy:
        listed = impatient().referrers(f"{proxy.host}/{name.partition('/')[2]}", index.digest)
    assert (listed.digests, listed.doubt) == ((), "")


def test_a_tag_that_lists_other_images_lists_no_referrers(stored: Stored) -> None:
    put_tag(stored.name, stored.tag, list_of([stored.image.to_json(), *stored.entries[:1]]))
    with fault_proxy(stored.registry.host) as proxy:
        digests, notes = found(stored, proxy)
    assert digests == {stored.parts[0].digest}
    assert notes == []


def test_google_s_wrong_sizes_do_not_matter(stored: Stored) -> None:
    wrong = [{**each, "size": 1} for each in stored.entries]
    with fault_proxy(stored.registry.host, *api({stored.image.digest: wrong})) as proxy:
        assert found(stored, proxy) == (stored.digests, [])


def page(stored: Stored, number: int, link: str) -> Answer:
    return answered(list_of(stored.entries[number : number + 1]), 200, ("Link", link))


def test_a_list_on_several_pages_is_read_to_its_end(stored: Stored) -> None:
    where = f"/v2/{stored.name.partition('/')[2]}/referrers/{stored.image.digest}"
    with fault_proxy(stored.registry.host) as proxy:
        third = f'<http://{proxy.host}{where}?page=3>; rel="next"'
        proxy.faults += [
            Fault("GET", r"\?page=2&x=%3D$", answer=page(stored, 1, third)),
            Fault("GET", r"\?page=3$", answer=answered(list_of(stored.entries[2:]))),
            Fault("GET", where, answer=page(stored, 0, f"<{where}?page=2&x=%3D>; rel=next")),
            *api({}),
        ]
        assert found(stored, proxy) == (stored.digests, [])


def test_a_list_without_an_end_is_left_and_told(stored: Stored) -> None:
    again = page(stored, 0, '<?page=more>; rel="next"')
    with fault_proxy(stored.registry.host, Fault("GET", API, 9_999, answer=again)) as proxy:
        digests, notes = found(stored, proxy)
        asked = [request for request in proxy.requests if API in request]
    assert digests == set()
    assert len(asked) == limits.REFERRER_PAGES
    assert "pages" in notes[0]


def test_a_list_that_goes_on_at_another_host_is_not_followed(stored: Stored) -> None:
    with sink(body=list_of(stored.entries)) as other:
        elsewhere = page(stored, 0, f'<{other.url}/v2/more>; rel="next"')
        with fault_proxy(stored.registry.host, Fault("GET", API, 99, answer=elsewhere)) as proxy:
            _, notes = found(stored, proxy)
    assert other.requests == []
    assert "another host" in notes[0]


def test_a_list_on_as_many_pages_as_are_read_is_whole(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REFERRER_PAGES", 2)
    with fault_proxy(stored.registry.host) as proxy:
        proxy.faults += [
            Fault("GET", r"\?page=2$", answer=answered(list_of(stored.entries[1:]))),
            Fault("GET", f"{stored.image.digest}$", answer=page(stored, 0, "<?page=2>; rel=next")),
        ]
        listed = impatient().referrers(stored.at(proxy), stored.image.digest)
    assert (set(listed.digests), listed.doubt) == (stored.digests, "")


def test_of_a_list_that_is_too_long_the_first_come_along(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REFERRERS", 2)
    with fault_proxy(stored.registry.host, *api({stored.image.digest: stored.entries})) as proxy:
        digests, notes = found(stored, proxy)
    assert digests == {part.digest for part in stored.parts[:2]}
    assert "more than 2 referrers" in notes[0]


def test_a_list_larger_than_any_manifest_is_not_read(stored: Stored) -> None:
    huge = Answer(200, [("Content-Type", OCI_INDEX)], b" " * (limits.MANIFEST + 1))
    with (
        fault_proxy(stored.registry.host, Fault("GET", LIST, answer=huge)) as proxy,
        pytest.raises(InvalidManifest, match="larger than"),
    ):
        impatient().referrers(stored.at(proxy), stored.image.digest)


def test_a_list_that_is_cut_is_asked_for_again(stored: Stored) -> None:
    put_tag(stored.name, stored.tag, list_of(stored.entries))
    with fault_proxy(stored.registry.host, Fault("GET", LIST, close_after=200)) as proxy:
        listed = impatient().referrers(stored.at(proxy), stored.image.digest)
    assert set(listed.digests) == stored.digests


def enlist(stored: Stored, proxy: FaultProxy, count: int = 1) -> None:
    impatient().enlist(stored.at(proxy), stored.image.digest, stored.entries[:count])


def test_a_list_that_somebody_else_wrote_meanwhile_loses_nothing(stored: Stored) -> None:
    """Whoever reads before our write and writes after it puts us off the list; that is seen, and mended."""

    def overwritten(answer: Answer) -> Answer:
        put_tag(stored.name, stored.tag, list_of(stored.entries[1:]))
        return answer

    with fault_proxy(stored.registry.host, Fault("PUT", LIST, alter=overwritten)) as proxy:
        enlist(stored, proxy)
    assert set(stored.listed()) == stored.digests


def test_a_list_that_has_changed_since_it_was_read_is_read_again(stored: Stored) -> None:
    """A registry that minds `If-Match` says so with 412, and nothing was written."""
    with fault_proxy(stored.registry.host, Fault("PUT", LIST, answer=Answer(412, [], b""))) as proxy:
        enlist(stored, proxy)
        assert len([request for request in proxy.requests if request.startswith("PUT")]) == 2
    assert stored.listed() == [stored.parts[0].digest]


def test_a_list_that_is_always_overwritten_is_an_error_after_some_tries(stored: Stored) -> None:
    def overwritten(answer: Answer) -> Answer:
        put_tag(stored.name, stored.tag, list_of(stored.entries[1:]))
        return answer

    with (
        fault_proxy(stored.registry.host, Fault("PUT", LIST, 99, alter=overwritten)) as proxy,
        pytest.raises(StoreError, match="does not list all"),
    ):
        enlist(stored, proxy)


def test_a_tag_that_is_somebody_s_image_is_not_overwritten(stored: Stored) -> None:
    image = get_manifest(stored, stored.parts[2])
    put_tag(stored.name, stored.tag, image, stored.parts[2].media_type)
    with fault_proxy(stored.registry.host) as proxy, pytest.raises(InvalidManifest, match="the tag `sha256-"):
        enlist(stored, proxy)
    assert get_tag(stored.name, stored.tag) == image


def get_manifest(stored: Stored, descriptor: Descriptor) -> bytes:
    return store_for(stored.registry).manifest(stored.name, descriptor)


def test_an_api_that_lists_a_little_late_is_waited_for(stored: Stored) -> None:
    late = Fault("GET", API, 2, answer=answered(list_of([])))
    with fault_proxy(stored.registry.host, late, *api({stored.image.digest: stored.entries})) as proxy:
        enlist(stored, proxy, 3)
        assert not [request for request in proxy.requests if request.startswith("PUT")]


def test_an_api_that_never_lists_what_it_took_is_an_error(stored: Stored) -> None:
    with fault_proxy(stored.registry.host, *api({})) as proxy, pytest.raises(StoreError) as caught:
        enlist(stored, proxy, 3)
    assert "does not list all" in caught.value.message
    with pytest.raises(OSError):
        get_tag(stored.name, stored.tag)


def test_a_list_that_could_not_be_written_is_written_by_the_next_run(stored: Stored) -> None:
    with fault_proxy(stored.registry.host, Fault("PUT", LIST, 3, answer=Answer(503, [], b""))) as proxy:
        with pytest.raises(StoreError):
            enlist(stored, proxy)
        enlist(stored, proxy)
    assert stored.listed() == [stored.parts[0].digest]


def test_f26_a_signature_s_tag_that_moves_while_packing_is_resolved_once(stored: Stored) -> None:
    tag = f"sha256-{stored.image.hex}.sig"
    data = get_manifest(stored, stored.parts[0])
    put_tag(stored.name, tag, data, stored.parts[0].media_type)

    def moved(answer: Answer) -> Answer:
        put_tag(stored.name, tag, get_manifest(stored, stored.parts[1]), stored.parts[1].media_type)
        return answer

    with fault_proxy(stored.registry.host, Fault("GET", tag, alter=moved)) as proxy:
        digests, _ = found(stored, proxy)
        assert len([request for request in proxy.requests if request.endswith(tag)]) == 1
    assert digests == {stored.parts[0].digest}


@pytest.mark.parametrize(
    ("digest", "tag"),
    [
        pytest.param("sha256:" + "a" * 64, "sha256-" + "a" * 64, id="sha256"),
        pytest.param("sha512:" + "b" * 128, "sha512-" + "b" * 64, id="sha512-is-cut"),
    ],
)
def test_the_tag_of_a_list_is_made_as_the_specification_says(digest: str, tag: str) -> None:
    assert tag_of(digest) == tag
