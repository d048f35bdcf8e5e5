"""Archives of docker and podman, old and new, as a source."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from tests.support.images import add_image
from tests.support.saved import ENTRY, LAYER, archive, member, saved, tar_of

from airgap.descriptors import Descriptor
from airgap.references import Reference
from airgap.stores.memory import MemoryStore


def test_the_archive_that_the_others_are_made_from_is_good(tmp_path: Path) -> None:
    with saved(archive(), tmp_path) as images:
        root = images.resolve(Reference.parse("web:1"))
        layer = json.loads(images.manifest("", root))["layers"][0]
        assert b"".join(images.blob("", Descriptor("-", layer["digest"], layer["size"]))) == LAYER


def test_layers_that_are_links_are_what_they_lead_to(tmp_path: Path) -> None:
    link = member("m/layer.tar", type=tarfile.SYMTYPE, linkname="../l/layer.tar")
    hard = member("n/layer.tar", type=tarfile.LNKTYPE, linkname="m/layer.tar")
    twice = json.dumps({"rootfs": {"diff_ids": [Descriptor.of(LAYER, "-").digest] * 3}}).encode()
    entry = ENTRY | {"Layers": ["l/layer.tar", "m/layer.tar", "n/layer.tar"]}
    with saved(archive(config=twice, listed=[entry], more=[link, hard]), tmp_path) as images:
        layers = json.loads(images.manifest("", images.resolve(Reference.parse("web:1"))))["layers"]
        assert len({layer["digest"] for layer in layers}) == 1


def test_what_newer_dockers_write_keeps_manifests_and_compressed_layers(tmp_path: Path) -> None:
    """From 25 on: an OCI layout besides docker's list; here, as with containerd's image store, of pulled bytes."""
    store = MemoryStore()
    root = add_image(store, "docker.io/library/web:1")
    name = {"io.containerd.image.name": "docker.io/library/web:1", "org.opencontainers.image.ref.name": "1"}
    index = {"schemaVersion": 2, "manifests": [root.to_json(name)]}
    blobs = [member(f"blobs/sha256/{digest[7:]}", data) for digest, data in store.blobs.items()]
    folders = [member("blobs", type=tarfile.DIRTYPE), member("blobs/sha256", type=tarfile.DIRTYPE)]
    documents = [
        member("index.json", json.dumps(index).encode()),
        member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
    ]
    with saved(tar_of([*folders, *blobs, *documents]), tmp_path) as images:
        found = images.resolve(Reference.parse("web:1"))
        assert found.digest == root.digest
        assert images.manifest("", found) == store.blobs[root.digest]


def test_layers_named_by_their_digest_may_be_compressed(tmp_path: Path) -> None:
    packed = b"\x1f\x8b and so on"
    path = f"blobs/sha256/{Descriptor.of(packed, '-').hex}"
    entry = ENTRY | {"Layers": [path]}
    with saved(archive(listed=[entry], more=[member(path, packed)]), tmp_path) as images:
        layer = json.loads(images.manifest("", images.resolve(Reference.parse("web:1"))))["layers"][0]
        assert layer["mediaType"].endswith("tar+gzip")
        assert layer["digest"] == Descriptor.of(packed, "-").digest


def test_a_long_name_in_an_extended_header_is_read(tmp_path: Path) -> None:
    deep = "/".join(["d" * 60] * 4)
    with saved(archive(listed=[ENTRY | {"Layers": [deep]}], more=[member(deep, LAYER)]), tmp_path) as images:
        assert images.has("", Descriptor.of(LAYER, "-"))
