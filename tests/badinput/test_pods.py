"""Pods and kubeconfigs that nobody should have made."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.apiserver import Cluster, free_port, kubeconfig_of, write_kubeconfig
from tests.support.cli import Ended, kubectl_airgap, run
from tests.support.pods import pod

from airgap import limits
from airgap.adapters.kubeconfig import Access, select
from airgap.errors import AccessDenied

pytestmark = pytest.mark.undisturbed


def is_one_clear_line(ended: Ended, code: int, *words: str) -> bool:
    """Whether a command ended as bad input should end it."""
    first, _, rest = ended.stderr.partition("\n")
    assert ended.returncode == code, ended.stderr
    assert all(word in first for word in words), first
    assert rest == "" or rest.startswith("\nhint: "), ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.seconds < 2
    return True


def shown(cluster: Cluster, value: dict[str, Any]) -> Ended:
    cluster.add(value)
    ended = kubectl_airgap("mounts", "--kubeconfig", cluster.kubeconfig, "-o", "wide")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.seconds < 2
    return ended


VOLUME = {"name": "v", "emptyDir": {}}
MOUNT = {"name": "v", "mountPath": "/data"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(pod(), ["/etc/hosts"], id="B20-no-volumes"),
        pytest.param(
            pod(mounts=[{"name": "gone", "mountPath": "/data"}]),
            ['! the pod has no volume "gone"'],
            id="B20-undefined-volume",
        ),
        pytest.param(pod(volumes=[VOLUME]), ["! no container mounts it"], id="B20-volume-never-mounted"),
        pytest.param(
            pod(volumes=[VOLUME], mounts=[MOUNT, {**MOUNT, "mountPath": "/data/", "subPath": "a"}]),
            ["! another mount of the container has the same path"],
            id="B20-two-mounts-at-one-path",
        ),
        pytest.param(
            pod(volumes=[VOLUME], mounts=[{**MOUNT, "subPathExpr": "$(NOPE)"}]),
            ["! the value of NOPE in subPathExpr is not in the pod", "volume-subpaths/v/web/0"],
            id="B20-subPathExpr",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "projected": {"sources": None}}], mounts=[MOUNT]),
            ["kubernetes.io~projected/v"],
            id="B20-projected-without-sources",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "csi": {"driver": "d"}}], mounts=[MOUNT]),
            ["kubernetes.io~csi/v/mount"],
            id="B20-CSI",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "image": {"reference": "a:1"}}], mounts=[MOUNT]),
            ["image", "<none>"],
            id="B20-image-volume",
        ),
        pytest.param(
            pod(spec={"ephemeralContainers": [{"name": "debug", "volumeMounts": [MOUNT]}], "volumes": [VOLUME]}),
            ["debug (ephemeral)"],
            id="B20-ephemeral-container",
        ),
        pytest.param(
            pod(
                spec={
                    "initContainers": [{"name": "a"}, {"name": "b", "restartPolicy": "Always"}],
                }
            ),
            ["a (init)", "b (sidecar)"],
            id="B20-init-and-sidecar",
        ),
    ],
)
def test_an_odd_pod_is_shown_with_what_is_odd(
    recorded_cluster: Cluster, value: dict[str, Any], words: list[str]
) -> None:
    ended = shown(recorded_cluster, value)

    assert [word for word in words if word not in ended.stdout] == []


def test_a_pod_without_a_spec_has_no_mounts(recorded_cluster: Cluster) -> None:
    recorded_cluster.add({"kind": "Pod", "metadata": {"name": "bare"}, "spec": None})

    ended = kubectl_airgap("mounts", "--kubeconfig", recorded_cluster.kubeconfig)

    assert is_one_clear_line(ended, 0, "No resources found in ")


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param("\x1b[31mred", id="B21-ANSI"),
        pytest.param("\x1b]0;title\x07", id="B21-OSC-BEL"),
        pytest.param("a\rb", id="B21-CR"),
        pytest.param("\x9b31m", id="B21-C1"),
        pytest.param("a\u202eb", id="B21-bidi"),
    ],
)
@pytest.mark.parametrize("output", ["table", "wide", "json", "yaml", "pairs", "name"])
def test_what_a_terminal_would_obey_is_escaped(recorded_cluster: Cluster, output: str, foreign: str) -> None:
    recorded_cluster.add(
        pod(
            f"web{foreign}",
            volumes=[{"name": "v", "hostPath": {"path": f"/srv/{foreign}"}}],
            mounts=[{"name": "v", "mountPath": f"/data/{foreign}"}],
        )
    )

    ended = kubectl_airgap("mounts", "--kubeconfig", recorded_cluster.kubeconfig, "-o", output)

    assert ended.returncode == 0
    assert not set(foreign) - {"a", "b"} & set("\x1b\x07\r\x9b\u202e") & set(ended.stdout)
    if output in ("json", "yaml"):
        assert yaml.safe_load(ended.stdout)["items"][0]["nodePath"] == f"/srv/{foreign}"


def test_foreign_names_in_an_error_are_escaped(recorded_cluster: Cluster) -> None:
    ended = kubectl_airgap("mounts", "--kubeconfig", recorded_cluster.kubeconfig, "a\x1b[31m")

    assert is_one_clear_line(ended, 2, "is not a valid pod name")
    assert "\x1b" not in ended.stderr


@pytest.mark.parametrize("name", ["..", "../secrets/x", "a/b/c", "A", "a?x=1", "pod/", "secret/login"])
def test_a_name_that_no_pod_can_have_asks_the_server_nothing(recorded_cluster: Cluster, name: str) -> None:
    ended = kubectl_airgap("mounts", "--kubeconfig", recorded_cluster.kubeconfig, name)

    assert is_one_clear_line(ended, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["web-0", "-A"], "cannot be retrieved by name across all namespaces"),
        (["web-0", "-l", "a=b"], "name cannot be provided when a selector is specified"),
        (["--root-dir", "kubelet"], "is not an absolute path"),
        (["--request-timeout", "soon"], "invalid timeout value 'soon'"),
        (["-n", "../x"], "is not a valid namespace"),
        (["-o", "xml"], "'xml' is not one of"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--ca-file", "/nowhere.pem"], "unable to read --ca-file /nowhere.pem: no such file or directory"),
    ],
)
def test_contradictions_are_usage_errors(recorded_cluster: Cluster, arguments: list[str], words: str) -> None:
    ended = kubectl_airgap("mounts", "--kubeconfig", recorded_cluster.kubeconfig, *arguments)

    assert is_one_clear_line(ended, 2, "error: ", words)


GOOD = kubeconfig_of("https://127.0.0.1:1", "default")


def changed(**sections: Any) -> str:
    return yaml.safe_dump({**GOOD, **sections})


def context(**more: str) -> list[dict[str, Any]]:
    return [{"name": "tests", "context": {"cluster": "tests", "user": "admin", **more}}]


def user(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "admin", "user": more}]


def cluster(**more: str) -> str:
    return changed(clusters=[{"name": "tests", "cluster": {"server": "https://a.invalid", **more}}])


def plugged(command: str, version: str = "client.authentication.k8s.io/v1") -> str:
    return changed(users=user(exec={"command": command, "apiVersion": version}))


FAULTS = {
    "B59-bad-YAML": ("a: [", "yaml: line 2: "),
    "B59-no-mapping": ("list of words", "it is no kubeconfig"),
    "B59-context": (changed(**{"current-context": "x"}), "context was not found for specified context: x"),
    "B59-no-current-context": (changed(**{"current-context": ""}), "no current-context in "),
    "B59-cluster": (changed(contexts=context(cluster="gone")), 'cluster "gone" does not exist'),
    "B59-user": (changed(contexts=context(user="gone")), 'user "gone" does not exist'),
    "B59-duplicate": (changed(users=user() + user()), 'duplicate name "admin" in `users`'),
    "B59-no-list": (changed(clusters="x"), "`clusters` is not a list"),
    "B59-no-name": (changed(users=[{"user": {}}]), "`users[0]` needs a `name` and a `user`"),
    "B59-no-server": (cluster(server=""), "`server` is no address: ''"),
    "B59-no-base64": (cluster(**{"certificate-authority-data": "%"}), "`certificate-authority-data` is not base64"),
    "B60-authority": (cluster(**{"certificate-authority": "ca.pem"}), "unable to read certificate-authority "),
    "B60-authority-is-none": (cluster(**{"certificate-authority": "/etc/passwd"}), "there is no certificate in "),
    "B60-authority-data": (cluster(**{"certificate-authority-data": "eHg="}), "there is no certificate in "),
    "B60-tokenFile": (changed(users=user(tokenFile="gone")), "`users`: unable to read tokenFile "),
    "B60-auth-provider": (changed(users=user(**{"auth-provider": {"name": "gcp"}})), "auth-provider 'gcp'"),
    "B60-exec-missing": (plugged("no-such"), "executable no-such cannot be started: no such file or directory"),
    "B60-exec-relative": (plugged("./no-such"), "cannot be started"),
    "B60-exec-version": (plugged("true", "v1"), "needs a `command` and an `apiVersion`"),
}


@pytest.mark.parametrize(("text", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_kubeconfig_at_fault_is_named_with_its_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    path.chmod(0o600)

    assert is_one_clear_line(kubectl_airgap("mounts", "--kubeconfig", path), 2, "error: ", words)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = kubectl_airgap("mounts", "--kubeconfig", tmp_path / "gone")

    assert is_one_clear_line(ended, 2, f'error loading config file "{tmp_path / "gone"}": no such file or directory')


def test_a_directory_is_no_kubeconfig(tmp_path: Path) -> None:
    assert is_one_clear_line(kubectl_airgap("mounts", "--kubeconfig", tmp_path), 2, "is a directory")


def test_no_kubeconfig_at_all_is_told_as_kubectl_tells_it(kubectl: str) -> None:
    theirs, ours = run(kubectl, "get", "pods"), kubectl_airgap("mounts")

    assert ours.stderr.splitlines()[0] == theirs.stderr.splitlines()[-1]
    assert is_one_clear_line(ours, 4, "The connection to the server localhost:8080 was refused")


def test_a_kubeconfig_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", kubeconfig_of(f"https://127.0.0.1:{free_port()}", "default"))
    path.chmod(0o644)

    ended = kubectl_airgap("mounts", "--kubeconfig", path)

    assert ended.stderr.startswith(f"warning: `{path}` holds credentials and others can read it")


def plugin(tmp_path: Path, script: str) -> Access:
    program = tmp_path / "plugin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    entry = {"command": "./plugin", "args": ["one; two"], "apiVersion": "client.authentication.k8s.io/v1"}
    document = {**GOOD, "users": user(exec=entry)}
    return Access(kubeconfigs=(write_kubeconfig(tmp_path / "config", document),), environment={"PATH": "/usr/bin:/bin"})


def test_a_credential_plugin_beside_the_kubeconfig_gives_the_token(tmp_path: Path) -> None:
    selected = select(plugin(tmp_path, """printf '{"status": {"token": "%s"}}' "$1" """))

    assert selected.config["users"][0]["user"] == {"token": "one; two"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("sleep 30", "did not end in 0 s", id="B60-exec-hangs"),
        pytest.param("sleep 30 & sleep 30", "did not end in 0 s", id="B60-exec-hangs-with-children"),
        pytest.param("head -c 10000000 /dev/zero", "printed more than a credential", id="B60-exec-10-MB"),
        pytest.param("echo hello", "printed no credential", id="B60-exec-no-JSON"),
        pytest.param("echo '{\"status\": {}}'", "printed no credential", id="B60-exec-no-token"),
        pytest.param("echo '[]'", "printed no credential", id="B60-exec-list"),
        pytest.param("exit 7", "failed with exit code 7", id="B60-exec-fails"),
    ],
)
def test_a_credential_plugin_at_fault_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    monkeypatch.setattr(limits, "CREDENTIAL_SECONDS", 0.3)

    with pytest.raises(AccessDenied, match=words) as caught:
        select(plugin(tmp_path, script))

    assert "run it by hand" in caught.value.hint
    assert "\n" not in caught.value.message
