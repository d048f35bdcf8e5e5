"""Where the kubelet puts things on the node: one function a rule.

Source: kubernetes/kubernetes pkg/kubelet/kubelet_getters.go, kubelet_pods.go, config/defaults.go;
pkg/volume/util/subpath/subpath_linux.go; pkg/volume/csi/csi_mounter.go; pkg/kubelet/types/pod_update.go.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any, Final

ROOT_DIR: Final = "/var/lib/kubelet"
CSI: Final = "kubernetes.io~csi"
LOCAL: Final = "kubernetes.io~local-volume"

# The key of a volume source in the API → the name of its plugin.
_PLUGINS: Final = {
    "awsElasticBlockStore": "aws-ebs",
    "azureDisk": "azure-disk",
    "azureFile": "azure-file",
    "cephfs": "cephfs",
    "cinder": "cinder",
    "configMap": "configmap",
    "csi": "csi",
    "downwardAPI": "downward-api",
    "emptyDir": "empty-dir",
    "fc": "fc",
    "flocker": "flocker",
    "gcePersistentDisk": "gce-pd",
    "gitRepo": "git-repo",
    "glusterfs": "glusterfs",
    "iscsi": "iscsi",
    "local": "local-volume",
    "nfs": "nfs",
    "photonPersistentDisk": "photon-pd",
    "portworxVolume": "portworx-volume",
    "projected": "projected",
    "quobyte": "quobyte",
    "rbd": "rbd",
    "scaleIO": "scaleio",
    "secret": "secret",
    "storageos": "storageos",
    "vsphereVolume": "vsphere-volume",
}

# Kubelets of 1.27 and later know these by their CSI drivers alone (Kubernetes 1.23–1.27 release notes, CSI migration).
MIGRATED: Final = frozenset(
    {"awsElasticBlockStore", "azureDisk", "azureFile", "cinder", "gcePersistentDisk", "vsphereVolume"}
)

_HASH: Final = "kubernetes.io/config.hash"
_MIRROR: Final = "kubernetes.io/config.mirror"


def pod_uid(metadata: Mapping[str, Any]) -> str:
    """The UID that names a pod's directory: a static pod's is the hash of its file, not its mirror's UID."""
    annotations = metadata.get("annotations") or {}
    if annotations.get(_MIRROR) and annotations.get(_HASH):
        return str(annotations[_HASH])
    return str(metadata.get("uid") or "")


def pod_directory(root_dir: str, uid: str) -> str:
    """All that belongs to one pod."""
    return posixpath.join(root_dir, "pods", uid)


def plugin_directory(kind: str, source: Mapping[str, Any]) -> str:
    """The directory of a volume plugin, `/` escaped as `~`; empty for a kind that is not known."""
    if kind == "flexVolume":
        return str(source.get("driver") or "").replace("/", "~")
    return f"kubernetes.io~{_PLUGINS[kind]}" if kind in _PLUGINS else ""


def volume_directory(pod_directory: str, plugin: str, name: str) -> str:
    """The root of a volume; `name` is the volume's in the pod, or the PersistentVolume's where there is a claim."""
    root = posixpath.join(pod_directory, "volumes", plugin, name)
    return posixpath.join(root, "mount") if plugin == CSI else root


def sub_path_target(pod_directory: str, name: str, container: str, index: int) -> str:
    """What the runtime mounts for a subPath: a bind of its own, numbered by its place in `volumeMounts`, from 0."""
    return posixpath.join(pod_directory, "volume-subpaths", name, container, str(index))


def device_link(pod_directory: str, plugin: str, name: str) -> str:
    """The symlink to a block device."""
    return posixpath.join(pod_directory, "volumeDevices", plugin, name)


def etc_hosts(pod_directory: str) -> str:
    """The file that containers see as /etc/hosts."""
    return posixpath.join(pod_directory, "etc-hosts")


def container_directory(pod_directory: str, container: str) -> str:
    """Where a container's termination message is, in a file whose name is random and new with every start."""
    return posixpath.join(pod_directory, "containers", container)
