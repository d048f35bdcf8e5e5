"""Where bundles lie, by what the user typed: one syntax for every verb."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from airgap import durable, limits, state
from airgap.bundles import reader
from airgap.bundles.composition import INVENTORY_FILE, SIGNATURE_FILE, Composition, digest_of
from airgap.bundles.reader import Bundle
from airgap.errors import InvalidInput
from airgap.operations.environment import Run
from airgap.stores.archive import ArchiveWriter
from airgap.stores.directory import DirectoryFiles
from airgap.stores.insertion import put_member
from airgap.stores.layoutstore import Files, LayoutStore, LayoutWriter
from airgap.stores.media import FileCanvas
from airgap.stores.s3.location import SCHEME, Location
from airgap.transfer import events


def open_bundle(place: str, run: Run) -> Bundle:
    """Open a bundle for reading.

    Raises:
        InvalidInput: there is none at that place.
        UntrustedBundle: none of the run's keys has signed it.
        DamagedBundle: it is no bundle, or a damaged one.
    """
    files = _files(place, run)
    bundle = reader.open_file(Path(place), run.keys) if files is None else reader.read(LayoutStore(files), run.keys)
    if bundle.is_signed and bundle.signer is None:
        run.observe(events.Note(f"`{place}` is signed, and nobody has checked by whom: --verify-key does"))
    return bundle


def create(place: str, composition: Composition, run: Run) -> ArchiveWriter | LayoutWriter:
    """Open a bundle for writing; it is whole once `finish` has been called.

    Raises:
        NoSpace: before the first byte, with both numbers.
        StoreError: another process writes it.
    """
    if place.startswith(SCHEME):
        return _layout(run.bucket(Location.parse(place)), composition)
    if _is_directory(place):
        files = DirectoryFiles.create(Path(place))
        durable.require_space(files.path, files.lacking(composition.layout.blobs), f"`{place}`")
        return _layout(files, composition)
    return ArchiveWriter(FileCanvas(Path(place), composition.layout.size), composition.layout)


def put_signature(place: str, make: Callable[[bytes], bytes], run: Run) -> None:
    """Put a signature into a bundle that is there, made from the bytes of its inventory.

    Raises:
        InvalidInput: it lies where that cannot be done.
        NoSpace: before the first byte, where the bundle must be written anew. StoreError: it cannot be written.
    """
    files = _files(place, run)
    if files is not None:
        with contextlib.closing(files), files.hold((INVENTORY_FILE, SIGNATURE_FILE)) as documents:
            documents.write(SIGNATURE_FILE, make(documents.found.get(INVENTORY_FILE, b"")))
        return
    path = Path(place)
    if not path.is_file():
        raise InvalidInput(f"`{place}` cannot be signed where it lies", hint="pack it once more, with --sign-key")
    put_member(path, SIGNATURE_FILE, INVENTORY_FILE, make, limits.INVENTORY)


def check_new(place: str) -> None:
    """Refuse, before anything is fetched, a place that cannot become a bundle.

    Raises:
        InvalidInput: a directory of other things, a device, a link, in a directory that is not there, or no bucket.
    """
    if place.startswith(SCHEME):
        Location.parse(place)
        return
    path = Path(place)
    with durable.explained(path):
        path.exists()  # a name that is too long is said to be so
    if _is_directory(place):
        DirectoryFiles.check_new(path)
    elif path.is_symlink() or (path.exists() and not path.is_file()):
        raise InvalidInput(f"`{path}` is not a plain file", hint="name a file that is new, or a bundle to replace")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"there is no directory `{path.absolute().parent}`", hint="make it first")


def free_space(place: str) -> int | None:
    """Bytes that are free where a bundle would be written; nobody knows that of a bucket."""
    return None if place.startswith(SCHEME) else durable.free_space(Path(place).absolute().parent)


def name_of(place: str) -> str:
    """What a bundle at a place is called."""
    name = Location.parse(place).name if place.startswith(SCHEME) else Path(place).absolute().name
    return name.removesuffix(".tar")


def beside(place: str, suffix: str) -> Path:
    """A file that belongs to a bundle, such as its lock; of one in a bucket, here."""
    if place.startswith(SCHEME):
        return Path(name_of(place) + suffix)
    path = Path(place)
    return path.with_name(path.name.removesuffix(".tar") + suffix) if path.name else Path(name_of(place) + suffix)


def journal_of(bundle: Bundle) -> Path:
    """Where a push notes its open uploads: beside the bundle, or in the user's state where that cannot be written."""
    path = beside(bundle.place, ".push.json")
    if Path(bundle.place).exists() and os.access(path.absolute().parent, os.W_OK):
        return path
    inventory = digest_of(bundle.documents[INVENTORY_FILE]).partition(":")[2]
    return state.directory() / inventory / "push.json"


def _files(place: str, run: Run) -> Files | None:
    """The files of a bundle that is a layout; None where it is an archive."""
    if place.startswith(SCHEME):
        return run.bucket(Location.parse(place))
    return DirectoryFiles(Path(place)) if _is_directory(place) else None


def _is_directory(place: str) -> bool:
    """A directory that is there, or one that is meant: `DIR/`."""
    return place.endswith("/") or Path(place).is_dir()


def _layout(files: Files, composition: Composition) -> LayoutWriter:
    return LayoutWriter(files, dict.fromkeys(reader.DOCUMENTS) | dict(composition.layout.members))
