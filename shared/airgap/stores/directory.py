"""An OCI image layout in a directory: what `skopeo copy oci:` and `oras` read and write."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from airgap import durable, limits
from airgap.descriptors import Descriptor, Hasher, hasher
from airgap.errors import ContentError, ContentMismatch, DamagedBundle, InvalidInput, NotFound, StoreError
from airgap.stores import Chunk, Content
from airgap.stores.layout import LAYOUT, LAYOUT_FILE

_LOCK: Final = ".airgap.lock"


class DirectoryFiles:
    """A blob is there whole or not at all; one that was cut lies beside its place until then."""

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self.path = path

    @classmethod
    def create(cls, path: Path) -> DirectoryFiles:
        """Open a layout for writing, making it where there is none.

        Raises:
            InvalidInput: the directory has other things in it.
        """
        cls.check_new(path)
        with durable.explained(path):
            path.mkdir(exist_ok=True)
            if not (path / LAYOUT_FILE).exists():
                durable.write_file(path / LAYOUT_FILE, LAYOUT)
        return cls(path)

    @staticmethod
    def check_new(path: Path) -> None:
        """Refuse a directory that cannot become a layout.

        Raises:
            InvalidInput: it has other things in it, is no directory, or there is none to make it in.
        """
        with durable.explained(path):
            if path.exists() and not path.is_dir():
                raise InvalidInput(f"`{path}` is no directory", hint="name a new one, or leave out the `/`")
            if path.is_dir() and not (path / LAYOUT_FILE).exists() and any(path.iterdir()):
                raise InvalidInput(f"`{path}` is neither empty nor an OCI layout", hint="name a new directory")
        if not path.absolute().parent.is_dir():
            raise InvalidInput(f"there is no directory `{path.absolute().parent}`", hint="make it first")

    def lacking(self, blobs: Iterable[Descriptor]) -> int:
        """Bytes of the blobs that are not here yet."""
        return sum(blob.size for blob in blobs if not self.has(blob))

    def document(self, name: str, most: int) -> bytes | None:
        """A file beside `blobs/`."""
        path = self.path / name
        with durable.explained(path):
            if not path.exists():
                return None
            if not path.is_file() or path.stat().st_size > most:
                raise DamagedBundle(f"`{path}` is no file of at most {most} bytes")
            return path.read_bytes()

    @contextlib.contextmanager
    def hold(self, names: Sequence[str]) -> Iterator[_Files]:
        """Keep other processes from writing to this directory meanwhile.

        Raises:
            StoreError: one does.
        """
        with durable.locked(self.path / _LOCK):
            read = ((name, self.document(name, limits.INVENTORY)) for name in names)
            yield _Files(self.path, {name: data for name, data in read if data is not None})

    def content(self, descriptor: Descriptor, offset: int) -> Iterator[Chunk]:
        """The file, in one buffer that is used again and again."""
        path = self._path(descriptor)
        with durable.explained(path):
            if not path.is_file():
                raise NotFound(f"`{descriptor.digest}` is not in `{self.path}`")
            with path.open("rb", buffering=0) as file:
                yield from _chunks(file.fileno(), offset)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the content is here; blobs are renamed into place, so the right size is enough."""
        path = self._path(descriptor)
        return path.is_file() and path.stat().st_size == descriptor.size

    def put(self, descriptor: Descriptor, content: Content) -> None:
        """Write a blob beside its place, going on where an earlier run was cut, and move it there once it is whole."""
        path = self._path(descriptor)
        with durable.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial, file = _open_partial(path)
            try:
                _fill(file, descriptor, content, str(partial))
                os.fsync(file)
                durable.publish(partial, path)
            except ContentError:
                partial.unlink(missing_ok=True)
                raise
            finally:
                os.close(file)

    def tidy(self) -> None:
        """Remove what runs that were cut have left of blobs that are no longer wanted."""
        with durable.explained(self.path):
            for path in self.path.glob("blobs/*/.*.partial"):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, descriptor: Descriptor) -> Path:
        return self.path / descriptor.blob_path


class _Files:
    """Documents that are files."""

    def __init__(self, path: Path, found: dict[str, bytes]) -> None:
        self.found = found
        self._path = path

    def write(self, name: str, data: bytes) -> None:
        """Replace a file, if that changes anything."""
        if self.found.get(name) != data:
            durable.write_file(self._path / name, data)
            self.found[name] = data

    def remove(self, name: str) -> None:
        """Delete a file."""
        with durable.explained(self._path / name):
            (self._path / name).unlink(missing_ok=True)


def _open_partial(path: Path) -> tuple[Path, int]:
    """What an earlier run has left of a blob; a file of our own where somebody else is writing that."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        return partial, durable.open_locked(partial)
    except StoreError:
        own = path.with_name(f".{path.name[:16]}.{secrets.token_hex(6)}.partial")
        return own, durable.open_locked(own)


def _fill(file: int, descriptor: Descriptor, content: Content, place: str) -> None:
    """Complete a file. What lay there is hashed with the rest, and written again where that turns out to be wrong."""
    kept = os.fstat(file).st_size
    if 0 < kept <= descriptor.size:
        fresh = hasher(descriptor.digest)
        for chunk in _chunks(file, 0):
            fresh.update(chunk)
        _append(file, kept, content, fresh)
        if fresh.hexdigest() == descriptor.hex:
            return
    os.ftruncate(file, 0)
    if _append(file, 0, content) != descriptor.size:
        raise ContentMismatch(place, f"{descriptor.digest}, {descriptor.size} bytes", "of another size")


def _append(file: int, position: int, content: Content, fresh: Hasher | None = None) -> int:
    """Write content from a position on; where it ends."""
    for chunk in content(position):
        durable.write_all_at(file, chunk, position)
        position += len(chunk)
        if fresh is not None:
            fresh.update(chunk)
    return position


def _chunks(file: int, offset: int) -> Iterator[Chunk]:
    buffer = memoryview(bytearray(limits.CHUNK))
    while count := os.preadv(file, [buffer], offset):
        yield buffer[:count]
        offset += count
