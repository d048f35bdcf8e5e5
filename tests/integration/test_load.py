"""A bundle into real container runtimes, and what their own programs say about it afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.support.bundles import pack_into
from tests.support.cli import SCRIPTS, check_refusal, kubectl_airgap
from tests.support.images import add_image, add_index, random_layer
from tests.support.runtimes import Runtime

from airgap.bundles.reader import open_file
from airgap.descriptors import Descriptor
from airgap.platforms import Platform
from airgap.references import Reference
from airgap.stores.memory import MemoryStore

HOST = str(Platform.host())
OTHER = "linux/s390x" if HOST == "linux/arm64" else "linux/arm64"


@dataclass
class World:
    """Images under names that nobody else uses, and a bundle of them."""

    directory: Path
    prefix: str
    store: MemoryStore

    def name(self, short: str) -> str:
        return f"{self.prefix}/{short}"

    def bundle(self, shorts: Sequence[str], absent: Sequence[Descriptor] = ()) -> Path:
        path = self.directory / f"{uuid4().hex}.tar"
        references = [Reference.parse(self.name(short)) for short in shorts]
        pack_into(path, self.store, references, absent={blob.digest: (self.prefix,) for blob in absent})
        return path

    def digest(self, short: str) -> str:
        return self.store.resolve(Reference.parse(self.name(short))).digest

    def child(self, short: str, platform: str = HOST) -> str:
        """Of an index, the digest of one platform's manifest; of anything else, its own."""
        entries = self.document(self.digest(short)).get("manifests", [])
        fitting = (e["digest"] for e in entries if Platform.from_json(e["platform"]).covers(Platform.parse(platform)))
        return str(next(fitting, self.digest(short)))

    def config(self, short: str, platform: str = HOST) -> str:
        return str(self.document(self.child(short, platform))["config"]["digest"])

    def layers(self, short: str, platform: str = HOST) -> list[Descriptor]:
        entries = self.document(self.child(short, platform))["layers"]
        return [Descriptor(entry["mediaType"], entry["digest"], entry["size"]) for entry in entries]

    def document(self, digest: str) -> Any:
        return json.loads(self.store.blobs[digest])

    def known_as(self, short: str, runtime: Runtime) -> str:
        """What a runtime calls an image: docker and podman by its config, containerd by its manifest or index."""
        return self.digest(short) if runtime.kind == "containerd" else self.config(short)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, f"quay.io/t{uuid4().hex[:10]}", MemoryStore())
    shared = random_layer(random.Random(made.prefix), 400_000)
    own = random_layer(random.Random(made.prefix + "x"), 3_000)
    add_image(made.store, made.name("web:1"), layers=[shared, own], platform=HOST)
    add_image(made.store, made.name("db:2"), layers=[shared, shared], platform=HOST)
    add_index(made.store, made.name("tool:3"), (OTHER, HOST))
    return made


def load(bundle: Path, runtime: Runtime, *more: object) -> subprocess.CompletedProcess[str]:
    return kubectl_airgap("load", bundle, "--runtime", runtime.kind, *runtime.flags, *more, env=runtime.env)


SHORTS = ("db:2", "tool:3", "web:1")


def test_every_image_arrives_under_its_name_with_its_digest_and_only_once(world: World, runtime: Runtime) -> None:
    bundle = world.bundle(SHORTS)

    first = load(bundle, runtime)
    again = load(bundle, runtime, "--report", "json")

    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [world.name(short) for short in SHORTS]
    there = runtime.names()
    for short in SHORTS:
        assert there[world.name(short)].endswith(world.known_as(short, runtime).removeprefix("sha256:"))
    assert "nothing was left to send" in again.stderr
    report = json.loads(again.stdout)
    assert {(item["result"], item["bytes"]) for item in report["items"]} == {("unchanged", 0)}
    assert report["bytes"] == 0


def test_docker_lists_the_relocated_names_as_a_registry_with_a_port_wants_them(world: World, docker: Runtime) -> None:
    registry = f"{uuid4().hex[:8]}.example.com:32000"
    sources = (
        "docker.io/juicedata/juicefs-csi-driver:v0.10.5",
        "quay.io/k8scsi/csi-provisioner:v1.6.0",
        "quay.io/k8scsi/livenessprobe:v1.3.0",
        "quay.io/k8scsi/csi-node-driver-registrar:v1.1.0",
        "docker.io/juicedata/mount:v1.0.0-4.8.0",
    )
    for source in sources:
        add_image(world.store, source, platform=HOST, size=600)
    path = world.directory / "juicefs.tar"
    pack_into(path, world.store, [Reference.parse(source) for source in sources])

    done = load(path, docker, "--to", registry, "--naming", "group=juicedata")

    expected = {f"{registry}/juicedata/{source.rpartition('/')[2]}" for source in sources}
    assert set(done.stdout.splitlines()) == expected, done.stderr
    assert {name for name in docker.names() if name.startswith(registry)} == expected


def test_what_is_there_under_another_name_is_named_and_not_sent(world: World, runtime: Runtime) -> None:
    bundle = world.bundle(["web:1"])
    load(bundle, runtime)

    done = load(bundle, runtime, "--to", f"{uuid4().hex}.corp:5000/apps", "--keep-names", "--report", "json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bytes"] == 0
    assert len(report["items"]) == 2
    there = runtime.names()
    assert len({there[item["target"]] for item in report["items"]}) == 1


def test_containerd_finds_an_image_by_digest_and_by_tag_and_gets_shared_layers_once(world: World, ctr: Runtime) -> None:
    pinned = f"{world.name('web:1')}@{world.digest('web:1')}"
    path = world.directory / "x.tar"
    pack_into(path, world.store, [Reference.parse(pinned), Reference.parse(world.name("db:2"))])

    done = load(path, ctr, "--report", "json")

    there = ctr.names()
    assert there[world.name("web:1")] == there[f"{world.prefix}/web@{world.digest('web:1')}"] == world.digest("web:1")
    sent = {item["source"]: item["bytes"] for item in json.loads(done.stdout)["items"] if item["bytes"]}
    shared = world.layers("db:2")[0].size
    assert min(sent.values()) < shared < max(sent.values()) < 2 * shared


def test_a_pinned_image_carries_the_label_that_the_kubelet_is_told_by(world: World, ctr: Runtime) -> None:
    bundle = world.bundle(["web:1"])
    load(bundle, ctr)

    done = load(bundle, ctr, "--pin")

    assert done.returncode == 0, done.stderr
    row = next(line for line in ctr("images", "ls").splitlines() if line.startswith(world.name("web:1")))
    assert row.split()[-1] == "io.cri-containerd.pinned=pinned"
    assert "crictl images -o json" in done.stderr


def test_containerd_is_sent_this_machines_platform_and_another_only_when_asked(world: World, ctr: Runtime) -> None:
    bundle = world.bundle(["tool:3"])
    load(bundle, ctr)
    before = ctr("content", "ls", "--quiet")

    done = load(bundle, ctr, "--platform", OTHER)

    assert done.returncode == 0, done.stderr
    after = ctr("content", "ls", "--quiet")
    for layer in world.layers("tool:3", OTHER):
        assert layer.digest not in before
        assert layer.digest in after


def test_podman_is_sent_the_platform_that_was_asked_for(world: World, podman: Runtime) -> None:
    done = load(world.bundle(["tool:3"]), podman, "--platform", OTHER)

    assert done.returncode == 0, done.stderr
    assert podman.names()[world.name("tool:3")] == world.config("tool:3", OTHER)


def test_a_delta_completes_what_containerd_has_and_is_refused_where_that_is_missing(world: World, ctr: Runtime) -> None:
    shared, own = world.layers("web:1")
    delta = world.bundle(["web:1"], absent=[shared])

    refused = load(delta, ctr)
    load(world.bundle(["db:2"]), ctr)
    done = load(delta, ctr, "--report", "json")

    check_refusal(refused, 5, "leaves out 1 blobs", shared.digest, "without --since")
    assert done.returncode == 0, done.stderr
    assert own.size < json.loads(done.stdout)["bytes"] < shared.size
    assert ctr.has(world.name("web:1"))


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(world: World, ctr: Runtime) -> None:
    bundle = world.bundle(["web:1"])

    said = load(bundle, ctr, "--dry-run")
    listed = load(bundle, ctr, "--dry-run", "--report", "json")

    assert f"{world.name('web:1')} -> {world.name('web:1')} ({world.digest('web:1')})" in said.stdout
    assert "would send 40" in said.stderr
    assert json.loads(listed.stdout)["items"][0]["present"] is False
    assert not ctr.has(world.name("web:1"))


def test_damaged_content_kills_the_importer_and_the_image_is_not_there(world: World, runtime: Runtime) -> None:
    bundle = world.bundle(["web:1"])
    with open_file(bundle) as opened:
        offsets = {blob.digest: blob.offset for blob in opened.inventory.blobs}
        base = bundle.stat().st_size - 1024 - max(b.offset + -(-b.size // 512) * 512 for b in opened.inventory.blobs)
    layer = world.layers("web:1")[0]
    with bundle.open("r+b") as file:
        file.seek(base + offsets[layer.digest] + layer.size // 2)
        file.write(b"\0\0\0\0\0\0\0\0")

    done = load(bundle, runtime)

    check_refusal(done, 3, layer.digest, f"nothing of `{world.name('web:1')}` was loaded", "carry the bundle over")
    assert not runtime.has(world.name("web:1"))


def test_ctrl_c_leaves_no_importer_running(world: World, ctr: Runtime) -> None:
    """The importer is one that never ends; everything else is asked of the real ctr."""
    programs = world.directory / "bin"
    programs.mkdir()
    mark = world.directory / "importer"
    slow = programs / "ctr"
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *import*) echo $$ > {mark}; exec sleep 600;; esac\nexec {ctr.command[0]} "$@"\n'
    )
    slow.chmod(0o755)
    command = [SCRIPTS / "kubectl-airgap", "load", world.bundle(["web:1"]), "--runtime", "containerd", *ctr.flags]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    process = subprocess.Popen([str(w) for w in command], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 20
    while not (mark.exists() and mark.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=10)

    assert process.returncode == 130, words
    assert "Traceback" not in words
    assert not Path(f"/proc/{int(mark.read_text())}").exists()
    assert not ctr.has(world.name("web:1"))
