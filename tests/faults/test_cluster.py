"""What goes wrong between us and an API server."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.apiserver import (
    Answer,
    Cluster,
    RecordedServer,
    kubeconfig_of,
    serving,
    status,
    write_kubeconfig,
)
from tests.support.cli import kubectl_airgap
from tests.support.pods import claim, persistent_volume, pod
from tests.support.registry import Authority

from airgap import limits
from airgap.adapters import cluster as adapter
from airgap.adapters.cluster import ClusterDenied, ClusterError, connect
from airgap.adapters.kubeconfig import Access
from airgap.errors import IncompleteError
from airgap.operations.mounts import Problem, Query, conclude, mounts

CUT: Answer = (0, b"")
PODS = "/pods"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(limits, "PODS_PAGE", 2)


def connected(cluster: Cluster, **more: Any) -> adapter.Cluster:
    return connect(Access(kubeconfigs=(cluster.kubeconfig,), **more))


def names(found: adapter.Cluster, namespace: str) -> list[str]:
    return [item["metadata"]["name"] for item in found.list(f"/api/v1/namespaces/{namespace}/pods")]


class Once:
    """A fault that strikes the first `times` requests that `strikes` holds for."""

    def __init__(self, answer: Answer, *, on_continue: bool = False, times: int = 1, path: str = PODS) -> None:
        self.answer, self.on_continue, self.left, self.path = answer, on_continue, times, path

    def __call__(self, path: str, query: dict[str, str]) -> Answer | None:
        if self.left and path.endswith(self.path) and bool(query.get("continue")) == self.on_continue:
            self.left -= 1
            return self.answer
        return None


@pytest.fixture
def five(recorded_cluster: Cluster) -> Cluster:
    recorded_cluster.add(*(pod(f"p{number}") for number in range(5)))
    return recorded_cluster


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Once(status(429, "TooManyRequests", "slow down")), id="F56-429"),
        pytest.param(Once(status(503, "ServiceUnavailable", "starting"), times=3), id="F56-503"),
        pytest.param(Once(CUT), id="F56-RST"),
        pytest.param(Once(CUT, on_continue=True), id="F56-RST-on-the-second-page"),
    ],
)
def test_what_passes_is_waited_out(five: Cluster, recorded: RecordedServer, fault: Once) -> None:
    fault.left = max(fault.left, 1)
    recorded.fault = fault

    assert names(connected(five), five.namespace) == ["p0", "p1", "p2", "p3", "p4"]
    assert fault.left == 0


@pytest.mark.parametrize("proceed", ["", "Mg=="], ids=["F56-410-start-over", "F56-410-go-on"])
def test_a_list_that_the_server_forgot_is_read_to_its_end_with_each_pod_once(
    five: Cluster, recorded: RecordedServer, proceed: str
) -> None:
    recorded.fault = Once(status(410, "Expired", "too old", proceed), on_continue=True)

    assert names(connected(five), five.namespace) == ["p0", "p1", "p2", "p3", "p4"]


def test_a_list_that_the_server_forgets_every_time_ends(five: Cluster, recorded: RecordedServer) -> None:
    recorded.fault = Once(status(410, "Expired", "too old"), on_continue=True, times=99)

    with pytest.raises(ClusterError, match=r"Error from server \(Expired\)") as caught:
        names(connected(five), five.namespace)

    assert caught.value.hint


def answers(cluster: Cluster, query: Query) -> tuple[list[str], list[Problem]]:
    found = list(mounts(connected(cluster), query))
    problems = [item for item in found if isinstance(item, Problem)]
    return list(dict.fromkeys(item.pod for item in found if not isinstance(item, Problem))), problems


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(status(500, "InternalError", "etcd is gone"), id="F56-500"),
        pytest.param(status(403, "Forbidden", "no more"), id="F56-403"),
        pytest.param(CUT, id="F56-RST"),
        pytest.param((200, b"<html>log in</html>"), id="F56-login-page"),
    ],
)
def test_a_list_cut_off_in_the_middle_keeps_what_was_read_and_says_so(
    five: Cluster, recorded: RecordedServer, answer: Answer
) -> None:
    recorded.fault = Once(answer, on_continue=True, times=99)

    pods, problems = answers(five, Query())

    assert pods == ["p0", "p1"]
    with pytest.raises(ClusterError) as caught:
        conclude(problems)
    assert "only the first 2 pods" in caught.value.hint


def test_a_document_that_is_not_whole_says_so_in_itself(five: Cluster, recorded: RecordedServer) -> None:
    five.add(*(pod(f"q{number:03d}") for number in range(600)))
    recorded.fault = Once(status(500, "InternalError", "etcd is gone"), on_continue=True, times=99)

    ended = kubectl_airgap("mounts", "--kubeconfig", five.kubeconfig, "-o", "json")

    assert ended.returncode == 4
    assert ended.json["problems"] == ["Error from server (InternalError): etcd is gone"]
    assert len({item["pod"] for item in ended.json["items"]}) == 500


def test_claims_that_may_not_be_read_are_marked_and_the_rest_is_told(
    recorded_cluster: Cluster, recorded: RecordedServer
) -> None:
    recorded_cluster.add(claim("data", "pv-1"), persistent_volume("pv-1", nfs={"server": "s", "path": "/"}))
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    recorded_cluster.add(pod("a", volumes=[volume], mounts=[{"name": "v", "mountPath": "/data"}]), pod("b"))
    refusal = 'persistentvolumes is forbidden: User "bob" cannot list resource "persistentvolumes"'
    recorded.fault = Once(status(403, "Forbidden", refusal), times=99, path="/persistentvolumes")

    ended = kubectl_airgap("mounts", "--kubeconfig", recorded_cluster.kubeconfig)

    assert ended.returncode == 5
    assert f"! Error from server (Forbidden): {refusal}" in ended.stdout
    assert "claim data -> pv-1" in ended.stdout
    assert ended.stderr.startswith("error: what is behind some claims could not be read\n")


def test_claims_that_may_not_be_read_are_asked_for_once(recorded_cluster: Cluster, recorded: RecordedServer) -> None:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    mount = {"name": "v", "mountPath": "/data"}
    recorded_cluster.add(*(pod(name, volumes=[volume], mounts=[mount]) for name in "abc"))
    recorded.fault = Once(status(403, "Forbidden", "no"), times=99, path="/persistentvolumeclaims")

    pods, problems = answers(recorded_cluster, Query())

    assert pods == ["a", "b", "c"]
    assert sum("persistentvolumeclaims" in request for request in recorded.requests) == 1
    with pytest.raises(IncompleteError):
        conclude(problems)


@pytest.mark.parametrize("code", [401, 403], ids=["F56-401", "F56-403"])
def test_a_refusal_ends_at_once(five: Cluster, recorded: RecordedServer, code: int) -> None:
    recorded.fault = Once(status(code, "Forbidden", "no"), times=99)

    with pytest.raises(ClusterDenied) as caught:
        names(connected(five), five.namespace)

    assert caught.value.hint
    assert len(recorded.requests) == 1


def test_a_server_that_is_silent_is_left_in_time(five: Cluster, recorded: RecordedServer) -> None:
    def silent(path: str, query: dict[str, str]) -> Answer | None:
        time.sleep(1.5)
        return None

    recorded.fault = silent
    began = time.monotonic()
    with pytest.raises(ClusterError, match="did not answer in time"):
        names(connected(five, timeout=0.2), five.namespace)

    assert time.monotonic() - began < 1


def test_a_server_that_asks_us_to_wait_for_years_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKOFF_MOST_SECONDS", 0.5)

    assert adapter._pause("999999999", 0) == 0.5
    assert adapter._pause("Wed, 21 Oct 2026 07:28:00 GMT", 0) == limits.BACKOFF_SECONDS


def test_a_host_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", kubeconfig_of("https://no-such-host.invalid:6443", "default"))

    with pytest.raises(ClusterError) as caught:
        connect(Access(kubeconfigs=(path,))).get("/api/v1/pods")

    assert caught.value.message.startswith("Unable to connect to the server: no-such-host.invalid:6443: ")
    assert "Connection(" not in caught.value.message


@pytest.fixture
def private(authority: Authority) -> Iterator[RecordedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    yield from serving(RecordedServer(), context)


def test_a_certificate_nobody_vouches_for_is_refused_with_the_way_out(private: RecordedServer, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", kubeconfig_of(private.url, "default"))

    ended = kubectl_airgap("mounts", "--kubeconfig", path)

    assert ended.returncode == 4
    assert ended.stderr.startswith("Unable to connect to the server: tls: failed to verify certificate: ")
    assert "--ca-file" in ended.stderr
    assert "object at 0x" not in ended.stderr


def test_a_private_authority_is_trusted_by_flag_and_by_environment(
    private: RecordedServer, authority: Authority, tmp_path: Path
) -> None:
    path = write_kubeconfig(tmp_path / "config", kubeconfig_of(private.url, "default"))

    by_flag = kubectl_airgap("mounts", "--kubeconfig", path, "--ca-file", authority.ca_file)
    by_environment = kubectl_airgap("mounts", "--kubeconfig", path, env={"SSL_CERT_FILE": str(authority.ca_file)})

    expected = "No resources found in default namespace.\n"
    assert (by_flag.stderr, by_environment.stderr) == (expected, expected)


def test_a_certificate_that_is_not_checked_is_said_on_every_run(private: RecordedServer, tmp_path: Path) -> None:
    document = kubeconfig_of(private.url, "default")
    document["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
    path = write_kubeconfig(tmp_path / "config", document)

    ended = kubectl_airgap("mounts", "--kubeconfig", path, "-o", "json")

    assert ended.stderr == "warning: the server's certificate is not checked: anyone on the way can read and alter\n"
    assert json.loads(ended.stdout)["items"] == []
