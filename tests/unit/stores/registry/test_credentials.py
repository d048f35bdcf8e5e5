from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from airgap.errors import InvalidInput
from airgap.stores.registry.credentials import Login, find


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def docker(tmp_path: Path, **config: object) -> dict[str, str]:
    (tmp_path / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)}


def auth(**entries: str) -> dict[str, dict[str, str]]:
    return {key: {"auth": encoded("u", value)} for key, value in entries.items()}


@pytest.mark.parametrize(
    "key", ["r.io:5000", "https://r.io:5000", "https://r.io:5000/v2/", "http://r.io:5000/", "r.io:5000/team"]
)
def test_a_key_is_found_in_any_form_that_tools_write(tmp_path: Path, key: str) -> None:
    env = docker(tmp_path, auths={key: {"auth": encoded("u", "p:with:colons")}})
    assert find("r.io:5000", "team/app", env) == Login("u", "p:with:colons")


@pytest.mark.parametrize("key", ["docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_has_many_names(tmp_path: Path, key: str) -> None:
    assert find("docker.io", "library/nginx", docker(tmp_path, auths=auth(**{key: "p"}))) == Login("u", "p")


def test_the_longest_key_wins(tmp_path: Path) -> None:
    env = docker(tmp_path, auths=auth(**{"r.io": "host", "r.io/team": "team", "r.io/team/app": "app", "r.io/te": "no"}))
    assert find("r.io", "team/app", env) == Login("u", "app")
    assert find("r.io", "team/other", env) == Login("u", "team")
    assert find("r.io", "tea/x", env) == Login("u", "host")


def test_a_login_for_another_host_is_not_for_this_one(tmp_path: Path) -> None:
    env = docker(tmp_path, auths=auth(**{"r.io": "p", "r.io.evil": "q"}))
    for host in ("evil.r.io", "r.io:5000", "r.ioo"):
        assert find(host, "a/b", env) is None


def test_files_are_asked_in_podmans_order(tmp_path: Path) -> None:
    env = docker(tmp_path, auths=auth(**{"r.io": "docker", "only-docker.io": "docker"}))
    podman = tmp_path / "auth.json"
    podman.write_text(json.dumps({"auths": auth(**{"r.io": "podman"})}))
    env["REGISTRY_AUTH_FILE"] = str(podman)
    assert find("r.io", "x", env) == Login("u", "podman")
    assert find("only-docker.io", "x", env) == Login("u", "docker")


def test_helms_logins_are_known(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"auths": auth(**{"r.io": "helm"})}))
    assert find("r.io", "x", {"HELM_REGISTRY_CONFIG": str(path), "HOME": str(tmp_path)}) == Login("u", "helm")


def test_an_identity_token_is_known_as_one(tmp_path: Path) -> None:
    env = docker(tmp_path, auths={"r.io": {"identitytoken": "t"}, "s.io": {"auth": encoded("<token>", "t")}})
    assert find("r.io", "x", env) == find("s.io", "x", env) == Login("", "t", True)


def helper(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    import os

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_a_credential_helper_is_asked_over_its_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(
        tmp_path, f'read host; echo "$host" >{tmp_path}/asked; echo \'{{"Username":"u","Secret":"s"}}\'', monkeypatch
    )
    assert find("r.io", "x", docker(tmp_path, credHelpers={"r.io": "test"})) == Login("u", "s")
    assert (tmp_path / "asked").read_text() == "r.io\n"
    assert find("r.io", "x", docker(tmp_path, credsStore="test")) == Login("u", "s")


def test_a_store_without_the_login_is_not_an_error_but_a_helper_that_fails_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, "echo boom >&2; exit 1", monkeypatch)
    assert find("r.io", "x", docker(tmp_path, credsStore="test")) is None
    with pytest.raises(InvalidInput, match="docker-credential-test` failed"):
        find("r.io", "x", docker(tmp_path, credHelpers={"r.io": "test"}))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "no JSON object"),
        ('{"auths": {"r.io": {"auth": "!!!"}}}', "damaged"),
        ('{"auths": {"r.io": {"auth": "bm9jb2xvbg=="}}}', "damaged"),
        ('{"auths": {"r.io": "text"}}', "no object"),
        ('{"credHelpers": {"r.io": "../../evil"}}', "a name, not a path"),
        ('{"credHelpers": {"r.io": "not-installed-anywhere"}}', "not on PATH"),
    ],
)
def test_a_damaged_file_is_named_and_its_secrets_are_not(tmp_path: Path, config: str, words: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(InvalidInput, match=words) as caught:
        find("r.io", "x", {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)})
    assert "bm9jb2xvbg" not in caught.value.message


def test_no_file_is_no_login(tmp_path: Path) -> None:
    assert find("r.io", "x", {"HOME": str(tmp_path)}) is None
