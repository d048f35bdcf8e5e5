"""The inventory: what a bundle holds and must hold. The form is fixed in docs/bundle-format.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airgap import strictjson
from airgap.descriptors import Descriptor, parse_descriptor
from airgap.errors import DamagedBundle, InvalidManifest, InvalidReference
from airgap.references import Reference, check_digest

SCHEMA_VERSION: Final = 1
MEDIA_TYPE: Final = "application/vnd.airgap.inventory.v1+json"


@dataclass(frozen=True, slots=True)
class Why:
    """One reason for an item to be here: where it was found, and how sure that was."""

    source: str
    path: str
    line: int
    certainty: str


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was asked for.

    Attributes:
        kind: `image`, later also `chart`, `manifests`, `files`, `referrer`.
        reference: its normalised source name.
        digest: of its root manifest or index.
        media_type: of the same.
        platforms: what of an index is here; empty for a single manifest.
        why: who asked for it.
    """

    kind: str
    reference: Reference
    digest: str
    media_type: str
    platforms: tuple[str, ...] = ()
    why: tuple[Why, ...] = ()

    @property
    def id(self) -> str:
        """Unique in the inventory."""
        return f"{self.kind}:{self.reference}"


@dataclass(frozen=True, slots=True)
class Blob:
    """One piece of content: where it lies, counted from the first blob member's header."""

    digest: str
    size: int
    offset: int


@dataclass(frozen=True)
class Inventory:
    """All items and all blobs, in the order in which they are written."""

    name: str
    version: str
    items: tuple[Item, ...]
    blobs: tuple[Blob, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of content."""
        return sum(blob.size for blob in self.blobs)


def dumps(inventory: Inventory) -> bytes:
    """The canonical bytes: what is signed, and what makes equal inputs equal files."""
    return strictjson.dumps(
        {
            **inventory.extra,
            "schemaVersion": SCHEMA_VERSION,
            "mediaType": MEDIA_TYPE,
            "name": inventory.name,
            "version": inventory.version,
            "packages": inventory.extra.get("packages", []),
            "items": [_item_to_json(item) for item in inventory.items],
            "blobs": [{"digest": b.digest, "size": b.size, "offset": b.offset} for b in inventory.blobs],
        }
    )


def loads(data: bytes, place: str) -> Inventory:
    """Read an inventory; keys we do not know are kept.

    Raises:
        DamagedBundle: not an inventory, or of a version that this program does not know.
    """
    try:
        value = strictjson.loads(data, f"the inventory of `{place}`")
        _check_version(value, place)
        known = {"schemaVersion", "mediaType", "name", "version", "items", "blobs"}
        blobs = tuple(_blob(entry) for entry in value["blobs"])
        items = tuple(_item(entry) for entry in value["items"])
        extra = {key: value[key] for key in value if key not in known}
        inventory = Inventory(str(value["name"]), str(value["version"]), items, blobs, extra)
    except (InvalidManifest, InvalidReference) as error:
        raise DamagedBundle(error.message, hint="carry the bundle over again") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedBundle(
            f"the inventory of `{place}` is damaged: {error}", hint="carry the bundle over again"
        ) from error
    if not blobs:
        raise DamagedBundle(f"the inventory of `{place}` lists no content")
    return inventory


def _check_version(value: Any, place: str) -> None:
    version = value["schemaVersion"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DamagedBundle(f"the inventory of `{place}` has no version")
    if version > SCHEMA_VERSION:
        raise DamagedBundle(
            f"`{place}` was made by a newer version: its inventory is of form {version}, {SCHEMA_VERSION} is known",
            hint="use a newer kubectl-airgap on this side",
        )


def _item_to_json(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "kind": item.kind,
        "reference": str(item.reference),
        "digest": item.digest,
        "mediaType": item.media_type,
        "platforms": list(item.platforms),
        "why": [{"source": w.source, "path": w.path, "line": w.line, "certainty": w.certainty} for w in item.why],
    }


def _item(entry: Mapping[str, Any]) -> Item:
    return Item(
        str(entry["kind"]),
        Reference.parse(str(entry["reference"])),
        check_digest(str(entry["digest"])),
        str(entry["mediaType"]),
        tuple(str(platform) for platform in entry.get("platforms", ())),
        tuple(_why(entry.get("why", ()))),
    )


def _why(entries: Iterable[Mapping[str, Any]]) -> Iterable[Why]:
    for entry in entries:
        yield Why(str(entry["source"]), str(entry["path"]), int(entry["line"]), str(entry["certainty"]))


def _blob(entry: Mapping[str, Any]) -> Blob:
    offset = entry["offset"]
    checked: Descriptor = parse_descriptor({"mediaType": "-", **entry}, "the inventory")
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise ValueError(f"the offset {offset!r}")
    return Blob(checked.digest, checked.size, offset)
