"""An OCI image layout as a store, wherever its files lie: names in `index.json`, content in `blobs/`.

Blobs never change, so they may be written by anybody at any time. The documents do: whoever changes them holds them,
and `index.json` is written last. It makes a layout of what lies there.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Protocol

from airgap import limits
from airgap.descriptors import Descriptor, verify
from airgap.errors import AirgapError, DamagedBundle, InvalidInput, NotFound, StoreError
from airgap.references import Reference
from airgap.stores import Chunk, Content
from airgap.stores.layout import INDEX_FILE, LAYOUT, LAYOUT_FILE, Named, index_document, parse_index
from airgap.stores.reading import verified

_RACES: Final = 20


class Documents(Protocol):
    """The documents of a layout, held by one who changes them.

    Attributes:
        found: name → bytes, of those that were there.
    """

    found: dict[str, bytes]

    def write(self, name: str, data: bytes) -> None:
        """Put a document there, in one step.

        Raises:
            LostRace: somebody else has changed it meanwhile; theirs stays.
        """
        ...

    def remove(self, name: str) -> None:
        """Take a document away, if there is one."""


class LostRace(StoreError):
    """Somebody else has changed a document since it was read; theirs stays."""


class Files(Protocol):
    """Where the files of a layout lie: a directory, or a prefix of a bucket. Safe from several threads.

    Attributes:
        place: how its user calls it.
    """

    place: str

    def document(self, name: str, most: int) -> bytes | None:
        """A document, or None where there is none.

        Raises:
            DamagedBundle: it has more than `most` bytes.
        """
        ...

    def hold(self, names: Sequence[str]) -> AbstractContextManager[Documents]:
        """Hold documents to change them.

        Raises:
            StoreError: somebody else does.
        """
        ...

    def content(self, descriptor: Descriptor, offset: int) -> Iterator[Chunk]:
        """What lies where a blob should, unchecked.

        Raises:
            NotFound: nothing does.
        """
        ...

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob is there."""
        ...

    def put(self, descriptor: Descriptor, content: Content) -> None:
        """Store a blob; a part of it that an earlier run has left is not stored again."""
        ...

    def tidy(self) -> None:
        """Remove what runs that were cut have left and nobody will go on with."""

    def close(self) -> None:
        """Let go of what is open."""


class LayoutStore:
    """Both roles, over the files of a layout."""

    def __init__(self, files: Files) -> None:
        self.place = files.place
        self.files = files
        self._names: dict[str, Named] | None = None
        self._size = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the files."""
        self.files.close()

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for."""
        found = self.find(reference)
        if found is None:
            raise NotFound(f"`{reference}` is not in `{self.place}`")
        return found

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked."""
        data = bytearray()
        for chunk in self.blob(name, descriptor):
            data += chunk
        return bytes(data)

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked."""
        return verified(self.files.content(descriptor, offset), descriptor, self.place, offset)

    def find(self, reference: Reference) -> Descriptor | None:
        """What a name stands for, or None."""
        entry = self._index().get(str(reference))
        if entry is None and reference.digest:
            candidates = (d for r, d in self._index().values() if r.name == reference.name)
            return next((d for d in candidates if d.digest == reference.digest), None)
        return entry[1] if entry else None

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether the content is here."""
        return self.files.has(descriptor)

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        """Store a blob."""
        self.files.put(descriptor, content)

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Store a manifest, unless it is here."""
        verify(data, descriptor, name)
        if not self.files.has(descriptor):
            self.files.put(descriptor, lambda offset: iter([data[offset:]]))

    def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Name a manifest in `index.json`; should another process name one meanwhile, both names stay."""
        self.put_manifest(reference.name, descriptor, data)
        with self._lock:
            for _ in range(_RACES - 1):
                with contextlib.suppress(LostRace):
                    return self._name(reference, descriptor)
            return self._name(reference, descriptor)

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        """Nothing to do: repositories are not kept apart."""
        return self.files.has(descriptor)

    def names(self) -> tuple[Named, ...]:
        """Every name in `index.json`."""
        return tuple(self._index().values())

    @property
    def size(self) -> int:
        """Bytes of all documents and blobs that a bundle consists of."""
        return self._size

    def documents(self, expected: Sequence[str], most: int) -> dict[str, bytes]:
        """The documents of a bundle.

        Raises:
            InvalidInput: nothing lies there. DamagedBundle: no `index.json` does, so that it is not whole.
        """
        read = ((name, self.files.document(name, most)) for name in (INDEX_FILE, *expected))
        found = {name: data for name, data in read if data is not None}
        if INDEX_FILE not in found:
            raise self._no_bundle(found)
        self._size = sum(map(len, found.values()))
        return found

    def know(self, names: Iterable[Named], blobs: Sequence[tuple[Descriptor, int]]) -> None:
        """Learn names and sizes from an inventory; its offsets are those of an archive."""
        self._names = _by_name(names)
        self._size += sum(blob.size for blob, _ in blobs)

    def check_frame(self) -> None:
        """Nothing surrounds the documents."""

    def _name(self, reference: Reference, descriptor: Descriptor) -> None:
        with self.files.hold((LAYOUT_FILE, INDEX_FILE)) as documents:
            listed = documents.found.get(INDEX_FILE)
            named = _by_name(parse_index(listed, f"`{self.place}`") if listed else ())
            named[str(reference)] = (reference, descriptor)
            documents.write(LAYOUT_FILE, LAYOUT)
            documents.write(INDEX_FILE, index_document(named.values()))
            self._names = named

    def _no_bundle(self, found: dict[str, bytes]) -> AirgapError:
        if found:
            hint = "type the command that packs it again; it goes on from there"
            return DamagedBundle(f"`{self.place}` is not whole: it has no `{INDEX_FILE}`, which comes last", hint=hint)
        return InvalidInput(f"there is no bundle in `{self.place}`", hint="a bundle is made with: kubectl airgap pack")

    def _index(self) -> dict[str, Named]:
        if self._names is None:
            listed = self.files.document(INDEX_FILE, limits.INVENTORY)
            self._names = _by_name(parse_index(listed, f"`{self.place}`") if listed else ())
        return self._names


class LayoutWriter:
    """Fills a layout with a bundle: blobs in any order, several at a time.

    What an earlier run has left is kept. `index.json` is written by `finish`, last: until then there is no bundle, or
    the one that was there before.

    Args:
        files: where it goes.
        members: name → bytes of every document, or None where an earlier bundle's may not stay.
    """

    def __init__(self, files: Files, members: Mapping[str, bytes | None]) -> None:
        self._files = files
        self._store = LayoutStore(files)
        self._members = dict(members)
        with contextlib.ExitStack() as opened:
            opened.callback(files.close)
            self._documents = opened.enter_context(files.hold(tuple(self._members)))
            self._opened = opened.pop_all()

    def __enter__(self) -> LayoutWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()

    def find(self, reference: Reference) -> Descriptor | None:
        """Nothing has a name before the bundle is whole."""
        return None

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether an earlier run has left this content."""
        return self._files.has(descriptor)

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        """Store a blob."""
        self._files.put(descriptor, content)

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Store a manifest, unless it is there."""
        self._store.put_manifest(name, descriptor, data)

    def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Names stand in the documents already."""
        self._store.put_manifest(reference.name, descriptor, data)

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        """Nothing to do: content is here once, whatever repository it is from."""
        return True

    def finish(self) -> None:
        """Write the documents, the one that makes a bundle of all the rest last.

        Raises:
            LostRace: somebody else has written a bundle there meanwhile; theirs stays.
        """
        for name, data in sorted(self._members.items(), key=lambda member: member[0] == INDEX_FILE):
            if data is None:
                self._documents.remove(name)
            else:
                self._documents.write(name, data)
        self._files.tidy()


def _by_name(named: Iterable[Named]) -> dict[str, Named]:
    return {str(reference): (reference, descriptor) for reference, descriptor in named}
