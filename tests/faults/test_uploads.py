"""Faults of uploads, by their numbers in the catalogue (docs/faults.md)."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.faultproxy import Answer, Fault, FaultProxy, fault_proxy, sink
from tests.support.images import add_image, add_index, layer
from tests.support.registry import (
    Registry,
    TokenServer,
    login,
    restarting_registry,
    serving_registry,
    store_for,
)

from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import AccessDenied, ContentMismatch, NotFound, StoreError, UnknownContent
from airgap.limits import KIB
from airgap.references import Reference
from airgap.stores import Chunk, Content
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.journal import Journal
from airgap.stores.registry.retry import Patience
from airgap.stores.registry.uploads import Uploads
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk

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


@pytest.fixture
def blob() -> Blob:
    return Blob()


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


def test_a_large_blob_goes_up_in_chunks_in_order_and_is_read_once(registry: Registry, blob: Blob) -> None:
    with fault_proxy(registry.host) as proxy:
        name = repository(registry, proxy.host)
        store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
    assert [size for method, size in proxy.received if method == "PATCH"] == [CHUNK] * 4 + [CHUNK - 7]
    assert blob.opened == [0]
    check_stored(registry, name, blob)


@pytest.mark.parametrize("cut", [pytest.param(n, id=f"F16-at-{n}") for n in (1, CHUNK // 2, CHUNK - 1)])
def test_a_reset_within_a_chunk_costs_this_blob_and_no_other(registry: Registry, blob: Blob, cut: int) -> None:
    other = Blob()
    second = Fault("PATCH", UPLOADS, break_after=cut, when=lambda headers, _: starts_at(headers, CHUNK))
    with fault_proxy(registry.host, second) as proxy:
        name = repository(registry, proxy.host)
        target = store(chunk=CHUNK)
        target.put_blob(name, other.descriptor, other.content)
        proxy.faults[0].times = 1
        target.put_blob(name, blob.descriptor, blob.content)
        # distribution does not say what arrived, so this upload begins anew: two chunks more, and the other blob's
        # five chunks only once (its own reset came first).
        assert proxy.took("PATCH") == 2 * (SIZE + 2 * CHUNK)
    check_stored(registry, name, blob)
    check_stored(registry, name, other)


def starts_at(headers: object, offset: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"{offset}-")  # type: ignore[attr-defined]


def test_f17_a_lost_answer_to_a_chunk_never_puts_it_there_twice(registry: Registry, blob: Blob) -> None:
    lost = Fault("PATCH", UPLOADS, drop_answer=True, when=lambda headers, _: starts_at(headers, CHUNK))
    with fault_proxy(registry.host, lost) as proxy:
        name = repository(registry, proxy.host)
        store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
        assert proxy.count("GET") == 1  # what was confirmed? distribution has forgotten
        assert proxy.took("PATCH") == SIZE + 2 * CHUNK
    check_stored(registry, name, blob)


def test_f17_where_the_registry_says_what_arrived_the_upload_goes_on_there(registry: Registry, blob: Blob) -> None:
    """A registry with an honest status: the proxy keeps the answer that was lost, and tells it when it is asked."""
    kept: list[Answer] = []

    def keep(answer: Answer) -> Answer:
        kept.append(answer)
        return answer

    def tell(_: Answer) -> Answer:
        return Answer(204, kept[-1].without("content-length"), b"")

    lost = Fault("PATCH", UPLOADS, alter=keep, drop_answer=True, when=lambda headers, _: starts_at(headers, CHUNK))
    with fault_proxy(registry.host, lost, Fault("GET", UPLOADS, alter=tell)) as proxy:
        name = repository(registry, proxy.host)
        store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
        assert proxy.took("PATCH") == SIZE
        assert proxy.count("POST") == 1
    check_stored(registry, name, blob)


def test_f17_a_chunk_that_never_arrived_is_sent_again_into_the_same_upload(registry: Registry, blob: Blob) -> None:
    lost = Fault("PATCH", UPLOADS, answer=answering(502), when=lambda headers, _: starts_at(headers, CHUNK))
    with fault_proxy(registry.host, lost) as proxy:
        name = repository(registry, proxy.host)
        store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
        assert proxy.took("PATCH") == SIZE + CHUNK
        assert proxy.count("POST") == 1
    assert blob.opened == [0, CHUNK]
    check_stored(registry, name, blob)


def test_f17_an_answer_that_says_less_than_was_confirmed_is_not_believed(registry: Registry, blob: Blob) -> None:
    """ECR's status stays at the first chunk; what we would send from there is what it has already."""
    stale = answering(204, Range="0-9", Location="/v2/nowhere")
    faults = [
        Fault("PATCH", UPLOADS, answer=answering(502), when=lambda headers, _: starts_at(headers, 2 * CHUNK)),
        Fault("GET", UPLOADS, answer=stale),
    ]
    with fault_proxy(registry.host, *faults) as proxy:
        name = repository(registry, proxy.host)
        store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
        assert proxy.count("POST") == 2
    check_stored(registry, name, blob)


@pytest.mark.parametrize("chunk", [pytest.param(0, id="F18-whole"), pytest.param(CHUNK, id="F18-chunks")])
def test_a_lost_answer_to_the_closing_put_is_not_a_lost_upload(registry: Registry, blob: Blob, chunk: int) -> None:
    with fault_proxy(registry.host, Fault("PUT", UPLOADS, drop_answer=True)) as proxy:
        name = repository(registry, proxy.host)
        store(chunk=chunk).put_blob(name, blob.descriptor, blob.content)
        assert (proxy.count("POST"), proxy.count("PUT")) == (1, 1)
    check_stored(registry, name, blob)


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


def push(origin: MemoryStore, name: Reference, target: RegistryStore) -> None:
    engine.run(plan.plan(walk(origin, [name]), target, {name: name}), origin, target)


def test_f9_a_token_that_ends_in_an_upload_is_renewed_and_the_same_upload_goes_on(
    token_registry: Registry,
    token_server: tuple[TokenServer, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    blob: Blob,
) -> None:
    server, _ = token_server
    monkeypatch.setattr(server, "lifetime", -58)  # the registry allows 60 s for clocks that differ: 2 s are left

    def slow(answer: Answer) -> Answer:
        time.sleep(0.9)
        return answer

    with fault_proxy(token_registry.host, Fault("PATCH", UPLOADS, 99, alter=slow)) as proxy:
        login(monkeypatch, tmp_path, proxy.host)
        name = repository(token_registry, proxy.host)
        asked = len(server.asked)
        store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
        assert len(server.asked) - asked >= 2
        assert sum(r.startswith("POST") for r in proxy.requests) <= 2  # the one that was asked for a login, and again
        sessions = {r.partition("?")[0] for r in proxy.requests if r.startswith("PATCH")}
        assert len(sessions) == 1
        monkeypatch.setattr(server, "lifetime", 300)
        assert store().has(name, blob.descriptor)


def sized(status: int, body: bytes = b"") -> Answer:
    return answering(status, body, Content_Type="text/html")


NO_SPACE = b'{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"Enclosed":{"Op":"write","Err":28}}}]}'


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        pytest.param(sized(413, b"<html>too large</html>"), "--chunk-size", id="F15-413"),
        pytest.param(sized(507), "is full", id="F15-507"),
        pytest.param(sized(500, NO_SPACE), "is full", id="F15-500-errno"),
        pytest.param(sized(500, b"write /x: no space left on device"), "is full", id="F15-500-text"),
    ],
)
def test_no_room_there_is_said_at_once_and_not_asked_for_again(
    registry: Registry, blob: Blob, method: str, answer: Answer, hint: str
) -> None:
    with fault_proxy(registry.host, Fault(method, UPLOADS, 99, answer=answer)) as proxy:
        with pytest.raises(StoreError) as caught:
            store(chunk=CHUNK).put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)
        assert proxy.count(method) == 1
    assert hint in caught.value.hint
    assert str(answer.status) in caught.value.message


REFUSALS = {
    "read-only": (405, "UNSUPPORTED", "The operation is unsupported.", "read-only"),
    "quota": (403, "DENIED", "adding 29.0 MiB of storage resource, which when updated to current usage of 152.4 MiB "
              "will exceed the configured upper limit of 160.0 MiB.", "quota"),
    "project": (404, "NOT_FOUND", "project shop not found", "--create-projects"),
    "repository": (404, "NAME_UNKNOWN", "The repository with name 'a' does not exist in the registry", "beforehand"),
    "denied": (403, "DENIED", "requested access to the resource is denied", "log in"),
}  # fmt: skip


@pytest.mark.parametrize("key", REFUSALS)
def test_a_refusal_comes_with_the_registrys_words_and_with_what_helps(registry: Registry, blob: Blob, key: str) -> None:
    status, code, words, hint = REFUSALS[key]
    body = f'{{"errors":[{{"code":"{code}","message":"{words}"}}]}}'.encode()
    with fault_proxy(registry.host, Fault("POST", UPLOADS, 99, answer=answering(status, body))) as proxy:
        with pytest.raises(StoreError) as caught:
            store().put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)
        assert proxy.count("POST") == 1
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_a_registry_that_only_reads_says_so(tmp_path: Path, blob: Blob) -> None:
    storage = {"filesystem": {"rootdirectory": str(tmp_path)}, "maintenance": {"readonly": {"enabled": True}}}
    with serving_registry(tmp_path, storage=storage) as registry, pytest.raises(StoreError) as caught:
        store().put_blob(registry.repository(), blob.descriptor, blob.content)
    assert "405" in caught.value.message
    assert "read-only" in caught.value.hint


def test_f21_a_registry_that_is_killed_and_comes_back_is_sent_only_what_it_does_not_have(
    tmp_path: Path, blob: Blob
) -> None:
    with restarting_registry(tmp_path) as registry:

        def kill(answer: Answer) -> Answer:
            registry.kill()
            threading.Timer(0.3, registry.start).start()
            return answer

        after_two = Fault("PATCH", UPLOADS, alter=kill, when=lambda headers, _: starts_at(headers, CHUNK))
        with fault_proxy(registry.host, after_two) as proxy:
            name = repository(registry.running, proxy.host)
            patience = Patience(attempts=60, backoff=0.02)
            target = RegistryStore(Connections(patience=patience), uploads=Uploads(chunk=CHUNK))
            target.put_blob(name, blob.descriptor, blob.content)
            assert proxy.count("POST") == 1
            forwarded = [size for method, size in proxy.passed if method == "PATCH"]
            assert sum(forwarded) == SIZE
        check_stored(registry.running, name, blob)


def test_f22_a_registry_with_another_secret_is_sent_the_blob_anew(tmp_path: Path, blob: Blob) -> None:
    with restarting_registry(tmp_path) as registry:

        def change(answer: Answer) -> Answer:
            registry.kill()
            registry.start(secret="another")
            return answer

        after_two = Fault("PATCH", UPLOADS, alter=change, when=lambda headers, _: starts_at(headers, CHUNK))
        with fault_proxy(registry.host, after_two) as proxy:
            name = repository(registry.running, proxy.host)
            store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
            assert proxy.count("POST") == 2
        check_stored(registry.running, name, blob)


def interrupted(registry: Registry, blob: Blob, path: Path, proxy: FaultProxy, name: str) -> None:
    """A run that ends after two chunks, as one whose process was killed between two."""

    def cut(offset: int) -> Iterator[Chunk]:
        for start in range(offset, SIZE, CHUNK):
            if start >= 2 * CHUNK:
                raise KeyboardInterrupt
            yield blob.data[start : start + CHUNK]

    with pytest.raises(KeyboardInterrupt):
        store(chunk=CHUNK, journal=Journal(path)).put_blob(name, blob.descriptor, cut)


def test_the_next_run_goes_on_with_an_upload_that_is_still_open(registry: Registry, blob: Blob, tmp_path: Path) -> None:
    path = tmp_path / "app.tar.push.json"
    with fault_proxy(registry.host) as proxy:
        name = repository(registry, proxy.host)
        interrupted(registry, blob, path, proxy, name)
        assert path.stat().st_mode & 0o777 == 0o600
        before = proxy.took("PATCH")
        store(chunk=CHUNK, journal=Journal(path)).put_blob(name, blob.descriptor, blob.content)
        assert proxy.took("PATCH") - before == SIZE - 2 * CHUNK
        assert proxy.count("POST") == 1
    assert blob.opened == [0]  # what was sent before is read for its hash, and the rest after it
    assert not path.exists()
    check_stored(registry, name, blob)


def test_what_was_sent_before_is_proved_before_the_upload_is_closed(
    registry: Registry, blob: Blob, tmp_path: Path
) -> None:
    """The bundle was damaged between the runs, in what the first had sent: nothing of it becomes a blob."""
    path = tmp_path / "app.tar.push.json"
    with fault_proxy(registry.host) as proxy:
        name = repository(registry, proxy.host)
        interrupted(registry, blob, path, proxy, name)
        damaged = Blob(b"x" + blob.data[1:])
        with pytest.raises(ContentMismatch):
            store(chunk=CHUNK, journal=Journal(path)).put_blob(name, blob.descriptor, damaged.content)
        assert proxy.count("PUT") == 0
    assert not store_for(registry).has(f"{registry.host}/{name.partition('/')[2]}", blob.descriptor)


def test_f22_a_journal_of_an_upload_that_is_gone_costs_a_question(
    registry: Registry, blob: Blob, tmp_path: Path
) -> None:
    path = tmp_path / "app.tar.push.json"
    with fault_proxy(registry.host) as proxy:
        name = repository(registry, proxy.host)
        interrupted(registry, blob, path, proxy, name)
        proxy.faults.append(Fault("GET", UPLOADS, answer=answering(404)))
        store(chunk=CHUNK, journal=Journal(path)).put_blob(name, blob.descriptor, blob.content)
        assert proxy.count("POST") == 2
    check_stored(registry, name, blob)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="F63-empty"),
        pytest.param(b"{", id="F63-cut"),
        pytest.param(b'{"schemaVersion": 2, "uploads": []}', id="F63-newer"),
        pytest.param(b'{"schemaVersion": 1, "uploads": [{"origin": "x"}]}', id="F63-incomplete"),
        pytest.param(b"\xff" * 100, id="F63-noise"),
    ],
)
def test_a_journal_that_cannot_be_read_is_said_and_done_without(
    registry: Registry, blob: Blob, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "app.tar.push.json"
    path.write_bytes(data)
    notes: list[str] = []
    name = registry.repository()
    store(chunk=CHUNK, journal=Journal(path, notes.append)).put_blob(name, blob.descriptor, blob.content)
    check_stored(registry, name, blob)
    assert len(notes) == 1
    assert str(path) in notes[0]


def located(place: Callable[[str], str]) -> Callable[[Answer], Answer]:
    """An answer whose Location is rewritten."""

    def alter(answer: Answer) -> Answer:
        return Answer(
            answer.status,
            [("Location", place(answer.header("Location"))), *answer.without("location")],
            answer.body,
        )

    return alter


def from_root(location: str) -> str:
    return "/" + location.split("/", 3)[3]


def from_here(location: str) -> str:
    return location.rpartition("/")[2]


@pytest.mark.parametrize("place", [from_root, from_here])
@pytest.mark.parametrize("chunk", [0, CHUNK])
def test_a_location_may_be_relative_and_keeps_its_query(
    registry: Registry, blob: Blob, place: Callable[[str], str], chunk: int
) -> None:
    alter = located(place)
    with fault_proxy(registry.host, *(Fault(m, UPLOADS, 99, alter=alter) for m in ("POST", "PATCH"))) as proxy:
        name = repository(registry, proxy.host)
        store(chunk=chunk).put_blob(name, blob.descriptor, blob.content)
    check_stored(registry, name, blob)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://169.254.169.254/x?_state=s3cret", id="F28-link-local"),
        pytest.param("http://user:s3cret@127.0.0.1:1/x", id="F28-userinfo"),
        pytest.param("gopher://127.0.0.1/s3cret", id="F28-scheme"),
        pytest.param("http://[bad/s3cret", id="F28-nonsense"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_upload_is_not_sent_to_a_place_that_cannot_be_meant(
    registry: Registry, blob: Blob, method: str, url: str
) -> None:
    with (
        fault_proxy(registry.host, Fault(method, UPLOADS, alter=located(lambda _: url))) as proxy,
        pytest.raises(StoreError) as caught,
    ):
        store(chunk=CHUNK).put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_f28_an_upload_that_is_taken_elsewhere_carries_no_login(
    basic_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blob: Blob
) -> None:
    with sink(body=b"ok") as elsewhere, fault_proxy(basic_registry.host) as proxy:
        there = located(lambda _: f"{elsewhere.url}/upload?x=1")
        proxy.faults.append(
            Fault("POST", UPLOADS, 9, alter=lambda answer: there(answer) if answer.status == 202 else answer)
        )
        login(monkeypatch, tmp_path, proxy.host)
        with pytest.raises(StoreError):  # the sink stores nothing
            store(chunk=10 * SIZE).put_blob(repository(basic_registry, proxy.host), blob.descriptor, blob.content)
        assert elsewhere.requests
        assert set(elsewhere.logins) == {""}


def test_f28_an_upload_over_https_is_not_sent_on_by_http(tls_registry: Registry, blob: Blob) -> None:
    """The registry behind a proxy that does not say by what scheme it was asked."""
    from airgap.stores.registry.elsewhere import refusal

    assert "by http" in refusal(f"http://{tls_registry.host}/x", f"https://{tls_registry.host}")


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


def test_f25_a_manifest_that_is_refused_for_its_content_names_what_is_missing(registry: Registry) -> None:
    origin = MemoryStore()
    name = Reference.parse(registry.repository() + ":1")
    manifest = add_image(origin, str(name))
    with pytest.raises(UnknownContent) as caught:
        store().put_manifest(name.name, manifest, origin.blobs[manifest.digest])
    blobs = {blob.digest for image in walk(origin, [name]).images for blob in walk(origin, [name]).blobs_of(image)}
    assert caught.value.digests
    assert caught.value.digests <= blobs


def test_an_upload_without_a_place_to_go_is_an_error(registry: Registry, blob: Blob) -> None:
    nowhere = Fault("POST", UPLOADS, answer=answering(202))
    with fault_proxy(registry.host, nowhere) as proxy, pytest.raises(StoreError, match="does not say where"):
        store().put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)


def test_a_pause_that_the_registry_asks_for_is_kept(registry: Registry, blob: Blob) -> None:
    busy = Fault("PATCH", UPLOADS, answer=answering(429, Retry_After="1"))
    with fault_proxy(registry.host, busy) as proxy:
        name = repository(registry, proxy.host)
        started = time.monotonic()
        store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
        assert time.monotonic() - started >= 0.9
    check_stored(registry, name, blob)


@pytest.mark.parametrize("chunk", [0, CHUNK])
def test_content_that_turns_out_wrong_is_never_sent_whole(registry: Registry, chunk: int) -> None:
    honest, other = Blob(), Blob()
    memory = MemoryStore()
    memory.blobs[honest.descriptor.digest] = other.data
    content: Content = lambda offset: memory.blob("x", honest.descriptor, offset)  # noqa: E731
    with fault_proxy(registry.host) as proxy, pytest.raises(ContentMismatch):
        store(chunk=chunk).put_blob(repository(registry, proxy.host), honest.descriptor, content)
    assert "PUT" not in [method for method, _ in proxy.passed]  # what closes the upload never was complete


def test_not_found_is_what_a_missing_repository_is(registry: Registry, blob: Blob) -> None:
    unknown = answering(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}')
    with fault_proxy(registry.host, Fault("PUT", UPLOADS, 9, answer=unknown)) as proxy, pytest.raises(NotFound):
        store().put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)


def test_an_upload_that_may_not_be_made_is_refused_once(registry: Registry, blob: Blob) -> None:
    denied = answering(403, b'{"errors":[{"code":"DENIED","message":"no"}]}')
    with fault_proxy(registry.host, Fault("PATCH", UPLOADS, 9, answer=denied)) as proxy, pytest.raises(AccessDenied):
        store(chunk=CHUNK).put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)
    assert proxy.count("PATCH") == 1
