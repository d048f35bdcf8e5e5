"""An OCI image layout in a directory: what `skopeo copy oci:` and `oras` read and write."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

from airgap import durable, limits
from airgap.descriptors import Descriptor, verify
from airgap.errors import InvalidInput, NotFound
from airgap.references import Reference
from airgap.stores import Chunk, Content, layout
from airgap.stores.reading import verified


class DirectoryStore:
    """Content in `blobs/`, names in `index.json`. A blob is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: dict[str, layout.Named] | None = None
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path) -> DirectoryStore:
        """Open a layout for writing, making it where there is none.

        Raises:
            InvalidInput: the directory has other things in it.
        """
        with durable.explained(path):
            path.mkdir(parents=True, exist_ok=True)
            if not (path / layout.LAYOUT_FILE).exists():
                if any(path.iterdir()):
                    raise InvalidInput(f"`{path}` is neither empty nor an OCI layout", hint="name a new directory")
                durable.write_file(path / layout.LAYOUT_FILE, layout.LAYOUT)
        return cls(path)

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for."""
        found = self.find(reference)
        if found is None:
            raise NotFound(f"`{reference}` is not in `{self.path}`")
        return found

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked."""
        with durable.explained(self.path):
            data = self._existing(descriptor).read_bytes()
        return verify(data, descriptor, str(self.path))

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked."""
        return verified(_chunks(self._existing(descriptor), offset), descriptor, str(self.path), offset)

    def names(self) -> tuple[layout.Named, ...]:
        """Every name in `index.json`."""
        return tuple(self._index().values())

    def find(self, reference: Reference) -> Descriptor | None:
        """What a name stands for, or None."""
        entry = self._index().get(str(reference))
        if entry is None and reference.digest:
            candidates = (d for r, d in self._index().values() if r.name == reference.name)
            return next((d for d in candidates if d.digest == reference.digest), None)
        return entry[1] if entry else None

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether the content is here; blobs are renamed into place, so the right size is enough."""
        path = self._path(descriptor)
        return path.is_file() and path.stat().st_size == descriptor.size

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        """Write a blob beside its place, and move it there once it is whole."""
        path = self._path(descriptor)
        with durable.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{descriptor.hex[:16]}.{secrets.token_hex(6)}.tmp")
            try:
                _write(temporary, content(0))
                durable.publish(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Keep a manifest."""
        verify(data, descriptor, name)
        path = self._path(descriptor)
        with durable.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_file(path, data)

    def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Name a manifest in `index.json`, which is replaced as a whole."""
        self.put_manifest(reference.name, descriptor, data)
        with self._lock, durable.locked(self.path / ".index.lock"):
            self._names = None
            named = {**self._index(), str(reference): (reference, descriptor)}
            durable.write_file(self.path / layout.INDEX_FILE, layout.index_document(named.values()))
            self._names = named

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        """Nothing to do: repositories are not kept apart."""
        return self.has(name, descriptor)

    def _index(self) -> dict[str, layout.Named]:
        if self._names is None:
            path = self.path / layout.INDEX_FILE
            named = layout.parse_index(path.read_bytes(), f"`{self.path}`") if path.exists() else ()
            self._names = {str(reference): (reference, descriptor) for reference, descriptor in named}
        return self._names

    def _path(self, descriptor: Descriptor) -> Path:
        return self.path / descriptor.blob_path

    def _existing(self, descriptor: Descriptor) -> Path:
        path = self._path(descriptor)
        if not path.is_file():
            raise NotFound(f"`{descriptor.digest}` is not in `{self.path}`")
        return path


def _chunks(path: Path, offset: int) -> Iterator[Chunk]:
    buffer = memoryview(bytearray(limits.CHUNK))
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while count := file.readinto(buffer):
            yield buffer[:count]


def _write(path: Path, chunks: Iterator[Chunk]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        for chunk in chunks:
            durable.write_all(descriptor, chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
