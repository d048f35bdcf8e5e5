"""`kubectl airgap mounts`: what every container mounts, and where that is on the node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from airgap.mounts.model import ContainerKind, Mount
from airgap.operations.mounts import Problem, Query, conclude, namespace_of
from airgap.operations.mounts import mounts as mounts_of_pods
from airgap_cli import render
from airgap_cli.clusterflags import ClusterFlags, ScopeFlags, access_of
from airgap_cli.options import flag, grouped


class MountFormat(StrEnum):
    """What `-o` takes here."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    PAIRS = "pairs"


_COLUMNS: dict[str, Callable[[Mount], str]] = {
    "NAMESPACE": lambda mount: mount.namespace,
    "POD": lambda mount: mount.pod,
    "CONTAINER": lambda mount: _container(mount),
    "PATH": lambda mount: mount.path,
    "KIND": lambda mount: mount.kind,
    "MODE": lambda mount: "ro" if mount.read_only else "rw",
    "SOURCE": lambda mount: _source(mount),
    "NODE": lambda mount: mount.node or "<none>",
    "ADDED BY": lambda mount: mount.added_by,
    "PROPAGATION": lambda mount: mount.propagation,
    "BOUND FROM": lambda mount: mount.node_path.path or "<none>",
    "NODE PATH": lambda mount: mount.node_path.best or "<none>",
    "NOTE": lambda mount: mount.node_path.note,
}
_WIDE = frozenset({"NODE", "ADDED BY", "PROPAGATION", "BOUND FROM", "NOTE"})


@grouped
def mounts(
    pods: Annotated[
        list[str] | None,
        typer.Argument(metavar="POD|TYPE/NAME", help="Pods, or workloads such as deploy/web; else all pods."),
    ] = None,
    *,
    scope: ScopeFlags,
    container: Annotated[str, flag("-c", "--container", help="Only this container.", metavar="NAME")] = "",
    root_dir: Annotated[
        str, flag("--root-dir", help="The kubelet's directory on the nodes, where it was moved.", metavar="DIR")
    ] = "/var/lib/kubelet",
    output: Annotated[MountFormat, flag("-o", "--output", help="How to print the answer.")] = MountFormat.TABLE,
    no_headers: Annotated[bool, flag("--no-headers", help="Leave out the line with the column names.")] = False,
    cluster: ClusterFlags,
    ca_file: Annotated[
        Path | None, flag("--ca-file", help="Certificates to trust besides the system's, as PEM.", metavar="FILE")
    ] = None,
) -> None:
    """Show what containers mount, and where it is on the node.

    Claims are followed to their volume and on to the server or driver behind it. Paths on the node are predicted
    from the pod by the kubelet's own rules; nothing is run on the node and nothing is changed. Rights needed: get and
    list on pods, persistentvolumeclaims and persistentvolumes. Secrets are never read.

    NODE PATH is where the data are. With a subPath the runtime binds them from elsewhere: -o wide shows that as
    BOUND FROM, and -o pairs prints it, as `crictl inspect` would.

    \b
    Examples:
      Where does nginx-0 keep its files?
        kubectl airgap mounts nginx-0 -n web
      One container of a deployment, as the runtime would say it
        kubectl airgap mounts deploy/nginx -c nginx -o pairs
      Who mounts node directories, over all namespaces?
        kubectl airgap mounts -A | grep hostPath
      On k0s, MicroK8s and others that moved the kubelet
        kubectl airgap mounts nginx-0 --root-dir /var/lib/k0s/kubelet
    """
    from airgap.adapters.cluster import connect

    server = connect(access_of(cluster, ca_file))
    for note in server.notes:
        render.say(f"warning: {note}")
    query = Query(
        names=tuple(pods or ()),
        namespace=scope.namespace,
        all_namespaces=scope.all_namespaces,
        selector=scope.selector,
        field_selector=scope.field_selector,
        container=container,
        root_dir=root_dir,
    )
    problems: list[Problem] = []
    rows = _mounts_only(mounts_of_pods(server, query), problems)
    first = next(rows, None)
    if first is None and any(problem.is_fatal for problem in problems):
        conclude(problems)
    if first is None and output in (MountFormat.TABLE, MountFormat.WIDE):
        place = "" if query.all_namespaces else f" in {namespace_of(server, query)} namespace"
        render.say(f"No resources found{place}{'' if query.all_namespaces else '.'}")
    else:
        _print(chain([first] if first else [], rows), query, output, problems, heading=not no_headers)
    conclude(problems)


def _mounts_only(found: Iterable[Mount | Problem], problems: list[Problem]) -> Iterator[Mount]:
    for item in found:
        if isinstance(item, Problem):
            problems.append(item)
        else:
            yield item


def _print(rows: Iterable[Mount], query: Query, output: MountFormat, problems: list[Problem], *, heading: bool) -> None:
    if output in (MountFormat.JSON, MountFormat.YAML):
        items = (mount.to_json() for mount in rows)
        render.document("MountList", items, output, problems=lambda: [problem.error.message for problem in problems])
    elif output is MountFormat.NAME:
        render.names(dict.fromkeys(f"pod/{mount.pod}" for mount in rows))
    elif output is MountFormat.PAIRS:
        render.names(f"hostPath: {mount.node_path.path} containerPath: {mount.path}" for mount in rows if mount.path)
    else:
        shown = [name for name in _COLUMNS if output is MountFormat.WIDE or name not in _WIDE]
        if not query.all_namespaces:
            shown.remove("NAMESPACE")
        render.table(shown, ([_COLUMNS[name](mount) for name in shown] for mount in rows), heading=heading)


def _container(mount: Mount) -> str:
    if mount.container_kind in (None, ContainerKind.APP):
        return mount.container or "<none>"
    return f"{mount.container} ({mount.container_kind})"


def _source(mount: Mount) -> str:
    parts = (str(mount.source), "(block device)" * mount.is_device, f"! {mount.problem}" * bool(mount.problem))
    return " ".join(part for part in parts if part)
