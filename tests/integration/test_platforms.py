"""Several platforms at once: what is asked for comes along, the index stays as it was, and what it lacks is said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.images import add_image, put
from tests.support.registry import Registry, store_for

from airgap.bundles.reader import open_file
from airgap.bundles.verification import verify
from airgap.descriptors import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk

PLATFORMS: tuple[dict[str, str], ...] = (
    {"os": "linux", "architecture": "amd64"},
    {"os": "linux", "architecture": "arm64", "variant": "v8"},
    {"os": "linux", "architecture": "arm", "variant": "v6"},
    {"os": "linux", "architecture": "arm", "variant": "v7"},
    {"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.6293"},
    {"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.2700"},
)


@dataclass(frozen=True)
class Built:
    """An image as BuildKit makes it, in a real registry.

    An index of six platforms, each followed by its attestation, and after them an index inside the index with
    riscv64 and s390x.

    Attributes:
        children: platform as we write it → digest.
        attestations: digest of a child → digest of what attests it.
    """

    name: str
    data: bytes
    children: dict[str, str]
    attestations: dict[str, str]

    @property
    def digest(self) -> str:
        return Descriptor.of(self.data, OCI_INDEX).digest


@pytest.fixture(scope="module")
def built(registry: Registry) -> Built:
    store, name = MemoryStore(), f"{registry.repository()}:1"
    entries: list[dict[str, Any]] = []
    children: dict[str, str] = {}
    attestations: dict[str, str] = {}
    for platform in PLATFORMS:
        child = add_image(store, platform=f"{platform['os']}/{platform['architecture']}", size=300)
        about = attestation(store, child)
        entries += [child.to_json() | {"platform": platform}, about]
        version = f"({platform['os.version']})" if "os.version" in platform else ""
        words = (platform["os"] + version, platform["architecture"], platform.get("variant", ""))
        children["/".join(word for word in words if word)] = child.digest
        attestations[child.digest] = about["digest"]
    inside: list[dict[str, Any]] = []
    for architecture in ("riscv64", "s390x"):
        child = add_image(store, platform=f"linux/{architecture}", size=300)
        inside.append(child.to_json() | {"platform": {"os": "linux", "architecture": architecture}})
        children[f"linux/{architecture}"] = child.digest
    entries.append(index(store, inside).to_json())
    root = index(store, entries)
    reference = Reference.parse(name)
    store.tag(reference, root, store.blobs[root.digest])
    target = store_for(registry)
    engine.run(plan.plan(walk(store, [reference]), target, {reference: reference}), store, target)
    return Built(name, store.blobs[root.digest], children, attestations)


def attestation(store: MemoryStore, child: Descriptor) -> dict[str, Any]:
    """What BuildKit lists beside a platform: provenance, which can run nowhere."""
    statement = put(store, json.dumps({"subject": child.digest}).encode(), "application/vnd.in-toto+json")
    rootfs = {"type": "layers", "diff_ids": [statement.digest]}
    config = put(store, json.dumps({"architecture": "unknown", "os": "unknown", "rootfs": rootfs}).encode(), OCI_CONFIG)
    document = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.to_json(), "layers": [statement.to_json()],
    }  # fmt: skip
    made = put(store, json.dumps(document).encode(), OCI_MANIFEST)
    notes = {"vnd.docker.reference.digest": child.digest, "vnd.docker.reference.type": "attestation-manifest"}
    return made.to_json() | {"platform": {"os": "unknown", "architecture": "unknown"}, "annotations": notes}


def index(store: MemoryStore, entries: Iterable[object]) -> Descriptor:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), "annotations": {"odd": "é"}}
    return put(store, json.dumps(document, indent=5, ensure_ascii=False).encode(), OCI_INDEX)


def pack(built: Built, path: Path, *platforms: str) -> str:
    """Pack it for these platforms; what was said on the way."""
    flags = [word for platform in platforms for word in ("--platform", platform)]
    done = kubectl_airgap("pack", "--image", built.name, *flags, "--no-referrers", "-o", path)
    assert done.returncode == 0, done.stderr
    return done.stderr


def packed_children(built: Built, path: Path) -> set[str]:
    """Which platforms are in a bundle, each with its attestation; the index in it is as it was."""
    with open_file(path) as bundle:
        root = Descriptor(OCI_INDEX, built.digest, len(built.data))
        assert bundle.store.manifest("", root) == built.data
        found = {name for name, digest in built.children.items() if digest in bundle.digests}
        attested = {built.attestations.get(built.children[name]) for name in found} - {None}
        assert attested == set(built.attestations.values()) & bundle.digests
        assert set(bundle.inventory.items[0].platforms) == found
        verify(bundle)
    return found


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        pytest.param(["linux/amd64", "linux/arm64"], {"linux/amd64", "linux/arm64/v8"}, id="two"),
        pytest.param(["arm"], {"linux/arm/v6", "linux/arm/v7"}, id="any-variant"),
        pytest.param(["linux/arm/v7"], {"linux/arm/v7"}, id="one-variant"),
        pytest.param(["linux/s390x"], {"linux/s390x"}, id="inside-an-inner-index"),
        pytest.param(["linux/riscv64", "amd64"], {"linux/riscv64", "linux/amd64"}, id="inside-and-outside"),
        pytest.param(
            ["windows/amd64"],
            {"windows(10.0.17763.6293)/amd64", "windows(10.0.20348.2700)/amd64"},
            id="any-version",
        ),
        pytest.param(["windows(10.0.20348)/amd64"], {"windows(10.0.20348.2700)/amd64"}, id="one-version"),
    ],
)
def test_what_was_asked_for_comes_along_with_its_attestations_and_nothing_else(
    built: Built, tmp_path: Path, asked: list[str], there: set[str]
) -> None:
    said = pack(built, tmp_path / "x.tar", *asked)
    assert packed_children(built, tmp_path / "x.tar") == there
    assert "of 1 image other platforms stay behind" in said


def test_without_a_choice_all_platforms_come_and_nothing_stays_behind(
    built: Built, other_registry: Registry, tmp_path: Path
) -> None:
    said = pack(built, tmp_path / "x.tar")
    assert packed_children(built, tmp_path / "x.tar") == set(built.children)
    assert "stay behind" not in said
    prefix = other_registry.repository()
    assert kubectl_airgap("push", tmp_path / "x.tar", prefix).returncode == 0
    there = Reference.parse(f"{prefix}/{Reference.parse(built.name).repository}@{built.digest}")
    assert store_for(other_registry).find(there) is not None


def test_what_a_registry_refuses_sparse_it_takes_filtered_and_the_lock_names_what_is_there(
    built: Built, other_registry: Registry, tmp_path: Path
) -> None:
    path, lock = tmp_path / "x.tar", tmp_path / "lock.yaml"
    pack(built, path, "linux/arm/v7", "linux/s390x")
    prefix = other_registry.repository()
    check_refusal(kubectl_airgap("push", path, prefix), 4, "--filter-index")
    done = kubectl_airgap("push", path, prefix, "--filter-index", "--lock", lock)
    assert done.returncode == 0, done.stderr
    locked = yaml.safe_load(lock.read_text())["images"][0]
    assert locked["platforms"] == ["linux/arm/v7", "linux/s390x"]
    store, target = store_for(other_registry), Reference.parse(locked["target"])
    found = store.resolve(target)
    assert locked["digest"] == found.digest != built.digest
    document = json.loads(store.manifest(target.name, found))
    original = json.loads(built.data)
    assert document["annotations"] == original["annotations"]
    seventh = built.children["linux/arm/v7"]
    kept = [entry for entry in original["manifests"] if entry["digest"] in (seventh, built.attestations[seventh])]
    assert document["manifests"][:2] == kept
    inner = document["manifests"][2]
    assert inner["mediaType"] == OCI_INDEX
    inside = json.loads(store.manifest(target.name, Descriptor(OCI_INDEX, inner["digest"], inner["size"])))
    assert [entry["digest"] for entry in inside["manifests"]] == [built.children["linux/s390x"]]
    again = kubectl_airgap("push", path, prefix, "--filter-index")
    assert "nothing was left to send" in again.stderr


@pytest.mark.parametrize("tag", [":1", ""], ids=["with-a-tag", "by-digest-alone"])
def test_a_pin_leads_to_the_new_index_once_it_is_relocated(
    built: Built, other_registry: Registry, tmp_path: Path, tag: str
) -> None:
    pinned = f"{built.name.removesuffix(':1')}{tag}@{built.digest}"
    path, lock, manifest = (tmp_path / name for name in ("x.tar", "lock.yaml", "pod.yaml"))
    flags = ("--platform", "linux/amd64", "--no-referrers", "-o", path)
    assert kubectl_airgap("pack", "--image", pinned, *flags).returncode == 0
    done = kubectl_airgap("push", path, other_registry.repository(), "--filter-index", "--lock", lock)
    assert done.returncode == 0, done.stderr
    pod = {"containers": [{"name": "a", "image": pinned}]}
    manifest.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": pod}))
    moved = kubectl_airgap("relocate", "-f", manifest, "--lock", lock)
    assert moved.returncode == 0, moved.stderr
    target = Reference.parse(yaml.safe_load(moved.stdout)["spec"]["containers"][0]["image"])
    assert target.digest == yaml.safe_load(lock.read_text())["images"][0]["digest"] != built.digest
    assert store_for(other_registry).find(target) is not None


def test_b50_a_platform_that_is_absent_is_an_error_that_lists_all_there_are(built: Built, tmp_path: Path) -> None:
    flags = ("--platform", "linux/mips64", "-o", tmp_path / "x.tar")
    done = kubectl_airgap("pack", "--image", built.name, *flags)
    check_refusal(done, 5, built.name, *built.children)
    assert list(tmp_path.iterdir()) == []


def test_b50_a_platform_that_is_absent_beside_others_is_told(built: Built, tmp_path: Path) -> None:
    said = pack(built, tmp_path / "x.tar", "linux/amd64", "linux/mips64")
    assert f"note: not made for linux/mips64: {built.name}" in said
    assert packed_children(built, tmp_path / "x.tar") == {"linux/amd64"}


def test_b50_an_image_for_one_platform_only_is_told_too(registry: Registry, tmp_path: Path) -> None:
    store, reference = MemoryStore(), Reference.parse(f"{registry.repository()}:1")
    add_image(store, str(reference), size=300)
    target = store_for(registry)
    engine.run(plan.plan(walk(store, [reference]), target, {reference: reference}), store, target)
    flags = ("--platform", "linux/amd64", "--platform", "linux/arm64", "-o", tmp_path / "x.tar")
    done = kubectl_airgap("pack", "--image", reference, *flags)
    assert done.returncode == 0, done.stderr
    assert f"note: not made for linux/arm64: {reference}" in done.stderr


def test_an_index_that_names_no_platform_can_be_packed_whole(registry: Registry, tmp_path: Path) -> None:
    store, reference = MemoryStore(), Reference.parse(f"{registry.repository()}:1")
    root = index(store, [add_image(store, size=300).to_json()])
    store.tag(reference, root, store.blobs[root.digest])
    target = store_for(registry)
    engine.run(plan.plan(walk(store, [reference]), target, {reference: reference}), store, target)
    refused = kubectl_airgap("pack", "--image", reference, "--platform", "linux/amd64", "-o", tmp_path / "x.tar")
    check_refusal(refused, 5, "names no platform")
    assert kubectl_airgap("pack", "--image", reference, "-o", tmp_path / "x.tar").returncode == 0
