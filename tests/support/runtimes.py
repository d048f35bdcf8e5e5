"""Real docker, podman and containerd, each with its own root in a temporary directory."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import run
from tests.support.tools import require


class Runtime:
    """A container tool with the flags that point it at its own root."""

    def __init__(self, *command: str) -> None:
        self.command = command

    def __call__(self, *arguments: object) -> str:
        """Run it to a good end, and return what it printed."""
        done = run(*self.command, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A containerd; its socket."""
    directory = tmp_path_factory.mktemp("containerd")
    socket = directory / "containerd.sock"
    (directory / "config.toml").write_text(
        f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{socket}"\n'
    )
    command = [require("containerd"), "--config", str(directory / "config.toml")]
    with _daemon(command, directory / "log", lambda: _answers("ctr", "--address", str(socket), "version")):
        yield socket


@pytest.fixture(scope="session")
def ctr(containerd: Path) -> Runtime:
    return Runtime(require("ctr"), "--address", str(containerd))


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory, containerd: Path) -> Iterator[Runtime]:
    """A dockerd without network; its client."""
    directory = tmp_path_factory.mktemp("docker")
    host = f"unix://{directory}/docker.sock"
    command = [
        require("dockerd"), "--data-root", f"{directory}/root", "--exec-root", f"{directory}/exec",
        "--pidfile", f"{directory}/pid", "--host", host, "--containerd", str(containerd),
        "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
    ]  # fmt: skip
    client = (require("docker"), "--host", host)
    with _daemon(command, directory / "log", lambda: _answers(*client, "version")):
        yield Runtime(*client)


@pytest.fixture(scope="session")
def podman() -> Iterator[Runtime]:
    """Podman wants a short path for what it runs: fifty characters at most."""
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp") as directory:
        roots = ("--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp")
        yield Runtime(require("podman"), *roots, "--storage-driver", "vfs")


def _answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def _daemon(command: list[str], log: Path, ready: object) -> Iterator[None]:
    assert callable(ready)
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} does not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)
