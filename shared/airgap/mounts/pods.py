"""From a pod's JSON to its mounts: volumes and volumeMounts joined over every kind of container.

Pure: what stands outside the pod, claims and what they are bound to, is asked of a `Claims`.

Source: kubernetes.io API reference, Pod v1; kubernetes/kubernetes pkg/kubelet/kubelet_pods.go makeMounts.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from airgap.mounts import kubelet, sources
from airgap.mounts.model import (
    NOWHERE,
    AddedBy,
    Claims,
    ContainerKind,
    Known,
    Mount,
    NodePath,
    Source,
    Unknown,
)
from airgap.mounts.variables import expand, variables_of

_LISTS: Final = (
    ("initContainers", ContainerKind.INIT),
    ("containers", ContainerKind.APP),
    ("ephemeralContainers", ContainerKind.EPHEMERAL),
)
_PROPAGATIONS: Final = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
_READ_ONLY_KINDS: Final = frozenset({"configMap", "downwardAPI", "image", "projected", "secret"})
_SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_ETC_HOSTS: Final = "/etc/hosts"
_TERMINATION_LOG: Final = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class _Pod:
    """What all mounts of a pod share; `directory` is the pod's on the node, empty where it has none."""

    value: Mapping[str, Any]
    namespace: str
    name: str
    node: str
    directory: str


@dataclass(frozen=True, slots=True)
class _Volume:
    """A volume of a pod, looked up; `inner` is the name the kubelet has for it."""

    name: str
    kind: str
    source: Source
    inner: str
    plugin: str = ""
    root: NodePath = NOWHERE
    read_only: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Container:
    """One container; `reported` is what the node says of its mounts, by path."""

    value: Mapping[str, Any]
    name: str
    kind: ContainerKind
    reported: Mapping[str, Mapping[str, Any]]


def mounts_of(pod: Mapping[str, Any], claims: Claims, root_dir: str = kubelet.ROOT_DIR) -> Iterator[Mount]:
    """All mounts of a pod, container by container in the order they start.

    Broken ones are among them, with their `problem`: a mount of a volume that is not there, two at one path, a claim
    that is not bound. A volume that no container mounts comes last, with no container.

    Args:
        pod: as the API server gives it.
        claims: asked for each claim that the pod names.
        root_dir: the kubelet's, where it is not /var/lib/kubelet.
    """
    frame = _frame(pod, root_dir)
    volumes = {v["name"]: _volume(v, frame, claims) for v in (pod.get("spec") or {}).get("volumes") or []}
    unused = dict(volumes)
    for container in _containers(pod):
        for mount in _mounts_of_container(container, frame, volumes):
            unused.pop(mount.volume, None)
            yield mount
    for volume in unused.values():
        yield _never_mounted(volume, frame)


def container_names(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of all containers of a pod, in the order they start."""
    return tuple(container.name for container in _containers(pod))


def _frame(pod: Mapping[str, Any], root_dir: str) -> _Pod:
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    uid = kubelet.pod_uid(metadata)
    windows = (spec.get("os") or {}).get("name") == "windows"
    return _Pod(
        value=pod,
        namespace=str(metadata.get("namespace") or "default"),
        name=str(metadata.get("name") or ""),
        node=str(spec.get("nodeName") or ""),
        directory=kubelet.pod_directory(root_dir, uid) if uid and not windows else "",
    )


def _containers(pod: Mapping[str, Any]) -> Iterator[_Container]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    for key, kind in _LISTS:
        statuses = {s.get("name"): s for s in status.get(f"{key.removesuffix('s')}Statuses") or []}
        for value in spec.get(key) or []:
            name = str(value.get("name") or "")
            restarts = kind is ContainerKind.INIT and value.get("restartPolicy") == "Always"
            told = (statuses.get(name) or {}).get("volumeMounts") or []
            reported = {str(mount.get("mountPath")): mount for mount in told}
            yield _Container(value, name, ContainerKind.SIDECAR if restarts else kind, reported)


def _volume(value: Mapping[str, Any], pod: _Pod, claims: Claims) -> _Volume:
    name = str(value["name"])
    kind, source = sources.kind_and_source(value)
    if kind == "persistentVolumeClaim":
        return _claimed(name, "pvc", str(source.get("claimName") or ""), pod, claims, bool(source.get("readOnly")))
    if kind == "ephemeral":
        return _claimed(name, kind, f"{pod.name}-{name}", pod, claims)
    plugin = kubelet.plugin_directory(kind, source)
    return _Volume(
        name=name,
        kind=kind,
        source=Source(kind, sources.detail_of(kind, source)),
        inner=name,
        plugin=plugin,
        root=_root(kind, source, plugin, name, pod),
        read_only=kind in _READ_ONLY_KINDS or bool(source.get("readOnly")),
    )


def _root(kind: str, source: Mapping[str, Any], plugin: str, name: str, pod: _Pod) -> NodePath:
    if kind == "hostPath":
        return NodePath(str(source.get("path") or ""), Known.PREDICTED)
    if kind == "image":
        return NodePath(note="an image has no path: the runtime unpacks it where it likes")
    if kind in kubelet.MIGRATED:
        return NodePath(note="its CSI driver names the directory")
    return _below(pod, plugin, name)


def _below(pod: _Pod, plugin: str, name: str, data: str = "") -> NodePath:
    if not pod.directory:
        return NodePath(note="only known for pods on Linux nodes that have a UID")
    if not plugin:
        return NodePath(note="the kubelet's name for this kind of volume is not known")
    return NodePath(kubelet.volume_directory(pod.directory, plugin, name), Known.PREDICTED, data)


def _claimed(name: str, kind: str, claim_name: str, pod: _Pod, claims: Claims, read_only: bool = False) -> _Volume:
    waiting = _Volume(name, kind, Source("claim", claim=claim_name), name, read_only=read_only)
    claim = claims.claim(pod.namespace, claim_name)
    if isinstance(claim, Unknown):
        return replace(waiting, problem=claim.reason)
    if not claim.volume:
        return replace(waiting, problem=f"the claim is {claim.phase}")
    volume = claims.volume(claim.volume)
    if isinstance(volume, Unknown):
        source = Source("claim", claim=claim_name, persistent_volume=claim.volume)
        return replace(waiting, source=source, inner=claim.volume, problem=volume.reason)
    if volume.host_path:
        root = NodePath(volume.host_path, Known.PREDICTED)
    else:
        root = _below(pod, volume.directory, volume.name, volume.data)
    source = replace(volume.source, claim=claim_name)
    return _Volume(name, kind, source, volume.name, volume.directory, root, read_only)


def _mounts_of_container(container: _Container, pod: _Pod, volumes: Mapping[str, _Volume]) -> Iterator[Mount]:
    listed = container.value.get("volumeMounts") or []
    times = Counter(posixpath.normpath(str(item.get("mountPath") or "")) for item in listed)
    for index, item in enumerate(listed):
        mount = _mount(item, index, container, pod, volumes)
        if times[posixpath.normpath(mount.path)] > 1 and not mount.problem:
            mount = replace(mount, problem="another mount of the container has the same path")
        yield mount
    for item in container.value.get("volumeDevices") or []:
        yield _device(item, container, pod, volumes)
    yield from _kubelets_own(container, pod, set(times))


def _mount(
    item: Mapping[str, Any], index: int, container: _Container, pod: _Pod, volumes: Mapping[str, _Volume]
) -> Mount:
    name, path = str(item.get("name") or ""), str(item.get("mountPath") or "")
    volume = volumes.get(name) or _undefined(name)
    reported = container.reported.get(path) or {}
    sub_path, missing = _sub_path(item, container, pod)
    problem = volume.problem
    if missing:
        problem = problem or f"the value of {', '.join(missing)} in subPathExpr is not in the pod"
    return Mount(
        namespace=pod.namespace,
        pod=pod.name,
        node=pod.node,
        container=container.name,
        container_kind=container.kind,
        path=path,
        volume=name,
        kind=volume.kind,
        source=volume.source,
        node_path=_through_sub_path(volume, sub_path, index, container, pod, known=not missing),
        sub_path=sub_path,
        read_only=bool(item.get("readOnly")) or volume.read_only,
        recursive_read_only=str(reported.get("recursiveReadOnly") or item.get("recursiveReadOnly") or ""),
        propagation=_PROPAGATIONS.get(str(item.get("mountPropagation")), "rprivate"),
        added_by=AddedBy.ADMISSION if path == _SERVICE_ACCOUNT else AddedBy.USER,
        problem=problem,
    )


def _sub_path(item: Mapping[str, Any], container: _Container, pod: _Pod) -> tuple[str, tuple[str, ...]]:
    if item.get("subPathExpr"):
        return expand(str(item["subPathExpr"]), variables_of(container.value, pod.value))
    return str(item.get("subPath") or ""), ()


def _through_sub_path(
    volume: _Volume, sub_path: str, index: int, container: _Container, pod: _Pod, *, known: bool
) -> NodePath:
    """With a subPath the runtime is given a bind of its own; the data stay where the volume is."""
    root = volume.root
    if not sub_path or not root.path:
        return root
    data = posixpath.normpath(posixpath.join(root.best, sub_path)) if known else ""
    if not pod.directory:
        return replace(root, path=data, data="")
    bind = kubelet.sub_path_target(pod.directory, volume.inner, container.name, index)
    return NodePath(bind, Known.PREDICTED, data, "" if known else f"below {root.best}")


def _device(item: Mapping[str, Any], container: _Container, pod: _Pod, volumes: Mapping[str, _Volume]) -> Mount:
    name = str(item.get("name") or "")
    volume = volumes.get(name) or _undefined(name)
    path = NodePath(note=volume.root.note)
    if pod.directory and volume.plugin:
        path = NodePath(kubelet.device_link(pod.directory, volume.plugin, volume.inner), Known.PREDICTED)
    return Mount(
        namespace=pod.namespace,
        pod=pod.name,
        node=pod.node,
        container=container.name,
        container_kind=container.kind,
        path=str(item.get("devicePath") or ""),
        volume=name,
        kind=volume.kind,
        source=volume.source,
        node_path=path,
        read_only=volume.read_only,
        is_device=True,
        problem=volume.problem,
    )


def _kubelets_own(container: _Container, pod: _Pod, taken: set[str]) -> Iterator[Mount]:
    """/etc/hosts and the termination message: no volume of the pod, yet mounted from the node."""
    spec, status = pod.value.get("spec") or {}, pod.value.get("status") or {}
    has_address = spec.get("hostNetwork") or status.get("podIP") or status.get("podIPs")
    if has_address and _ETC_HOSTS not in taken and pod.directory:
        path = NodePath(kubelet.etc_hosts(pod.directory), Known.PREDICTED)
        yield _added(container, pod, _ETC_HOSTS, "etc-hosts", path)
    log = str(container.value.get("terminationMessagePath") or _TERMINATION_LOG)
    if pod.directory:
        directory = kubelet.container_directory(pod.directory, container.name)
        note = f"a file in {directory}, named anew with every start"
        yield _added(container, pod, log, "termination-log", NodePath(note=note))


def _added(container: _Container, pod: _Pod, path: str, kind: str, node_path: NodePath) -> Mount:
    return Mount(
        namespace=pod.namespace,
        pod=pod.name,
        node=pod.node,
        container=container.name,
        container_kind=container.kind,
        path=path,
        volume="",
        kind=kind,
        source=Source(kind),
        node_path=node_path,
        added_by=AddedBy.KUBELET,
    )


def _undefined(name: str) -> _Volume:
    return _Volume(name, "undefined", Source("undefined"), name, problem=f'the pod has no volume "{name}"')


def _never_mounted(volume: _Volume, pod: _Pod) -> Mount:
    return Mount(
        namespace=pod.namespace,
        pod=pod.name,
        node=pod.node,
        container="",
        container_kind=None,
        path="",
        volume=volume.name,
        kind=volume.kind,
        source=volume.source,
        node_path=NodePath(note="the kubelet sets up only what a container mounts"),
        read_only=volume.read_only,
        problem=volume.problem or "no container mounts it",
    )
