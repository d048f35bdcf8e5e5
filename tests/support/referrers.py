"""What gets attached to images, as cosign and oras do it, and registries that list it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Mapping

from airgap.descriptors import OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Descriptor
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from tests.support.faultproxy import Answer, Fault
from tests.support.images import put

SBOM = "application/spdx+json"
PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"


def attach(store: MemoryStore, name: str, subject: Descriptor, text: str = "a list of parts") -> Descriptor:
    """An artifact of OCI 1.1 about `subject`, in the repository of `name` and known by its digest."""
    blob = put(store, text.encode(), SBOM)
    config = put(store, b"{}", OCI_EMPTY)
    document = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": SBOM, "config": config.to_json(),
        "layers": [blob.to_json()], "subject": subject.to_json(), "annotations": {"made.by": "a test"},
    }  # fmt: skip
    found = put(store, json.dumps(document, indent=1).encode(), OCI_MANIFEST)
    reference = Reference.parse(name)
    store.tag(
        Reference(reference.registry, reference.repository, digest=found.digest), found, store.blobs[found.digest]
    )
    return found


def sign(store: MemoryStore, name: str, subject: Descriptor, word: str = "sig") -> Reference:
    """A signature as cosign keeps it by a tag; its config is that of an image, though it can run nowhere."""
    payload = put(store, json.dumps({"critical": {"image": subject.digest}, "word": word}).encode(), PAYLOAD)
    rootfs = {"type": "layers", "diff_ids": [payload.digest]}
    config = put(store, json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": rootfs}).encode(), OCI_CONFIG)
    layer = payload.to_json() | {"annotations": {"dev.cosignproject.cosign/signature": "MEUCIQ=="}}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.to_json(), "layers": [layer]}
    found = put(store, json.dumps(document).encode(), OCI_MANIFEST)
    owner = Reference.parse(name)
    reference = Reference(owner.registry, owner.repository, f"sha256-{subject.hex}.{word}")
    store.tag(reference, found, store.blobs[found.digest])
    return reference


def entry(descriptor: Descriptor) -> dict[str, object]:
    return descriptor.to_json() | {"artifactType": SBOM}


def list_of(entries: Iterable[Mapping[str, object]]) -> bytes:
    """An index as registries answer it, and as tags keep it."""
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}).encode()


def put_tag(name: str, tag: str, data: bytes, media_type: str = OCI_INDEX) -> None:
    """Give a manifest a tag in a registry on loopback, not by our own code."""
    host, _, repository = name.partition("/")
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(url, data, {"Content-Type": media_type}, method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201


def get_tag(name: str, tag: str) -> bytes:
    host, _, repository = name.partition("/")
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(url, headers={"Accept": f"{OCI_INDEX}, {OCI_MANIFEST}"})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def answered(data: bytes, status: int = 200, *headers: tuple[str, str]) -> Answer:
    fixed = [("Content-Type", OCI_INDEX), ("Content-Length", str(len(data)))]
    return Answer(status, [*fixed, *headers], data)


def api(listed: Mapping[str, Iterable[Mapping[str, object]]]) -> list[Fault]:
    """Rules for a proxy that give a registry the referrers API, with the answers of the specification."""
    rules = [
        Fault("GET", rf"/referrers/{digest}$", 999, answer=answered(list_of(entries)))
        for digest, entries in listed.items()
    ]
    return [*rules, Fault("GET", r"/referrers/sha256:[0-9a-f]{64}$", 9999, answer=answered(list_of([])))]
