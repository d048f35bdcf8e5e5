"""What `docker save` and `podman save` write, spooled to a file without a name, as a source.

Docker up to 24 and podman 4 write docker-archives: layers uncompressed, under names of their own, some of them links.
Docker from 25 on writes an OCI layout besides, in which content lies by its digest. Both are read in place. Of a
docker-archive an OCI manifest is made for each image, always the same for the same image; configs and layers stay the
bytes they are, and their digests follow from the configs, so that nothing is hashed before it is read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from airgap import durable, limits, strictjson
from airgap.descriptors import OCI_CONFIG, OCI_MANIFEST, Descriptor, parse_manifest, verify
from airgap.errors import DamagedBundle, InvalidManifest, InvalidReference, NotFound
from airgap.references import Reference, check_digest
from airgap.stores import Chunk, tar
from airgap.stores.layout import INDEX_FILE, Named, parse_index
from airgap.stores.reading import verified

_DOCKER_FILE: Final = "manifest.json"
_PLAIN_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_COMPRESSED: Final = {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}
_LINKS: Final = 8  # that may lead to one another
_AGAIN: Final = "type it again; if it recurs, save the image by hand and look at it"


class SavedImages:
    """A source of the images of one save; closing it gives the space back, and so does any end of this process."""

    def __init__(self, chunks: Iterable[bytes], directory: Path, place: str) -> None:
        """Take in everything.

        Args:
            chunks: what the runtime writes.
            directory: on whose disk it is kept meanwhile, in a file without a name.
            place: how errors name the runtime.

        Raises:
            NoSpace: the disk is full.
            DamagedBundle, InvalidManifest: not an archive of images.
        """
        self.place = f"what {place} saved"
        self._contents: dict[str, tar.Member] = {}
        self._manifests: dict[str, bytes] = {}
        self._names: dict[str, Descriptor] = {}
        with durable.explained(directory):
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
            try:
                for chunk in chunks:
                    durable.write_all(self.fileno(), chunk)
                self._read_names()
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> SavedImages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def fileno(self) -> int:
        """Of the file without a name."""
        return self._file.fileno()

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for."""
        found = self._names.get(str(reference)) or self._names.get(str(reference.without_tag()))
        if found is None:
            raise NotFound(f"`{reference}` is not in {self.place}")
        return found

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether the content is here."""
        return descriptor.digest in self._contents or descriptor.digest in self._manifests

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest, checked."""
        made = self._manifests.get(descriptor.digest)
        data = self._bytes(self._content(descriptor), limits.MANIFEST) if made is None else made
        return verify(data, descriptor, self.place)

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked."""
        return verified(self._chunks(self._content(descriptor), offset), descriptor, self.place, offset)

    def _content(self, descriptor: Descriptor) -> tar.Member:
        try:
            return self._contents[descriptor.digest]
        except KeyError:
            raise NotFound(f"`{descriptor.digest}` is not in {self.place}") from None

    def _read_names(self) -> None:
        try:
            files = self._files()
            self._contents = {f"sha256:{name[13:]}": m for name, m in files.items() if _is_blob(name)}
            if INDEX_FILE in files:
                self._learn(parse_index(self._bytes(files[INDEX_FILE], limits.INVENTORY), self.place))
            else:
                self._learn(self._made(files))
        except (DamagedBundle, InvalidManifest) as error:
            error.hint = error.hint or _AGAIN
            raise

    def _learn(self, named: Iterable[Named]) -> None:
        for reference, descriptor in named:
            self._names[str(reference)] = self._names[f"{reference.name}@{descriptor.digest}"] = descriptor

    def _files(self) -> dict[str, tar.Member]:
        """Name → content of every file; a link is what it leads to. Two members of one name could be either."""
        entries: dict[str, tar.Entry] = {}
        for entry in tar.scan(self._read, self.place):
            if entries.setdefault(entry.name, entry) is not entry:
                raise DamagedBundle(f"{self.place} has `{entry.name}` twice")
        found = ((name, _followed(name, entries)) for name in entries)
        return {name: entry.content for name, entry in found if entry is not None and entry.content is not None}

    def _made(self, files: dict[str, tar.Member]) -> Iterator[Named]:
        """An OCI manifest for each entry of docker's list."""
        if _DOCKER_FILE not in files:
            raise DamagedBundle(f"{self.place} has no `{_DOCKER_FILE}`: it is no archive of images")
        listed = strictjson.loads(self._bytes(files[_DOCKER_FILE], limits.INVENTORY), f"the list in {self.place}")
        for entry in listed if isinstance(listed, list) else [None]:
            config, layers, names = _docker_entry(entry, self.place)
            descriptor = self._image(_known(config, files, self.place), [_known(p, files, self.place) for p in layers])
            for name in names:
                try:
                    yield Reference.parse(name), descriptor
                except InvalidReference as error:
                    raise InvalidManifest(f"{self.place}: {error.message}") from error

    def _image(self, config: tar.Member, layers: list[tar.Member]) -> Descriptor:
        """The manifest of one image: the digests of plain layers are those that its config lists."""
        data = self._bytes(config, limits.MANIFEST)
        image = Descriptor.of(data, OCI_CONFIG)
        digests = _diff_ids(data, self.place)
        if len(digests) != len(layers):
            raise InvalidManifest(f"{self.place}: `{config.name}` lists {len(digests)} layers, {len(layers)} are there")
        self._contents[image.digest] = config
        described = [self._layer(member, digest) for member, digest in zip(layers, digests, strict=True)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": image.to_json(),
            "layers": [layer.to_json() for layer in described],
        }
        made = strictjson.dumps(manifest)
        descriptor = Descriptor.of(made, OCI_MANIFEST)
        parse_manifest(made, descriptor, self.place)
        self._manifests[descriptor.digest] = made
        return descriptor

    def _layer(self, member: tar.Member, plain: str) -> Descriptor:
        digest = f"sha256:{member.name[13:]}" if _is_blob(member.name) else plain
        self._contents[digest] = member
        compressed = _COMPRESSED.get(self._read(2, member.offset), "")
        return Descriptor(_PLAIN_LAYER + compressed, digest, member.size)

    def _bytes(self, member: tar.Member, most: int) -> bytes:
        if member.size > most:
            raise InvalidManifest(f"{self.place}: `{member.name}` has {member.size} bytes, more than {most}")
        data = self._read(member.size, member.offset)
        if len(data) < member.size:
            raise DamagedBundle(f"{self.place} is cut off in `{member.name}`")
        return data

    def _chunks(self, member: tar.Member, offset: int) -> Iterator[Chunk]:
        buffer = memoryview(bytearray(min(limits.CHUNK, member.size)))
        while offset < member.size:
            window = buffer[: min(len(buffer), member.size - offset)]
            count = durable.read_into_at(self.fileno(), window, member.offset + offset)
            if not count:
                return
            yield buffer[:count]
            offset += count

    def _read(self, count: int, offset: int) -> bytes:
        return os.pread(self.fileno(), count, offset)


def _is_blob(name: str) -> bool:
    """Whether a name says the digest of what it names (image-layout.md)."""
    if not name.startswith("blobs/sha256/"):
        return False
    try:
        check_digest(f"sha256:{name[13:]}")
    except InvalidReference:
        return False
    return True


def _followed(name: str, entries: dict[str, tar.Entry]) -> tar.Entry | None:
    entry = entries.get(name)
    for _ in range(_LINKS):
        if entry is None or not entry.link:
            return entry
        entry = entries.get(entry.link)
    return None


def _known(name: str, files: dict[str, tar.Member], place: str) -> tar.Member:
    try:
        return files[name]
    except KeyError:
        raise DamagedBundle(f"{place} lists `{name}`, which is not in it") from None


def _docker_entry(entry: Any, place: str) -> tuple[str, list[str], list[str]]:
    """Config, layers and names of one entry of docker's list.

    Raises:
        InvalidManifest: it is of another form.
    """
    value = entry if isinstance(entry, dict) else {}
    config: Any = value.get("Config")
    layers: Any = value.get("Layers")
    names: Any = value.get("RepoTags") or []
    lists = isinstance(layers, list) and isinstance(names, list)
    if lists and all(isinstance(text, str) for text in (config, *layers, *names)):
        return config, layers, names
    raise InvalidManifest(f"{place}: its list of images is of a form we do not know")


def _diff_ids(config: bytes, place: str) -> list[str]:
    value = strictjson.loads(config, f"a config in {place}")
    rootfs = value.get("rootfs") if isinstance(value, dict) else None
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    try:
        return [check_digest(str(digest)) for digest in listed] if isinstance(listed, list) else []
    except InvalidReference as error:
        raise InvalidManifest(f"{place}: {error.message}") from error
