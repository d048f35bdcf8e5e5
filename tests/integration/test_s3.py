"""Bundles in buckets and directories: packed there, read there, pushed from there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.images import add_image, add_index
from tests.support.keys import ecdsa_pair, ed25519_pair
from tests.support.memory import most_memory
from tests.support.registry import Registry, store_for
from tests.support.s3 import S3Server

from airgap import limits
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk


@pytest.fixture
def source(registry: Registry) -> tuple[Reference, ...]:
    """Two images in a real registry."""
    repository = registry.repository()
    origin = MemoryStore()
    add_image(origin, f"{repository}/plain:1", size=300_000)
    add_index(origin, f"{repository}/multi:2")
    names = (Reference.parse(f"{repository}/plain:1"), Reference.parse(f"{repository}/multi:2"))
    store(origin, names, registry)
    return names


def store(origin: MemoryStore, names: tuple[Reference, ...], registry: Registry) -> None:
    graph = walk(origin, names)
    target = store_for(registry)
    engine.run(plan.plan(graph, target, {name: name for name in names}), origin, target)


def images(names: tuple[Reference, ...]) -> list[object]:
    return [word for name in names for word in ("--image", name)]


@pytest.fixture(params=["bucket", "directory"])
def place(request: pytest.FixtureRequest, s3_login: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "directory":
        return f"{tmp_path / 'shop'}/"
    monkeypatch.setenv("AIRGAP_S3_ENDPOINT", s3_login.endpoint)
    return str(s3_login.location())


def test_what_is_packed_there_is_pushed_from_there(
    place: str, source: tuple[Reference, ...], registry: Registry, tmp_path: Path
) -> None:
    packed = kubectl_airgap("pack", *images(source), "-o", place)
    assert packed.returncode == 0, packed.stderr
    assert f"kubectl airgap verify {place}" in packed.stderr
    verified = kubectl_airgap("verify", place)
    assert verified.returncode == 0, verified.stderr
    inspected = kubectl_airgap("inspect", place, "-o", "name")
    assert inspected.stdout.split() == [str(name) for name in sorted(source, key=str)]
    inside = registry.repository()
    pushed = kubectl_airgap("push", place, inside, "--lock", tmp_path / "lock.yaml")
    assert pushed.returncode == 0, pushed.stderr
    there = store_for(registry)
    for name in source:
        copy = Reference.parse(f"{inside}/{name.repository}:{name.tag}")
        assert there.resolve(copy).digest == there.resolve(name).digest


def test_a_bundle_is_signed_where_it_lies(place: str, source: tuple[Reference, ...], tmp_path: Path) -> None:
    ours, theirs = ecdsa_pair(tmp_path), ed25519_pair(tmp_path, "theirs")
    assert kubectl_airgap("pack", *images(source), "-o", place).returncode == 0
    for pair in (ours, theirs, ours):  # the last one's counts
        signed = kubectl_airgap("sign", place, "--key", pair.private)
        assert signed.returncode == 0, signed.stderr
    assert kubectl_airgap("verify", place, "--key", ours.public).returncode == 0
    assert kubectl_airgap("verify", place, "--key", theirs.public).returncode == 3
    again = kubectl_airgap("pack", *images(source), "-o", place, "--sign-key", theirs.private)
    assert again.returncode == 0, again.stderr
    assert kubectl_airgap("verify", place, "--key", theirs.public).returncode == 0


@pytest.mark.parametrize("case", ["flipped", "cut", "gone", "manifest.json", "airgap-inventory.json", "index.json"])
def test_whatever_is_damaged_in_a_bucket_is_named(
    case: str, source: tuple[Reference, ...], s3_login: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRGAP_S3_ENDPOINT", s3_login.endpoint)
    at = s3_login.location()
    assert kubectl_airgap("pack", *images(source), "-o", at).returncode == 0
    objects = s3_login.keys(at)
    largest = max(objects, key=lambda name: objects[name])
    if case in objects:
        s3_login.change(at, case, lambda data: data.replace(b"sha256:1", b"sha256:2").replace(b"plain", b"plane"))
    elif case == "gone":
        s3_login.remove(at, largest)
    else:
        s3_login.change(at, largest, lambda data: data[:-1] + (bytes([data[-1] ^ 1]) if case == "flipped" else b""))
    named = case if case in objects else largest.rpartition("/")[2]
    if case == "airgap-inventory.json":
        named = "the inventory is not the one"
    check_refusal(kubectl_airgap("verify", at), 3, named)


def test_a_delta_may_be_made_against_a_bundle_in_a_bucket(
    source: tuple[Reference, ...], s3_login: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRGAP_S3_ENDPOINT", s3_login.endpoint)
    at = s3_login.location()
    assert kubectl_airgap("pack", *images(source[:1]), "-o", at).returncode == 0
    done = kubectl_airgap("pack", *images(source), "--since", at, "-o", f"{tmp_path}/delta/")
    assert done.returncode == 0, done.stderr
    assert "are left to the other side" in done.stderr


def test_of_a_bundle_in_a_bucket_the_lock_is_written_here(
    source: tuple[Reference, ...],
    s3_login: S3Server,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRGAP_S3_ENDPOINT", s3_login.endpoint)
    monkeypatch.chdir(tmp_path)
    at = s3_login.location()
    assert kubectl_airgap("pack", *images(source), "-o", at).returncode == 0
    assert kubectl_airgap("push", at, registry.repository()).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["shop.lock.yaml"]


@pytest.mark.undisturbed
def test_memory_does_not_grow_with_what_is_sent_to_a_bucket(s3_login: S3Server, registry: Registry) -> None:
    origin, name = MemoryStore(), Reference.parse(f"{registry.repository()}/large:1")
    add_image(origin, str(name), layers=[(os.urandom(12 * limits.MIB), "sha256:0") for _ in range(6)])
    store(origin, (name,), registry)
    command = ("pack", "--image", name, "-o", s3_login.location(), "--s3-endpoint", s3_login.endpoint, "-q")
    assert most_memory(*command) < 120
