"""An OCI image layout in a bucket: `index.json`, other documents, and `blobs/` below a prefix; no copy elsewhere."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from airgap import limits
from airgap.descriptors import OCI_INDEX, Descriptor
from airgap.errors import DamagedBundle, NotFound, StoreError
from airgap.stores import Chunk, Content
from airgap.stores.layout import INDEX_FILE
from airgap.stores.layoutstore import LostRace
from airgap.stores.registry.retry import Transient
from airgap.stores.s3 import upload
from airgap.stores.s3.client import Bucket, S3Access
from airgap.stores.s3.failures import Changed, NoBucket, Unsupported
from airgap.stores.s3.location import Location

_Read = tuple[bytes | None, str]  # a document and its ETag
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)")


class BucketFiles:
    """Objects below a prefix. An object's metadata names its digest, so a size and a key need not be believed."""

    def __init__(self, location: Location, access: S3Access, *, part: int = limits.S3_PART) -> None:
        self.place = str(location)
        self._location = location
        self._bucket = Bucket(location.bucket, access)
        self._room = upload.Room(self._bucket)
        self._part = part

    def close(self) -> None:
        """Close all connections."""
        self._bucket.close()

    def document(self, name: str, most: int) -> bytes | None:
        """An object beside `blobs/`."""
        return self.read(name, most)[0]

    def read(self, name: str, most: int) -> _Read:
        """A document with its ETag; both absent where there is none."""
        key, failures = self._location.key(name), 0
        what = f"cannot read `{name}` of `{self.place}`"
        while True:
            try:
                answer = self._bucket.call(what, "get_object", Key=key)
                if int(answer["ContentLength"]) > most:
                    answer["Body"].close()
                    raise DamagedBundle(f"`{name}` of `{self.place}` is larger than {most} bytes")
                return b"".join(self._bucket.read(answer["Body"], what)), str(answer["ETag"])
            except NoBucket:
                raise
            except NotFound:
                return None, ""
            except Transient as error:
                failures += 1
                self._bucket.patience.wait(failures, f"{what}: {error}")

    def write(self, name: str, data: bytes, conditions: Mapping[str, str]) -> str:
        """Put a document on boto3's conditions; its ETag.

        Raises:
            Changed: they do not hold. Unsupported: the store knows no conditions.
        """
        media_type = OCI_INDEX if name == INDEX_FILE else "application/json"
        return upload.put(self._bucket, self._location.key(name), data, Descriptor.of(data, media_type), **conditions)

    def remove(self, name: str) -> None:
        """Delete a document."""
        self._bucket.call(f"cannot delete `{name}` of `{self.place}`", "delete_object", Key=self._location.key(name))

    @contextlib.contextmanager
    def hold(self, names: Sequence[str]) -> Iterator[_Objects]:
        """Remember what documents are now, so that they are replaced only where they are still that."""
        yield _Objects(self, {name: self.read(name, limits.INVENTORY) for name in names})

    def content(self, descriptor: Descriptor, offset: int) -> Iterator[Chunk]:
        """The object to its end; a broken connection is taken up again where it broke."""
        position, end, failures = offset, offset + 1, 0
        while position < end:
            start = position
            try:
                end, chunks = self._open(descriptor, position)
                for chunk in chunks:
                    position += len(chunk)
                    yield chunk
                why = f"`{self.place}`: {descriptor.digest} ended at {position} of {end} bytes"
            except Transient as error:
                why = f"`{self.place}`: {error}"
            if position < end:
                failures = 1 if position > start else failures + 1
                self._bucket.patience.wait(failures, why)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the object has the right size, and we said of it that it is this very content."""
        return upload.is_there(self._bucket, self._key(descriptor), descriptor)

    def put(self, descriptor: Descriptor, content: Content) -> None:
        """Upload a blob, going on with an upload that was cut."""
        upload.put_blob(self._bucket, self._key(descriptor), descriptor, content, self._room, self._part)

    def tidy(self) -> None:
        """End uploads that were cut and that nobody has gone on with."""
        upload.abandon(self._bucket, self._location.key("blobs/"))

    def _key(self, descriptor: Descriptor) -> str:
        return self._location.key(descriptor.blob_path)

    def _open(self, descriptor: Descriptor, position: int) -> tuple[int, Iterator[Chunk]]:
        """Where the object ends, and its bytes from a position on."""
        what = f"cannot read `{descriptor.digest}` of `{self.place}`"
        part = {"Range": f"bytes={position}-"} if position else {}
        answer = self._bucket.call(what, "get_object", Key=self._key(descriptor), **part)
        end = _end_of_range(answer, descriptor, position) if position else int(answer["ContentLength"])
        return end, self._bucket.read(answer["Body"], what)


class _Objects:
    """Documents that are objects, with the ETags by which a change is noticed."""

    def __init__(self, files: BucketFiles, read: Mapping[str, _Read]) -> None:
        self.found = {name: data for name, (data, _) in read.items() if data is not None}
        self._etags = {name: etag for name, (_, etag) in read.items()}
        self._files = files

    def write(self, name: str, data: bytes) -> None:
        """Put an object where it is still what it was, if that changes anything.

        Raises:
            LostRace: it is not.
        """
        if self.found.get(name) == data:
            return
        etag = self._etags.get(name, "")
        try:
            self._etags[name] = self._files.write(name, data, {"IfMatch": etag} if etag else {"IfNoneMatch": "*"})
        except (Changed, Unsupported) as error:
            there, now = self._files.read(name, limits.INVENTORY)
            if there != data and (isinstance(error, Changed) or now != etag):
                raise LostRace(
                    f"`{name}` of `{self._files.place}` was changed by somebody else meanwhile; theirs stays",
                    hint="if it is yours to change, type the same command again: what is there is not sent again",
                ) from error
            self._etags[name] = now if there == data else self._files.write(name, data, {})
        self.found[name] = data

    def remove(self, name: str) -> None:
        """Delete an object."""
        if name in self.found:
            self._files.remove(name)
            del self.found[name]


def _end_of_range(answer: dict[str, Any], descriptor: Descriptor, position: int) -> int:
    """The size of the object; a part of it may only be joined to what we have if it begins where that ends."""
    said = str(answer.get("ContentRange", ""))
    match = _CONTENT_RANGE.fullmatch(said)
    if match is None or int(match[1]) != position:
        answer["Body"].close()
        raise StoreError(f"`{descriptor.digest}` from byte {position} was asked for; the answer has the range {said!r}")
    return int(match[2])
