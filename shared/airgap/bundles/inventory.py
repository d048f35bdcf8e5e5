"""The inventory: what a bundle holds and must hold. The form is fixed in docs/bundle-format.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from airgap import strictjson
from airgap.descriptors import Descriptor, parse_descriptor
from airgap.errors import DamagedBundle, InvalidManifest, InvalidReference
from airgap.references import Reference, check_digest

SCHEMA_VERSION: Final = 1
MEDIA_TYPE: Final = "application/vnd.airgap.inventory.v1+json"
REFERRER: Final = "referrer"
KINDS: Final = ("image", "chart", "manifests", "files", REFERRER)


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
        kind: one of `KINDS`.
        reference: its normalised source name.
        digest: of its root manifest or index.
        media_type: of the same.
        platforms: what of an index is here; empty for a single manifest.
        why: who asked for it.
        subject: id of the item that a referrer is about; empty for all others.
    """

    kind: str
    reference: Reference
    digest: str
    media_type: str
    platforms: tuple[str, ...] = ()
    why: tuple[Why, ...] = ()
    subject: str = ""

    @property
    def id(self) -> str:
        """Unique in the inventory."""
        return f"{self.kind}:{self.reference}"

    @property
    def is_referrer(self) -> bool:
        """Whether it is here only because it is about another item."""
        return self.kind == REFERRER


@dataclass(frozen=True, slots=True)
class Blob:
    """One piece of content: where it lies, counted from the first blob member's header."""

    digest: str
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Absent:
    """Content that a delta leaves out: whoever takes the delta must have it.

    Attributes:
        repositories: source names (`quay.io/a/b`) of images that had it before, sorted.
    """

    digest: str
    size: int
    repositories: tuple[str, ...]


@dataclass(frozen=True)
class Inventory:
    """All items and all blobs, in the order in which they are written.

    Attributes:
        absent: sorted by digest; empty but for a delta.
        sequence: a number of the user's that grows from one bundle of this name to the next.
        expires: an RFC 3339 time of the user's after which the bundle should not be taken any more, or empty.
        extra: keys of later versions, kept as they are.
    """

    name: str
    version: str
    items: tuple[Item, ...]
    blobs: tuple[Blob, ...]
    absent: tuple[Absent, ...] = ()
    sequence: int | None = None
    expires: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of content."""
        return sum(blob.size for blob in self.blobs)

    @property
    def is_delta(self) -> bool:
        """Whether some content is elsewhere."""
        return bool(self.absent)

    @cached_property
    def owners(self) -> Mapping[Reference, Reference]:
        """Referrer → what it is about in the end: an item that is no referrer itself.

        Raises:
            DamagedBundle: a referrer is about nothing, or about itself.
        """
        items = {item.id: item for item in self.items}

        def owner(item: Item) -> Item:
            seen: set[str] = set()
            while item.is_referrer:
                if item.subject not in items or item.id in seen:
                    raise DamagedBundle(f"`{item.reference}` refers to nothing that is in the bundle")
                seen.add(item.id)
                item = items[item.subject]
            return item

        return {item.reference: owner(item).reference for item in self.items if item.is_referrer}


def dumps(inventory: Inventory) -> bytes:
    """The canonical bytes: what is signed, and what makes equal inputs equal files."""
    present = [{"digest": b.digest, "size": b.size, "offset": b.offset} for b in inventory.blobs]
    absent = [{"digest": a.digest, "size": a.size, "absent": list(a.repositories)} for a in inventory.absent]
    return strictjson.dumps(
        {
            **inventory.extra,
            "schemaVersion": SCHEMA_VERSION,
            "mediaType": MEDIA_TYPE,
            "name": inventory.name,
            "version": inventory.version,
            **({"sequence": inventory.sequence} if inventory.sequence is not None else {}),
            **({"expires": inventory.expires} if inventory.expires else {}),
            "packages": inventory.extra.get("packages", []),
            "items": [_item_to_json(item) for item in inventory.items],
            "blobs": present + absent,
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
        inventory = _inventory(value)
        _check_items(inventory.items)
        _ = inventory.owners
    except (InvalidManifest, InvalidReference) as error:
        raise DamagedBundle(error.message, hint="carry the bundle over again") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedBundle(
            f"the inventory of `{place}` is damaged: {error}", hint="carry the bundle over again"
        ) from error
    if not inventory.blobs:
        raise DamagedBundle(f"the inventory of `{place}` lists no content")
    return inventory


def _check_items(items: Iterable[Item]) -> None:
    """A name means one thing; and what is named by its digest is that, whoever has made the bundle."""
    seen: set[Reference] = set()
    for item in items:
        if item.reference in seen:
            raise ValueError(f"`{item.reference}` stands in it twice")
        if item.reference.digest not in (None, item.digest):
            raise ValueError(f"`{item.reference}` is said to be `{item.digest}`")
        seen.add(item.reference)


_KNOWN: Final = frozenset({"schemaVersion", "mediaType", "name", "version", "sequence", "expires", "items", "blobs"})


def _inventory(value: Mapping[str, Any]) -> Inventory:
    rows = value["blobs"]
    return Inventory(
        str(value["name"]),
        str(value["version"]),
        tuple(_item(entry) for entry in value["items"]),
        tuple(_blob(entry) for entry in rows if "absent" not in entry),
        tuple(_absent(entry) for entry in rows if "absent" in entry),
        _sequence(value.get("sequence")),
        str(value.get("expires") or ""),
        {key: value[key] for key in value if key not in _KNOWN},
    )


def _sequence(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError(f"the sequence {value!r}")


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
        **({"subject": item.subject} if item.subject else {}),
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
        _kind(entry["kind"]),
        Reference.parse(str(entry["reference"])),
        check_digest(str(entry["digest"])),
        str(entry["mediaType"]),
        tuple(str(platform) for platform in entry.get("platforms", ())),
        tuple(_why(entry.get("why", ()))),
        str(entry.get("subject") or ""),
    )


def _kind(value: Any) -> str:
    if value not in KINDS:
        raise ValueError(f"the kind {value!r}")
    return str(value)


def _why(entries: Iterable[Mapping[str, Any]]) -> Iterable[Why]:
    for entry in entries:
        yield Why(str(entry["source"]), str(entry["path"]), int(entry["line"]), str(entry["certainty"]))


def _blob(entry: Mapping[str, Any]) -> Blob:
    offset = entry["offset"]
    checked: Descriptor = parse_descriptor({"mediaType": "-", **entry}, "the inventory")
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise ValueError(f"the offset {offset!r}")
    return Blob(checked.digest, checked.size, offset)


def _absent(entry: Mapping[str, Any]) -> Absent:
    checked: Descriptor = parse_descriptor({**entry, "mediaType": "-"}, "the inventory")
    names = entry["absent"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"the repositories of {checked.digest}")
    return Absent(checked.digest, checked.size, tuple(Reference.parse(name).name for name in names))
