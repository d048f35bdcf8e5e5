"""Real docker, podman and containerd, each with its own root in a temporary directory."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from airgap.references import Reference
from tests.support.cli import run
from tests.support.tools import require


class Runtime:
    """A container tool, pointed at its own root by flags or by its environment."""

    def __init__(self, *command: str, address: str = "", env: Mapping[str, str] | None = None) -> None:
        self.command = command
        self.address = address
        self.env = dict(env or {})

    def __call__(self, *arguments: object) -> str:
        """Run it to a good end, and return what it printed."""
        done = run(*self.command, *arguments, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def has(self, name: str) -> bool:
        """Whether it has an image of this name."""
        return name in self.names()

    def names(self) -> dict[str, str]:
        """Name → digest of everything in it, as its own listing says."""
        if Path(self.command[0]).name == "ctr":
            rows = (line.split() for line in self("images", "ls").splitlines()[1:])
            return {row[0]: row[2] for row in rows}
        form = "{{.Repository}}:{{.Tag}} {{.ID}}"
        rows = (line.split() for line in self("images", "--no-trunc", "--format", form).splitlines())
        return {str(Reference.parse(name)): digest for name, digest in rows if "<none>" not in name}

    @property
    def kind(self) -> str:
        """What `--runtime` calls it."""
        name = Path(self.command[0]).name
        return "containerd" if name == "ctr" else name

    @property
    def flags(self) -> list[str]:
        """What tells our commands where it is, besides its kind."""
        return ["--address", self.address] if self.address else []


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
    """The client of that containerd, in the namespace of Kubernetes."""
    command = (require("ctr"), "--address", str(containerd), "--namespace", "k8s.io")
    return Runtime(*command, address=str(containerd), env={"CONTAINERD_SNAPSHOTTER": "native"})


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
        yield Runtime(*client, address=f"{directory}/docker.sock")


@pytest.fixture(scope="session")
def podman() -> Iterator[Runtime]:
    """Podman has no socket: its environment says where it keeps things. What it runs wants a short path."""
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp") as directory:
        storage, containers = Path(directory, "storage.conf"), Path(directory, "containers.conf")
        storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/root"\nrunroot = "{directory}/run"\n')
        containers.write_text(f'[engine]\ntmp_dir = "{directory}/tmp"\n')
        env = {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_CONF": str(containers)}
        yield Runtime(require("podman"), env=env)


@pytest.fixture(params=["docker", "podman", "ctr"])
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """Each of the three; what we run in this process finds it as well."""
    found: Runtime = request.getfixturevalue(request.param)
    for key, value in found.env.items():
        monkeypatch.setenv(key, value)
    return found


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
