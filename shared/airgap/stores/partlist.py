"""The names of an archive's parts, `NAME.001` and so on, and the list of them, `NAME.parts.json`.

The form is fixed in docs/bundle-format.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from airgap import durable, limits, strictjson
from airgap.errors import DamagedBundle, InvalidManifest, InvalidReference
from airgap.references import check_digest

SUFFIX: Final = ".parts.json"
MEDIA_TYPE: Final = "application/vnd.airgap.parts.v1+json"
SCHEMA_VERSION: Final = 1
_NUMBERED: Final = re.compile(r"(.+)\.[0-9]{3}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece: `digest` of its bytes, `head` of the first `limits.PART_HEAD` of them."""

    name: str
    size: int
    digest: str
    head: str


@dataclass(frozen=True)
class Listing:
    """What `NAME.parts.json` says: the archive, the digest of its inventory, and its parts in order."""

    name: str
    inventory: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Of the archive, in bytes."""
        return sum(part.size for part in self.parts)


def dumps(listing: Listing) -> bytes:
    """The list as it is written."""
    rows = [{"name": p.name, "size": p.size, "digest": p.digest, "head": p.head} for p in listing.parts]
    return strictjson.dumps(
        {
            "schemaVersion": SCHEMA_VERSION,
            "mediaType": MEDIA_TYPE,
            "name": listing.name,
            "size": listing.size,
            "inventory": listing.inventory,
            "parts": rows,
        }
    )


def loads(data: bytes, place: str) -> Listing:
    """Read a list; whoever renamed archive, parts and list alike is understood.

    Raises:
        DamagedBundle: it is none, or of a version that this program does not know.
    """
    try:
        return _listing(strictjson.loads(data, f"`{place}`"))
    except (InvalidManifest, InvalidReference, KeyError, TypeError, ValueError) as error:
        raise DamagedBundle(f"`{place}` is damaged: {error}", hint="carry it over again") from error


def _listing(value: Any) -> Listing:
    if value["schemaVersion"] != SCHEMA_VERSION or value["mediaType"] != MEDIA_TYPE:
        raise ValueError("it is no list of parts, or one of a newer version")
    parts = tuple(_part(entry, number) for number, entry in enumerate(value["parts"], 1))
    listing = Listing(str(value["name"]), check_digest(str(value["inventory"])), parts)
    if not parts or listing.size != value["size"]:
        raise ValueError("its sizes do not add up")
    return listing


def _part(entry: dict[str, Any], number: int) -> Part:
    name, size = str(entry["name"]), entry["size"]
    if not name.endswith(f".{number:03}") or "/" in name:
        raise ValueError(f"part {number} is called {name!r}")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= limits.BLOB:
        raise ValueError(f"the size {size!r}")
    return Part(name, size, check_digest(str(entry["digest"])), check_digest(str(entry["head"])))


def archive_of(path: Path) -> Path | None:
    """The archive whose parts a path means, or None where it means a file.

    Parts are meant by their list, by any of them, and by the archive's own name where there is no such file. A lone
    file whose name happens to end with a number is itself.
    """
    if path.name.endswith(SUFFIX):
        return path.with_name(path.name.removesuffix(SUFFIX))
    with durable.explained(path):
        if match := _NUMBERED.fullmatch(path.name):
            archive = path.with_name(match[1])
            return archive if list_of(archive).exists() or len([*siblings(archive)]) > 1 else None
        is_set = not path.exists() and (list_of(path).exists() or numbered(path, 1).exists())
    return path if is_set else None


def list_of(archive: Path) -> Path:
    """Where the list of an archive's parts is."""
    return archive.with_name(archive.name + SUFFIX)


def mark_of(archive: Path) -> Path:
    """What stands for the list while parts are written."""
    return archive.with_name(f"{list_of(archive).name}.partial")


def numbered(archive: Path, number: int) -> Path:
    """Where a part is, counted from 1."""
    return archive.with_name(f"{archive.name}.{number:03}")


def read_list(archive: Path) -> Listing:
    """The list of an archive's parts.

    Raises:
        DamagedBundle: it is missing, or no list.
    """
    path = list_of(archive)
    if not path.exists() and mark_of(archive).exists():
        hint = "type the command that packs it again; it goes on from there"
        raise DamagedBundle(f"`{archive}` is not whole: its list `{path.name}` comes last, and is not there", hint=hint)
    if not path.exists():
        hint = f"carry it over too, or join the parts: cat {archive.name}.[0-9]* > {archive.name}"
        raise DamagedBundle(f"`{path}` is missing: it says which parts make a bundle", hint=hint)
    with durable.explained(path), path.open("rb") as file:
        data = file.read(limits.PARTS_LIST + 1)
    if len(data) > limits.PARTS_LIST:
        raise DamagedBundle(f"`{path}` has more than {limits.PARTS_LIST} bytes")
    return loads(data, str(path))


def siblings(archive: Path) -> Iterator[Path]:
    """Whatever lies beside an archive and is called as a part of it is."""
    folder = archive.absolute().parent
    with durable.explained(folder):
        names = sorted(path.name for path in folder.iterdir())
    parts = (match for name in names if (match := _NUMBERED.fullmatch(name)))
    return (archive.with_name(match[0]) for match in parts if match[1] == archive.name)
