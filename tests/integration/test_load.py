"""A bundle into real container runtimes, and what their own programs say about it afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.bundles import pack_into
from tests.support.cli import check_refusal
from tests.support.images import add_image
from tests.support.loading import HOST, OTHER, World, load, made
from tests.support.runtimes import Runtime

from airgap.descriptors import Descriptor
from airgap.references import Reference


@pytest.fixture
def world(tmp_path: Path) -> World:
    return made(tmp_path)


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


def test_a_delta_without_an_images_config_is_refused_where_that_is_missing_and_else_taken(
    world: World, podman: Runtime
) -> None:
    manifest = world.document(world.digest("web:1"))
    config = Descriptor(manifest["config"]["mediaType"], manifest["config"]["digest"], manifest["config"]["size"])
    delta = world.bundle(["web:1"], absent=[config, *world.layers("web:1")])

    refused = load(delta, podman)
    load(world.bundle(["web:1"]), podman)
    done = load(delta, podman, "--report", "json")

    check_refusal(refused, 5, "leaves out 3 blobs", config.digest, "without --since")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == 0


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(world: World, ctr: Runtime) -> None:
    bundle = world.bundle(["web:1"])

    said = load(bundle, ctr, "--dry-run")
    listed = load(bundle, ctr, "--dry-run", "--report", "json")

    assert f"{world.name('web:1')} -> {world.name('web:1')} ({world.digest('web:1')})" in said.stdout
    assert "would send 40" in said.stderr
    assert json.loads(listed.stdout)["items"][0]["present"] is False
    assert not ctr.has(world.name("web:1"))
