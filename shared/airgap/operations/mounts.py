"""The mounts of a cluster's pods, one after the other: a page of pods is in memory, never all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from airgap.adapters.cluster import Cluster, ClusterNotFound, segment
from airgap.errors import AirgapError, IncompleteError, InvalidInput, StoreError
from airgap.mounts import kubelet
from airgap.mounts.model import Claim, Mount, PersistentVolume, Unknown
from airgap.mounts.pods import container_names, mounts_of
from airgap.mounts.sources import claim_of, persistent_volume_of

_APPS: Final = "/apis/apps/v1"
_WORKLOADS: Final = {
    **dict.fromkeys(("deployment", "deployments", "deploy"), (_APPS, "deployments")),
    **dict.fromkeys(("statefulset", "statefulsets", "sts"), (_APPS, "statefulsets")),
    **dict.fromkeys(("daemonset", "daemonsets", "ds"), (_APPS, "daemonsets")),
    **dict.fromkeys(("replicaset", "replicasets", "rs"), (_APPS, "replicasets")),
    **dict.fromkeys(("job", "jobs"), ("/apis/batch/v1", "jobs")),
}
_PODS: Final = frozenset({"pod", "pods", "po"})


@dataclass(frozen=True)
class Query:
    """Whose mounts: what kubectl's flags of the same names say.

    Attributes:
        names: `NAME`, `pod/NAME` or `TYPE/NAME` of a workload; all pods of the namespace where there is none.
        namespace: empty for that of the context.
        container: only the containers of this name.
        root_dir: the kubelet's.
    """

    names: tuple[str, ...] = ()
    namespace: str = ""
    all_namespaces: bool = False
    selector: str = ""
    field_selector: str = ""
    container: str = ""
    root_dir: str = kubelet.ROOT_DIR


@dataclass(frozen=True)
class Problem:
    """What could not be read, and the server's words for it; `is_fatal` where pods are missing in the answer."""

    error: AirgapError
    is_fatal: bool = True


def mounts(cluster: Cluster, query: Query) -> Iterator[Mount | Problem]:
    """Read the mounts that `query` asks for, in the server's order.

    What could not be read is yielded as well, where it is met: a pod that is not there, the rest of a list that was
    cut off, claims that we may not read. `conclude` turns these into an error once all else is said.

    Raises:
        InvalidInput: the query contradicts itself.
        StoreError: the server refused or did not answer, and nothing was yielded before.
    """
    _check(query)
    lookup = _Lookup(cluster, query)
    for pod in _pods(cluster, query):
        if isinstance(pod, Problem):
            yield pod
        elif query.names and query.container and query.container not in container_names(pod):
            yield Problem(_no_container(pod, query.container))
        else:
            found = mounts_of(pod, lookup, query.root_dir)
            yield from (mount for mount in found if query.container in ("", mount.container))
    yield from lookup.problems()


def conclude(problems: Sequence[Problem]) -> None:
    """End as the problems of an answer ask for.

    Raises:
        StoreError: pods are missing in it.
        IncompleteError: what is behind some claims is.
    """
    fatal = [problem.error for problem in problems if problem.is_fatal]
    if fatal:
        first, *rest = fatal
        first.message = "\n".join([first.message, *(f"{error.label}{error.message}" for error in rest)])
        raise first
    if problems:
        findings = tuple(problem.error.message for problem in problems)
        raise IncompleteError("what is behind some claims could not be read", findings, hint=problems[0].error.hint)


def namespace_of(cluster: Cluster, query: Query) -> str:
    """The namespace asked about: the one named, or that of the context."""
    return query.namespace or cluster.namespace


def _check(query: Query) -> None:
    if query.names and query.all_namespaces:
        raise InvalidInput("a resource cannot be retrieved by name across all namespaces", hint="use -n instead of -A")
    if query.names and (query.selector or query.field_selector):
        raise InvalidInput("name cannot be provided when a selector is specified")
    if not query.root_dir.startswith("/"):
        raise InvalidInput(f"--root-dir {query.root_dir!r} is not an absolute path")
    for name in query.names:
        _target(name, "default")


def _no_container(pod: Mapping[str, Any], name: str) -> InvalidInput:
    known = ", ".join(container_names(pod))
    return InvalidInput(f"container {name} is not valid for pod {pod['metadata']['name']} out of: {known}")


def _pods(cluster: Cluster, query: Query) -> Iterator[dict[str, Any] | Problem]:
    namespace = segment(namespace_of(cluster, query), "namespace")
    pods = f"/api/v1/namespaces/{namespace}/pods"
    if not query.names:
        selectors = {"labelSelector": query.selector, "fieldSelector": query.field_selector}
        path = "/api/v1/pods" if query.all_namespaces else pods
        yield from _listed(cluster, path, {key: value for key, value in selectors.items() if value})
    for target in dict.fromkeys(_target(name, namespace) for name in query.names):
        try:
            yield from _named(cluster, pods, target)
        except ClusterNotFound as error:
            yield Problem(_missing_namespace(cluster, namespace) or error)
        except StoreError as error:
            yield Problem(error)
            return


def _missing_namespace(cluster: Cluster, namespace: str) -> ClusterNotFound | None:
    """The better answer to "not found", where the namespace is not there either; kubectl looks as well."""
    try:
        cluster.get(f"/api/v1/namespaces/{namespace}")
    except ClusterNotFound as error:
        return error
    except StoreError:
        return None
    return None


def _listed(cluster: Cluster, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any] | Problem]:
    count = 0
    try:
        for pod in cluster.list(path, query):
            count += 1
            yield pod
    except StoreError as error:
        if not count:
            raise
        error.hint = f"only the first {count:,} pods could be read; {error.hint or 'type it again for the rest'}"
        yield Problem(error)


def _target(name: str, namespace: str) -> str:
    """The path of the pod or workload that `NAME` or `TYPE/NAME` stands for."""
    kind, _, rest = name.rpartition("/")
    if not kind or kind.lower() in _PODS:
        return f"/api/v1/namespaces/{namespace}/pods/{segment(rest, 'pod name')}"
    if kind.lower() not in _WORKLOADS:
        known = ", ".join(sorted({plural for _, plural in _WORKLOADS.values()}))
        raise InvalidInput(f'the server doesn\'t have pods behind the type "{kind}"', hint=f"pods, {known} have them")
    group, plural = _WORKLOADS[kind.lower()]
    return f"{group}/namespaces/{namespace}/{plural}/{segment(rest)}"


def _named(cluster: Cluster, pods: str, target: str) -> Iterator[dict[str, Any] | Problem]:
    found = cluster.get(target)
    if target.startswith(pods):
        yield found
    else:
        yield from _listed(cluster, pods, {"labelSelector": _selector(found)})


def _selector(workload: Mapping[str, Any]) -> str:
    """A workload's selector in the form that lists take (apimachinery pkg/labels)."""
    selector = (workload.get("spec") or {}).get("selector") or {}
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or []:
        key, values = term["key"], ",".join(term.get("values") or [])
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        terms.append(forms.get(term["operator"], f"!{key}"))
    return ",".join(terms)


@dataclass
class _Lookup:
    """Claims and volumes, read when the first pod asks: one by one for named pods, else all at once."""

    cluster: Cluster
    query: Query
    _claims: dict[tuple[str, str], Claim | Unknown] = field(default_factory=dict)
    _volumes: dict[str, PersistentVolume | Unknown] = field(default_factory=dict)
    _refusals: dict[str, StoreError] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    def claim(self, namespace: str, name: str) -> Claim | Unknown:
        """The claim of that name."""
        scope = "/api/v1" if self.query.all_namespaces else f"/api/v1/namespaces/{namespace}"
        self._read_all("claims", f"{scope}/persistentvolumeclaims")
        if (namespace, name) not in self._claims:
            found = self._one("claims", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", name)
            self._claims[namespace, name] = found if isinstance(found, Unknown) else claim_of(found)
        return self._claims[namespace, name]

    def volume(self, name: str) -> PersistentVolume | Unknown:
        """The PersistentVolume of that name."""
        self._read_all("volumes", "/api/v1/persistentvolumes")
        if name not in self._volumes:
            found = self._one("volumes", "/api/v1/persistentvolumes", name)
            self._volumes[name] = found if isinstance(found, Unknown) else persistent_volume_of(found)
        return self._volumes[name]

    def problems(self) -> Iterator[Problem]:
        """What the server did not let us read."""
        for error in self._refusals.values():
            yield Problem(error, is_fatal=False)

    def _read_all(self, what: str, path: str) -> None:
        if self.query.names or what in self._read:
            return
        self._read.add(what)
        try:
            for item in self.cluster.list(path):
                if what == "claims":
                    claim = claim_of(item)
                    self._claims[item["metadata"]["namespace"], claim.name] = claim
                else:
                    volume = persistent_volume_of(item)
                    self._volumes[volume.name] = volume
        except StoreError as error:
            self._refusals[what] = error

    def _one(self, what: str, path: str, name: str) -> dict[str, Any] | Unknown:
        if what in self._refusals:
            return Unknown(self._refusals[what].message)
        try:
            return self.cluster.get(f"{path}/{segment(name)}")
        except (ClusterNotFound, InvalidInput) as error:
            return Unknown(error.message)
        except StoreError as error:
            self._refusals[what] = error
            return Unknown(error.message)
