"""Bundles in buckets and directories: packed there, read there, pushed from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.cli import kubectl_airgap
from tests.support.images import add_image, add_index
from tests.support.registry import Registry, store_for
from tests.support.s3 import S3Server

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
    graph = walk(origin, names)
    target = store_for(registry)
    engine.run(plan.plan(graph, target, {name: name for name in names}), origin, target)
    return names


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
    store = store_for(registry)
    for name in source:
        copy = Reference.parse(f"{inside}/{name.repository}:{name.tag}")
        assert store.resolve(copy).digest == store.resolve(name).digest
