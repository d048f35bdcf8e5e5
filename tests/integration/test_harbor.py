"""Pushing into a Harbor whose projects nobody has made yet: its documented answers before a real registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bundles import pack_into
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.faultproxy import Answer, Fault, FaultProxy, fault_proxy
from tests.support.images import add_image
from tests.support.registry import PASSWORD, Registry, login

from airgap.references import Reference
from airgap.stores.memory import MemoryStore


def said(status: int, value: object) -> Answer:
    body = json.dumps(value).encode()
    return Answer(status, [("Content-Length", str(len(body)))], body)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    store = MemoryStore()
    names = ("quay.io/team/app:2", "docker.io/library/web:1.0")
    for name in names:
        add_image(store, name)
    pack_into(tmp_path / "x.tar", store, [Reference.parse(name) for name in names])
    return tmp_path / "x.tar"


@pytest.fixture
def proxy(basic_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultProxy]:
    """A Harbor with the project `team`."""
    faults = (
        Fault("GET", "/api/v2.0/systeminfo$", 9, answer=said(200, {"auth_mode": "db_auth"})),
        Fault("HEAD", r"/api/v2.0/projects\?project_name=team$", 9, answer=said(200, {})),
        Fault("HEAD", r"/api/v2.0/projects\?project_name=library$", 9, answer=said(404, {})),
        Fault("POST", "/api/v2.0/projects$", 9, answer=said(201, {})),
    )
    with fault_proxy(basic_registry.host, *faults) as running:
        login(monkeypatch, tmp_path, running.host)
        yield running


def test_projects_are_made_before_the_first_image_is_asked_for(proxy: FaultProxy, bundle: Path) -> None:
    looked = kubectl_airgap("push", bundle, proxy.host, "--create-projects", "--dry-run")
    assert "would make 1 project: library" in looked.stderr, looked.stderr
    assert not any(request.startswith("POST") for request in proxy.requests)
    done = kubectl_airgap("push", bundle, proxy.host, "--create-projects")
    assert done.returncode == 0, done.stderr
    assert "made 1 project there: library" in done.stderr
    made = proxy.requests.index("POST /api/v2.0/projects")
    asked = [request for request in proxy.requests[made:] if "/v2/" in request]
    assert any(request.startswith("PUT /v2/library/web/manifests/1.0") for request in asked)
    assert not any(request.startswith("POST /v2/") for request in proxy.requests[:made])
    assert PASSWORD not in done.stderr + looked.stderr


def test_a_missing_project_is_explained_where_it_was_not_to_be_made(proxy: FaultProxy, bundle: Path) -> None:
    words = {"errors": [{"code": "NOT_FOUND", "message": "project library not found"}]}
    proxy.faults.insert(0, Fault("POST", "^/v2/library/", 9, answer=said(404, words)))
    check_refusal(kubectl_airgap("push", "-q", bundle, proxy.host), 4, "project library not found", "--create-projects")


def test_names_that_meet_are_refused_before_a_project_is_made(proxy: FaultProxy, bundle: Path) -> None:
    store = MemoryStore()
    names = [Reference.parse(f"{host}/library/web:1.0") for host in ("docker.io", "quay.io")]
    for name in names:
        add_image(store, str(name))
    pack_into(bundle, store, names)
    check_refusal(kubectl_airgap("push", bundle, proxy.host, "--create-projects"), 2, *map(str, names))
    assert proxy.requests == []


def test_a_registry_that_is_no_harbor_is_left_as_it_is(other_registry: Registry, bundle: Path) -> None:
    prefix = other_registry.repository()
    done = kubectl_airgap("push", "-q", bundle, prefix, "--create-projects")
    check_refusal(done, 4, "is no Harbor", "leave --create-projects out")
    assert not any(prefix.partition("/")[2] in request for request in other_registry.requests())
