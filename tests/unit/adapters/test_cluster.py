from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from tests.support.apiserver import ADMIN, Cluster, RecordedServer, kubeconfig_of, write_kubeconfig

from airgap.adapters.cluster import connect, segment
from airgap.adapters.kubeconfig import Access, select
from airgap.errors import InvalidInput


def chosen(tmp_path: Path, *documents: dict[str, Any], **more: Any) -> Any:
    paths = [write_kubeconfig(tmp_path / f"config-{n}", document) for n, document in enumerate(documents)]
    return select(Access(kubeconfigs=tuple(paths), **more))


def test_the_first_file_to_name_something_wins(tmp_path: Path) -> None:
    first, second = kubeconfig_of("https://one", "a"), kubeconfig_of("https://two", "b", token="other")
    second["clusters"].append({"name": "more", "cluster": {"server": "https://three"}})
    second["current-context"] = "ignored"

    selected = chosen(tmp_path, first, second)
    other = chosen(tmp_path, first, second, cluster="more")

    assert (selected.cluster["server"], selected.namespace) == ("https://one", "a")
    assert other.cluster["server"] == "https://three"


def test_a_missing_file_among_several_is_passed_over(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", kubeconfig_of("https://one", "a"))

    assert select(Access(kubeconfigs=(tmp_path / "gone", path))).cluster["server"] == "https://one"


def test_files_are_looked_for_beside_the_kubeconfig_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0\n")
    (tmp_path / "ca.pem").write_text("a certificate")
    document = kubeconfig_of("https://one", "a", **{"certificate-authority": "ca.pem"})
    document["users"][0]["user"] = {"tokenFile": "token"}

    selected = chosen(tmp_path, document)

    assert selected.cluster["certificate-authority"] == str(tmp_path / "ca.pem")
    assert selected.config["users"][0]["user"] == {"token": "t0"}


def test_flags_stand_above_the_file(tmp_path: Path) -> None:
    selected = chosen(tmp_path, kubeconfig_of("https://one", "a"), server="https://two")

    assert selected.cluster["server"] == "https://two"


def test_a_context_without_a_namespace_means_default(tmp_path: Path) -> None:
    assert chosen(tmp_path, kubeconfig_of("https://one", "")).namespace == "default"


def test_a_token_is_never_sent_without_tls(tmp_path: Path) -> None:
    selected = chosen(tmp_path, kubeconfig_of("http://one", "a"))

    assert selected.config["users"][0]["user"] == {}
    assert selected.notes == ("credentials are not sent to http://one, as it is not https",)


def test_a_pod_finds_the_cluster_it_runs_in(tmp_path: Path) -> None:
    for name, text in {"token": "t0\n", "ca.crt": "a certificate", "namespace": "ci"}.items():
        (tmp_path / name).write_text(text)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}

    selected = select(Access(environment=environment, service_account=tmp_path))

    assert selected.cluster == {"server": "https://[fd00::1]:443", "certificate-authority": str(tmp_path / "ca.crt")}
    assert (selected.config["users"][0]["user"], selected.namespace) == ({"token": "t0"}, "ci")


def test_a_kubeconfig_goes_before_the_cluster_we_run_in(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0")
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}

    selected = chosen(tmp_path, kubeconfig_of("https://one", "a"), environment=environment, service_account=tmp_path)

    assert selected.cluster["server"] == "https://one"


def test_an_oidc_token_that_is_there_is_used(tmp_path: Path) -> None:
    document = kubeconfig_of("https://one", "a")
    document["users"][0]["user"] = {"auth-provider": {"name": "oidc", "config": {"id-token": "jwt"}}}

    assert chosen(tmp_path, document).config["users"][0]["user"] == {"token": "jwt"}


def test_the_users_files_are_never_written(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", kubeconfig_of("https://one", "a"))
    before = path.read_bytes()
    path.chmod(0o400)

    connect(Access(kubeconfigs=(path,)))

    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["config"]


def sent(cluster: Cluster, recorded: RecordedServer, **more: Any) -> dict[str, list[str]]:
    connect(Access(kubeconfigs=(cluster.kubeconfig,), **more)).get(f"/api/v1/namespaces/{cluster.namespace}/pods")
    return recorded.headers[-1]


def test_impersonation_is_told_to_the_server(recorded_cluster: Cluster, recorded: RecordedServer) -> None:
    headers = sent(recorded_cluster, recorded, impersonate="bob", impersonate_groups=("dev", "ops"))

    assert headers["Impersonate-User"] == ["bob"]
    assert ", ".join(headers["Impersonate-Group"]) == "dev, ops"
    assert headers["Authorization"] == [f"Bearer {ADMIN}"]


def test_name_and_password_are_sent_as_basic_credentials(recorded_cluster: Cluster, recorded: RecordedServer) -> None:
    import yaml

    document = yaml.safe_load(recorded_cluster.kubeconfig.read_text())
    document["users"][0]["user"] = {"username": "u", "password": "p"}
    write_kubeconfig(recorded_cluster.kubeconfig, document)
    recorded.fault = lambda path, query: (200, {"kind": "PodList", "items": []})

    assert sent(recorded_cluster, recorded)["Authorization"] == ["Basic " + base64.b64encode(b"u:p").decode()]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a..b", "-a", "a?b", "a%2fb", "a" * 254])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        segment(name)


def test_names_of_objects_may_have_dots_and_dashes() -> None:
    assert segment("web-0.example") == "web-0.example"
