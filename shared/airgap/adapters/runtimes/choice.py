"""Which runtime is meant: the one that is named, else the only one that serves here."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from airgap.adapters.runtimes import programs
from airgap.adapters.runtimes.kinds import KUBERNETES, Containerd, Engine, Kind, Nerdctl, Runtime, check_namespace
from airgap.errors import AccessDenied, InvalidInput, NotFound, StoreError

_CONTAINERD: Final = "/run/containerd/containerd.sock"
_DOCKER: Final = "/var/run/docker.sock"
_SOCKETS: Final = {  # where containerd serves → the programs that can be its ctr, besides the plain one
    _CONTAINERD: (),
    "/run/k3s/containerd/containerd.sock": (("k3s", "ctr"), ("/var/lib/rancher/rke2/bin/ctr",)),
    "/var/snap/microk8s/common/run/containerd.sock": (("microk8s.ctr",), ("microk8s", "ctr")),
    "/run/k0s/containerd.sock": (("k0s", "ctr"),),
}
_CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Choice:
    """What the user said about the runtime.

    Attributes:
        kind: a word of `Kind`; empty for whichever serves.
        address: its socket, as a path or, for docker and podman, a URL; empty for where it usually is.
        namespace: of containerd; empty for that of Kubernetes.
    """

    kind: str = ""
    address: str = ""
    namespace: str = ""


@dataclass(frozen=True)
class Machine:
    """What is looked at to find runtimes; tests have their own."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    root: Path = Path("/")

    def serves(self, path: str) -> bool:
        """Whether there is a socket."""
        try:
            return stat.S_ISSOCK((self.root / path.lstrip("/")).stat().st_mode)
        except OSError:
            return False

    def find(self, program: str) -> str | None:
        """The path of a program."""
        return programs.find(program, dict(self.environment))


def choose(choice: Choice, machine: Machine | None = None) -> Runtime:
    """The runtime that is meant, proved to be there as far as that costs nothing.

    Raises:
        InvalidInput: an unknown word, several runtimes serve, or a flag makes no sense for it.
        NotFound: there is none, or its program is missing. AccessDenied: this user may not.
    """
    machine = machine or Machine()
    if choice.kind and choice.kind not in list(Kind):
        raise InvalidInput(f"unknown runtime {choice.kind!r}", hint=f"use {', '.join(Kind)}")
    kind, address = (Kind(choice.kind), choice.address) if choice.kind else _only_one(choice.address, machine)
    if kind in (Kind.DOCKER, Kind.PODMAN):
        if choice.namespace:
            raise InvalidInput(f"{kind} has no namespaces", hint="leave --containerd-namespace out, or use containerd")
        return _engine(kind, address, machine)
    return _containerd(kind, address, check_namespace(choice.namespace or KUBERNETES), machine)


def serving(machine: Machine) -> list[tuple[Kind, str]]:
    """The runtimes that serve here, with their sockets; podman needs none."""
    named = machine.environment.get("CONTAINERD_ADDRESS")
    sockets = [named] if named else [path for path in _SOCKETS if machine.serves(path)]
    found = [(Kind.CONTAINERD, path) for path in sockets]
    if machine.environment.get("DOCKER_HOST") or machine.serves(_DOCKER):
        found.append((Kind.DOCKER, ""))
    if machine.find("podman"):
        found.append((Kind.PODMAN, ""))
    return found


def _only_one(address: str, machine: Machine) -> tuple[Kind, str]:
    if address:
        word = next((kind for kind in (Kind.CONTAINERD, Kind.DOCKER, Kind.PODMAN) if kind in address), None)
        if word is None:
            raise InvalidInput(f"it is not said what serves at `{address}`", hint="name it with --runtime")
        return word, address
    found = serving(machine)
    if not found:
        raise NotFound(
            "no container runtime was found on this machine",
            hint="name it with --runtime, and its socket with --address",
        )
    if len(found) > 1:
        there = ", ".join(f"{kind} at {path}" if path else kind for kind, path in found)
        raise InvalidInput(
            f"several container runtimes are on this machine: {there}",
            hint="name one with --runtime, and its socket with --address; the kubelet's is what `crictl info` asks",
        )
    return found[0]


def _engine(kind: Kind, address: str, machine: Machine) -> Engine:
    program = machine.find(kind)
    if program is None:
        raise _missing(kind)
    if not address:
        return Engine(kind, (program,), kind)
    url = address if "://" in address else f"unix://{address}"
    if url.startswith("unix://"):
        _reach(url.removeprefix("unix://"), kind, machine)
    flag = ("--host", url) if kind is Kind.DOCKER else ("--remote", "--url", url)
    return Engine(kind, (program, *flag), f"{kind} at {address}")


def _containerd(kind: Kind, address: str, namespace: str, machine: Machine) -> Containerd | Nerdctl:
    found = [path for word, path in serving(machine) if word is Kind.CONTAINERD]
    if not address and len(found) > 1:
        raise InvalidInput(f"containerd serves at {' and '.join(found)}", hint="name one with --address")
    socket_path = (address or (found[0] if found else _CONTAINERD)).removeprefix("unix://")
    place = f"containerd at {socket_path}, namespace {namespace}"
    candidates = (("nerdctl",),) if kind is Kind.NERDCTL else (("ctr",), *_SOCKETS.get(socket_path, ()))
    command = _first(candidates, machine)
    if command is None:
        raise _missing(candidates[0][0])
    _reach(socket_path, "containerd", machine)
    flags = ("--address", socket_path, "--namespace", namespace)
    if kind is Kind.NERDCTL:
        return Nerdctl((*command, *flags), place)
    runtime = Containerd((*command, *flags), place)
    runtime.check_namespace(namespace)
    return runtime


def _first(candidates: tuple[tuple[str, ...], ...], machine: Machine) -> tuple[str, ...] | None:
    for program, *rest in candidates:
        path = machine.find(program)
        if path is not None:
            return (path, *rest)
    return None


def _missing(program: str) -> NotFound:
    return NotFound(
        f"`{program}` was not found on PATH: it is what images are handed to",
        hint="install it, extend PATH, or name another runtime",
    )


def _reach(path: str, what: str, machine: Machine) -> None:
    """Knock at a socket: ctr itself would wait for ten seconds before it says that nobody is there.

    Raises:
        NotFound: there is no socket. AccessDenied: this user may not. StoreError: nobody answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(str(machine.root / path.lstrip("/")))
        except PermissionError as error:
            raise AccessDenied(f"you may not use the {what} at `{path}`", hint="type it as root (sudo)") from error
        except FileNotFoundError as error:
            raise NotFound(f"no {what} serves at `{path}`: there is no such socket", hint=_ADDRESS) from error
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StoreError(f"no {what} answers at `{path}`: {reason}", hint=_ADDRESS) from error


_ADDRESS: Final = "is it running? name its socket with --address"
