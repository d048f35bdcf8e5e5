"""Signatures, attestations and lists of parts go with their images, between registries with and without the API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.support.cli import check_refusal, kubectl_airgap, run
from tests.support.faultproxy import fault_proxy
from tests.support.images import add_image, add_index
from tests.support.referrers import api, attach, entry, get_tag, list_of, put_tag, sign
from tests.support.registry import Registry, store_for

from airgap.descriptors import Descriptor
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk


@dataclass(frozen=True)
class Signed:
    """An image for two platforms in a real registry, with everything that people attach.

    The index has a list of parts (OCI 1.1), which has a signature of cosign's; the index and its second child have
    signatures of cosign's too. What is of OCI 1.1 is listed by tag, as this registry has no API.
    """

    repository: str
    index: Descriptor
    children: tuple[Descriptor, ...]
    parts: Descriptor
    signatures: tuple[Reference, ...]

    @property
    def name(self) -> str:
        return f"{self.repository}:1"

    @property
    def path(self) -> str:
        return self.repository.partition("/")[2]


@pytest.fixture(scope="module")
def signed(registry: Registry) -> Signed:
    store, repository = MemoryStore(), registry.repository()
    name = f"{repository}:1"
    index = add_index(store, name)
    children = walk(store, [Reference.parse(name)]).nodes[index.digest].wanted
    parts = attach(store, name, index)
    signatures = tuple(sign(store, name, subject) for subject in (index, children[1], parts))
    put_all(store, registry)
    put_tag(repository, f"sha256-{index.hex}", list_of([entry(parts)]))
    return Signed(repository, index, children, parts, signatures)


def put_all(store: MemoryStore, registry: Registry) -> None:
    """Everything that is named in memory, into a registry."""
    names = [Reference.parse(name) for name in store.names]
    target = store_for(registry)
    engine.run(plan.plan(walk(store, names), target, {name: name for name in names}), store, target)


@pytest.fixture(scope="module")
def bundle(signed: Signed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("signed") / "x.tar"
    done = kubectl_airgap("pack", "--image", signed.name, "-o", path)
    assert done.returncode == 0, done.stderr
    assert "packed 1 image, 4 referrers" in done.stderr
    assert "note:" not in done.stderr
    return path


def listed(data: bytes) -> list[str]:
    return [child["digest"] for child in json.loads(data)["manifests"]]


def test_what_is_attached_comes_along_and_says_what_it_is_about(signed: Signed, bundle: Path) -> None:
    rows = kubectl_airgap("inspect", bundle, "-o", "json").json["items"]
    parts = f"{signed.repository}@{signed.parts.digest}"
    about = {row["reference"]: (row["kind"], row.get("subject")) for row in rows}
    assert about == {
        signed.name: ("image", None),
        parts: ("referrer", f"image:{signed.name}"),
        str(signed.signatures[0]): ("referrer", f"image:{signed.name}"),
        str(signed.signatures[1]): ("referrer", f"image:{signed.name}"),
        str(signed.signatures[2]): ("referrer", f"referrer:{parts}"),
    }


def test_they_come_along_with_what_manifests_name_too_and_docker_is_not_told_of_them(
    signed: Signed, tmp_path: Path
) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: '%s'}]}\n"
    done = kubectl_airgap("pack", "-f", "-", "-o", tmp_path / "x.tar", stdin=pod % signed.name)
    assert "packed 1 image, 1 manifest, 4 referrers" in done.stderr
    listed = run("tar", "-xOf", tmp_path / "x.tar", "manifest.json").json
    assert [entry["RepoTags"] for entry in listed] == [[signed.name]]


def test_inspect_counts_referrers_and_lists_images(signed: Signed, bundle: Path) -> None:
    assert kubectl_airgap("inspect", bundle, "-o", "name").stdout == f"{signed.name}\n"
    lines = kubectl_airgap("inspect", bundle).stdout.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "PLATFORMS", "SIZE", "SHARED", "REFERRERS"]
    assert [line.split()[-1] for line in lines[1:]] == ["4"]


def test_a_bundle_with_referrers_is_proved_like_any(bundle: Path) -> None:
    done = kubectl_airgap("verify", bundle)
    assert done.returncode == 0, done.stderr
    assert "1 image, 4 referrers" in done.stderr


def test_packing_again_gives_the_same_bytes(signed: Signed, bundle: Path, tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "--image", signed.name, "-j", "1", "-o", tmp_path / "x.tar")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.tar").read_bytes() == bundle.read_bytes()


def test_without_referrers_nothing_is_looked_for(signed: Signed, registry: Registry, tmp_path: Path) -> None:
    before = len(registry.requests())
    done = kubectl_airgap("pack", "--image", signed.name, "--no-referrers", "-o", tmp_path / "x.tar")
    assert done.returncode == 0, done.stderr
    assert "packed 1 image into" in done.stderr
    assert not [r for r in registry.requests()[before:] if "/referrers/" in r or "sha256-" in r]


def test_whether_a_registry_has_the_api_is_asked_once(signed: Signed, registry: Registry, tmp_path: Path) -> None:
    before = len(registry.requests())
    assert kubectl_airgap("pack", "--image", signed.name, "-o", tmp_path / "x.tar").returncode == 0
    requests = registry.requests()[before:]
    assert len([request for request in requests if "/referrers/" in request]) == 1


def test_they_arrive_in_the_repository_of_their_image_with_digests_and_tags_as_they_were(
    signed: Signed, bundle: Path, other_registry: Registry, tmp_path: Path
) -> None:
    prefix = other_registry.repository()
    done = kubectl_airgap("push", bundle, prefix, "--lock", tmp_path / "lock.yaml")
    assert done.returncode == 0, done.stderr
    assert "pushed 1 image, 4 referrers" in done.stderr
    there = f"{prefix}/{signed.path}"
    store = store_for(other_registry)
    for signature in signed.signatures:
        ours = store.find(Reference.parse(f"{there}:{signature.tag}"))
        theirs = store.find(signature)
        assert ours is not None and theirs is not None
        assert ours.digest == theirs.digest
    assert listed(get_tag(there, f"sha256-{signed.index.hex}")) == [signed.parts.digest]
    locked = yaml.safe_load((tmp_path / "lock.yaml").read_text())["images"]
    assert [image["source"] for image in locked] == [signed.name]


def test_the_list_of_a_tag_says_what_the_specification_asks_for(
    signed: Signed, bundle: Path, other_registry: Registry
) -> None:
    prefix = other_registry.repository()
    assert kubectl_airgap("push", bundle, prefix).returncode == 0
    data = get_tag(f"{prefix}/{signed.path}", f"sha256-{signed.index.hex}")
    assert json.loads(data)["manifests"] == [
        {
            "mediaType": signed.parts.media_type,
            "digest": signed.parts.digest,
            "size": signed.parts.size,
            "artifactType": "application/spdx+json",
            "annotations": {"made.by": "a test"},
        }
    ]


def test_what_others_listed_there_stays_on_the_list(signed: Signed, bundle: Path, other_registry: Registry) -> None:
    prefix = other_registry.repository()
    there = f"{prefix}/{signed.path}"
    store = MemoryStore()
    theirs = attach(store, f"{there}:1", signed.index, "somebody else's")
    put_all(store, other_registry)
    document = json.loads(list_of([{**entry(theirs), "unheard.of": 1}])) | {"annotations": {"kept": "yes"}}
    put_tag(there, f"sha256-{signed.index.hex}", json.dumps(document).encode())
    for _ in range(2):
        done = kubectl_airgap("push", bundle, prefix)
        assert done.returncode == 0, done.stderr
        after = json.loads(get_tag(there, f"sha256-{signed.index.hex}"))
        assert after["manifests"][0] == document["manifests"][0]
        assert after["annotations"] == {"kept": "yes"}
        assert [child["digest"] for child in after["manifests"]] == [theirs.digest, signed.parts.digest]


def test_a_second_push_sends_nothing_and_writes_no_list(signed: Signed, bundle: Path, other_registry: Registry) -> None:
    prefix = other_registry.repository()
    assert kubectl_airgap("push", bundle, prefix).returncode == 0
    before = len(other_registry.requests())
    again = kubectl_airgap("push", bundle, prefix)
    assert again.returncode == 0, again.stderr
    assert "nothing was left to send" in again.stderr
    assert {request.split()[0] for request in other_registry.requests()[before:]} == {"HEAD", "GET"}


def test_what_was_pushed_can_be_packed_again_with_all_that_is_attached(
    signed: Signed, bundle: Path, other_registry: Registry, tmp_path: Path
) -> None:
    prefix = other_registry.repository()
    assert kubectl_airgap("push", bundle, prefix).returncode == 0
    image = f"{prefix}/{signed.path}:1"
    done = kubectl_airgap("pack", "--image", image, "-o", tmp_path / "x.tar")
    assert "packed 1 image, 4 referrers" in done.stderr


def test_what_is_attached_to_platforms_left_out_is_left_out(signed: Signed, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    done = kubectl_airgap("pack", "--image", signed.name, "--platform", "linux/amd64", "-o", path)
    assert "packed 1 image, 3 referrers" in done.stderr
    rows = kubectl_airgap("inspect", path, "-o", "json").json["items"]
    assert str(signed.signatures[1]) not in {row["reference"] for row in rows}
    assert kubectl_airgap("verify", path).returncode == 0


def test_a_new_index_leaves_behind_what_is_about_the_old_one_and_says_so(
    signed: Signed, other_registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "x.tar"
    flags = ("--platform", "linux/arm64")
    assert kubectl_airgap("pack", "--image", signed.name, *flags, "-o", path).returncode == 0
    prefix = other_registry.repository()
    done = kubectl_airgap("push", path, prefix, "--filter-index")
    assert done.returncode == 0, done.stderr
    assert "pushed 1 image, 1 referrer" in done.stderr
    left = done.stderr.partition("3 referrers left in the bundle")[2]
    for reference in (signed.signatures[0], signed.signatures[2], f"{signed.repository}@{signed.parts.digest}"):
        assert str(reference) in left
    there = store_for(other_registry)
    assert there.find(Reference.parse(f"{prefix}/{signed.path}:{signed.signatures[1].tag}")) is not None
    assert there.find(Reference.parse(f"{prefix}/{signed.path}:{signed.signatures[0].tag}")) is None


def test_a_push_can_leave_them_in_the_bundle(signed: Signed, bundle: Path, other_registry: Registry) -> None:
    prefix = other_registry.repository()
    done = kubectl_airgap("push", bundle, prefix, "--no-referrers")
    assert done.returncode == 0, done.stderr
    assert "pushed 1 image to" in done.stderr
    assert store_for(other_registry).find(Reference.parse(f"{prefix}/{signed.path}:{signed.signatures[0].tag}")) is None


def test_a_list_that_cannot_be_written_fails_what_is_on_it_and_no_image(
    signed: Signed, bundle: Path, other_registry: Registry, tmp_path: Path
) -> None:
    prefix, tag = other_registry.repository(), f"sha256-{signed.index.hex}"
    there, store = f"{prefix}/{signed.path}", MemoryStore()
    theirs = add_image(store, f"{there}:{tag}")
    put_all(store, other_registry)
    flags = ("--lock", tmp_path / "lock.yaml")
    check_refusal(kubectl_airgap("push", bundle, prefix, *flags), 3, f"the tag `{tag}`")
    done = kubectl_airgap("push", bundle, prefix, *flags, "--keep-going")
    assert done.returncode == 5
    assert f"{signed.repository}@{signed.parts.digest}: " in done.stderr
    assert "pushed 1 image, 3 referrers" in done.stderr
    locked = yaml.safe_load((tmp_path / "lock.yaml").read_text())["images"]
    assert [image["source"] for image in locked] == [signed.name]
    assert get_tag(there, tag) == store.blobs[theirs.digest]


def test_a_dry_run_counts_them_and_names_the_images(signed: Signed, tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "--image", signed.name, "--dry-run", "-o", tmp_path / "x.tar")
    assert done.stdout == f"{signed.name}@{signed.index.digest}\n"
    assert "would write 1 image, 4 referrers" in done.stderr


def test_a_delta_of_a_new_signature_carries_the_signature_only(
    registry: Registry, other_registry: Registry, tmp_path: Path
) -> None:
    name = f"{registry.repository()}:1"
    store = MemoryStore()
    image = add_image(store, name, size=50_000)
    put_all(store, registry)
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    assert kubectl_airgap("pack", "--image", name, "-o", first).returncode == 0
    signature = sign(store, name, image)
    put_all(store, registry)
    done = kubectl_airgap("pack", "--image", name, "--since", first, "-o", second)
    assert done.returncode == 0, done.stderr
    assert second.stat().st_size < 20_000
    prefix = other_registry.repository()
    for path in (first, second):
        pushed = kubectl_airgap("push", path, prefix)
        assert pushed.returncode == 0, pushed.stderr
    there = f"{prefix}/{Reference.parse(name).repository}:{signature.tag}"
    assert store_for(other_registry).find(Reference.parse(there)) is not None


@dataclass(frozen=True)
class Plain:
    """An image in a real registry and two lists of parts about it, which no tag lists."""

    repository: str  # below the host
    image: Descriptor
    parts: tuple[Descriptor, ...]


@pytest.fixture
def plain(registry: Registry) -> Plain:
    store, repository = MemoryStore(), registry.repository()
    name = f"{repository}:1"
    image = add_image(store, name)
    parts = tuple(attach(store, name, image, text) for text in ("one", "two"))
    put_all(store, registry)
    return Plain(repository.partition("/")[2], image, parts)


def test_a_registry_with_the_api_is_asked_by_it(plain: Plain, registry: Registry, tmp_path: Path) -> None:
    rules = api({plain.image.digest: map(entry, plain.parts)})
    with fault_proxy(registry.host, *rules) as proxy:
        done = kubectl_airgap("pack", "--image", f"{proxy.host}/{plain.repository}:1", "-o", tmp_path / "x.tar")
    assert done.returncode == 0, done.stderr
    assert "packed 1 image, 2 referrers" in done.stderr
    assert not [r for r in proxy.requests if r.endswith(f"/manifests/sha256-{plain.image.hex}")]


def test_where_the_target_has_the_api_no_tag_is_written(
    plain: Plain, registry: Registry, other_registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "x.tar"
    with fault_proxy(registry.host, *api({plain.image.digest: map(entry, plain.parts)})) as proxy:
        assert kubectl_airgap("pack", "--image", f"{proxy.host}/{plain.repository}:1", "-o", path).returncode == 0
    with fault_proxy(other_registry.host, *api({plain.image.digest: map(entry, plain.parts)})) as proxy:
        done = kubectl_airgap("push", path, proxy.host)
    assert done.returncode == 0, done.stderr
    assert "pushed 1 image, 2 referrers" in done.stderr
    assert not [request for request in proxy.requests if "sha256-" in request]
    for part in plain.parts:
        there = Reference.parse(f"{other_registry.host}/{plain.repository}@{part.digest}")
        assert store_for(other_registry).find(there) is not None
