from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.pods import claim, persistent_volume, pod

from airgap.mounts.model import AddedBy, Claim, ContainerKind, Known, Mount, PersistentVolume, Unknown
from airgap.mounts.pods import container_names, mounts_of
from airgap.mounts.sources import claim_of, persistent_volume_of

UID = "0b5c0f1e-7d0e-4a52-9d7e-111111111111"
HERE = f"/var/lib/kubelet/pods/{UID}"


@dataclass
class Lookup:
    claims: dict[str, Claim] = field(default_factory=dict)
    volumes: dict[str, PersistentVolume] = field(default_factory=dict)

    def claim(self, namespace: str, name: str) -> Claim | Unknown:
        return self.claims.get(name, Unknown(f'persistentvolumeclaims "{name}" not found'))

    def volume(self, name: str) -> PersistentVolume | Unknown:
        return self.volumes.get(name, Unknown(f'persistentvolumes "{name}" not found'))


def bound(name: str, volume: dict[str, Any]) -> Lookup:
    read = persistent_volume_of(volume)
    return Lookup({name: claim_of(claim(name, read.name))}, {read.name: read})


def all_of(value: dict[str, Any], known: Lookup | None = None, **more: str) -> list[Mount]:
    value["metadata"].setdefault("uid", UID)
    value["metadata"].setdefault("namespace", "web")
    return list(mounts_of(value, known or Lookup(), **more))


def users(value: dict[str, Any], known: Lookup | None = None, **more: str) -> list[Mount]:
    return [mount for mount in all_of(value, known, **more) if mount.added_by is not AddedBy.KUBELET]


def only(volume: dict[str, Any], known: Lookup | None = None, **mount: Any) -> Mount:
    """The one mount of a pod with this volume, at /data."""
    value = pod(volumes=[{"name": "v", **volume}], mounts=[{"name": "v", "mountPath": "/data", **mount}])
    (found,) = users(value, known)
    return found


@pytest.mark.parametrize(
    ("volume", "kind", "detail", "directory"),
    [
        ({"emptyDir": {}}, "emptyDir", "", "kubernetes.io~empty-dir/v"),
        ({"emptyDir": {"medium": "Memory"}}, "emptyDir", "Memory", "kubernetes.io~empty-dir/v"),
        ({"emptyDir": {"medium": "HugePages-2Mi"}}, "emptyDir", "HugePages-2Mi", "kubernetes.io~empty-dir/v"),
        ({}, "emptyDir", "", "kubernetes.io~empty-dir/v"),
        ({"configMap": {"name": "settings"}}, "configMap", "settings", "kubernetes.io~configmap/v"),
        ({"secret": {"secretName": "login"}}, "secret", "login", "kubernetes.io~secret/v"),
        (
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            "downwardAPI", "metadata.labels", "kubernetes.io~downward-api/v",
        ),
        (
            {"projected": {"sources": [{"secret": {"name": "a"}}, {"serviceAccountToken": {"audience": "vault"}},
                                       {"clusterTrustBundle": {"name": "roots"}}, {"downwardAPI": {}}]}},
            "projected", "secret a, token for vault, trust bundle roots, downwardAPI", "kubernetes.io~projected/v",
        ),
        ({"nfs": {"server": "10.0.0.1", "path": "/x"}}, "nfs", "10.0.0.1:/x", "kubernetes.io~nfs/v"),
        (
            {"iscsi": {"targetPortal": "10.0.0.2", "iqn": "iqn.x", "lun": 0}},
            "iscsi", "10.0.0.2 iqn.x lun 0", "kubernetes.io~iscsi/v",
        ),
        ({"fc": {"targetWWNs": ["50060e80"], "lun": 2}}, "fc", "50060e80 lun 2", "kubernetes.io~fc/v"),
        ({"cephfs": {"monitors": ["m1", "m2"], "path": "/a"}}, "cephfs", "m1,m2:/a", "kubernetes.io~cephfs/v"),
        ({"rbd": {"monitors": ["m1"], "image": "disk"}}, "rbd", "m1:rbd/disk", "kubernetes.io~rbd/v"),
        ({"csi": {"driver": "secrets.csi.k8s.io"}}, "csi", "secrets.csi.k8s.io", "kubernetes.io~csi/v/mount"),
        ({"flexVolume": {"driver": "acme/lvm"}}, "flexVolume", "acme/lvm", "acme~lvm/v"),
        ({"gitRepo": {"repository": "https://x/y.git"}}, "gitRepo", "https://x/y.git", "kubernetes.io~git-repo/v"),
        ({"glusterfs": {"endpoints": "g", "path": "vol"}}, "glusterfs", "g:vol", "kubernetes.io~glusterfs/v"),
        ({"portworxVolume": {"volumeID": "p1"}}, "portworxVolume", "volumeID=p1", "kubernetes.io~portworx-volume/v"),
    ],
)  # fmt: skip
def test_a_volume_lies_in_the_directory_of_its_plugin(
    volume: dict[str, Any], kind: str, detail: str, directory: str
) -> None:
    mount = only(volume)

    assert (mount.kind, mount.source.kind, mount.source.detail) == (kind, kind, detail)
    assert mount.node_path.path == f"{HERE}/volumes/{directory}"
    assert mount.node_path.known is Known.PREDICTED
    assert not mount.problem


def test_a_host_path_is_the_path_itself() -> None:
    mount = only({"hostPath": {"path": "/srv/www", "type": "DirectoryOrCreate"}})

    assert mount.node_path.path == "/srv/www"
    assert mount.source.detail == "/srv/www DirectoryOrCreate"


def test_an_image_volume_has_no_path_on_the_node_and_is_read_only() -> None:
    mount = only({"image": {"reference": "quay.io/models/a:1"}}, subPath="weights")

    assert (mount.node_path.path, mount.node_path.known) == ("", Known.NONE)
    assert mount.node_path.note
    assert mount.read_only
    assert mount.source.detail == "quay.io/models/a:1"


def test_a_kind_of_volume_that_nobody_knows_yet_is_shown_without_a_path() -> None:
    mount = only({"quantumFoam": {"density": 3, "colour": "blue"}})

    assert (mount.kind, mount.source.detail) == ("quantumFoam", "density=3 colour=blue")
    assert mount.node_path.known is Known.NONE
    assert mount.node_path.note


@pytest.mark.parametrize(
    ("source", "kind", "path", "data"),
    [
        ({"nfs": {"server": "s", "path": "/x"}}, "nfs", "kubernetes.io~nfs/pv-1", ""),
        ({"csi": {"driver": "ebs", "volumeHandle": "vol-1"}}, "csi", "kubernetes.io~csi/pv-1/mount", ""),
        ({"local": {"path": "/mnt/ssd1"}}, "local", "kubernetes.io~local-volume/pv-1", "/mnt/ssd1"),
        ({"local": {"path": "/dev/sdb", "fsType": "ext4"}}, "local", "kubernetes.io~local-volume/pv-1", ""),
        ({"awsElasticBlockStore": {"volumeID": "vol-1"}}, "awsElasticBlockStore", "kubernetes.io~csi/pv-1/mount", ""),
    ],
)
def test_a_claim_is_followed_to_its_volume(source: dict[str, Any], kind: str, path: str, data: str) -> None:
    mount = only({"persistentVolumeClaim": {"claimName": "data"}}, bound("data", persistent_volume("pv-1", **source)))

    assert mount.kind == "pvc"
    assert (mount.source.kind, mount.source.claim, mount.source.persistent_volume) == (kind, "data", "pv-1")
    assert mount.node_path.path == f"{HERE}/volumes/{path}"
    assert mount.node_path.data == data


def test_a_claim_on_a_host_path_volume_leads_to_the_host_path() -> None:
    known = bound("data", persistent_volume("pv-1", hostPath={"path": "/srv/data"}))
    mount = only({"persistentVolumeClaim": {"claimName": "data"}}, known, subPath="a")

    assert mount.node_path.path == f"{HERE}/volume-subpaths/pv-1/web/0"
    assert mount.node_path.data == "/srv/data/a"


def test_a_volume_that_was_moved_to_a_driver_is_where_the_driver_mounts_it() -> None:
    volume = persistent_volume("pv-1", portworxVolume={"volumeID": "p1"})
    volume["metadata"]["annotations"] = {"pv.kubernetes.io/migrated-to": "pxd.portworx.com"}
    mount = only({"persistentVolumeClaim": {"claimName": "data"}}, bound("data", volume))

    assert mount.node_path.path == f"{HERE}/volumes/kubernetes.io~csi/pv-1/mount"


def test_the_claim_of_an_ephemeral_volume_has_the_name_of_pod_and_volume() -> None:
    known = bound("web-0-v", persistent_volume("pv-9", csi={"driver": "d", "volumeHandle": "h"}))
    mount = only({"ephemeral": {"volumeClaimTemplate": {}}}, known)

    assert (mount.kind, mount.source.claim) == ("ephemeral", "web-0-v")
    assert mount.node_path.path == f"{HERE}/volumes/kubernetes.io~csi/pv-9/mount"


def test_a_pending_claim_is_flagged() -> None:
    known = Lookup({"data": claim_of(claim("data", "", phase="Pending"))})
    mount = only({"persistentVolumeClaim": {"claimName": "data"}}, known)

    assert mount.problem == "the claim is Pending"
    assert mount.node_path.known is Known.NONE


def test_a_lost_claim_is_not_followed() -> None:
    known = Lookup({"data": claim_of(claim("data", "pv-gone", phase="Lost"))})

    assert only({"persistentVolumeClaim": {"claimName": "data"}}, known).problem == "the claim is Lost"


def test_a_claim_that_is_not_there_is_flagged_with_the_servers_words() -> None:
    mount = only({"persistentVolumeClaim": {"claimName": "data"}})

    assert mount.problem == 'persistentvolumeclaims "data" not found'


def test_a_volume_that_cannot_be_read_still_has_its_name() -> None:
    known = Lookup({"data": claim_of(claim("data", "pv-1"))})
    mount = only({"persistentVolumeClaim": {"claimName": "data"}}, known)

    assert mount.source.persistent_volume == "pv-1"
    assert str(mount.source) == "claim data -> pv-1"
    assert mount.problem == 'persistentvolumes "pv-1" not found'


def test_every_kind_of_container_is_listed_in_the_order_of_its_start() -> None:
    mounts = [{"name": "v", "mountPath": "/data"}]
    value = pod(
        volumes=[{"name": "v", "emptyDir": {}}],
        mounts=mounts,
        spec={
            "initContainers": [
                {"name": "setup", "volumeMounts": mounts},
                {"name": "proxy", "restartPolicy": "Always", "volumeMounts": mounts},
            ],
            "ephemeralContainers": [{"name": "debug", "volumeMounts": mounts}],
        },
    )

    assert [(mount.container, mount.container_kind) for mount in users(value)] == [
        ("setup", ContainerKind.INIT),
        ("proxy", ContainerKind.SIDECAR),
        ("web", ContainerKind.APP),
        ("debug", ContainerKind.EPHEMERAL),
    ]
    assert container_names(value) == ("setup", "proxy", "web", "debug")


def test_a_sub_path_is_bound_from_its_own_place_and_its_data_stay_in_the_volume() -> None:
    value = pod(
        volumes=[{"name": "v", "emptyDir": {}}],
        mounts=[{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b", "subPath": "x/y"}],
    )
    whole, part = users(value)

    assert whole.node_path.data == ""
    assert part.sub_path == "x/y"
    assert part.node_path.path == f"{HERE}/volume-subpaths/v/web/1"
    assert part.node_path.data == f"{HERE}/volumes/kubernetes.io~empty-dir/v/x/y"


def test_the_variables_of_a_sub_path_are_replaced() -> None:
    value = pod(
        volumes=[{"name": "v", "hostPath": {"path": "/logs"}}],
        mounts=[{"name": "v", "mountPath": "/a", "subPathExpr": "$(NAME)/$(WHERE)/$$(NAME)"}],
        metadata={"labels": {"tier": "front"}},
    )
    value["spec"]["containers"][0]["env"] = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
        {"name": "WHERE", "value": "at-$(TIER)"},
    ]
    (mount,) = users(value)

    assert mount.sub_path == "web-0/at-front/$(NAME)"
    assert mount.node_path.data == "/logs/web-0/at-front/$(NAME)"


def test_a_variable_from_a_secret_is_named_and_not_guessed() -> None:
    value = pod(
        volumes=[{"name": "v", "emptyDir": {}}], mounts=[{"name": "v", "mountPath": "/a", "subPathExpr": "$(KEY)"}]
    )
    value["spec"]["containers"][0]["env"] = [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    (mount,) = users(value)

    assert "KEY" in mount.problem
    assert mount.node_path.path == f"{HERE}/volume-subpaths/v/web/0"
    assert mount.node_path.data == ""


def test_a_block_device_is_linked_below_the_devices_of_the_pod() -> None:
    known = bound("raw", persistent_volume("pv-1", csi={"driver": "d", "volumeHandle": "h"}, volumeMode="Block"))
    value = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "raw"}}])
    value["spec"]["containers"][0]["volumeDevices"] = [{"name": "v", "devicePath": "/dev/xvda"}]
    (mount,) = users(value, known)

    assert mount.is_device
    assert mount.path == "/dev/xvda"
    assert mount.node_path.path == f"{HERE}/volumeDevices/kubernetes.io~csi/pv-1"


def test_the_kubelets_own_files_are_marked_as_its_own() -> None:
    hosts, log = all_of(pod())

    assert (hosts.path, hosts.added_by, hosts.node_path.path) == ("/etc/hosts", AddedBy.KUBELET, f"{HERE}/etc-hosts")
    assert (log.path, log.added_by) == ("/dev/termination-log", AddedBy.KUBELET)
    assert log.node_path.known is Known.NONE
    assert f"{HERE}/containers/web" in log.node_path.note


def test_a_container_that_mounts_etc_hosts_gets_only_that() -> None:
    value = pod(volumes=[{"name": "v", "configMap": {"name": "h"}}], mounts=[{"name": "v", "mountPath": "/etc/hosts"}])

    (mount,) = [mount for mount in all_of(value) if mount.path == "/etc/hosts"]
    assert mount.added_by is AddedBy.USER


def test_a_pod_without_an_address_has_no_hosts_file_yet() -> None:
    assert [mount.path for mount in all_of(pod(status={"podIP": ""}))] == ["/dev/termination-log"]


def test_a_pod_on_the_hosts_network_has_its_hosts_file_at_once() -> None:
    value = pod(status={"podIP": ""}, spec={"hostNetwork": True})

    assert "/etc/hosts" in [mount.path for mount in all_of(value)]


def test_the_token_of_the_service_account_was_added_by_the_api_server() -> None:
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    value = pod(volumes=[{"name": "t", "projected": {"sources": []}}], mounts=[{"name": "t", "mountPath": path}])

    assert users(value)[0].added_by is AddedBy.ADMISSION


def test_a_static_pod_lives_below_the_hash_of_its_file() -> None:
    value = pod(volumes=[{"name": "v", "emptyDir": {}}], mounts=[{"name": "v", "mountPath": "/a"}])
    value["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "f00", "kubernetes.io/config.hash": "f00"}

    assert users(value)[0].node_path.path == "/var/lib/kubelet/pods/f00/volumes/kubernetes.io~empty-dir/v"


def test_a_hash_alone_makes_no_static_pod() -> None:
    value = pod(volumes=[{"name": "v", "emptyDir": {}}], mounts=[{"name": "v", "mountPath": "/a"}])
    value["metadata"]["annotations"] = {"kubernetes.io/config.hash": "f00"}

    assert UID in users(value)[0].node_path.path


def test_a_moved_kubelet_moves_every_path_below_it() -> None:
    value = pod(volumes=[{"name": "v", "emptyDir": {}}], mounts=[{"name": "v", "mountPath": "/a", "subPath": "b"}])
    found = all_of(value, root_dir="/var/lib/k0s/kubelet")

    assert all(mount.node_path.best.startswith("/var/lib/k0s/kubelet/") for mount in found if mount.node_path.path)


def test_a_windows_node_has_paths_that_are_not_predicted() -> None:
    value = pod(
        volumes=[{"name": "v", "emptyDir": {}}],
        mounts=[{"name": "v", "mountPath": "C:\\data"}],
        spec={"os": {"name": "windows"}},
    )
    (mount,) = all_of(value)

    assert mount.node_path.known is Known.NONE


@pytest.mark.parametrize(
    ("volume", "mount", "read_only"),
    [
        ({"emptyDir": {}}, {}, False),
        ({"emptyDir": {}}, {"readOnly": True}, True),
        ({"secret": {"secretName": "s"}}, {}, True),
        ({"nfs": {"server": "s", "path": "/", "readOnly": True}}, {}, True),
    ],
)
def test_a_mount_is_read_only_where_it_or_its_volume_says_so(
    volume: dict[str, Any], mount: dict[str, Any], read_only: bool
) -> None:
    assert only(volume, **mount).read_only is read_only


@pytest.mark.parametrize(
    ("asked", "meant"),
    [(None, "rprivate"), ("None", "rprivate"), ("HostToContainer", "rslave"), ("Bidirectional", "rshared")],
)
def test_propagation_is_told_in_the_words_of_runtimes(asked: str | None, meant: str) -> None:
    assert only({"emptyDir": {}}, mountPropagation=asked).propagation == meant


def test_what_the_node_says_of_recursive_read_only_is_believed() -> None:
    asked = {"name": "v", "mountPath": "/a", "readOnly": True, "recursiveReadOnly": "IfPossible"}
    told = {"name": "v", "mountPath": "/a", "recursiveReadOnly": "Enabled"}
    value = pod(
        volumes=[{"name": "v", "emptyDir": {}}],
        mounts=[asked],
        status={"containerStatuses": [{"name": "web", "volumeMounts": [told]}]},
    )
    silent = pod(volumes=[{"name": "v", "emptyDir": {}}], mounts=[asked])

    assert users(value)[0].recursive_read_only == "Enabled"
    assert users(silent)[0].recursive_read_only == "IfPossible"


def test_the_record_has_the_same_keys_for_every_mount() -> None:
    value = pod(volumes=[{"name": "v", "emptyDir": {}}])

    assert len({tuple(mount.to_json()) for mount in all_of(value)}) == 1
