"""From a registry into a file and out again, with the commands a user types."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
import yaml
from tests.support.cli import check_refusal, kubectl_airgap, run
from tests.support.images import add_image, add_index, random_layer
from tests.support.origin import Origin, publish
from tests.support.registry import (
    PASSWORD,
    USER,
    Registry,
    TokenServer,
    login,
    store_for,
)
from tests.support.tools import require

from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk


@pytest.fixture(scope="module")
def origin(registry: Registry) -> Origin:
    """`plain:1`, `multi:2`, and `twin:1`, which shares its layers with `plain`."""
    shared = [random_layer(random.Random(5), 200_000), random_layer(random.Random(6), 5_000)]

    def fill(store: MemoryStore, repository: str) -> None:
        add_image(store, f"{repository}/plain:1", layers=shared)
        add_image(store, f"{repository}/twin:1", layers=shared, platform="linux/arm64")
        add_index(store, f"{repository}/multi:2")

    return publish(registry, fill)


@pytest.fixture(scope="module")
def bundle(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "x.tar"
    done = kubectl_airgap("pack", *origin.flags, "-o", path)
    assert done.returncode == 0, done.stderr
    return path


def served_digest(reference: str) -> str:
    """The digest of what a registry really serves, asked by another program."""
    done = run(require("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{reference}")
    assert done.returncode == 0, done.stderr
    return f"sha256:{hashlib.sha256(done.stdout.encode()).hexdigest()}"


def test_manifest_digests_after_push_equal_those_at_the_source(
    origin: Origin, bundle: Path, other_registry: Registry
) -> None:
    prefix = other_registry.repository()
    done = kubectl_airgap("push", bundle, prefix)
    assert done.returncode == 0, done.stderr
    for name in origin.names:
        assert served_digest(f"{prefix}/{Reference.parse(name).repository}:{name[-1]}") == origin.digest(name)


def test_packing_twice_gives_the_same_bytes(origin: Origin, bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "x.tar"
    backwards = [word for name in reversed(origin.names) for word in ("--image", name)]
    done = kubectl_airgap("pack", *backwards, "-j", "1", "-o", again, env={"TZ": "Asia/Tokyo"})
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == bundle.read_bytes()


def test_every_command_ends_with_the_next_one_to_type(origin: Origin, tmp_path: Path, other_registry: Registry) -> None:
    path = tmp_path / "y.tar"
    packed = kubectl_airgap("pack", *origin.flags, "-o", path)
    assert f"kubectl airgap verify {path}" in packed.stderr
    assert f"kubectl airgap push {path} HOST/PREFIX" in kubectl_airgap("verify", path).stderr
    pushed = kubectl_airgap("push", path, other_registry.repository())
    assert "helm relocate CHART" in pushed.stderr
    assert packed.stdout == pushed.stdout == ""


def test_pushing_again_asks_once_for_each_manifest_and_for_no_blob(
    origin: Origin, bundle: Path, other_registry: Registry
) -> None:
    prefix = other_registry.repository()
    assert kubectl_airgap("push", bundle, prefix).returncode == 0
    path = "/v2/" + prefix.partition("/")[2]
    before = len(asked(other_registry, path))
    again = kubectl_airgap("push", bundle, prefix)
    assert again.returncode == 0, again.stderr
    assert "nothing was left to send" in again.stderr
    requests = asked(other_registry, path)[before:]
    assert all(request.startswith("HEAD") and "/manifests/" in request for request in requests), requests
    assert len(requests) == 5  # two single manifests, one index with its two children


def asked(registry: Registry, path: str) -> list[str]:
    return [request for request in registry.requests() if path in request]


def test_layers_that_images_share_are_sent_once_and_mounted(
    origin: Origin, bundle: Path, other_registry: Registry
) -> None:
    prefix = other_registry.repository()
    done = kubectl_airgap("push", bundle, prefix)
    assert "taken over from repositories there" in done.stderr
    requests = asked(other_registry, "/v2/" + prefix.partition("/")[2])
    uploads = [request for request in requests if request.startswith("PUT") and "/blobs/uploads/" in request]
    digests = [request.rpartition("digest=")[2] for request in uploads]
    assert len(digests) == len(set(digests))


def test_the_lock_says_where_all_is_now(origin: Origin, bundle: Path, other_registry: Registry, tmp_path: Path) -> None:
    prefix = other_registry.repository()
    lock = tmp_path / "x.lock.yaml"
    assert kubectl_airgap("push", bundle, prefix, "--lock", lock).returncode == 0
    document = yaml.safe_load(lock.read_text())
    assert (document["apiVersion"], document["kind"]) == ("airgap.dev/v1", "ImageLock")
    assert [entry["source"] for entry in document["images"]] == sorted(origin.names)
    for entry in document["images"]:
        assert entry["digest"] == origin.digest(entry["source"])
        assert served_digest(entry["target"]) == entry["digest"]
    assert document["images"][0]["platforms"] == ["linux/amd64", "linux/arm64/v8"]


def test_one_platform_of_an_image_leaves_the_index_as_it_was(origin: Origin, tmp_path: Path) -> None:
    path = tmp_path / "amd64.tar"
    name = origin.names[0]
    done = kubectl_airgap("pack", "--image", name, "--platform", "x86_64", "-o", path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(kubectl_airgap("inspect", path, "-o", "json").stdout)["items"]
    assert [(row["digest"], row["platforms"]) for row in rows] == [(origin.digest(name), ["linux/amd64"])]
    assert kubectl_airgap("verify", path).returncode == 0


def test_a_pinned_image_gets_its_tag_too_although_its_digest_is_there_already(
    origin: Origin, other_registry: Registry, tmp_path: Path
) -> None:
    name = origin.names[1]
    pinned, path = f"{name}@{origin.digest(name)}", tmp_path / "x.tar"
    assert kubectl_airgap("pack", "--image", pinned, "-o", path).returncode == 0
    prefix = other_registry.repository()
    target = f"{prefix}/{Reference.parse(name).repository}"
    copied = run(
        require("skopeo"), "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
        f"docker://{name}", f"docker://{target}:other",
    )  # fmt: skip
    assert copied.returncode == 0, copied.stderr
    assert kubectl_airgap("push", path, prefix).returncode == 0
    assert served_digest(f"{target}:1") == origin.digest(name)


def test_a_tag_that_has_moved_and_the_image_it_was_pinned_to_both_arrive(
    registry: Registry, other_registry: Registry, tmp_path: Path
) -> None:
    name = f"{registry.repository()}:1"
    digests = []
    for _ in range(2):
        store = MemoryStore()
        digests.append(add_image(store, name).digest)
        reference = Reference.parse(name)
        target = store_for(registry)
        engine.run(plan.plan(walk(store, [reference]), target, {reference: reference}), store, target)
    path = tmp_path / "x.tar"
    assert kubectl_airgap("pack", "--image", name, "--image", f"{name}@{digests[0]}", "-o", path).returncode == 0
    prefix = other_registry.repository()
    done = kubectl_airgap("push", path, prefix)
    assert done.returncode == 0, done.stderr
    there = f"{prefix}/{Reference.parse(name).repository}"
    assert served_digest(f"{there}:1") == digests[1]
    assert served_digest(f"{there}@{digests[0]}") == digests[0]


def test_a_registry_that_wants_all_platforms_is_explained_and_can_be_satisfied(
    origin: Origin, other_registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "arm64.tar"
    flags = ("--platform", "linux/arm64")
    assert kubectl_airgap("pack", "--image", origin.names[0], *flags, "-o", path).returncode == 0
    prefix = other_registry.repository()
    refused = kubectl_airgap("push", path, prefix)
    assert refused.returncode == 4
    assert "--filter-index" in refused.stderr
    done = kubectl_airgap("push", path, prefix, "--filter-index", "--lock", tmp_path / "lock.yaml")
    assert done.returncode == 0, done.stderr
    entry = yaml.safe_load((tmp_path / "lock.yaml").read_text())["images"][0]
    assert entry["platforms"] == ["linux/arm64/v8"]
    assert entry["digest"] == served_digest(entry["target"]) != origin.digest(origin.names[0])


def test_a_platform_that_an_image_is_not_made_for_is_an_error_that_lists_others(origin: Origin, tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "--image", origin.names[0], "--platform", "linux/s390x", "-o", tmp_path / "x.tar")
    assert done.returncode == 5
    assert "linux/amd64, linux/arm64/v8" in done.stderr
    assert not (tmp_path / "x.tar").exists()


def test_an_image_for_one_platform_only_is_no_image_for_another(origin: Origin, tmp_path: Path) -> None:
    plain, twin = origin.names[1], origin.names[2]  # made for amd64 and for arm64
    flags = ("--platform", "linux/amd64", "-o", tmp_path / "x.tar")
    refused = kubectl_airgap("pack", "--image", plain, "--image", twin, *flags)
    check_refusal(refused, 5, f"{twin} is made for linux/arm64")
    assert kubectl_airgap("pack", "--image", plain, *flags).returncode == 0


def test_all_images_that_cannot_be_read_are_named_at_once(registry: Registry, tmp_path: Path) -> None:
    missing = [f"{registry.repository()}:{number}" for number in range(3)]
    flags = [word for name in missing for word in ("--image", name)]
    done = kubectl_airgap("pack", *flags, "-o", tmp_path / "x.tar")
    assert done.returncode == 5
    for name in missing:
        assert name in done.stderr


def test_a_mirror_stands_in_for_the_registry_of_the_name(origin: Origin, registry: Registry, tmp_path: Path) -> None:
    name = f"docker.io/{Reference.parse(origin.names[1]).repository}:1"
    path = tmp_path / "x.tar"
    done = kubectl_airgap("pack", "--image", name, "--mirror", f"docker.io={registry.host}", "-o", path)
    assert done.returncode == 0, done.stderr
    assert kubectl_airgap("inspect", path, "-o", "name").stdout == f"{name}\n"


def test_registries_conf_is_a_mirror_too(origin: Origin, registry: Registry, tmp_path: Path) -> None:
    name = f"quay.io/{Reference.parse(origin.names[1]).repository}:1"
    conf = tmp_path / "registries.conf"
    conf.write_text(
        f'[[registry]]\nprefix = "quay.io"\nlocation = "quay.invalid"\n'
        f'[[registry.mirror]]\nlocation = "{registry.host}"\ninsecure = true\n'
    )
    env = {"CONTAINERS_REGISTRIES_CONF": str(conf)}
    done = kubectl_airgap("pack", "--image", name, "-o", tmp_path / "x.tar", env=env)
    assert done.returncode == 0, done.stderr


def test_a_dry_run_writes_nothing(origin: Origin, bundle: Path, other_registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    packed = kubectl_airgap("pack", *origin.flags, "-o", path, "--dry-run")
    assert packed.returncode == 0
    assert [line.partition("@")[0] for line in packed.stdout.splitlines()] == sorted(origin.names)
    assert "free there" in packed.stderr
    assert list(tmp_path.iterdir()) == []
    prefix = other_registry.repository()
    pushed = kubectl_airgap("push", bundle, prefix, "--dry-run")
    assert pushed.returncode == 0
    assert all(prefix in line for line in pushed.stdout.splitlines())
    requests = asked(other_registry, "/v2/" + prefix.partition("/")[2])
    assert {request.split()[0] for request in requests} == {"HEAD"}


def test_a_dry_run_of_pack_is_data_where_data_is_asked_for(origin: Origin, tmp_path: Path) -> None:
    done = kubectl_airgap("pack", *origin.flags, "-o", tmp_path / "x.tar", "--dry-run", "--report", "json")
    assert done.json["kind"] == "TransferPlan"
    rows = {row["source"]: row["digest"] for row in done.json["items"]}
    assert rows == {name: origin.digest(name) for name in origin.names}
    assert done.json["bytes"] > 200_000


def test_a_dry_run_ends_as_the_run_would_where_an_image_cannot_be_read(origin: Origin, tmp_path: Path) -> None:
    flags = (*origin.flags, "--image", f"{origin.repository}/never:1", "--keep-going", "--dry-run")
    done = kubectl_airgap("pack", *flags, "-o", tmp_path / "x.tar")
    assert done.returncode == 5
    assert "1 image could not be read" in done.stderr
    assert "/never:1" in done.stderr


@pytest.mark.parametrize("place", ["nowhere/x.lock.yaml", "."], ids=["no such directory", "a directory"])
def test_nothing_is_sent_where_the_lock_could_not_be_written(
    bundle: Path, other_registry: Registry, tmp_path: Path, place: str
) -> None:
    prefix = other_registry.repository()
    check_refusal(kubectl_airgap("push", bundle, prefix, "--lock", tmp_path / place), 2, "the lock cannot be written")
    requests = asked(other_registry, "/v2/" + prefix.partition("/")[2])
    assert {request.split()[0] for request in requests} <= {"HEAD", "GET"}


def test_inspect_says_why_an_image_is_there(origin: Origin, tmp_path: Path) -> None:
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n"
        f"  - name: web\n    image: {origin.names[1]}\n"
    )
    path = tmp_path / "x.tar"
    assert kubectl_airgap("pack", "-f", manifest, "-o", path).returncode == 0
    row = json.loads(kubectl_airgap("inspect", path, "-o", "json").stdout)["items"][0]
    assert row["why"] == [f"{manifest}:7 Pod/web .spec.containers[0].image (certain)"]
    assert row["size"] > 200_000


@pytest.mark.parametrize("kind", ["basic_registry", "token_registry"])
def test_a_login_of_docker_opens_a_registry_and_is_never_printed(
    kind: str, request: pytest.FixtureRequest, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry: Registry = request.getfixturevalue(kind)
    prefix = registry.repository()
    refused = kubectl_airgap("push", bundle, prefix)
    assert refused.returncode == 4
    assert "log in" in refused.stderr
    login(monkeypatch, tmp_path, registry.host)
    pushed = kubectl_airgap("push", bundle, prefix, "--lock", tmp_path / "lock.yaml")
    assert pushed.returncode == 0, pushed.stderr
    everything = pushed.stdout + pushed.stderr + refused.stderr + (tmp_path / "lock.yaml").read_text()
    assert PASSWORD not in everything
    assert USER not in everything


def test_a_wrong_password_is_said_to_be_wrong(
    basic_registry: Registry, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login(monkeypatch, tmp_path, basic_registry.host, password="not-it-at-all")
    done = kubectl_airgap("push", bundle, basic_registry.repository())
    assert done.returncode == 4
    assert "refuses the login" in done.stderr
    assert "not-it-at-all" not in done.stderr


def test_tokens_are_asked_for_by_scope_and_used_again(
    token_registry: Registry,
    token_server: tuple[TokenServer, Path],
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server = token_server[0]
    login(monkeypatch, tmp_path, token_registry.host)
    server.asked.clear()
    prefix = token_registry.repository()
    done = kubectl_airgap("push", bundle, prefix)
    assert done.returncode == 0, done.stderr
    scopes = [scope for query in server.asked for scope in query["scope"]]
    below = prefix.partition("/")[2]
    assert all(scope.startswith(f"repository:{below}/") for scope in scopes), scopes
    requests = len(asked(token_registry, f"/v2/{below}"))
    assert len(scopes) < requests / 2


@pytest.mark.parametrize("way", ["ca-file", "ca-file-by-environment", "ssl-cert-file", "certs.d"])
def test_a_private_ca_is_trusted_by_any_of_the_ways_people_know(
    way: str, tls_registry: Registry, bundle: Path, tmp_path: Path
) -> None:
    ca = tls_registry.ca_file
    assert ca is not None
    flags = ["--ca-file", str(ca)] if way == "ca-file" else []
    env = {
        "ca-file": {},
        "ca-file-by-environment": {"AIRGAP_CA_FILE": str(ca)},
        "ssl-cert-file": {"SSL_CERT_FILE": str(ca)},
        "certs.d": {"HOME": str(tmp_path)},
    }[way]
    if way == "certs.d":
        place = tmp_path / ".config/containers/certs.d" / tls_registry.host
        place.mkdir(parents=True)
        (place / "ca.crt").write_bytes(ca.read_bytes())
    done = kubectl_airgap("push", bundle, tls_registry.repository(), *flags, env=env)
    assert done.returncode == 0, done.stderr


def test_a_certificate_nobody_vouches_for_is_refused_with_a_way_out(tls_registry: Registry, bundle: Path) -> None:
    done = kubectl_airgap("push", bundle, tls_registry.repository())
    assert done.returncode == 4
    assert "is not trusted" in done.stderr
    assert "--ca-file" in done.stderr
    skipped = kubectl_airgap("push", bundle, tls_registry.repository(), "--insecure-skip-tls-verify", tls_registry.host)
    assert skipped.returncode == 0, skipped.stderr


def test_two_images_that_would_get_one_name_are_refused_before_anything_is_sent(
    origin: Origin, registry: Registry, other_registry: Registry, tmp_path: Path
) -> None:
    repository = Reference.parse(origin.names[1]).repository
    images = [f"{host}/{repository}:1" for host in ("docker.io", "quay.io")]
    flags = [word for image in images for word in ("--image", image)]
    mirrors = [word for host in ("docker.io", "quay.io") for word in ("--mirror", f"{host}={registry.host}")]
    path = tmp_path / "x.tar"
    assert kubectl_airgap("pack", *flags, *mirrors, "-o", path).returncode == 0
    prefix = other_registry.repository()
    done = kubectl_airgap("push", path, prefix)
    check_refusal(done, 2, *images, "--naming keep")
    assert asked(other_registry, "/v2/" + prefix.partition("/")[2]) == []
    kept = kubectl_airgap("push", path, prefix, "--naming", "keep")
    assert kept.returncode == 0, kept.stderr


def test_a_dry_run_of_pack_says_how_many_requests_it_takes(origin: Origin, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    planned = kubectl_airgap("pack", *origin.flags, "--no-referrers", "--dry-run", "-o", path)
    before = len(registry.requests())
    assert kubectl_airgap("pack", *origin.flags, "--no-referrers", "-o", path).returncode == 0
    blobs = [request for request in registry.requests()[before:] if "/blobs/" in request]
    assert f" by {len(blobs)} requests" in planned.stderr
    assert "are free there" in planned.stderr
