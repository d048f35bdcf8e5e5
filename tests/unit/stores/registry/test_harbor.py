"""Harbor's projects, by the shapes that its interface documents, before a real registry."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.faultproxy import Answer, Fault, FaultProxy, fault_proxy, sink
from tests.support.registry import PASSWORD, USER, Registry, login

from airgap.errors import AccessDenied, InvalidInput, StoreError
from airgap.references import Reference
from airgap.stores.registry import Connections, RegistryStore, harbor
from airgap.stores.registry.client import Client
from airgap.stores.registry.retry import Patience

BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def said(status: int, value: object = None, **headers: str) -> Answer:
    body = b"" if value is None else json.dumps(value).encode()
    listed = [(key.replace("_", "-"), text) for key, text in headers.items()]
    return Answer(status, [("Content-Length", str(len(body))), ("Set-Cookie", "sid=1; Path=/"), *listed], body)


SYSTEM = Fault("GET", "^/api/v2.0/systeminfo$", 9, answer=said(200, {"auth_mode": "db_auth"}))
NONE = Fault("HEAD", r"^/api/v2.0/projects\?project_name=", 9, answer=said(404))


def refusal(code: str, message: str) -> dict[str, object]:
    return {"errors": [{"code": code, "message": message}]}


@pytest.fixture
def proxy(basic_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultProxy]:
    """A Harbor that has no projects, and a user who is logged in there."""
    with fault_proxy(basic_registry.host) as running:
        running.faults = [Fault(f.method, f.path, f.times, answer=f.answer) for f in (SYSTEM, NONE)]
        login(monkeypatch, tmp_path, running.host)
        yield running


def client_of(host: str) -> Client:
    return RegistryStore(Connections(patience=Patience(attempts=3, backoff=0.01))).client_of(f"{host}/x")


def test_projects_that_are_not_there_are_made_private_by_the_login_of_that_host(proxy: FaultProxy) -> None:
    proxy.faults.append(Fault("POST", "^/api/v2.0/projects$", 9, answer=said(201, Location="/api/v2.0/projects/1")))
    assert harbor.create(client_of(proxy.host), ("apps", "library")) == ("apps", "library")
    made = [json.loads(body) for body in proxy.bodies if body]
    assert made == [{"project_name": name, "metadata": {"public": "false"}} for name in ("apps", "library")]
    assert dict(zip(proxy.requests, proxy.logins, strict=True)) == {
        "GET /api/v2.0/systeminfo": "",
        "HEAD /api/v2.0/projects?project_name=apps": BASIC,
        "HEAD /api/v2.0/projects?project_name=library": BASIC,
        "POST /api/v2.0/projects": BASIC,
    }
    assert set(proxy.cookies) == {""}  # Harbor takes whoever returns one for a browser, and wants a CSRF token


def test_a_project_that_is_there_is_left_alone(proxy: FaultProxy) -> None:
    proxy.faults.insert(0, Fault("HEAD", "project_name=apps$", 9, answer=said(200)))
    assert harbor.create(client_of(proxy.host), ("apps",)) == ()
    assert not any(request.startswith("POST") for request in proxy.requests)


def test_a_project_that_somebody_else_makes_meanwhile_is_there(proxy: FaultProxy) -> None:
    proxy.faults.append(Fault("POST", "/projects$", answer=said(409, refusal("CONFLICT", "project apps exists"))))
    assert harbor.create(client_of(proxy.host), ("apps",)) == ()


@pytest.mark.parametrize("status", [401, 403])
def test_a_user_who_may_not_make_projects_is_told_in_harbors_words(proxy: FaultProxy, status: int) -> None:
    answer = said(status, refusal("FORBIDDEN", "only system admins can"))
    proxy.faults.append(Fault("POST", "/projects$", 9, answer=answer))
    with pytest.raises(AccessDenied, match="only system admins can") as caught:
        harbor.create(client_of(proxy.host), ("apps",))
    assert PASSWORD not in caught.value.message + caught.value.hint


def test_looking_makes_nothing(proxy: FaultProxy) -> None:
    assert harbor.missing(client_of(proxy.host), ("apps",)) == ("apps",)
    assert {request.split()[0] for request in proxy.requests} == {"GET", "HEAD"}


def test_without_a_login_for_that_host_nothing_is_made(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", "/nowhere")
    with pytest.raises(AccessDenied, match="there is none") as caught:
        harbor.create(client_of(proxy.host), ("apps",))
    assert "docker login" in caught.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        None,
        said(200, {"version": "another registry"}),
        said(200, ["auth_mode"]),
        Answer(200, [("Content-Length", "4")], b"Pong"),
        said(200, {"auth_mode": "x" * 100_000}),
    ],
)
def test_a_registry_that_is_no_harbor_is_said_to_be_none(registry: Registry, answer: Answer | None) -> None:
    faults = [Fault("GET", "systeminfo", 9, answer=answer)] if answer else []
    with fault_proxy(registry.host, *faults) as proxy, pytest.raises(StoreError, match="is no Harbor") as caught:
        harbor.create(client_of(proxy.host), ("apps",))
    assert "--create-projects" in caught.value.hint
    assert proxy.requests == ["GET /api/v2.0/systeminfo"]


def test_the_login_does_not_follow_a_redirect_to_another_host(proxy: FaultProxy) -> None:
    with sink() as elsewhere:
        proxy.faults.insert(0, Fault("HEAD", "/projects", 9, answer=said(302, Location=f"{elsewhere.url}/x")))
        with pytest.raises(StoreError):
            harbor.create(client_of(proxy.host), ("apps",))
    assert (elsewhere.requests, elsewhere.logins) == (["HEAD /x"], [""])


def test_the_project_is_the_first_component_of_a_name() -> None:
    names = [Reference.parse(f"r.io/{path}:1") for path in ("library/nginx", "apps/a/b", "apps/c")]
    assert harbor.projects_of(names) == ("apps", "library")
    with pytest.raises(InvalidInput, match="in no project"):
        harbor.projects_of([Reference.parse("r.io/nginx:1")])
