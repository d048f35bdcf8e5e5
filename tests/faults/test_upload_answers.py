"""What registries answer to uploads: refusals with their reasons, and places where an upload may not go."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.faultproxy import Answer, Fault, fault_proxy, sink
from tests.support.nginx import nginx_before
from tests.support.registry import (
    Authority,
    Registry,
    login,
    serving_registry,
    store_for,
)
from tests.support.uploads import CHUNK, SIZE, UPLOADS, Blob, answering, check_stored, repository, store

from airgap.errors import AccessDenied, NotFound, StoreError


@pytest.fixture
def blob() -> Blob:
    return Blob()


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


def test_not_found_is_what_a_missing_repository_is(registry: Registry, blob: Blob) -> None:
    unknown = answering(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}')
    with fault_proxy(registry.host, Fault("PUT", UPLOADS, 9, answer=unknown)) as proxy, pytest.raises(NotFound):
        store().put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)


def test_an_upload_that_may_not_be_made_is_refused_once(registry: Registry, blob: Blob) -> None:
    denied = answering(403, b'{"errors":[{"code":"DENIED","message":"no"}]}')
    with fault_proxy(registry.host, Fault("PATCH", UPLOADS, 9, answer=denied)) as proxy, pytest.raises(AccessDenied):
        store(chunk=CHUNK).put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)
    assert proxy.count("PATCH") == 1


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


def test_f28_an_upload_over_https_is_not_sent_on_by_http(authority: Authority, tmp_path: Path, blob: Blob) -> None:
    """A registry that believes it is reached by http, as behind a proxy that does not say otherwise."""
    tls = {"certificate": str(authority.certificate), "key": str(authority.key)}
    http = {"host": "http://127.0.0.1:1"}
    with serving_registry(tmp_path, tls=tls, http=http, ca=str(authority.ca_file)) as registry:
        with pytest.raises(StoreError, match="by http") as caught:
            store_for(registry).put_blob(registry.repository(), blob.descriptor, blob.content)
        assert "X-Forwarded-Proto" in caught.value.hint


@pytest.mark.parametrize("size", [pytest.param(SIZE, id="F15-nginx"), pytest.param(40 * SIZE, id="F15-nginx-large")])
def test_nginx_with_its_limit_is_understood_and_passed_in_chunks(registry: Registry, tmp_path: Path, size: int) -> None:
    """It answers before it has the body, and closes: its words must not be lost in a broken connection."""
    blob = Blob(os.urandom(size))
    with nginx_before(registry, tmp_path, "client_max_body_size 100k;") as host:
        name = repository(registry, host)
        with pytest.raises(StoreError) as caught:
            store().put_blob(name, blob.descriptor, blob.content)
        assert "413" in caught.value.message
        assert "--chunk-size" in caught.value.hint
        store(chunk=CHUNK).put_blob(name, blob.descriptor, blob.content)
    check_stored(registry, name, blob)


def test_where_no_way_is_taken_the_refusal_of_the_plainest_one_is_told(registry: Registry, blob: Blob) -> None:
    unsupported = answering(405, b'{"errors":[{"code":"UNSUPPORTED","message":"no chunks here"}]}')
    invalid = answering(400, b'{"errors":[{"code":"SIZE_INVALID","message":"layers of this size are not taken"}]}')
    faults = [Fault("PATCH", UPLOADS, 9, answer=unsupported), Fault("PUT", UPLOADS, 9, answer=invalid)]
    with fault_proxy(registry.host, *faults) as proxy, pytest.raises(StoreError, match="of this size"):
        store(chunk=CHUNK).put_blob(repository(registry, proxy.host), blob.descriptor, blob.content)
