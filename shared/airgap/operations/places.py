"""Where bundles lie, by what the user typed: one syntax for every verb."""

from __future__ import annotations

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
from airgap.stores.insertion import put_member
from airgap.stores.media import FileCanvas
from airgap.transfer import events


def open_bundle(place: str, run: Run) -> Bundle:
    """Open a bundle for reading.

    Raises:
        InvalidInput: there is none at that place.
        UntrustedBundle: none of the run's keys has signed it.
        DamagedBundle: it is no bundle, or a damaged one.
    """
    bundle = reader.open_file(Path(place), run.keys)
    if bundle.is_signed and bundle.signer is None:
        run.observe(events.Note(f"`{place}` is signed, and nobody has checked by whom: --verify-key does"))
    return bundle


def create(place: str, composition: Composition, run: Run) -> ArchiveWriter:
    """Open a bundle for writing; it is whole once `finish` has been called.

    Raises:
        NoSpace: before the first byte, with both numbers.
        StoreError: another process writes it.
    """
    return ArchiveWriter(FileCanvas(Path(place), composition.layout.size), composition.layout)


def put_signature(place: str, make: Callable[[bytes], bytes]) -> None:
    """Put a signature into a bundle that is there, made from the bytes of its inventory.

    Raises:
        InvalidInput: it lies where that cannot be done.
        NoSpace: before the first byte, where the bundle must be written anew. StoreError: it cannot be written.
    """
    path = Path(place)
    if not path.is_file():
        raise InvalidInput(f"`{place}` cannot be signed where it lies", hint="pack it once more, with --sign-key")
    put_member(path, SIGNATURE_FILE, INVENTORY_FILE, make, limits.INVENTORY)


def check_new(place: str) -> None:
    """Refuse, before anything is fetched, a place that cannot become a bundle.

    Raises:
        InvalidInput: a directory, a device, a link, or in a directory that is not there.
    """
    path = Path(place)
    with durable.explained(path):
        path.exists()  # a name that is too long is said to be so
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InvalidInput(f"`{path}` is not a plain file", hint="name a file that is new, or a bundle to replace")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"there is no directory `{path.absolute().parent}`", hint="make it first")


def free_space(place: str) -> int:
    """Bytes that are free where a bundle would be written."""
    return durable.free_space(Path(place).absolute().parent)


def name_of(place: str) -> str:
    """What a bundle at a place is called."""
    return Path(place).name.removesuffix(".tar")


def beside(place: str, suffix: str) -> Path:
    """A file that belongs to a bundle, such as its lock."""
    path = Path(place)
    return path.with_name(path.name.removesuffix(".tar") + suffix)


def journal_of(bundle: Bundle) -> Path:
    """Where a push notes its open uploads: beside the bundle, or in the user's state where that cannot be written."""
    path = beside(bundle.place, ".push.json")
    if Path(bundle.place).exists() and os.access(path.absolute().parent, os.W_OK):
        return path
    inventory = digest_of(bundle.documents[INVENTORY_FILE]).partition(":")[2]
    return state.directory() / inventory / "push.json"
