"""Descriptors, manifests and indexes: the graph that an image is.

Source: OCI image-spec v1.1.1 descriptor.md, manifest.md, image-index.md. Docker's schema 2 media types are the same
documents under older names; schema 1 is refused, as it is not addressed by the digest of its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from airgap import limits, strictjson
from airgap.errors import ContentMismatch, InvalidManifest, InvalidReference
from airgap.platforms import Platform
from airgap.references import check_digest

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
IMAGE_CONFIGS: Final = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_IMAGE_LAYERS: Final = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1"
_LAYERS: Final = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
_FOREIGN: Final = ("nondistributable", "foreign")

REF_NAME: Final = "org.opencontainers.image.ref.name"
CONTAINERD_NAME: Final = "io.containerd.image.name"


class Hasher(Protocol):
    """What `hashlib` gives: feed it, then ask."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far, in lower case."""
        ...

    def copy(self) -> Hasher:
        """One that goes on from here by itself."""
        ...


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Names one piece of content: the only way to ask for it.

    Attributes:
        media_type: what the bytes are.
        digest: `sha256:…` or `sha512:…` of the bytes.
        size: in bytes.
        platform: of the image it leads to, where an index says so.
        annotations: sorted pairs, so that descriptors can be compared and kept in sets.
        urls: where a layer that may not be distributed lies instead of in the registry.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Descriptor:
        """The descriptor of bytes at hand, by sha256."""
        return cls(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))

    @property
    def is_index(self) -> bool:
        """Whether the content lists manifests."""
        return self.media_type in INDEXES

    @property
    def is_manifest(self) -> bool:
        """Whether the content is pushed under `/manifests/`: a manifest or an index."""
        return self.is_index or self.media_type in MANIFESTS

    @property
    def is_foreign(self) -> bool:
        """Whether the content may not be distributed: the descriptor is kept, the bytes are not fetched."""
        return any(word in self.media_type for word in _FOREIGN)

    @property
    def is_file_system(self) -> bool:
        """Whether the content is a layer that a container's files are made of."""
        return self.media_type.startswith(_LAYERS)

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest.partition(":")[2]

    @property
    def blob_path(self) -> str:
        """Where the content lies in an OCI image layout (image-layout.md)."""
        return f"blobs/{self.digest.replace(':', '/')}"

    def to_json(self, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object of the descriptor, with `names` as annotations in place of its own."""
        result: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform is not None:
            keys = ("os", "architecture", "variant", "os_version")
            result["platform"] = {
                key.replace("_", "."): getattr(self.platform, key) for key in keys if getattr(self.platform, key)
            }
        annotations = dict(names) if names is not None else dict(self.annotations)
        if annotations:
            result["annotations"] = annotations
        return result


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index, read: `children` in the order written, the config first."""

    descriptor: Descriptor
    config: Descriptor | None
    children: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None

    @property
    def is_image(self) -> bool:
        """Whether it can run: its config is an image's, and so are its layers (cosign borrows only the config)."""
        is_configured = self.config is not None and self.config.media_type in IMAGE_CONFIGS
        return is_configured and all(layer.media_type.startswith(_IMAGE_LAYERS) for layer in self.layers)

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """What is under the config; empty for an index."""
        return self.children[1:] if self.config is not None else ()


def parse_descriptor(value: Any, what: str) -> Descriptor:
    """Read one descriptor, trusting nothing.

    Raises:
        InvalidManifest: a key is missing or of another kind; `size` must be an integer from 0 to 2^53-1.
    """
    if not isinstance(value, dict):
        raise InvalidManifest(f"{what}: a descriptor is an object, not {_kind(value)}")
    media_type = value.get("mediaType")
    if not isinstance(media_type, str) or not media_type:
        raise InvalidManifest(f"{what}: a descriptor has no mediaType")
    return Descriptor(
        media_type,
        _digest(value.get("digest"), what),
        _size(value.get("size"), what),
        Platform.from_json(value["platform"]) if isinstance(value.get("platform"), dict) else None,
        _annotations(value.get("annotations"), what),
        tuple(url for url in value.get("urls") or () if isinstance(url, str)),
    )


def parse_manifest(data: bytes, descriptor: Descriptor, what: str) -> Manifest:
    """Read a manifest or index that is already known to have the digest it was asked by.

    Args:
        data: the raw bytes.
        descriptor: what it was asked by; its media type decides where the document has none.
        what: how to name it in an error.

    Raises:
        InvalidManifest: schema 1, ambiguous (both `layers` and `manifests`), or malformed.
    """
    value = strictjson.loads(data, what)
    if not isinstance(value, dict):
        raise InvalidManifest(f"{what} is {_kind(value)}, not an object")
    _check_schema(value, descriptor, what)
    if "manifests" in value:
        children = _descriptors(value["manifests"], what)
        if len(children) > limits.INDEX_ENTRIES:
            raise InvalidManifest(f"{what} lists {len(children)} manifests, more than {limits.INDEX_ENTRIES}")
        config = None
    else:
        config = parse_descriptor(value.get("config"), what)
        children = (config, *_descriptors(value.get("layers", []), what))
    subject = parse_descriptor(value["subject"], what) if value.get("subject") else None
    return Manifest(descriptor, config, children, str(value.get("artifactType") or ""), subject)


def media_type_of(data: bytes, said: str, what: str) -> str:
    """The media type of a manifest: its own word, else what the server said, else by its shape.

    Raises:
        InvalidManifest: document and server contradict each other (CVE-2021-41190).
    """
    value = strictjson.loads(data, what)
    own = value.get("mediaType") if isinstance(value, dict) else None
    said = said.partition(";")[0].strip()
    if said not in INDEXES | MANIFESTS and not said.startswith(_SCHEMA_1):
        said = ""
    if isinstance(own, str) and own:
        if said and own != said:
            raise InvalidManifest(f"{what} says it is {own!r}, but was served as {said!r}")
        return own
    if said:
        return said
    return OCI_INDEX if isinstance(value, dict) and "manifests" in value else OCI_MANIFEST


def artifact_type_of(data: bytes) -> str:
    """What kind of artifact a manifest is, as image-spec's "Guidelines for Artifact Usage" has it; empty for images."""
    value = strictjson.loads(data, "the manifest")
    config = value.get("config") if isinstance(value, dict) else None
    kind = config.get("mediaType") if isinstance(config, dict) else ""
    return str(value.get("artifactType") or ("" if kind in IMAGE_CONFIGS else kind) or "") if config else ""


def hasher(digest: str) -> Hasher:
    """A fresh hash of the algorithm that `digest` names."""
    return hashlib.new(digest.partition(":")[0])


def verify(data: bytes, descriptor: Descriptor, place: str) -> bytes:
    """Return `data` if it is what `descriptor` names.

    Raises:
        ContentMismatch: another size, or another digest.
    """
    if len(data) != descriptor.size:
        raise ContentMismatch(place, f"{descriptor.digest}, {descriptor.size} bytes", f"{len(data)} bytes")
    fresh = hasher(descriptor.digest)
    fresh.update(data)
    if fresh.hexdigest() != descriptor.hex:
        algorithm = descriptor.digest.partition(":")[0]
        raise ContentMismatch(place, descriptor.digest, f"{algorithm}:{fresh.hexdigest()}")
    return data


def select(children: Iterable[Descriptor], platforms: tuple[Platform, ...]) -> tuple[Descriptor, ...]:
    """The children of an index that are wanted, in its order: all, or those of `platforms` with their attestations.

    An index inside the index that names no platform may have some of them, so it is one of those.
    """
    listed = tuple(children)
    if not platforms:
        return listed

    def is_wanted(child: Descriptor) -> bool:
        if child.platform is None:
            return child.is_index
        return any(platform.covers(child.platform) for platform in platforms)

    wanted = {child.digest for child in listed if is_wanted(child)}
    return tuple(child for child in listed if is_wanted(child) or _attests(child, wanted))


def _attests(child: Descriptor, digests: Container[str]) -> bool:
    """Whether BuildKit put the child into an index as an attestation of one of these."""
    about = dict(child.annotations).get("vnd.docker.reference.digest", "")
    return child.platform is not None and child.platform.is_attestation and about in digests


def _check_schema(value: dict[str, Any], descriptor: Descriptor, what: str) -> None:
    schema = value.get("schemaVersion")
    if (schema == 1 and schema is not True) or descriptor.media_type.startswith(_SCHEMA_1):
        raise InvalidManifest(
            f"{what} is of Docker's schema 1, which is not supported",
            hint="build or push the image again with a current tool; schema 1 ended in 2017",
        )
    if schema != 2 or isinstance(schema, bool):
        raise InvalidManifest(f"{what} has schemaVersion {schema!r}, not 2")
    own = value.get("mediaType")
    if own is not None and own != descriptor.media_type:
        raise InvalidManifest(f"{what} says it is {own!r}, but is named as {descriptor.media_type!r}")
    if "manifests" in value and ("layers" in value or "config" in value):
        raise InvalidManifest(f"{what} has both `manifests` and `layers`: it could be read as two different things")
    if descriptor.is_index != ("manifests" in value):
        raise InvalidManifest(f"{what} is no {descriptor.media_type!r}: it has other contents")


def _descriptors(value: Any, what: str) -> tuple[Descriptor, ...]:
    if not isinstance(value, list):
        raise InvalidManifest(f"{what}: `layers` and `manifests` are lists, not {_kind(value)}")
    return tuple(parse_descriptor(entry, what) for entry in value)


def _digest(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidManifest(f"{what}: a descriptor has no digest")
    try:
        return check_digest(value)
    except InvalidReference as error:
        raise InvalidManifest(f"{what}: {error.message}") from error


def _size(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limits.BLOB:
        raise InvalidManifest(f"{what}: the size {value!r} is not an integer from 0 to 2^53-1")
    return value


def _annotations(value: Any, what: str) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise InvalidManifest(f"{what}: annotations are not a map of strings")
    return tuple(sorted(value.items()))


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number")
