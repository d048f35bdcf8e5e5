"""Debian packages: which programs the tests and the demonstration start, and how they come onto the machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

# program → package that has it
PROGRAMS = {
    "docker-registry": "docker-registry",
    "htpasswd": "apache2-utils",
    "skopeo": "skopeo",
    "podman": "podman",
    "ctr": "containerd",
    "dockerd": "docker.io",
    "nginx": "nginx-light",
    "strace": "strace",
    "faketime": "faketime",
    "openssl": "openssl",
}
_PLACES = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])
_POLICY = Path("/usr/sbin/policy-rc.d")


def find(program: str) -> str | None:
    """The path of a program; servers lie where only root's PATH leads."""
    return shutil.which(program) or shutil.which(program, path=_PLACES)


def missing() -> list[str]:
    """The packages to install, sorted."""
    packages = {package for program, package in PROGRAMS.items() if find(program) is None}
    if find_spec("ensurepip") is None and not Path(".venv/bin/pip").exists():
        packages.add("python3-venv")
    return sorted(packages)


def apt_line(packages: list[str]) -> str:
    """What a person types to get `packages`."""
    return f"sudo apt-get update && sudo apt-get install --no-install-recommends {' '.join(packages)}"


def install(packages: list[str]) -> None:
    """Install as root; otherwise say what to type, and stop.

    Raises:
        SystemExit: not root, no apt-get, or apt-get failed.
    """
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"error: these packages are missing: {' '.join(packages)}\n\nhint: {apt_line(packages)}")
    print(f"installing Debian packages: {' '.join(packages)}", flush=True)
    with _no_service_started():
        _apt("update", "-qq")
        _apt("install", "-qq", "--yes", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", *arguments], env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"error: `apt-get {' '.join(arguments)}` ended with {done.returncode}")


@contextlib.contextmanager
def _no_service_started() -> Iterator[None]:
    """Debian starts what it installs, unless this file says no (policy-rc.d, exit status 101)."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
