"""Uploads that break, by their numbers in the catalogue (docs/faults.md)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.faultproxy import Answer, Fault, fault_proxy
from tests.support.registry import (
    Registry,
    TokenServer,
    login,
    restarting_registry,
    store_for,
)
from tests.support.uploads import CHUNK, SIZE, UPLOADS, Blob, answering, check_stored, repository, starts_at, store

from airgap.descriptors import Descriptor
from airgap.errors import ContentMismatch
from airgap.stores import Chunk, Content
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.journal import Journal
from airgap.stores.registry.retry import Patience
from airgap.stores.registry.uploads import Uploads


@pytest.fixture
def blob() -> Blob:
    return Blob()


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


def interrupted(blob: Blob, path: Path, name: str, called: Descriptor | None = None) -> None:
    """A run that ends after two chunks, as one whose process was killed between two."""

    def cut(offset: int) -> Iterator[Chunk]:
        for start in range(offset, SIZE, CHUNK):
            if start >= 2 * CHUNK:
                raise KeyboardInterrupt
            yield blob.data[start : start + CHUNK]

    with pytest.raises(KeyboardInterrupt):
        store(chunk=CHUNK, journal=Journal(path)).put_blob(name, called or blob.descriptor, cut)


def test_the_next_run_goes_on_with_an_upload_that_is_still_open(registry: Registry, blob: Blob, tmp_path: Path) -> None:
    path = tmp_path / "app.tar.push.json"
    with fault_proxy(registry.host) as proxy:
        name = repository(registry, proxy.host)
        interrupted(blob, path, name)
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
        interrupted(blob, path, name)
        damaged = Blob(b"x" + blob.data[1:])
        with pytest.raises(ContentMismatch):
            store(chunk=CHUNK, journal=Journal(path)).put_blob(name, blob.descriptor, damaged.content)
        assert proxy.count("PUT") == 0
        assert not path.exists()
    assert not store_for(registry).has(f"{registry.host}/{name.partition('/')[2]}", blob.descriptor)


def test_f22_a_journal_of_an_upload_that_is_gone_costs_a_question(
    registry: Registry, blob: Blob, tmp_path: Path
) -> None:
    path = tmp_path / "app.tar.push.json"
    with fault_proxy(registry.host) as proxy:
        name = repository(registry, proxy.host)
        interrupted(blob, path, name)
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


@pytest.mark.parametrize("chunk", [0, CHUNK])
def test_content_that_turns_out_wrong_is_never_sent_whole(registry: Registry, chunk: int) -> None:
    honest, other = Blob(), Blob()
    memory = MemoryStore()
    memory.blobs[honest.descriptor.digest] = other.data
    content: Content = lambda offset: memory.blob("x", honest.descriptor, offset)  # noqa: E731
    with fault_proxy(registry.host) as proxy, pytest.raises(ContentMismatch):
        store(chunk=chunk).put_blob(repository(registry, proxy.host), honest.descriptor, content)
    assert "PUT" not in [method for method, _ in proxy.passed]  # what closes the upload never was complete


def test_an_upload_that_is_opened_in_place_of_a_mount_is_the_one_that_is_used(registry: Registry, blob: Blob) -> None:
    with fault_proxy(registry.host) as proxy:
        name = repository(registry, proxy.host)
        target = store()
        assert not target.mount(name, blob.descriptor, f"{proxy.host}/test/never-pushed")
        target.put_blob(name, blob.descriptor, blob.content)
        assert proxy.count("POST") == 1
    check_stored(registry, name, blob)


def test_what_an_earlier_run_sent_wrong_is_sent_anew(registry: Registry, blob: Blob, tmp_path: Path) -> None:
    """The bundle was damaged when the first run read it, and was carried over again."""
    path = tmp_path / "app.tar.push.json"
    with fault_proxy(registry.host) as proxy:
        name = repository(registry, proxy.host)
        interrupted(Blob(b"x" + blob.data[1:]), path, name, blob.descriptor)
        store(chunk=CHUNK, journal=Journal(path)).put_blob(name, blob.descriptor, blob.content)
        assert (proxy.count("POST"), proxy.count("PUT")) == (2, 2)
    check_stored(registry, name, blob)
