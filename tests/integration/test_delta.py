"""A delta leaves out what the other side has, and is taken only where that is true."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.cli import check_refusal, kubectl_airgap, run
from tests.support.images import add_image, random_layer
from tests.support.registry import Registry, store_for
from tests.support.tools import require

from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk

BASE = 300_000
CHANGE = 20_000


@dataclass(frozen=True)
class Releases:
    """Two releases of four images in a real registry, of which one has changed by one layer; and their bundles."""

    repository: str
    first: Path
    second: Path
    inventory: Path
    digests: dict[str, str]

    def names(self, release: int) -> list[str]:
        return [f"{self.repository}/app:{release}", *(f"{self.repository}/{name}:1" for name in ("db", "web"))]


def flags(names: list[str]) -> list[str]:
    return [word for name in names for word in ("--image", name)]


@pytest.fixture(scope="module")
def releases(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Releases:
    repository, rng, store = registry.repository(), random.Random(3), MemoryStore()
    folder = tmp_path_factory.mktemp("delta")
    base = random_layer(rng, BASE)
    add_image(store, f"{repository}/app:1", layers=[base, random_layer(rng, CHANGE)])
    add_image(store, f"{repository}/app:2", layers=[base, random_layer(rng, CHANGE)])
    add_image(store, f"{repository}/db:1", layers=[random_layer(rng, BASE)])
    add_image(store, f"{repository}/web:1", layers=[base])
    made = Releases(repository, folder / "one.tar", folder / "two.tar", folder / "one.json", {})
    references = [Reference.parse(name) for name in {*made.names(1), *made.names(2)}]
    target = store_for(registry)
    engine.run(plan.plan(walk(store, references), target, {r: r for r in references}), store, target)
    made.digests.update({str(r): store.resolve(r).digest for r in references})
    assert kubectl_airgap("pack", *flags(made.names(1)), "-o", made.first).returncode == 0
    done = kubectl_airgap("pack", *flags(made.names(2)), "--since", made.first, "-o", made.second)
    assert done.returncode == 0, done.stderr
    assert "left to the other side" in done.stderr
    inventory = kubectl_airgap("inspect", made.first, "--inventory")
    made.inventory.write_text(inventory.stdout)
    return made


def served(reference: str) -> str:
    done = run(require("skopeo"), "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{reference}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_delta_is_as_large_as_what_changed(releases: Releases) -> None:
    assert releases.first.stat().st_size > BASE
    assert releases.second.stat().st_size < CHANGE * 1.1 + 20_000  # frames and manifests of small images
    verified = kubectl_airgap("verify", releases.second)
    assert verified.returncode == 0
    assert "it is a delta: 4 blobs of " in verified.stderr


def test_a_delta_completes_what_the_first_push_began(releases: Releases, other_registry: Registry) -> None:
    prefix = other_registry.repository()
    assert kubectl_airgap("push", releases.first, prefix).returncode == 0
    done = kubectl_airgap("push", releases.second, prefix, "--report", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    results = {Reference.parse(item["source"]).name.rpartition("/")[2]: item["result"] for item in report["items"]}
    assert results == {"app": "done", "db": "unchanged", "web": "unchanged"}
    assert report["bytes"] < CHANGE * 1.1 + 1_000
    for name in releases.names(2):
        assert served(f"{prefix}/{Reference.parse(name).repository}:{name[-1]}") == releases.digests[name]


def test_a_registry_that_lacks_what_the_delta_leaves_out_is_not_touched(
    releases: Releases, other_registry: Registry, tmp_path: Path
) -> None:
    prefix = other_registry.repository()
    before = len(other_registry.requests())
    done = kubectl_airgap("push", releases.second, prefix, "--lock", tmp_path / "lock.yaml")
    check_refusal(
        done, 5, "lacks 4 blobs that the delta leaves out; nothing was changed", "hint: push the bundle first"
    )
    asked = other_registry.requests()[before:]
    assert all(request.startswith(("HEAD", "GET")) for request in asked), asked
    assert not (tmp_path / "lock.yaml").exists()


def test_what_lies_in_another_repository_of_the_registry_is_mounted_from_there(
    releases: Releases, other_registry: Registry, tmp_path: Path
) -> None:
    prefix = other_registry.repository()
    assert kubectl_airgap("push", releases.first, prefix).returncode == 0
    fork, delta = f"{releases.repository}/fork:1", tmp_path / "fork.tar"
    copied = run(
        require("skopeo"), "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
        f"docker://{releases.repository}/web:1", f"docker://{fork}",
    )  # fmt: skip
    assert copied.returncode == 0, copied.stderr
    assert kubectl_airgap("pack", "--image", fork, "--since", releases.first, "-o", delta).returncode == 0
    done = kubectl_airgap("push", delta, prefix)
    assert done.returncode == 0, done.stderr
    assert "2 blobs taken over from repositories there" in done.stderr
    assert served(f"{prefix}/{Reference.parse(fork).repository}:1") == releases.digests[f"{releases.repository}/web:1"]


def test_an_inventory_does_for_a_bundle_that_is_out_of_reach(releases: Releases, tmp_path: Path) -> None:
    delta = tmp_path / "two.tar"
    done = kubectl_airgap("pack", *flags(releases.names(2)), "--since", releases.inventory, "-o", delta)
    assert done.returncode == 0, done.stderr
    assert delta.stat().st_size == pytest.approx(releases.second.stat().st_size, abs=2048)


def test_a_registry_that_can_be_asked_does_for_a_bundle(
    releases: Releases, other_registry: Registry, tmp_path: Path
) -> None:
    prefix, delta = other_registry.repository(), tmp_path / "two.tar"
    assert kubectl_airgap("push", releases.first, prefix).returncode == 0
    done = kubectl_airgap("pack", *flags(releases.names(2)), "--since", f"oci://{prefix}", "-o", delta)
    assert done.returncode == 0, done.stderr
    assert delta.stat().st_size == releases.second.stat().st_size
    assert kubectl_airgap("push", delta, prefix).returncode == 0


def test_a_delta_of_a_delta_builds_on_both(releases: Releases, other_registry: Registry, tmp_path: Path) -> None:
    prefix, third = other_registry.repository(), tmp_path / "three.tar"
    done = kubectl_airgap("pack", *flags(releases.names(2)), "--since", releases.second, "-o", third)
    assert done.returncode == 0, done.stderr
    assert third.stat().st_size < CHANGE
    for bundle in (releases.first, releases.second, third):
        assert kubectl_airgap("push", bundle, prefix).returncode == 0


def test_other_tools_read_of_a_delta_what_is_whole_in_it(releases: Releases, tmp_path: Path) -> None:
    with_new = tmp_path / "new.tar"
    alone = f"{releases.repository}/db:1"
    done = kubectl_airgap("pack", *flags([*releases.names(2)]), "--since", releases.first, "-o", with_new)
    assert done.returncode == 0, done.stderr
    index = json.loads(subprocess.check_output(["tar", "-xOf", with_new, "index.json"]))
    assert index["manifests"] == []  # each of the three lacks something
    assert alone in kubectl_airgap("inspect", with_new, "-o", "name").stdout


def test_what_is_since_and_is_no_bundle_is_said_to_be_none(releases: Releases, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 2_000)
    packing = ("pack", *flags(releases.names(1)), "-o", tmp_path / "y.tar", "--since")
    check_refusal(kubectl_airgap(*packing, tmp_path / "x"), 3, "is not a bundle")
    check_refusal(kubectl_airgap(*packing, tmp_path / "absent.tar"), 2, "absent.tar", "oci://HOST/PREFIX")
    (tmp_path / "x.json").write_text("{}")
    check_refusal(kubectl_airgap(*packing, tmp_path / "x.json"), 3, "inventory")
