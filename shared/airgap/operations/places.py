"""Where bundles lie, by what the user typed: one syntax for every verb."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from airgap import durable, limits, state
from airgap.bundles import reader
from airgap.bundles.composition import INVENTORY_FILE, SIGNATURE_FILE, Composition, digest_of
from airgap.bundles.reader import Bundle
from airgap.bundles.signing import Keyring
from airgap.errors import DamagedBundle, InvalidInput
from airgap.operations.environment import Run
from airgap.stores import Chunk, partlist
from airgap.stores.archive import ArchiveReader, ArchiveWriter
from airgap.stores.directory import DirectoryFiles
from airgap.stores.insertion import put_member
from airgap.stores.layoutstore import Files, LayoutStore, LayoutWriter
from airgap.stores.media import FileCanvas
from airgap.stores.parts import PartsCanvas, PartsMedium
from airgap.stores.s3.location import SCHEME, Location
from airgap.stores.stream import STANDARD_INPUT, StreamReader
from airgap.transfer import events

STREAM: Final = "-"
"""Standard input or output in place of a file."""


def open_bundle(place: str, run: Run) -> Bundle:
    """Open a bundle for reading: a file, the parts of one, or what is piped in.

    Raises:
        InvalidInput: there is none at that place.
        UntrustedBundle: none of the run's keys has signed it.
        DamagedBundle: it is no bundle, or a damaged one.
    """
    bundle = _opened(place, run)
    if bundle.is_signed and bundle.signer is None:
        run.observe(events.Note(f"`{bundle.place}` is signed, and nobody has checked by whom: --verify-key does"))
    return bundle


def _opened(place: str, run: Run) -> Bundle:
    if place == STREAM:
        return reader.read(StreamReader(_standard_input()), run.keys)
    files = _files(place, run)
    if files is not None:
        return reader.read(LayoutStore(files), run.keys)
    archive = partlist.archive_of(Path(place))
    return reader.open_file(Path(place), run.keys) if archive is None else _open_parts(archive, run.keys)


def _open_parts(archive: Path, keys: Keyring) -> Bundle:
    medium = PartsMedium(archive)
    bundle = reader.read(ArchiveReader(medium), keys)
    if digest_of(bundle.documents[INVENTORY_FILE]) != medium.listing.inventory:
        raise DamagedBundle(f"`{partlist.list_of(archive)}` is of another bundle", hint="carry it over again")
    return bundle


def _standard_input() -> io.FileIO:
    try:
        source = io.FileIO(0, "rb", closefd=False)
        os.set_blocking(0, True)  # who shares it may have made it otherwise: then a pause would look like the end
    except OSError as error:
        raise InvalidInput(f"{STANDARD_INPUT} is closed", hint="pipe a bundle in, or name a file") from error
    if source.isatty():
        hint = "pipe one in, such as: ssh HOST cat app.tar | kubectl airgap verify -"
        raise InvalidInput(f"no bundle comes from a terminal by {STANDARD_INPUT}", hint=hint)
    return source


def create(place: str, composition: Composition, run: Run, split: int = 0) -> ArchiveWriter | LayoutWriter:
    """Open a bundle for writing, in parts of `split` bytes unless that is 0; it is whole once `finish` was called.

    Raises:
        InvalidInput: other parts by these names are there.
        NoSpace: before the first byte, with both numbers.
        StoreError: another process writes it.
    """
    if place.startswith(SCHEME):
        return _layout(run.bucket(Location.parse(place)), composition)
    if _is_directory(place):
        files = DirectoryFiles.create(Path(place))
        durable.require_space(files.path, files.lacking(composition.layout.blobs), f"`{place}`")
        return _layout(files, composition)
    layout, path = composition.layout, Path(place)
    if not split:
        return ArchiveWriter(FileCanvas(path, layout.size), layout)
    inventory = digest_of(composition.documents[INVENTORY_FILE])
    return ArchiveWriter(PartsCanvas(path, layout.size, split, inventory), layout)


def write_out(data: Chunk) -> None:
    """Write all of it to standard output.

    Raises:
        BrokenPipeError: nobody reads any more. NoSpace: it is a file, and the disk is full.
    """
    try:
        durable.write_all(1, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise durable.explain(error, "standard output") from error


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
    if not path.is_file() or partlist.archive_of(path) is not None:
        raise InvalidInput(f"`{place}` cannot be signed where it lies", hint="pack it once more, with --sign-key")
    put_member(path, SIGNATURE_FILE, INVENTORY_FILE, make, limits.INVENTORY)


def check_new(place: str, split: int = 0) -> None:
    """Refuse, before anything is fetched, a place that cannot become a bundle.

    Raises:
        InvalidInput: a directory of other things, a device, a link, in a directory that is not there, or no bucket; a
            terminal; what cannot be split, or a file where parts shall be.
    """
    if split and (place == STREAM or place.startswith(SCHEME) or _is_directory(place)):
        raise InvalidInput(f"only a file can be split, not `{place}`", hint="name a file with -o, or leave out --split")
    if place == STREAM:
        _check_output()
        return
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
    if split and path.exists():
        hint = "whoever is given that name would read it in place of the parts: remove it, or use another name"
        raise InvalidInput(f"`{path}` is there already, as one file", hint=hint)


def _check_output() -> None:
    if os.isatty(1):
        hint = "pipe it on, such as: … -o - | ssh HOST kubectl airgap push - REGISTRY; or name a file"
        raise InvalidInput("a bundle is nothing for a terminal", hint=hint)


def is_elsewhere(place: str) -> bool:
    """Whether a bundle there is no file of this machine, but in a bucket or behind a pipe."""
    return place == STREAM or place.startswith(SCHEME)


def free_space(place: str) -> int | None:
    """Bytes that are free where a bundle would be written; nobody knows that of a bucket or behind a pipe."""
    return None if is_elsewhere(place) else durable.free_space(Path(place).absolute().parent)


def name_of(place: str) -> str:
    """What a bundle at a place is called, unless its user says otherwise."""
    if place == STREAM:
        return "bundle"
    name = Location.parse(place).name if place.startswith(SCHEME) else Path(place).absolute().name
    return name.removesuffix(".tar")


def beside(place: str, suffix: str, bundle: Bundle) -> Path:
    """A file that belongs to a bundle, such as its lock; here, where the bundle is in a bucket or was piped in."""
    if place == STREAM:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", bundle.inventory.name)[:100].lstrip(".")
        return Path((name or name_of(place)) + suffix)
    if place.startswith(SCHEME):
        return Path(name_of(place) + suffix)
    path = partlist.archive_of(Path(place)) or Path(place)
    return path.with_name(path.name.removesuffix(".tar") + suffix) if path.name else Path(name_of(place) + suffix)


def journal_of(bundle: Bundle) -> Path:
    """Where a push notes its open uploads: beside the bundle, or in the user's state where that cannot be written."""
    path = beside(bundle.place, ".push.json", bundle)
    is_here = not isinstance(bundle.store, StreamReader) and not bundle.place.startswith(SCHEME)
    if is_here and os.access(path.absolute().parent, os.W_OK):
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
    with durable.explained(Path(place)):
        return place.endswith("/") or Path(place).is_dir()


def _layout(files: Files, composition: Composition) -> LayoutWriter:
    return LayoutWriter(files, dict.fromkeys(reader.DOCUMENTS) | dict(composition.layout.members))
