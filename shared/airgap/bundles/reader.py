"""Opening a bundle: its leading members are read once, everything else lies where the inventory says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from airgap import limits
from airgap.bundles import inventory as inventories
from airgap.bundles.composition import DOCKER_FILE, INVENTORY_DIGEST, INVENTORY_FILE, digest_of
from airgap.bundles.inventory import Inventory
from airgap.descriptors import Descriptor
from airgap.errors import DamagedBundle, InvalidInput, InvalidManifest
from airgap.references import Reference
from airgap.stores import tar
from airgap.stores.archive import ArchiveReader, blob_offsets
from airgap.stores.layout import INDEX_FILE, LAYOUT_FILE, Named, check_layout, index_annotations, parse_index

_CARRY = "carry the bundle over again"
_MADE_WITH = "a bundle is made with: kubectl airgap pack"
_SIGNATURE_FILE = "airgap-inventory.sig"
_LEADING = (LAYOUT_FILE, INVENTORY_FILE, _SIGNATURE_FILE, INDEX_FILE, DOCKER_FILE)


@dataclass(frozen=True)
class Bundle:
    """An open bundle: a store whose names and offsets the inventory gave.

    Attributes:
        leading: name → member, of what stands before the blobs.
        offsets: digest → offset of the content from the start of the file.
    """

    path: Path
    inventory: Inventory
    store: ArchiveReader
    leading: Mapping[str, tar.Member]
    offsets: Mapping[str, int]

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.store.__exit__(kind, error, at)

    @property
    def references(self) -> tuple[Reference, ...]:
        """The names of all images in it."""
        return tuple(item.reference for item in self.inventory.items if item.kind == "image")


def open_bundle(path: Path) -> Bundle:
    """Open a bundle file; the content of blobs is checked when it is read.

    Raises:
        InvalidInput: there is no such file, or it is no file.
        DamagedBundle: no bundle, cut, made by a newer version, or its leading members contradict each other.
    """
    if path.is_dir():
        raise InvalidInput(f"`{path}` is a directory, not a bundle file", hint="name the .tar file")
    store = ArchiveReader(path)
    try:
        return _read(path, store)
    except BaseException:
        store.__exit__(None, None, None)
        raise


def _read(path: Path, store: ArchiveReader) -> Bundle:
    if not store.size:
        raise DamagedBundle(f"`{path}` is empty", hint=_CARRY)
    leading, base = _leading(path, store)
    written = _bytes(store, leading[INVENTORY_FILE], limits.INVENTORY)
    inventory = inventories.loads(written, str(path))
    try:
        check_layout(_bytes(store, leading[LAYOUT_FILE], limits.MANIFEST), f"`{path}`")
        index = _bytes(store, leading[INDEX_FILE], limits.INVENTORY)
        names = parse_index(index, f"`{path}`")
        _check_inventory(written, index_annotations(index, f"`{path}`"), path)
    except InvalidManifest as error:
        raise DamagedBundle(error.message, hint=_CARRY) from error
    _check_names(inventory, names, path)
    _check_offsets(inventory, base, store)
    offsets = {blob.digest: base + blob.offset for blob in inventory.blobs}
    store.know(names, offsets)
    return Bundle(path, inventory, store, leading, offsets)


def _leading(path: Path, store: ArchiveReader) -> tuple[dict[str, tar.Member], int]:
    """The members before the first blob, in the one order they may have, and where they end."""
    members: dict[str, tar.Member] = {}
    offset = 0
    for expected in _LEADING:
        try:
            member = store.member(offset)
        except DamagedBundle as error:
            if not members:
                raise DamagedBundle(f"`{path}` is not a bundle", hint=_MADE_WITH) from error
            raise
        if member is not None and member.name == expected:
            members[expected] = member
            offset = member.end
    missing = [name for name in (LAYOUT_FILE, INVENTORY_FILE, INDEX_FILE) if name not in members]
    if missing:
        raise DamagedBundle(
            f"`{path}` is not a bundle: `{missing[0]}` is not where it must be",
            hint=_MADE_WITH,
        )
    return members, offset


def _bytes(store: ArchiveReader, member: tar.Member, most: int) -> bytes:
    if member.size > most:
        raise DamagedBundle(f"`{store.path}`: `{member.name}` has {member.size} bytes, more than {most}")
    data = store.read_at(member.size, member.offset)
    if len(data) < member.size:
        raise DamagedBundle(f"`{store.path}` is cut off in `{member.name}`", hint=_CARRY)
    return data


def _check_inventory(written: bytes, annotations: Mapping[str, object], path: Path) -> None:
    """The inventory is what offsets and reasons are believed by, so its own bytes must be right."""
    if annotations.get(INVENTORY_DIGEST) != digest_of(written):
        raise DamagedBundle(f"`{path}`: the inventory is not the one that `{INDEX_FILE}` names", hint=_CARRY)


def _check_names(inventory: Inventory, names: tuple[Named, ...], path: Path) -> None:
    """`index.json` and inventory must speak of the same images: other tools read one, we read the other."""
    ours = {(str(item.reference), item.digest) for item in inventory.items if item.kind == "image"}
    theirs = {(str(reference), descriptor.digest) for reference, descriptor in names}
    if ours != theirs:
        odd = sorted(ours ^ theirs)[0][0]
        raise DamagedBundle(f"`{path}`: `{INDEX_FILE}` and the inventory disagree about `{odd}`")


def _check_offsets(inventory: Inventory, base: int, store: ArchiveReader) -> None:
    """Blobs lie one after another, in the inventory's order: their offsets and the file's size follow from it."""
    blobs = [Descriptor("-", blob.digest, blob.size) for blob in inventory.blobs]
    offsets, length = blob_offsets(blobs)
    if len(offsets) != len(blobs):
        raise DamagedBundle(f"the inventory of `{store.path}` lists a blob twice")
    wrong = next((blob for blob in inventory.blobs if offsets[blob.digest] != blob.offset), None)
    if wrong is not None:
        raise DamagedBundle(f"the inventory of `{store.path}` has `{wrong.digest}` at a place where it cannot be")
    whole = base + length + len(tar.END)
    if store.size < whole:
        raise DamagedBundle(
            f"`{store.path}` is cut off: {store.size} of {whole} bytes", hint="carry the rest of it over"
        )
    if store.size > whole:
        raise DamagedBundle(f"`{store.path}` has {store.size - whole} bytes too many", hint=_CARRY)
