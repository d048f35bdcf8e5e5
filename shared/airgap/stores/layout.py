"""The documents of an OCI image layout, which a directory and a bundle have in common (image-layout.md)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from airgap import strictjson
from airgap.descriptors import CONTAINERD_NAME, OCI_INDEX, REF_NAME, Descriptor, parse_descriptor
from airgap.errors import InvalidManifest, InvalidReference
from airgap.references import Reference

LAYOUT_FILE: Final = "oci-layout"
LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
INDEX_FILE: Final = "index.json"
_THEIRS: Final = (CONTAINERD_NAME, REF_NAME)
_OURS: Final = ("dev.airgap.name",)

Named = tuple[Reference, Descriptor]


def check_layout(data: bytes, place: str) -> None:
    """Refuse a layout of a version we do not know.

    Raises:
        InvalidManifest: not version 1.
    """
    value = strictjson.loads(data, f"`{LAYOUT_FILE}` of {place}")
    version = value.get("imageLayoutVersion") if isinstance(value, dict) else None
    if not isinstance(version, str) or version.split(".")[0] != "1":
        raise InvalidManifest(f"{place} is an OCI layout of version {version!r}; version 1 is known")


def index_document(
    named: Iterable[Named], annotations: Mapping[str, str] | None = None, artifacts: Container[str] = ()
) -> bytes:
    """`index.json` with one entry per name, under both keys that tools read it by.

    Args:
        named: the entries.
        annotations: what it says of itself.
        artifacts: digests of what cannot run. Their names stand under a key of ours: containerd unpacks whatever has a
            name under its own, and gives up an import at the first that is no image.
    """
    entries = [
        descriptor.to_json(dict.fromkeys(_OURS if descriptor.digest in artifacts else _THEIRS, str(reference)))
        for reference, descriptor in sorted(named, key=lambda pair: str(pair[0]))
    ]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return strictjson.dumps(document | ({"annotations": dict(annotations)} if annotations else {}))


def index_annotations(data: bytes, place: str) -> dict[str, Any]:
    """What an `index.json` says about itself."""
    value = strictjson.loads(data, f"`{INDEX_FILE}` of {place}")
    annotations = value.get("annotations") if isinstance(value, dict) else None
    return annotations if isinstance(annotations, dict) else {}


def parse_index(data: bytes, place: str) -> tuple[Named, ...]:
    """The names of an `index.json`; entries without a full image name are passed over.

    Raises:
        InvalidManifest: not an index.
    """
    value = strictjson.loads(data, f"`{INDEX_FILE}` of {place}")
    entries = value.get("manifests") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise InvalidManifest(f"`{INDEX_FILE}` of {place} is no index: it has no list `manifests`")
    descriptors = [parse_descriptor(entry, f"`{INDEX_FILE}` of {place}") for entry in entries]
    pairs = ((_name_of(descriptor), replace(descriptor, annotations=())) for descriptor in descriptors)
    return tuple((name, descriptor) for name, descriptor in pairs if name is not None)


def _name_of(descriptor: Descriptor) -> Reference | None:
    annotations = dict(descriptor.annotations)
    for key in (*_THEIRS, *_OURS):
        text = annotations.get(key, "")
        if "/" in text or "@" in text:  # a lone word there is a tag in somebody's layout, not an image name
            try:
                return Reference.parse(text)
            except InvalidReference:
                continue
    return None
