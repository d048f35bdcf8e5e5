"""The bundle is what other tools read, as it lies: no conversion, no unpacking by us."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.bundles import pack_into
from tests.support.cli import run
from tests.support.images import add_image, add_index
from tests.support.referrers import attach, sign
from tests.support.registry import Registry
from tests.support.runtimes import Runtime
from tests.support.tools import require

from airgap.bundles.composition import Asked
from airgap.bundles.inventory import REFERRER
from airgap.references import Reference
from airgap.stores.memory import MemoryStore


@dataclass(frozen=True)
class Made:
    path: Path
    names: tuple[str, ...]
    store: MemoryStore

    def digest(self, name: str) -> str:
        return self.store.resolve(Reference.parse(name)).digest


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three images, two plain ones, one for several platforms; and what is attached to them."""
    store = MemoryStore()
    names = ("docker.io/library/web:1.0", "quay.io/team/app:2", "registry.k8s.io/multi/tool:v3")
    plain = add_image(store, names[0])
    add_image(store, names[1])
    index = add_index(store, names[2])
    references = [Reference.parse(name) for name in names]
    parts = attach(store, names[2], index)
    referrers = {
        sign(store, names[0], plain): f"image:{names[0]}",
        Reference.parse(names[2]).with_digest(parts.digest).without_tag(): f"image:{names[2]}",
    }
    path = tmp_path_factory.mktemp("bundle") / "x.tar"
    asked = {reference: Asked((), REFERRER, subject) for reference, subject in referrers.items()}
    pack_into(path, store, [*references, *referrers], asked=asked)
    return Made(path, names, store)


def test_skopeo_reads_every_image_by_its_full_name_and_keeps_its_digest(bundle: Made) -> None:
    for name in bundle.names:
        done = run(require("skopeo"), "inspect", "--raw", f"oci-archive:{bundle.path}:{name}")
        assert done.returncode == 0, done.stderr
        assert f"sha256:{hashlib.sha256(done.stdout.encode()).hexdigest()}" == bundle.digest(name)


def test_skopeo_copies_an_image_with_all_platforms_to_a_registry(bundle: Made, registry: Registry) -> None:
    name = bundle.names[2]
    target = f"docker://{registry.repository()}:1"
    source = f"oci-archive:{bundle.path}:{name}"
    done = run(require("skopeo"), "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", source, target)
    assert done.returncode == 0, done.stderr
    there = run(require("skopeo"), "inspect", "--raw", "--tls-verify=false", target)
    assert f"sha256:{hashlib.sha256(there.stdout.encode()).hexdigest()}" == bundle.digest(name)


def test_containerd_imports_every_image_by_name_and_digest(bundle: Made, ctr: Runtime) -> None:
    ctr("images", "import", bundle.path)
    there = ctr.names()
    assert {name: there[name] for name in bundle.names} == {name: bundle.digest(name) for name in bundle.names}


def test_what_is_attached_is_listed_under_a_key_that_no_runtime_unpacks_by(bundle: Made) -> None:
    with tarfile.open(bundle.path) as tar:
        member = tar.extractfile("index.json")
        assert member is not None
        entries = json.load(member)["manifests"]
    names = [entry["annotations"].get("io.containerd.image.name") for entry in entries]
    assert {name for name in names if name} == set(bundle.names)
    assert sum("dev.airgap.name" in entry["annotations"] for entry in entries) == names.count(None) == 2


def test_podman_loads_every_image(bundle: Made, podman: Runtime) -> None:
    podman("load", "--input", bundle.path)
    assert set(bundle.names) <= set(podman.names())


def test_docker_loads_every_image(bundle: Made, docker: Runtime) -> None:
    docker("load", "--input", bundle.path)
    assert set(bundle.names) <= set(docker.names())


def test_plain_tar_unpacks_it_into_an_image_layout(bundle: Made, tmp_path: Path) -> None:
    done = run("tar", "-xf", bundle.path, "-C", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    blobs = list((tmp_path / "blobs" / "sha256").iterdir())
    assert len(blobs) == len(bundle.store.blobs)
    for blob in blobs:
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_its_members_stand_in_the_order_and_form_that_the_format_says(bundle: Made) -> None:
    with tarfile.open(bundle.path) as tar:
        members = tar.getmembers()
    leading = ["oci-layout", "airgap-inventory.json", "index.json", "manifest.json"]
    assert [member.name for member in members[:4]] == leading
    assert all(member.name.startswith("blobs/sha256/") for member in members[4:])
    assert {(m.mode, m.uid, m.gid, m.uname, m.gname, m.mtime, m.isreg()) for m in members} == {
        (0o644, 0, 0, "", "", 0, True)
    }
