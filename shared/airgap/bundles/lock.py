"""The lock: the promise of a run, source → digest → target. The form is fixed in docs/bundle-format.md."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from airgap import durable, limits
from airgap.errors import DocumentError, InvalidInput, InvalidReference
from airgap.references import Reference, check_digest

API_VERSION: Final = "airgap.dev/v1"
KIND: Final = "ImageLock"


@dataclass(frozen=True, slots=True)
class LockEntry:
    """One image: its name at the source, the digest it had, and, after a push, its name at the target."""

    source: Reference
    digest: str
    target: Reference | None = None
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lock:
    """Entries sorted by source."""

    entries: tuple[LockEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[LockEntry]) -> Lock:
        """A lock of these entries."""
        return cls(tuple(sorted(entries, key=lambda entry: str(entry.source))))

    @property
    def targets(self) -> dict[str, Reference]:
        """Source name → target, for what has one; what relocation takes as its explicit rules."""
        return {str(entry.source): entry.target for entry in self.entries if entry.target is not None}


def check_new(path: Path) -> None:
    """Refuse, before anything is sent, a place where no lock can be written, as beside a bundle on a read-only disk.

    Raises:
        InvalidInput: it is a directory, or in one that is not there or may not be written.
    """
    with durable.explained(path):
        if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
            raise InvalidInput(f"the lock cannot be written to `{path}`", hint="name another place: --lock FILE")


def write(lock: Lock, path: Path) -> None:
    """Write a lock durably."""
    import yaml

    document = {"apiVersion": API_VERSION, "kind": KIND, "images": [_entry_to_yaml(entry) for entry in lock.entries]}
    text = yaml.safe_dump(document, sort_keys=False, width=1000)
    durable.write_file(path, text.encode())


def read(path: Path) -> Lock:
    """Read a lock.

    Raises:
        DocumentError: not a lock, or an entry without a digest: a name alone is no promise.
        InvalidInput: there is no such file.
    """
    import yaml

    with durable.explained(path):
        data = path.read_bytes()
    if len(data) > limits.YAML_FILE:
        raise DocumentError(str(path), f"larger than {limits.YAML_FILE} bytes")
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise DocumentError(str(path), f"not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(document, dict) or document.get("kind") != KIND or document.get("apiVersion") != API_VERSION:
        raise DocumentError(str(path), f"not a lock: it has no `kind: {KIND}` of `{API_VERSION}`")
    images = document.get("images")
    if not isinstance(images, list) or not images:
        raise DocumentError(str(path), "the lock lists no images")
    entries = [_entry(entry, path, number) for number, entry in enumerate(images, 1)]
    names = Counter(str(entry.source) for entry in entries)
    double = next((name for name, count in names.items() if count > 1), "")
    if double:
        raise DocumentError(str(path), f"`{double}` stands in it twice")
    return Lock.of(entries)


def _entry_to_yaml(entry: LockEntry) -> dict[str, Any]:
    result: dict[str, Any] = {"source": str(entry.source), "digest": entry.digest}
    if entry.target is not None:
        result["target"] = str(entry.target)
    if entry.platforms:
        result["platforms"] = list(entry.platforms)
    return result


def _entry(value: Any, path: Path, number: int) -> LockEntry:
    place = f"{path}, image {number}"
    if not isinstance(value, dict) or not isinstance(value.get("source"), str):
        raise DocumentError(place, "it has no `source`")
    if not value.get("digest"):
        raise DocumentError(
            place, f"`{value['source']}` has no digest", hint="a lock is written by: kubectl airgap push"
        )
    try:
        target = Reference.parse(str(value["target"])) if value.get("target") else None
        digest = check_digest(str(value["digest"]))
        platforms = value.get("platforms") or ()
        if not isinstance(platforms, list | tuple):
            raise DocumentError(place, "its `platforms` are no list")
        return LockEntry(Reference.parse(value["source"]), digest, target, tuple(str(name) for name in platforms))
    except InvalidReference as error:
        raise DocumentError(place, error.message) from error
