"""Opening a bundle: its documents are read once, everything else lies where the inventory says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from airgap import limits
from airgap.bundles import inventory as inventories
from airgap.bundles.composition import DOCKER_FILE, INVENTORY_DIGEST, INVENTORY_FILE, SIGNATURE_FILE, digest_of
from airgap.bundles.inventory import Inventory
from airgap.bundles.keys import VerifyingKey
from airgap.bundles.signing import ANYBODY, Keyring
from airgap.descriptors import Descriptor
from airgap.errors import DamagedBundle, InvalidInput, InvalidManifest
from airgap.references import Reference
from airgap.stores import Source
from airgap.stores.archive import ArchiveReader
from airgap.stores.layout import INDEX_FILE, LAYOUT_FILE, Named, check_layout, index_annotations, parse_index
from airgap.stores.media import FileMedium

_CARRY: Final = "carry the bundle over again"
_MADE_WITH: Final = "a bundle is made with: kubectl airgap pack"
DOCUMENTS: Final = (LAYOUT_FILE, INVENTORY_FILE, SIGNATURE_FILE, INDEX_FILE, DOCKER_FILE)
"""What stands before the blobs, in order; the signature and docker's list may be absent."""


class BundleStore(Source, Protocol):
    """Where a bundle lies: an archive, or an OCI layout in a directory or bucket.

    Attributes:
        place: how its user calls it.
    """

    place: str

    @property
    def size(self) -> int:
        """Bytes that it takes there."""
        ...

    def documents(self, expected: Sequence[str], most: int) -> dict[str, bytes]:
        """Those of the expected documents that are there, of at most so many bytes each."""
        ...

    def know(self, names: Iterable[Named], blobs: Sequence[tuple[Descriptor, int]]) -> None:
        """Learn what the inventory says: names, and blobs with their offsets in an archive; or refuse it."""

    def check_frame(self) -> None:
        """Prove what surrounds the documents and is no content."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True)
class Bundle:
    """An open bundle: a store whose names and places the inventory gave.

    Attributes:
        documents: name → bytes, of what stands before the blobs.
        signer: the key that has signed it; None where there was no key to check with.
    """

    inventory: Inventory
    store: BundleStore
    documents: Mapping[str, bytes]
    signer: VerifyingKey | None = None

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.store.close()

    @property
    def place(self) -> str:
        """How its user calls it."""
        return self.store.place

    @property
    def references(self) -> tuple[Reference, ...]:
        """The names of everything in it."""
        return tuple(item.reference for item in self.inventory.items)

    @property
    def is_signed(self) -> bool:
        """Whether somebody has signed it; `signer` says who."""
        return SIGNATURE_FILE in self.documents

    @cached_property
    def digests(self) -> frozenset[str]:
        """Of all content that is here."""
        return frozenset(blob.digest for blob in self.inventory.blobs)


def open_file(path: Path, keys: Keyring = ANYBODY) -> Bundle:
    """Open a bundle file; the content of blobs is checked when it is read.

    Raises:
        InvalidInput: there is no such file, or it is no file.
        DamagedBundle: see `read`.
    """
    if path.is_dir():
        raise InvalidInput(f"`{path}` is a directory, not a bundle file", hint="name the .tar file")
    return read(ArchiveReader(FileMedium(path)), keys)


def read(store: BundleStore, keys: Keyring) -> Bundle:
    """Read the documents of a bundle, wherever it lies; the signature is checked before any of them is believed.

    Raises:
        UntrustedBundle: none of the keys has signed it.
        DamagedBundle: no bundle, cut, made by a newer version, or its documents contradict each other.
    """
    try:
        documents = store.documents(DOCUMENTS, limits.INVENTORY)
        _check_present(documents, store.place)
        signer = keys.check(documents[INVENTORY_FILE], documents.get(SIGNATURE_FILE), store.place)
        inventory = inventories.loads(documents[INVENTORY_FILE], store.place)
        _check_documents(inventory, documents, store.place)
        store.know(_names(inventory, store.place), [(_blob(b), b.offset) for b in inventory.blobs])
        return Bundle(inventory, store, documents, signer)
    except BaseException:
        store.close()
        raise


def _blob(blob: inventories.Blob) -> Descriptor:
    return Descriptor("-", blob.digest, blob.size)


def _check_present(documents: Mapping[str, bytes], place: str) -> None:
    missing = [name for name in (LAYOUT_FILE, INVENTORY_FILE, INDEX_FILE) if name not in documents]
    if missing:
        raise DamagedBundle(f"`{place}` is not a bundle: `{missing[0]}` is not where it must be", hint=_MADE_WITH)


def _check_documents(inventory: Inventory, documents: Mapping[str, bytes], place: str) -> None:
    """The inventory is what offsets and reasons are believed by, so its own bytes must be right."""
    try:
        check_layout(documents[LAYOUT_FILE], f"`{place}`")
        annotations = index_annotations(documents[INDEX_FILE], f"`{place}`")
        names = parse_index(documents[INDEX_FILE], f"`{place}`")
    except InvalidManifest as error:
        raise DamagedBundle(error.message, hint=_CARRY) from error
    if annotations.get(INVENTORY_DIGEST) != digest_of(documents[INVENTORY_FILE]):
        raise DamagedBundle(f"`{place}`: the inventory is not the one that `{INDEX_FILE}` names", hint=_CARRY)
    _check_names(inventory, names, place)


def _check_names(inventory: Inventory, names: tuple[Named, ...], place: str) -> None:
    """`index.json` and inventory must speak of the same images: other tools read one, we read the other."""
    ours = {(str(item.reference), item.digest) for item in inventory.items}
    theirs = {(str(reference), descriptor.digest) for reference, descriptor in names}
    odd = theirs - ours if inventory.is_delta else theirs ^ ours
    if odd:
        raise DamagedBundle(f"`{place}`: `{INDEX_FILE}` and the inventory disagree about `{min(odd)[0]}`")


def _names(inventory: Inventory, place: str) -> list[Named]:
    sizes = {blob.digest: blob.size for blob in inventory.blobs}
    lacking = next((item.reference for item in inventory.items if item.digest not in sizes), None)
    if lacking is not None:
        raise DamagedBundle(f"the inventory of `{place}` has no manifest of `{lacking}`", hint=_CARRY)
    return [(item.reference, Descriptor(item.media_type, item.digest, sizes[item.digest])) for item in inventory.items]
