"""Faults of logins: tokens that end, token servers that fail, credentials that are revoked or must not be seen."""

from __future__ import annotations

import base64
import email.utils
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.cli import kubectl_airgap
from tests.support.faultproxy import Answer, Fault, fault_proxy, sink
from tests.support.images import add_image, random_layer
from tests.support.rawserver import raw_server
from tests.support.registry import PASSWORD, USER, Registry, TokenServer, free_port, login
from tests.support.stored import Stored, impatient, push

from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import AccessDenied, AirgapError, StoreError
from airgap.operations import images, pack
from airgap.operations.environment import Run
from airgap.operations.sources import Sources
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.stores.pace import Pace
from airgap.stores.registry import Connections, RegistryStore, Trust
from airgap.stores.registry.line import Timeouts
from airgap.stores.registry.retry import Patience
from airgap.transfer import engine, plan
from airgap.transfer.engine import Conduct
from airgap.transfer.graph import walk

LAYERS, SIZE = 8, 200_000
SECRETS = (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


def image_of_layers(name: str) -> MemoryStore:
    origin, rng = MemoryStore(), random.Random(9)
    add_image(origin, name, layers=[random_layer(rng, SIZE) for _ in range(LAYERS)])
    return origin


def transfer(origin: MemoryStore | RegistryStore, source: Reference, target: object, name: Reference) -> None:
    todo = plan.plan(walk(origin, [source]), target, {source: name}, workers=2)  # type: ignore[arg-type]
    engine.run(todo, origin, target, Conduct(workers=2))  # type: ignore[arg-type]


def pushed(registry: Registry) -> tuple[Reference, MemoryStore]:
    """An image that is in the registry, and its content; whoever asks is logged in."""
    name = Reference.parse(f"{registry.repository()}:1")
    origin = image_of_layers(str(name))
    push(origin, [name], registry)
    return name, origin


def answered(registry: Registry, name: Reference, method: str, status: int) -> list[str]:
    """Digests of the blobs of a repository in requests that the registry answered so, by its own log."""
    line = re.compile(
        rf'"{method} /v2/{name.repository}/blobs/\S*?(sha256(?::|%3A)[0-9a-f]{{64}})\S* HTTP/1.1" {status} '
    )
    return line.findall(registry.log.read_text())


def paced() -> RegistryStore:
    """A store on a line so slow that a token ends several times before everything is through."""
    return RegistryStore(Connections(workers=2, patience=Patience(backoff=0.01), pace=Pace(2 * SIZE)))


@pytest.fixture
def short_tokens(token_server: tuple[TokenServer, Path], monkeypatch: pytest.MonkeyPatch) -> TokenServer:
    """Tokens that live two seconds by the registry's clock (it allows 60 s more), whatever is said of them."""
    state, _ = token_server
    monkeypatch.setattr(state, "lifetime", -58)
    state.asked.clear()
    return state


def test_f9_tokens_that_live_two_seconds_do_not_end_a_slow_download(
    token_registry: Registry, short_tokens: TokenServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login(monkeypatch, tmp_path, token_registry.host)
    name, origin = pushed(token_registry)
    short_tokens.asked.clear()
    target = MemoryStore()
    transfer(paced(), name, target, name)
    assert len(short_tokens.asked) >= 2
    fetched = answered(token_registry, name, "GET", 200)
    assert len(fetched) == len(set(fetched)) == LAYERS + 1
    assert target.blobs == origin.blobs


def test_f9_tokens_that_live_two_seconds_do_not_end_a_slow_push_and_no_layer_is_sent_twice(
    token_registry: Registry, short_tokens: TokenServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = Reference.parse(f"{token_registry.repository()}:1")
    origin = image_of_layers(str(name))
    login(monkeypatch, tmp_path, token_registry.host)
    transfer(origin, name, paced(), name)
    assert len(short_tokens.asked) >= 2
    sent = answered(token_registry, name, "PUT", 201)
    assert len(sent) == len(set(sent)) == LAYERS + 1
    assert len(answered(token_registry, name, "PUT", 401)) <= 2  # whose token ended just after they were opened
    assert impatient().resolve(name).digest in origin.blobs


def test_a_registry_that_says_only_at_its_door_how_to_log_in_is_asked_there(
    basic_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login(monkeypatch, tmp_path, basic_registry.host)
    name, origin = pushed(basic_registry)

    def silent(answer: Answer) -> Answer:
        return Answer(answer.status, answer.without("www-authenticate"), answer.body)

    with fault_proxy(basic_registry.host, Fault("GET", "/manifests/", alter=silent)) as proxy:
        login(monkeypatch, tmp_path, proxy.host)
        assert impatient().resolve(Reference(proxy.host, name.repository, "1")).digest in origin.blobs
        assert [request.rpartition("/")[0] for request in proxy.requests] == [
            f"GET /v2/{name.repository}/manifests",
            "GET /v2",
            f"GET /v2/{name.repository}/manifests",
        ]


def challenge(realm: str) -> Answer:
    header = f'Bearer realm="{realm}",service="x",scope="repository:a/b:pull"'
    return Answer(401, [("WWW-Authenticate", header), ("Content-Length", "0")], b"")


def answering(status: int, body: bytes, kind: str = "application/json") -> Answer:
    return Answer(status, [("Content-Type", kind), ("Content-Length", str(len(body)))], body)


BROKEN = {
    "500": (answering(500, b"{}"), "answered 500; tried 3 times", 3),
    "503": (answering(503, b""), "answered 503; tried 3 times", 3),
    "404": (answering(404, b"nothing here"), "answered 404", 1),
    "html": (answering(200, b"<html><body>Please log in</body></html>", "text/html"), "gave no token", 1),
    "10-mb": (answering(200, b'{"token":"' + b"x" * 10_000_000 + b'"}'), "answered more than", 1),
    "no-token": (answering(200, b'{"expires_in": 60}'), "gave no token", 1),
    "null": (answering(200, b'{"token": null, "access_token": null}'), "cannot be sent", 1),
    "list": (answering(200, b"[1]"), "gave no token", 1),
    "newline": (answering(200, b'{"token": "a\\r\\nX-Evil: 1"}'), "cannot be sent", 1),
}


@pytest.mark.parametrize(
    ("answer", "words", "times"), [pytest.param(*value, id=f"F10-{key}") for key, value in BROKEN.items()]
)
def test_a_token_server_that_does_not_do_its_work_is_named_and_not_asked_for_ever(
    stored: Stored, answer: Answer, words: str, times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with fault_proxy(stored.registry.host) as proxy, fault_proxy(stored.registry.host) as tokens:
        tokens.faults.append(Fault("GET", "^/token", 99, answer=answer))
        proxy.faults.append(Fault("GET", "/manifests/", 99, answer=challenge(f"http://{tokens.host}/token")))
        login(monkeypatch, tmp_path, proxy.host)
        with pytest.raises(StoreError, match=words) as caught:
            impatient().resolve(stored.reference(proxy.host))
        assert len(tokens.requests) == times
        assert tokens.host in caught.value.message
    check_no_secret(caught.value)


def check_no_secret(error: AirgapError) -> None:
    assert not any(secret in error.message + error.hint for secret in SECRETS)


def test_f10_a_token_server_that_is_down_is_named(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = f"127.0.0.1:{free_port()}"
    with fault_proxy(stored.registry.host, Fault("GET", "/manifests/", 9, answer=challenge(f"http://{place}/t"))) as p:
        login(monkeypatch, tmp_path, p.host)
        with pytest.raises(StoreError, match=f"`{place}` refuses the connection") as caught:
            impatient().resolve(stored.reference(p.host))
    check_no_secret(caught.value)


def test_f10_a_token_server_that_trickles_ends_within_its_attempts(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = answering(200, b'{"token":"' + b"x" * 900 + b'"}')
    with fault_proxy(stored.registry.host) as proxy:
        proxy.faults += [
            Fault("GET", "/manifests/", 99, answer=challenge(f"http://{proxy.host}/token")),
            Fault("GET", "^/token", 99, answer=token, drip=0.05),
        ]
        login(monkeypatch, tmp_path, proxy.host)
        with pytest.raises(StoreError, match="broke off; tried 3 times"):
            impatient(Timeouts(stall=0.3)).resolve(stored.reference(proxy.host))


def revoked(answer: Answer) -> Answer:
    return Answer(401, [("WWW-Authenticate", 'Basic realm="x"'), ("Content-Length", "0")], b"")


def test_f11_credentials_that_are_revoked_meanwhile_end_it_and_what_moved_stays(
    basic_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login(monkeypatch, tmp_path, basic_registry.host)
    name, origin = pushed(basic_registry)
    manifest = walk(origin, [name]).nodes[origin.resolve(name).digest].manifest
    last = min(manifest.children, key=lambda child: child.size)  # fetched last
    with fault_proxy(basic_registry.host, Fault("GET", last.hex, 99, alter=revoked)) as proxy:
        login(monkeypatch, tmp_path, proxy.host)
        found = images.find_images(Sources(images=(f"{proxy.host}/{name.repository}:1",)))
        place = str(tmp_path / "x.tar")
        with pytest.raises(AccessDenied, match="refuses the login") as caught:
            pack_now(found, place)
        assert len([r for r in proxy.requests if last.hex in r]) == 3
        check_no_secret(caught.value)
        proxy.faults.clear()
        again = pack_now(found, place)
    assert again.report.copied < LAYERS / 2


def pack_now(found: object, place: str) -> pack.Packed:
    run = Run(workers=1)
    return pack.write(pack.prepare(found, place, pack.Wishes(), run), run)  # type: ignore[arg-type]


def test_f11_a_clock_that_is_wrong_is_said_to_be_the_likely_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        date = email.utils.formatdate(time.time() + 7200, usegmt=True)
        answer = f'HTTP/1.1 401 No\r\nDate: {date}\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
        while not over.is_set() and connection.recv(65_536):
            connection.sendall(answer.encode())

    with raw_server(talk) as server:
        login(monkeypatch, tmp_path, server.host)
        store = RegistryStore(Connections(Trust(plain_http=frozenset({server.host})), patience=Patience(attempts=2)))
        with pytest.raises(AccessDenied) as caught:
            store.resolve(Reference(server.host, "a/b", "1"))
    assert re.search(r"its clock is 7(199|200) s ahead of ours", caught.value.hint)


def redirect_to(url: str) -> Callable[[Answer], Answer]:
    moved = Answer(307, [("Location", url), ("Content-Length", "0")], b"")
    return lambda answer: answer if answer.status == 401 else moved


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_a_password_appears_nowhere_but_at_its_registry(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry: Registry = request.getfixturevalue(f"{kind}_registry")
    name = Reference.parse(f"{registry.repository()}:1")
    origin = image_of_layers(str(name))
    work, logins, state = (tmp_path / part for part in ("work", "logins", "state"))
    for folder in (work, logins, state):
        folder.mkdir()
    login(monkeypatch, logins, registry.host)
    push(origin, [name], registry)
    layer = max(origin.blobs.values(), key=len)
    blob = Descriptor.of(layer, OCI_LAYER)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("TMPDIR", str(work))
    with sink(body=layer) as elsewhere, fault_proxy(registry.host) as proxy:
        proxy.faults.append(Fault("GET", blob.hex, 9, alter=redirect_to(f"{elsewhere.url}/x")))
        image = f"{proxy.host}/{name.repository}:1"
        bundle = work / "x.tar"
        said = [kubectl_airgap("pack", "--image", image, "-o", bundle, "--report", "json")]
        login(monkeypatch, logins, proxy.host)
        said.append(kubectl_airgap("pack", "--image", image, "-o", bundle, "--report", "json"))
        said.append(kubectl_airgap("push", bundle, f"{proxy.host}/far", "--report", "json"))
        login(monkeypatch, logins, proxy.host, password=PASSWORD + "-wrong")
        said.append(kubectl_airgap("push", bundle, f"{proxy.host}/farther"))
        assert any(proxy.logins)
    assert [done.returncode for done in said] == [4, 0, 0, 4], [done.stderr for done in said]
    assert elsewhere.requests == ["GET /x"]
    assert elsewhere.logins == [""]
    written = [path for folder in (work, state) for path in folder.rglob("*") if path.is_file()]
    assert bundle in written
    assert bundle.with_name("x.lock.yaml") in written
    places = [*(done.stdout + done.stderr for done in said), *(path.read_text("latin-1") for path in written)]
    assert not [place[:200] for place in places for secret in SECRETS if secret in place]
    assert not list(Path.home().iterdir())
