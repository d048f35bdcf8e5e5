"""Pods, claims and volumes for tests, valid by default."""

from __future__ import annotations

from typing import Any


def pod(name: str = "web-0", *, volumes: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """A pod of one container `web`; `mounts` is its volumeMounts, `spec`, `metadata` and `status` are laid over."""
    container = {"name": "web", "image": "web:1", "volumeMounts": more.pop("mounts", [])}
    spec = {"containers": [container], "volumes": volumes or [], "nodeName": "node-1", **more.pop("spec", {})}
    return {
        "kind": "Pod",
        "metadata": {"name": name, **more.pop("metadata", {})},
        "spec": spec,
        "status": {"podIP": "10.1.0.7", "phase": "Running", **more.pop("status", {})},
    }


def claim(name: str, volume: str = "", *, phase: str = "Bound") -> dict[str, Any]:
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    if volume:
        spec["volumeName"] = volume
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {**spec, "storageClassName": ""},
        "status": {"phase": phase},
    }


def persistent_volume(name: str, **source: Any) -> dict[str, Any]:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        **source,
    }
    return {"kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
