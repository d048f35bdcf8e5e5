from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.apiserver import BOB, Cluster, RecordedServer, free_port, kubeconfig_of, write_kubeconfig
from tests.support.cli import Ended, kubectl_airgap, run
from tests.support.pods import claim, persistent_volume, pod


def mounts(cluster: Cluster, *arguments: str | Path) -> Ended:
    return kubectl_airgap("mounts", "--kubeconfig", cluster.kubeconfig, *arguments)


def web(name: str = "web-0", **more: Any) -> dict[str, Any]:
    return pod(
        name,
        volumes=[{"name": "www", "hostPath": {"path": "/srv/www"}}, {"name": "tmp", "emptyDir": {}}],
        mounts=[{"name": "www", "mountPath": "/data", "subPath": "html"}, {"name": "tmp", "mountPath": "/tmp"}],
        **more,
    )


def test_a_pod_is_told_with_the_paths_of_its_node(cluster: Cluster) -> None:
    (made,) = cluster.add(web())
    here = f"/var/lib/kubelet/pods/{made['metadata']['uid']}"

    ended = mounts(cluster, "web-0")

    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0].split() == [
        "POD",
        "CONTAINER",
        "PATH",
        "KIND",
        "MODE",
        "SOURCE",
        "NODE",
        "PATH",
    ]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in ended.rows]
    assert ["web-0", "web", "/data", "hostPath", "rw", "/srv/www", "/srv/www/html"] in cells
    assert ["web-0", "web", "/tmp", "emptyDir", "rw", "-", f"{here}/volumes/kubernetes.io~empty-dir/tmp"] in cells
    assert ["web-0", "web", "/etc/hosts", "etc-hosts", "rw", "-", f"{here}/etc-hosts"] in cells


def test_pairs_are_printed_as_the_runtimes_print_them(cluster: Cluster) -> None:
    (made,) = cluster.add(web())
    here = f"/var/lib/kubelet/pods/{made['metadata']['uid']}"

    ended = mounts(cluster, "pod/web-0", "-c", "web", "-o", "pairs")

    assert ended.stdout.splitlines() == [
        f"hostPath: {here}/volume-subpaths/www/web/0 containerPath: /data",
        f"hostPath: {here}/volumes/kubernetes.io~empty-dir/tmp containerPath: /tmp",
        f"hostPath: {here}/etc-hosts containerPath: /etc/hosts",
        "hostPath:  containerPath: /dev/termination-log",
    ]


@pytest.mark.parametrize("named", [["web-0"], []], ids=["named", "listed"])
def test_a_claim_is_followed_to_the_server_behind_it(cluster: Cluster, named: list[str]) -> None:
    volume = f"pv-{cluster.namespace}"
    cluster.add(persistent_volume(volume, nfs={"server": "10.0.0.1", "path": "/x"}), claim("data", volume))
    mount = {"name": "v", "mountPath": "/data"}
    cluster.add(pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}], mounts=[mount]))

    ended = mounts(cluster, *named, "-o", "json")

    first = ended.json["items"][0]
    assert first["source"] == {
        "kind": "nfs", "detail": "10.0.0.1:/x", "claim": "data", "persistentVolume": volume,
    }  # fmt: skip
    assert first["dataPath"].endswith(f"/volumes/kubernetes.io~nfs/{volume}")
    assert ended.json["problems"] == []


def test_yaml_and_json_say_the_same(cluster: Cluster) -> None:
    import yaml

    cluster.add(web())

    assert yaml.safe_load(mounts(cluster, "-o", "yaml").stdout) == mounts(cluster, "-o", "json").json


def test_selectors_choose_pods_as_in_kubectl(cluster: Cluster) -> None:
    cluster.add(web("a", metadata={"labels": {"app": "web"}}), web("b", metadata={"labels": {"app": "db"}}))

    assert mounts(cluster, "-l", "app=web", "-o", "name").stdout == "pod/a\n"
    assert mounts(cluster, "--field-selector", "metadata.name=b", "-o", "name").stdout == "pod/b\n"
    assert mounts(cluster, "-l", "app=web", "--field-selector", "metadata.name=b", "-o", "name").stdout == ""


def test_all_namespaces_get_a_column(cluster: Cluster) -> None:
    cluster.add(web())

    ended = mounts(cluster, "-A", "--no-headers")

    row = next(line.split() for line in ended.stdout.splitlines() if cluster.namespace in line)
    assert row[:2] == [cluster.namespace, "web-0"]
    assert "NAMESPACE" in mounts(cluster, "-A").stdout.splitlines()[0]


def test_a_deployment_stands_for_its_pods(cluster: Cluster) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    cluster.add(
        {
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        web("web-x", metadata={"labels": labels}),
        web("other"),
    )

    assert mounts(cluster, "deploy/web", "-o", "name").stdout == "pod/web-x\n"


def test_a_container_that_a_pod_does_not_have_is_named_with_those_it_has(cluster: Cluster) -> None:
    cluster.add(web())

    ended = mounts(cluster, "web-0", "-c", "nope")

    assert ended.returncode == 2
    assert ended.stderr == "error: container nope is not valid for pod web-0 out of: web\n"


@pytest.mark.parametrize("arguments", [[], ["-A", "-l", "app=no"], ["-o", "wide"]], ids=["ns", "all", "wide"])
def test_nothing_found_is_said_as_kubectl_says_it(cluster: Cluster, kubectl: str, arguments: list[str]) -> None:
    theirs = run(kubectl, "get", "pods", "--kubeconfig", cluster.kubeconfig, *arguments)
    ours = mounts(cluster, *arguments)

    assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_nothing_found_is_a_document_without_items(cluster: Cluster, output: str) -> None:
    import yaml

    ended = mounts(cluster, "-o", output)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert yaml.safe_load(ended.stdout) == {
        "apiVersion": "airgap.dev/v1", "kind": "MountList", "items": [], "problems": [],
    }  # fmt: skip


def test_a_missing_pod_is_told_as_kubectl_tells_it_and_the_others_are_shown(cluster: Cluster, kubectl: str) -> None:
    cluster.add(web())
    theirs = run(kubectl, "get", "pods", "web-0", "nope", "--kubeconfig", cluster.kubeconfig)
    ours = mounts(cluster, "web-0", "nope")

    assert ours.stderr == theirs.stderr == 'Error from server (NotFound): pods "nope" not found\n'
    assert "web-0" in ours.stdout
    assert ours.returncode == 4


def test_a_missing_namespace_is_told_rather_than_the_missing_pod(cluster: Cluster, kubectl: str) -> None:
    arguments: list[str | Path] = ["nope", "-n", "no-such-place", "--kubeconfig", cluster.kubeconfig]

    theirs, ours = run(kubectl, "get", "pods", *arguments), kubectl_airgap("mounts", *arguments)

    assert ours.stderr == theirs.stderr == 'Error from server (NotFound): namespaces "no-such-place" not found\n'


@pytest.mark.parametrize("token", [BOB, "who-is-this"], ids=["forbidden", "unauthorized"])
def test_a_refusal_is_told_as_kubectl_tells_it(cluster: Cluster, kubectl: str, token: str) -> None:
    path = cluster.as_user(token)
    theirs = run(kubectl, "get", "--raw", f"/api/v1/namespaces/{cluster.namespace}/pods", "--kubeconfig", path)
    theirs_listed = run(kubectl, "get", "pods", "--kubeconfig", path)
    ours = kubectl_airgap("mounts", "--kubeconfig", path)

    said = ours.stderr.split("\n\nhint: ")[0]
    assert said in (theirs.stderr.splitlines()[-1], theirs_listed.stderr.splitlines()[-1])
    assert (ours.returncode, ours.stdout) == (4, "")


def test_a_refused_connection_is_told_as_kubectl_tells_it(kubectl: str, tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    path = write_kubeconfig(tmp_path / "config", kubeconfig_of(url, "default"))
    theirs = run(kubectl, "get", "pods", "--kubeconfig", path)
    ours = kubectl_airgap("mounts", "--kubeconfig", path)

    assert ours.stderr.splitlines()[0] == theirs.stderr.splitlines()[-1]
    assert ours.returncode == 4


def test_the_environment_names_the_cluster_as_it_does_for_kubectl(recorded_cluster: Cluster) -> None:
    recorded_cluster.add(web())

    ended = kubectl_airgap("mounts", "-o", "name", env={"KUBECONFIG": f"/nowhere:{recorded_cluster.kubeconfig}"})

    assert (ended.returncode, ended.stdout) == (0, "pod/web-0\n")


def test_a_list_in_pages_has_every_pod_once(recorded_cluster: Cluster, recorded: RecordedServer) -> None:
    recorded_cluster.add(*(web(f"web-{number:04d}") for number in range(1201)))

    ended = mounts(recorded_cluster, "-o", "name")

    assert ended.stdout.split() == [f"pod/web-{number:04d}" for number in range(1201)]
    assert len(recorded.requests) == 3


def test_the_table_is_whole_where_its_columns_were_settled_early(recorded_cluster: Cluster) -> None:
    recorded_cluster.add(*(web(f"web-{number}") for number in range(300)), web("z" * 60))

    lines = mounts(recorded_cluster).stdout.splitlines()

    assert len(lines) == 1 + 301 * 4
    assert lines[-1].startswith("z" * 60 + "   web")


def test_newer_volumes_than_the_client_knows_are_shown(recorded_cluster: Cluster) -> None:
    recorded_cluster.add(
        pod(
            volumes=[{"name": "model", "image": {"reference": "quay.io/models/a:1", "pullPolicy": "Always"}}],
            mounts=[{"name": "model", "mountPath": "/model", "subPath": "weights"}],
        )
    )

    (image,) = [item for item in mounts(recorded_cluster, "-o", "json").json["items"] if item["kind"] == "image"]

    assert image["source"]["detail"] == "quay.io/models/a:1"
    assert (image["nodePath"], image["nodePathKnown"], image["readOnly"]) == ("", "none", True)


def test_reading_ends_quietly_with_its_reader(recorded_cluster: Cluster) -> None:
    import subprocess
    import sys

    recorded_cluster.add(*(web(f"web-{number}") for number in range(600)))
    command = Path(sys.executable).with_name("kubectl-airgap")
    line = f"'{command}' mounts --kubeconfig '{recorded_cluster.kubeconfig}' -o json | head -n 1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=60)

    assert (ended.stdout, ended.stderr) == ("{\n", "")


def test_help_does_not_import_the_cluster_client() -> None:
    import sys

    code = (
        "import sys; sys.argv = ['kubectl-airgap', 'mounts', '--help']\n"
        "from kubectl_airgap.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('kubernetes', 'urllib3', 'yaml', 'requests') if name in sys.modules])"
    )
    ended = run(sys.executable, "-c", code)

    assert ended.stdout.splitlines()[-1] == "[]"
