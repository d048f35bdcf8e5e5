"""Runtimes: which one is meant, what it is asked, and what becomes of the programs that are started for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap import limits
from airgap.adapters.runtimes import programs
from airgap.adapters.runtimes.choice import Choice, Machine, choose, serving
from airgap.adapters.runtimes.kinds import Containerd, Engine, Held, Kind, Nerdctl
from airgap.errors import AccessDenied, Cancelled, ContentError, DamagedBundle, InvalidInput, NotFound, StoreError
from airgap.references import Reference

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


class Node:
    """A machine with programs and sockets of our choosing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir()
        self.environment = {"PATH": str(root / "bin")}

    @property
    def machine(self) -> Machine:
        return Machine(self.environment, self.root)

    def program(self, name: str, answer: str = "") -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
        path.chmod(0o755)

    def serve(self, path: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(place))
        server.listen()
        self.servers = [*getattr(self, "servers", []), server]

    def close(self) -> None:
        for server in getattr(self, "servers", []):
            server.close()


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("n"))  # a socket's path has 108 characters at most
    yield made
    made.close()


def test_the_only_runtime_that_serves_is_taken(node: Node) -> None:
    node.serve("/run/containerd/containerd.sock")
    node.program("ctr", "k8s.io")

    chosen = choose(Choice(), node.machine)

    assert isinstance(chosen, Containerd)
    assert chosen.place == "containerd at /run/containerd/containerd.sock, namespace k8s.io"
    assert chosen.command[1:] == ("--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io")


@pytest.mark.parametrize(
    ("address", "program", "words"),
    [
        ("/run/k3s/containerd/containerd.sock", "k3s", ("ctr",)),
        ("/var/snap/microk8s/common/run/containerd.sock", "microk8s.ctr", ()),
        ("/run/k0s/containerd.sock", "k0s", ("ctr",)),
    ],
)
def test_distributions_of_kubernetes_bring_their_own_ctr(
    node: Node, address: str, program: str, words: tuple[str, ...]
) -> None:
    node.serve(address)
    node.program(program, "k8s.io")

    chosen = choose(Choice(), node.machine)

    assert chosen.command == (str(node.root / "bin" / program), *words, "--address", address, "--namespace", "k8s.io")


def test_where_several_serve_one_must_be_named(node: Node) -> None:
    node.serve("/run/containerd/containerd.sock")
    node.serve("/var/run/docker.sock")
    for program in ("ctr", "docker", "podman"):
        node.program(program, "k8s.io")

    assert [kind for kind, _ in serving(node.machine)] == [Kind.CONTAINERD, Kind.DOCKER, Kind.PODMAN]
    with pytest.raises(InvalidInput, match=r"several .*containerd at /run/.*, docker, podman") as refusal:
        choose(Choice(), node.machine)
    assert "--runtime" in refusal.value.hint
    assert choose(Choice("podman"), node.machine) == Engine(Kind.PODMAN, (str(node.root / "bin" / "podman"),), "podman")


def test_two_containerds_are_told_apart_by_their_sockets(node: Node) -> None:
    node.serve("/run/containerd/containerd.sock")
    node.serve("/run/k3s/containerd/containerd.sock")
    node.program("ctr", "k8s.io")

    with pytest.raises(InvalidInput, match=r"serves at .* and ") as refusal:
        choose(Choice("containerd"), node.machine)
    assert "--address" in refusal.value.hint
    assert "k3s" in choose(Choice("containerd", "/run/k3s/containerd/containerd.sock"), node.machine).place


def test_an_address_goes_to_docker_and_podman_as_each_of_them_takes_it(node: Node) -> None:
    node.serve("/run/d.sock")
    for program in ("docker", "podman"):
        node.program(program)

    assert choose(Choice("docker", "/run/d.sock"), node.machine).command[1:] == ("--host", "unix:///run/d.sock")
    assert choose(Choice("docker", "tcp://a:2375"), node.machine).command[1:] == ("--host", "tcp://a:2375")
    podman = choose(Choice("podman", "/run/d.sock"), node.machine).command[1:]
    assert podman == ("--remote", "--url", "unix:///run/d.sock")


def test_nerdctl_is_told_address_and_namespace_and_its_listing_is_read(node: Node) -> None:
    """Rows in the form of nerdctl 2.0 `images --format '{{json .}}'`, which is not on this machine."""
    rows = [
        {
            "Digest": DIGEST,
            "Name": "docker.io/library/web:1",
            "Repository": "web",
            "Tag": "1",
            "Platform": "linux/arm64",
        },
        {
            "Digest": DIGEST,
            "Name": "docker.io/library/web:1",
            "Repository": "web",
            "Tag": "1",
            "Platform": "linux/amd64",
        },
        {"Digest": OTHER, "Name": "", "Repository": "quay.io/a/b", "Tag": "2"},
        {"Digest": OTHER, "Name": "overlayfs@sha256:bad", "Repository": "<none>", "Tag": "<none>"},
    ]
    node.serve("/run/containerd/containerd.sock")
    node.program("nerdctl", "\n".join(json.dumps(row) for row in rows))

    chosen = choose(Choice("nerdctl", namespace="build"), node.machine)

    assert isinstance(chosen, Nerdctl)
    assert chosen.command[1:] == ("--address", "/run/containerd/containerd.sock", "--namespace", "build")
    assert chosen.importer("")[5:] == ["load"]
    assert chosen.importer("linux/arm64")[5:] == ["load", "--platform", "linux/arm64"]
    assert chosen.images() == {
        Reference.parse("web:1"): Held(DIGEST),
        Reference.parse("quay.io/a/b:2"): Held(OTHER),
    }
    with pytest.raises(InvalidInput, match="cannot label"):
        chosen.pin([])


def test_an_answer_of_nerdctl_in_another_form_is_said_to_be_one(node: Node) -> None:
    node.serve("/run/containerd/containerd.sock")
    node.program("nerdctl", '["not a row"]')

    with pytest.raises(StoreError, match="a form we do not know"):
        choose(Choice("nerdctl"), node.machine).images()


def test_what_the_kubelets_plugin_enters_by_id_is_no_name(node: Node) -> None:
    header = "REF TYPE DIGEST SIZE PLATFORMS LABELS"
    rows = f"quay.io/a/b:1 application/x {DIGEST} 4.4 KiB linux/amd64 a=b,io.cri-containerd.pinned=pinned\n"
    rows += f"{DIGEST} application/x {DIGEST} 1.0 MiB linux/amd64 io.cri-containerd.image=managed"
    node.program("ctr", f"{header}\n{rows}")

    runtime = Containerd((str(node.root / "bin" / "ctr"),), "containerd")

    assert runtime.images() == {Reference.parse("quay.io/a/b:1"): Held(DIGEST, "application/x", pinned=True)}


def test_a_program_sees_where_its_things_are_and_nothing_else_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = {"DOCKER_HOST": "unix:///x", "CONTAINERS_CONF": "/y", "CONTAINERD_SNAPSHOTTER": "native"}
    for key, value in {**kept, "LD_PRELOAD": "/z.so", "AWS_SECRET_ACCESS_KEY": "s", "PYTHONPATH": "/p"}.items():
        monkeypatch.setenv(key, value)

    seen = dict(line.split("=", 1) for line in programs.ask(["/usr/bin/env"]).decode().splitlines())

    assert kept.items() <= seen.items()
    assert not {"LD_PRELOAD", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"} & set(seen)


def test_an_answer_without_end_is_cut_and_its_program_stopped() -> None:
    with pytest.raises(StoreError, match="printed more than 100000 bytes"):
        programs.ask(["/usr/bin/yes"], most=100_000)


def test_a_program_that_says_nothing_is_not_waited_for_without_end() -> None:
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"did nothing for 0.3 seconds"):
        list(programs.drain(["/bin/sleep", "60"], seconds=0.3))
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("words", "kind", "hint"),
    [
        ("permission denied while trying to connect to the Docker daemon socket", AccessDenied, "as root"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", StoreError, "is it running"),
        ("something else entirely " * 100, StoreError, ""),
    ],
)
def test_a_refusal_is_one_line_in_the_programs_own_words(words: str, kind: type[StoreError], hint: str) -> None:
    with pytest.raises(kind) as refusal:
        programs.ask(["/bin/sh", "-c", f"echo '{words}' >&2; echo >&2; exit 1"])
    assert words[:60] in refusal.value.message
    assert "\n" not in refusal.value.message
    assert len(refusal.value.message) < 700
    assert hint in refusal.value.hint


def test_what_is_fed_arrives_whole_in_bounded_memory(tmp_path: Path) -> None:
    piece = bytes(limits.CHUNK)
    tracemalloc.start()
    programs.feed(["/bin/sh", "-c", f"wc -c > {tmp_path / 'count'}"], (piece for _ in range(64)), threading.Event())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (tmp_path / "count").read_text().strip() == str(64 * limits.CHUNK)
    assert peak < 4 * limits.MIB


def test_an_importer_never_sees_the_end_of_input_that_failed(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"good"
        raise DamagedBundle("a bit is not what it was")

    with pytest.raises(ContentError, match="a bit is not"):
        programs.feed(["/bin/sh", "-c", f"cat > /dev/null; touch {tmp_path / 'ended'}"], failing(), threading.Event())
    assert not (tmp_path / "ended").exists()


def test_an_importer_that_takes_nothing_ends_when_we_are_stopped() -> None:
    stopped = threading.Event()
    clock = threading.Timer(0.3, stopped.set)
    clock.start()
    with pytest.raises(Cancelled):
        programs.feed(["/bin/sleep", "60"], (bytes(limits.CHUNK) for _ in range(100)), stopped)
    clock.join()


def test_an_importer_that_ends_early_is_believed_by_its_status(tmp_path: Path) -> None:
    chunks = [bytes(limits.CHUNK)] * 8
    programs.feed(["/bin/true"], chunks, threading.Event())
    with pytest.raises(StoreError, match="it is full"):
        programs.feed(["/bin/sh", "-c", "echo it is full >&2; exit 3"], chunks, threading.Event())


def test_whoever_stops_reading_stops_the_program() -> None:
    output = programs.drain(["/bin/sh", "-c", "echo $$; exec sleep 600"])
    process = int(next(output))
    output.close()
    assert not Path(f"/proc/{process}").exists()


def test_a_program_that_cannot_be_started_is_named() -> None:
    with pytest.raises(NotFound, match="`/nowhere/ctr` cannot be started: No such file"):
        programs.ask(["/nowhere/ctr"])


def test_a_socket_that_this_user_may_not_use_is_said_to_be_that(node: Node) -> None:
    """Asked as nobody, in a process of its own: users of a whole process are not changed for a test."""
    node.serve("/run/containerd/containerd.sock")
    node.program("ctr")
    for part in (*node.root.parents, node.root, node.root / "run", node.root / "run" / "containerd"):
        if part.owner() == "root" and str(part).startswith("/tmp/"):
            part.chmod(0o755)
    (node.root / "run/containerd/containerd.sock").chmod(0o600)
    code = (
        "import os, sys\n"
        "from airgap.adapters.runtimes.choice import *\nfrom airgap.errors import AirgapError\n"
        "root = Path(sys.argv[1])\nos.setgroups([]); os.setegid(65534); os.seteuid(65534)\n"
        "try:\n    choose(Choice(), Machine({'PATH': str(root / 'bin')}, root))\n"
        "except AirgapError as error:\n    print(type(error).__name__, error.message, error.hint, sep='|')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(node.root)], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("AccessDenied|you may not use the containerd at `/run/containerd/containerd.sock`|")
    assert os.geteuid() == 0
