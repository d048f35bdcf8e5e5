"""Flags that name a cluster and what to look at in it, as kubectl has them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from airgap.adapters.kubeconfig import Access
from airgap.errors import InvalidInput
from airgap_cli.options import flag

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_DURATION = re.compile(
    rf"(?:(?P<h>{_NUMBER})h)?(?:(?P<m>{_NUMBER})m(?!s))?(?:(?P<s>{_NUMBER})s?)?(?:(?P<ms>{_NUMBER})ms)?"
)


@dataclass(frozen=True)
class ScopeFlags:
    """Which objects of a cluster."""

    namespace: Annotated[
        str, flag("-n", "--namespace", help="Namespace; the one of the context unless given.", metavar="NAME")
    ] = ""
    all_namespaces: Annotated[bool, flag("-A", "--all-namespaces", help="All namespaces.")] = False
    selector: Annotated[
        str, flag("-l", "--selector", help="Only objects with these labels, such as app=web.", metavar="LABELS")
    ] = ""
    field_selector: Annotated[
        str,
        flag("--field-selector", help="Only objects with these fields, such as spec.nodeName=n1.", metavar="FIELDS"),
    ] = ""


@dataclass(frozen=True)
class ClusterFlags:
    """Which cluster, and as whom."""

    context: Annotated[str, flag("--context", help="Context of the kubeconfig to use.", metavar="NAME")] = ""
    kubeconfig: Annotated[
        Path | None, flag("--kubeconfig", help="The kubeconfig; else $KUBECONFIG, ~/.kube/config.", metavar="FILE")
    ] = None
    cluster_: Annotated[str, flag("--cluster", help="Cluster of the kubeconfig to use.", metavar="NAME")] = ""
    user: Annotated[str, flag("--user", help="User of the kubeconfig to use.", metavar="NAME")] = ""
    server: Annotated[str, flag("-s", "--server", help="Address of the API server.", metavar="URL")] = ""
    as_: Annotated[str, flag("--as", help="User to impersonate.", metavar="NAME")] = ""
    as_group: Annotated[
        list[str] | None, flag("--as-group", help="Group to impersonate; repeatable.", metavar="NAME")
    ] = None
    request_timeout: Annotated[
        str,
        flag("--request-timeout", help="How long to wait for the server, such as 30s or 2m.", metavar="TIME"),
    ] = "0"


def access_of(flags: ClusterFlags, ca_file: Path | None = None) -> Access:
    """The core's form of `ClusterFlags`, with what the environment says about clusters.

    Raises:
        InvalidInput: the time is none.
    """
    named = os.environ.get("KUBECONFIG", "")
    paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part] or [Path.home() / ".kube" / "config"]
    return Access(
        kubeconfigs=(flags.kubeconfig,) if flags.kubeconfig else tuple(paths),
        required=flags.kubeconfig is not None,
        context=flags.context,
        cluster=flags.cluster_,
        user=flags.user,
        server=flags.server,
        impersonate=flags.as_,
        impersonate_groups=tuple(flags.as_group or ()),
        ca_file=ca_file,
        timeout=seconds(flags.request_timeout),
        environment=dict(os.environ),
    )


def seconds(text: str) -> float:
    """A time as kubectl takes it: `10`, `30s`, `2m`, `1h30m`, `500ms`.

    Raises:
        InvalidInput: not of that form.
    """
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        raise InvalidInput(
            f"invalid timeout value {text!r}", hint="write whole seconds, or a number with its unit: 1s, 2m, 3h"
        )
    lengths = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(value) * lengths[unit] for unit, value in match.groupdict().items() if value)
