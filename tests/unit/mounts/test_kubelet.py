from __future__ import annotations

import pytest

from airgap.mounts import kubelet

POD = "/var/lib/kubelet/pods/u1"


@pytest.mark.parametrize(
    "root", ["/var/lib/kubelet", "/var/lib/k0s/kubelet", "/var/snap/microk8s/common/var/lib/kubelet"]
)
def test_a_pod_has_one_directory_below_the_root(root: str) -> None:
    assert kubelet.pod_directory(root, "u1") == f"{root}/pods/u1"


def test_a_slash_in_a_plugins_name_is_a_tilde() -> None:
    assert kubelet.plugin_directory("flexVolume", {"driver": "acme.com/lvm"}) == "acme.com~lvm"
    assert kubelet.plugin_directory("downwardAPI", {}) == "kubernetes.io~downward-api"


def test_only_csi_mounts_one_directory_deeper() -> None:
    assert kubelet.volume_directory(POD, kubelet.CSI, "pv") == f"{POD}/volumes/kubernetes.io~csi/pv/mount"
    assert kubelet.volume_directory(POD, kubelet.LOCAL, "pv") == f"{POD}/volumes/kubernetes.io~local-volume/pv"


def test_sub_paths_are_numbered_in_a_directory_of_their_container() -> None:
    assert kubelet.sub_path_target(POD, "pv", "web", 3) == f"{POD}/volume-subpaths/pv/web/3"
