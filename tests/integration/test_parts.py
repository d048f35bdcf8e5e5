"""Bundles in parts, with the commands a user types: every one of them takes the parts as they are."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.support.cli import check_refusal, kubectl_airgap, run
from tests.support.images import add_image, random_layer
from tests.support.registry import Registry, store_for

from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk


@pytest.fixture(scope="module")
def image(registry: Registry) -> str:
    """An image of some 900 KB in a real registry."""
    name = f"{registry.repository()}:1"
    store = MemoryStore()
    add_image(store, name, layers=[random_layer(random.Random(seed), 300_000) for seed in range(3)])
    reference = Reference.parse(name)
    target = store_for(registry)
    engine.run(plan.plan(walk(store, [reference]), target, {reference: reference}), store, target)
    return name


@pytest.fixture(scope="module")
def archive(image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The name of a bundle in four parts: there is no such file."""
    path = tmp_path_factory.mktemp("packed") / "shop.tar"
    done = kubectl_airgap("pack", "--image", image, "--split", "256KiB", "-o", path)
    assert done.returncode == 0, done.stderr
    assert "in 4 parts" in done.stderr
    assert f"kubectl airgap verify {path}" in done.stderr
    return path


def test_joined_by_cat_they_are_the_very_bundle(image: str, archive: Path, tmp_path: Path) -> None:
    whole = tmp_path / "shop.tar"
    assert kubectl_airgap("pack", "--image", image, "-o", whole).returncode == 0
    assert run("bash", "-c", f"cat {archive}.[0-9]* | cmp - {whole}").returncode == 0
    assert (
        kubectl_airgap("inspect", whole, "--inventory").stdout
        == kubectl_airgap("inspect", archive, "--inventory").stdout
    )


@pytest.mark.parametrize("suffix", ["", ".001", ".parts.json"])
def test_every_name_of_the_set_is_a_name_of_the_bundle(archive: Path, suffix: str) -> None:
    done = kubectl_airgap("verify", f"{archive}{suffix}")
    assert done.returncode == 0, done.stderr
    assert "1 image, 5 blobs" in done.stderr


def test_push_reads_the_parts_and_names_the_lock_after_the_bundle(
    image: str, archive: Path, other_registry: Registry
) -> None:
    prefix = other_registry.repository()
    done = kubectl_airgap("push", f"{archive}.parts.json", prefix)
    assert done.returncode == 0, done.stderr
    assert archive.with_name("shop.lock.yaml").exists()
    found = store_for(other_registry).find(Reference.parse(f"{prefix}/{Reference.parse(image).repository}:1"))
    assert found is not None


@pytest.mark.parametrize("suffix", ["", ".parts.json"])
def test_a_delta_may_be_made_against_parts(image: str, archive: Path, tmp_path: Path, suffix: str) -> None:
    delta = tmp_path / "delta.tar"
    done = kubectl_airgap("pack", "--image", image, "--since", f"{archive}{suffix}", "-o", delta)
    assert done.returncode == 0, done.stderr
    assert delta.stat().st_size < 20_000


def test_packing_again_keeps_the_parts_and_another_bundle_is_refused(image: str, archive: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in archive.parent.glob("shop.tar.*")}
    again = kubectl_airgap("pack", "--image", image, "--split", "256KiB", "-o", archive)
    assert again.returncode == 0, again.stderr
    assert "kept from an earlier run" in again.stderr
    other = kubectl_airgap("pack", "--image", image, "--name", "other", "--split", "256KiB", "-o", archive)
    check_refusal(other, 2, "is there already, and not of this bundle", "hint: ")
    assert {path.name: path.read_bytes() for path in archive.parent.glob("shop.tar.*")} == before


def test_parts_of_another_size_do_not_replace_those_that_are_there(image: str, archive: Path) -> None:
    other = kubectl_airgap("pack", "--image", image, "--split", "128KiB", "-o", archive)
    check_refusal(other, 2, "not of this bundle in parts of this size", "old parts and their list")


def test_parts_that_a_run_left_unfinished_are_to_be_packed_to_the_end_and_not_joined(
    archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop.tar.001").write_bytes(Path(f"{archive}.001").read_bytes())
    (tmp_path / "shop.tar.parts.json.partial").write_bytes(b"{}")
    check_refusal(kubectl_airgap("verify", tmp_path / "shop.tar"), 3, "is not whole", "packs it again")


def test_a_plan_says_how_many_there_will_be(image: str, tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "--image", image, "--split", "100kB", "--dry-run", "-o", tmp_path / "x.tar")
    assert "10 parts" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_parts_whose_list_was_left_behind_are_not_taken_for_a_bundle(archive: Path, tmp_path: Path) -> None:
    for number in ("001", "002"):
        (tmp_path / f"shop.tar.{number}").write_bytes(Path(f"{archive}.{number}").read_bytes())
    for name in (tmp_path / "shop.tar.001", tmp_path / "shop.tar"):
        check_refusal(kubectl_airgap("verify", name), 3, "shop.tar.parts.json` is missing", "carry it over too")


@pytest.mark.parametrize("size", ["0", "-1", "4GX", "1 part"])
def test_what_is_no_size_is_refused(image: str, tmp_path: Path, size: str) -> None:
    check_refusal(kubectl_airgap("pack", "--image", image, "--split", size, "-o", tmp_path / "x.tar"), 2, "hint: ")


def test_the_list_is_as_the_format_says(archive: Path) -> None:
    value = json.loads(archive.with_name("shop.tar.parts.json").read_bytes())
    assert sorted(value) == ["inventory", "mediaType", "name", "parts", "schemaVersion", "size"]
    assert [sorted(row) for row in value["parts"]] == [["digest", "head", "name", "size"]] * 4
