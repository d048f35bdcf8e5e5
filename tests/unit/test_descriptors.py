from __future__ import annotations

import json
from typing import Any

import pytest

from airgap.descriptors import (
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    media_type_of,
    parse_descriptor,
    parse_manifest,
    select,
    verify,
)
from airgap.errors import ContentMismatch, InvalidInput, InvalidManifest
from airgap.platforms import Platform

DIGEST = "sha256:" + "a" * 64


def described(**changes: Any) -> dict[str, Any]:
    return {"mediaType": OCI_LAYER, "digest": DIGEST, "size": 7, **changes}


def manifest(**changes: Any) -> dict[str, Any]:
    whole = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(mediaType=OCI_CONFIG),
        "layers": [described()],
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def read(value: Any, media_type: str = OCI_MANIFEST) -> Any:
    data = json.dumps(value).encode()
    return parse_manifest(data, Descriptor.of(data, media_type), "the manifest of a test")


def test_a_manifest_has_its_config_first_and_its_layers_after() -> None:
    found = read(manifest())
    assert [child.media_type for child in found.children] == [OCI_CONFIG, OCI_LAYER]
    assert found.layers == found.children[1:]
    assert found.is_image


def test_a_manifest_without_a_media_type_is_read_by_what_it_was_asked_as() -> None:
    assert read(manifest(mediaType=None)).is_image


def test_an_artifact_is_no_image() -> None:
    assert not read(manifest(config=described(mediaType="application/vnd.cncf.helm.config.v1+json"))).is_image


def test_an_index_lists_manifests_with_their_platforms() -> None:
    entry = described(mediaType=OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7"})
    found = read({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}, OCI_INDEX)
    assert [str(child.platform) for child in found.children] == ["linux/arm/v7"]
    assert found.config is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(manifest(schemaVersion=1), "schema 1", id="B34-schema-1"),
        pytest.param(manifest(schemaVersion=3), "schemaVersion 3", id="B34-schema-3"),
        pytest.param(manifest(schemaVersion="2"), "schemaVersion '2'", id="B34-schema-text"),
        pytest.param(manifest(schemaVersion=None), "schemaVersion None", id="B34-schema-missing"),
        pytest.param(manifest(schemaVersion=True), "schemaVersion True", id="B34-schema-boolean"),
        pytest.param(manifest(manifests=[]), "both", id="B35-both"),
        pytest.param(manifest(mediaType=DOCKER_MANIFEST), "named as", id="B35-other-type"),
        pytest.param(manifest(config=None), "a descriptor is an object", id="no-config"),
        pytest.param(manifest(layers={}), "are lists", id="layers-no-list"),
        pytest.param([], "not an object", id="a-list"),
        pytest.param(None, "not an object", id="null"),
    ],
)
def test_a_manifest_that_could_mean_two_things_or_none_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidManifest, match=words):
        read(value)


@pytest.mark.parametrize(
    "size",
    [pytest.param(s, id=f"B36-{s!r}") for s in (-1, 2**63, 1e3, True, "12", None, float("nan"), float("inf"), 2**53)],
)
def test_a_size_is_an_integer_that_every_reader_agrees_on(size: Any) -> None:
    with pytest.raises(InvalidManifest):
        read(manifest(layers=[described(size=size)]))


def test_b36_a_size_of_zero_with_content_is_a_mismatch() -> None:
    with pytest.raises(ContentMismatch):
        verify(b"content", Descriptor(OCI_LAYER, Descriptor.of(b"content", OCI_LAYER).digest, 0), "a test")


@pytest.mark.parametrize("digest", ["", "sha256:" + "A" * 64, "sha256:../../etc", "md5:" + "a" * 32, 7, None])
def test_a_digest_is_checked_before_it_can_become_a_path(digest: Any) -> None:
    with pytest.raises(InvalidManifest):
        parse_descriptor(described(digest=digest), "a test")


@pytest.mark.parametrize("text", [b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff\xfe{}", b"[" * 200_000, b"{,}", b""])
def test_json_with_two_meanings_or_none_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidManifest, match="not valid JSON"):
        parse_manifest(text, Descriptor.of(text, OCI_MANIFEST), "the manifest of a test")


def test_the_media_type_is_the_documents_own_or_the_servers() -> None:
    own = json.dumps(manifest()).encode()
    silent = json.dumps(manifest(mediaType=None)).encode()
    assert media_type_of(own, "application/octet-stream", "x") == OCI_MANIFEST
    assert media_type_of(silent, f"{DOCKER_MANIFEST}; charset=utf-8", "x") == DOCKER_MANIFEST
    assert media_type_of(silent, "", "x") == OCI_MANIFEST
    assert media_type_of(b'{"manifests": []}', "", "x") == OCI_INDEX
    with pytest.raises(InvalidManifest, match="served as"):
        media_type_of(own, DOCKER_MANIFEST, "x")


def child(platform: str, digest: str = DIGEST, **annotations: str) -> Descriptor:
    return Descriptor(OCI_MANIFEST, digest, 1, Platform.parse(platform), tuple(annotations.items()))


def test_selecting_platforms_brings_their_attestations_and_no_others() -> None:
    wanted, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    key = "vnd.docker.reference.digest"
    ours, theirs = (child("unknown/unknown", "sha256:" + n * 64, **{key: d}) for n, d in (("3", wanted), ("4", other)))
    children = (child("linux/amd64", wanted), child("linux/arm64", other), ours, theirs)
    chosen = select(children, (Platform.parse("linux/amd64"),))
    assert chosen == (children[0], ours)


def test_selecting_nothing_in_particular_brings_all() -> None:
    children = (child("linux/amd64"), child("windows/amd64"))
    assert select(children, ()) == children


@pytest.mark.parametrize(
    ("asked", "there", "covered"),
    [
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/amd64/v1", "linux/amd64", True),
        ("linux/amd64/v3", "linux/amd64", False),
        ("windows(10.0.17763)/amd64", "windows(10.0.17763.1)/amd64", True),
        ("windows(10.0.1776)/amd64", "windows(10.0.17763.1)/amd64", False),
        ("windows(10.0.17763)/amd64", "windows/amd64", False),
        ("aarch64", "linux/arm64", True),
        ("x86_64", "linux/amd64", True),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_a_platform_covers_what_its_user_would_say_it_does(asked: str, there: str, covered: bool) -> None:
    assert Platform.parse(asked).covers(Platform.parse(there)) is covered


@pytest.mark.parametrize("text", ["linux/arm/v7", "windows(10.0.20348)/amd64", "linux/s390x"])
def test_a_platform_reads_as_it_is_written(text: str) -> None:
    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize("text", ["windows(/amd64", "windows()/amd64", "windows(10;0)/amd64", "(10.0)/amd64", "a/b"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no platform"):
        Platform.parse(text)


def test_foreign_layers_are_known_by_their_type() -> None:
    assert Descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", DIGEST, 1).is_foreign
    assert Descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", DIGEST, 1).is_foreign
    assert not Descriptor(OCI_LAYER, DIGEST, 1).is_foreign
