"""Volume sources, as pods and PersistentVolumes name them: which kind, and what tells one from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from airgap.mounts import kubelet
from airgap.mounts.model import Claim, PersistentVolume, Source

_MIGRATED_TO: Final = "pv.kubernetes.io/migrated-to"
_NO_SOURCE: Final = frozenset({"name"})
_PV_SETTINGS: Final = frozenset(
    {
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
        "storageClassName", "volumeAttributesClassName", "volumeMode",
    }
)  # fmt: skip


def kind_and_source(volume: Mapping[str, Any], other: frozenset[str] = _NO_SOURCE) -> tuple[str, dict[str, Any]]:
    """The key of the source in a volume and its value; `emptyDir` where there is none, as the API server reads it."""
    for key, value in volume.items():
        if key not in other and isinstance(value, dict):
            return key, value
    return "emptyDir", {}


def detail_of(kind: str, source: Mapping[str, Any]) -> str:
    """What tells one source of a kind from another, in a few words."""
    return _DETAILS.get(kind, _any_detail)(source)


def claim_of(value: Mapping[str, Any]) -> Claim:
    """Read a PersistentVolumeClaim."""
    phase = str((value.get("status") or {}).get("phase") or "Pending")
    volume = str((value.get("spec") or {}).get("volumeName") or "")
    return Claim(_name(value), volume if phase == "Bound" else "", phase)


def persistent_volume_of(value: Mapping[str, Any]) -> PersistentVolume:
    """Read a PersistentVolume."""
    kind, source = kind_and_source(value.get("spec") or {}, _PV_SETTINGS)
    annotations = (value.get("metadata") or {}).get("annotations") or {}
    migrated = kind in kubelet.MIGRATED or annotations.get(_MIGRATED_TO)
    data = str(source.get("path") or "") if kind == "local" and not source.get("fsType") else ""
    return PersistentVolume(
        name=_name(value),
        source=Source(kind, detail_of(kind, source), persistent_volume=_name(value)),
        directory=kubelet.CSI if migrated else kubelet.plugin_directory(kind, source),
        host_path=str(source.get("path") or "") if kind == "hostPath" else "",
        data=data,
    )


def _name(value: Mapping[str, Any]) -> str:
    return str((value.get("metadata") or {}).get("name") or "")


def _words(*parts: Any) -> str:
    return " ".join(str(part) for part in parts if part)


def _projected(source: Mapping[str, Any]) -> str:
    return ", ".join(_projection(item) for item in source.get("sources") or [] if isinstance(item, dict))


def _projection(item: Mapping[str, Any]) -> str:
    kind, inner = kind_and_source(item, frozenset())
    words = {
        "serviceAccountToken": _words("token", inner.get("audience") and f"for {inner['audience']}"),
        "downwardAPI": "downwardAPI",
        "clusterTrustBundle": _words("trust bundle", inner.get("name") or inner.get("signerName")),
        "podCertificate": _words("certificate by", inner.get("signerName")),
    }
    return words.get(kind) or f"{kind} {inner.get('name', '')}".strip()


def _fields(source: Mapping[str, Any]) -> str:
    paths = ((item.get("fieldRef") or item.get("resourceFieldRef") or {}) for item in source.get("items") or [])
    return ", ".join(str(path.get("fieldPath") or path.get("resource") or "?") for path in paths)


def _csi(source: Mapping[str, Any]) -> str:
    return _words(source.get("driver"), source.get("volumeHandle"))


def _rados(source: Mapping[str, Any]) -> str:
    monitors = ",".join(str(monitor) for monitor in source.get("monitors") or [])
    path = f"{source.get('pool') or 'rbd'}/{source['image']}" if "image" in source else source.get("path") or "/"
    return f"{monitors}:{path}"


def _fibre(source: Mapping[str, Any]) -> str:
    if source.get("wwids"):
        return ",".join(str(name) for name in source["wwids"])
    names = ",".join(str(name) for name in source.get("targetWWNs") or [])
    return _words(names, f"lun {source.get('lun')}")


def _empty(source: Mapping[str, Any]) -> str:
    return _words(source.get("medium"), source.get("sizeLimit") and f"at most {source['sizeLimit']}")


def _any_detail(source: Mapping[str, Any]) -> str:
    """For kinds without words of their own: every plain setting."""
    plain = (f"{key}={value}" for key, value in source.items() if isinstance(value, (str, int)))
    return " ".join(plain)


def _key(*names: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda source: _words(*(source.get(name) for name in names))


_DETAILS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "awsElasticBlockStore": _key("volumeID"),
    "azureDisk": _key("diskName", "diskURI"),
    "azureFile": _key("shareName"),
    "cephfs": _rados,
    "cinder": _key("volumeID"),
    "configMap": _key("name"),
    "csi": _csi,
    "downwardAPI": _fields,
    "emptyDir": _empty,
    "fc": _fibre,
    "flexVolume": _key("driver"),
    "flocker": _key("datasetName", "datasetUUID"),
    "gcePersistentDisk": _key("pdName"),
    "gitRepo": _key("repository", "revision"),
    "glusterfs": lambda source: f"{source.get('endpoints', '')}:{source.get('path', '')}",
    "hostPath": _key("path", "type"),
    "image": _key("reference"),
    "iscsi": lambda source: _words(source.get("targetPortal"), source.get("iqn"), f"lun {source.get('lun')}"),
    "local": _key("path"),
    "nfs": lambda source: f"{source.get('server', '')}:{source.get('path', '')}",
    "persistentVolumeClaim": _key("claimName"),
    "projected": _projected,
    "rbd": _rados,
    "secret": _key("secretName"),
    "vsphereVolume": _key("volumePath"),
}
