"""What every source of mounts answers with, be it the API or a runtime: one record a mount."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class ContainerKind(StrEnum):
    """When a container runs."""

    INIT = "init"
    SIDECAR = "sidecar"  # an init container with `restartPolicy: Always`: started early, runs along
    APP = "app"
    EPHEMERAL = "ephemeral"


class Known(StrEnum):
    """How a path on the node is known."""

    EXACT = "exact"  # a container runtime says it
    PREDICTED = "predicted"  # the API object and the kubelet's rules say it
    NONE = "none"


class AddedBy(StrEnum):
    """Who put a mount into a container."""

    USER = "user"
    ADMISSION = "admission"  # the API server, such as a service account's token
    KUBELET = "kubelet"
    RUNTIME = "runtime"


@dataclass(frozen=True, slots=True)
class Source:
    """What lies behind a mount.

    Attributes:
        kind: the key of the volume source in the API: `hostPath`, `configMap`, `nfs`, `csi` …
        detail: what tells one source of a kind from another: `server:/path`, a name, a driver and its handle.
        claim: the PersistentVolumeClaim it was asked for through, or empty.
        persistent_volume: the PersistentVolume bound to that claim, or empty.
    """

    kind: str
    detail: str = ""
    claim: str = ""
    persistent_volume: str = ""

    def __str__(self) -> str:
        steps = [f"claim {self.claim}" if self.claim else "", self.persistent_volume]
        last = f"{self.kind} {self.detail}" if self.claim and self.kind != "claim" else self.detail
        return " -> ".join(step.strip() for step in (*steps, last) if step.strip())


@dataclass(frozen=True, slots=True)
class NodePath:
    """Where a mount is on the node.

    Attributes:
        path: what the runtime is told to mount, or empty.
        known: how that is known.
        data: where the same bytes lie for good, if that is another path: below the volume for a subPath, which is
            mounted through a bind of its own, and in its directory for a local volume.
        note: why there is no path, or what else there is to know.
    """

    path: str = ""
    known: Known = Known.NONE
    data: str = ""
    note: str = ""

    @property
    def best(self) -> str:
        """Where to look for the data."""
        return self.data or self.path


NOWHERE = NodePath()


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of one container, from its path inside to its path on the node.

    Attributes:
        container: empty, and its kind None, for a volume that no container mounts.
        path: inside the container.
        volume: the name of the volume in the pod, or empty.
        kind: of the volume as the pod names it: `pvc` where `source.kind` says what is behind the claim.
        recursive_read_only: as the node reports it, else as asked for: `Enabled`, `IfPossible`, `Disabled` or empty.
        propagation: in the words of runtimes: `rprivate`, `rslave`, `rshared`.
        is_device: a block device, not a directory.
        problem: what is wrong with it, or empty.
    """

    namespace: str
    pod: str
    node: str
    container: str
    container_kind: ContainerKind | None
    path: str
    volume: str
    kind: str
    source: Source
    node_path: NodePath
    sub_path: str = ""
    read_only: bool = False
    recursive_read_only: str = ""
    propagation: str = "rprivate"
    added_by: AddedBy = AddedBy.USER
    is_device: bool = False
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record with all its keys, stable in name and order."""
        return {
            "namespace": self.namespace,
            "pod": self.pod,
            "node": self.node,
            "container": self.container,
            "containerKind": self.container_kind or "",
            "containerPath": self.path,
            "volume": self.volume,
            "kind": self.kind,
            "source": {
                "kind": self.source.kind,
                "detail": self.source.detail,
                "claim": self.source.claim,
                "persistentVolume": self.source.persistent_volume,
            },
            "nodePath": self.node_path.path,
            "nodePathKnown": self.node_path.known,
            "dataPath": self.node_path.best,
            "note": self.node_path.note,
            "subPath": self.sub_path,
            "readOnly": self.read_only,
            "recursiveReadOnly": self.recursive_read_only,
            "propagation": self.propagation,
            "addedBy": self.added_by,
            "device": self.is_device,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim, as far as mounts need it; `volume` is empty while it is not bound."""

    name: str
    volume: str
    phase: str


@dataclass(frozen=True, slots=True)
class PersistentVolume:
    """A PersistentVolume, as far as mounts need it.

    Attributes:
        directory: the kubelet's name for its plugin, `~`-escaped, or empty where that is unknown.
        host_path: the directory of a hostPath volume, which is mounted as it is.
        data: the directory that a local volume binds.
    """

    name: str
    source: Source
    directory: str
    host_path: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An object that could not be looked up, and why."""

    reason: str


class Claims(Protocol):
    """Where claims and volumes are looked up."""

    def claim(self, namespace: str, name: str) -> Claim | Unknown:
        """The claim of that name."""
        ...

    def volume(self, name: str) -> PersistentVolume | Unknown:
        """The PersistentVolume of that name."""
        ...
