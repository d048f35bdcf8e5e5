"""Blobs on their way into a bucket: in one request where they are small, else in parts, several at a time.

A part is held in memory while it is sent, so that it can be sent again, and there is room for few at a time. An
upload that was cut is taken up: the server lists its parts by MD5, the source is read again, and only parts that are
lacking or other are sent. A server whose ETags are no MD5 is sent all of them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import mmap
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from airgap import limits
from airgap.descriptors import Descriptor
from airgap.errors import ContentError, ContentMismatch, NotFound, StoreError
from airgap.stores import Content
from airgap.stores.s3.client import Bucket
from airgap.stores.s3.failures import Gone

_Body = bytes | bytearray | mmap.mmap
DIGEST: Final = "airgap-digest"
"""The key of an object's metadata that says what it is, so that a name and a size need not be believed."""


class Room:
    """Places for parts in memory, shared by all uploads of a store."""

    def __init__(self, bucket: Bucket, places: int = limits.S3_BUFFERS) -> None:
        self._free = threading.Semaphore(places)
        self._patience = bucket.patience

    def take(self) -> None:
        """Wait for a place.

        Raises:
            Cancelled: the work was stopped meanwhile.
        """
        while not self._free.acquire(timeout=0.2):
            self._patience.check()

    def give(self) -> None:
        """Give a place back."""
        self._free.release()

    @contextlib.contextmanager
    def place(self, size: int) -> Iterator[None]:
        """A place for so many bytes; what is no larger than a chunk needs none."""
        if size <= limits.CHUNK:
            yield
            return
        self.take()
        try:
            yield
        finally:
            self.give()


def part_size(size: int, least: int = limits.S3_PART) -> int:
    """The size of all parts but the last: as small as the number of parts allows, in whole MiB above `least`."""
    needed = -(-size // limits.S3_PARTS)
    return least if needed <= least else -(-needed // limits.MIB) * limits.MIB


def put(bucket: Bucket, key: str, data: _Body, descriptor: Descriptor, **conditions: str) -> str:
    """Store one object in one request; its ETag.

    Its MD5 goes along: every store checks it, and a bucket with object locks asks for it.
    """
    answer = bucket.call(
        f"cannot write `{key}`",
        "put_object",
        Key=key,
        Body=data,
        ContentMD5=_md5(data)[0],
        ContentType=descriptor.media_type,
        Metadata={DIGEST: descriptor.digest},
        **conditions,
    )
    return str(answer.get("ETag", ""))


def put_blob(bucket: Bucket, key: str, descriptor: Descriptor, content: Content, room: Room, part: int) -> None:
    """Store a blob, in one request where it has no more than `part` bytes; where `content` fails, nothing is kept."""
    if descriptor.size > part:
        _put_in_parts(bucket, key, descriptor, content, _Sender(bucket, room), part_size(descriptor.size, part))
        return
    with room.place(descriptor.size):
        put(bucket, key, Pieces(descriptor, content, descriptor.size, key).next(), descriptor)


def is_there(bucket: Bucket, key: str, descriptor: Descriptor) -> bool:
    """Whether an object has the right size, and we said of it that it is this very content."""
    try:
        head = bucket.call(f"cannot look for `{key}`", "head_object", Key=key)
    except NotFound:
        return False
    return head.get("ContentLength") == descriptor.size and head.get("Metadata", {}).get(DIGEST) == descriptor.digest


def abandon(bucket: Bucket, prefix: str) -> None:
    """End all uploads below a prefix that nobody will go on with; their parts would be kept, and paid for."""
    for upload in _unfinished(bucket, prefix):
        _abort(bucket, upload)


@dataclass(frozen=True, slots=True)
class _Upload:
    """An upload in parts that the server knows."""

    key: str
    id: str

    @property
    def named(self) -> dict[str, str]:
        return {"Key": self.key, "UploadId": self.id}


@dataclass(frozen=True, slots=True)
class _Part:
    """What the server has of one part."""

    etag: str
    size: int


def _put_in_parts(
    bucket: Bucket, key: str, descriptor: Descriptor, content: Content, sender: _Sender, size: int
) -> None:
    """Send what is lacking of an upload, and complete it.

    Another process may do the same at the same time, since equal content has equal parts; whoever is last finds the
    upload gone and the object there.
    """
    failures = 0
    while True:
        listed = [(upload, _listed(bucket, upload)) for upload in _unfinished(bucket, key, exactly=True)]
        listed.sort(key=lambda known: -len(known[1]))
        (upload, there), *others = listed or [(_begin(bucket, key, descriptor), {})]
        try:
            _complete(bucket, upload, sender.send_all(upload, there, Pieces(descriptor, content, size, key)))
        except Gone as gone:
            if is_there(bucket, key, descriptor):
                return
            failures += 1
            bucket.patience.wait(failures, gone.message)
        except ContentError:
            _abort(bucket, upload)
            raise
        else:
            for other, _ in others:
                _abort(bucket, other)
            return


class _Sender:
    """Sends the parts of one upload in threads of their own, as many at a time as there is room for."""

    def __init__(self, bucket: Bucket, room: Room) -> None:
        self._bucket = bucket
        self._room = room
        self._failure: BaseException | None = None

    def send_all(self, upload: _Upload, there: Mapping[int, _Part], pieces: Pieces) -> dict[int, str]:
        """Part number → ETag, of all parts; what is `there` already is hashed and not sent."""
        tags: dict[int, str] = {}
        threads: list[threading.Thread] = []
        self._failure = None
        try:
            while pieces.left:
                number = len(threads) + 1
                part = (upload, number, self._next(pieces), there.get(number), tags)
                threads.append(threading.Thread(target=self._send, args=part, daemon=True))
                threads[-1].start()
                del part  # or it would stay in memory until the next one is complete
                self._check()
        finally:
            for thread in threads:
                thread.join()
        self._check()
        return tags

    def _next(self, pieces: Pieces) -> _Body:
        """The next part, in a place that its sending gives back."""
        self._room.take()
        try:
            return pieces.next()
        except BaseException:
            self._room.give()
            raise

    def _send(self, upload: _Upload, number: int, data: _Body, there: _Part | None, tags: dict[int, str]) -> None:
        try:
            encoded, plain = _md5(data)
            if there == _Part(f'"{plain}"', len(data)):
                tags[number] = there.etag
            else:
                what = f"cannot write part {number} of `{upload.key}`"
                part = {"PartNumber": number, "Body": data, "ContentMD5": encoded}
                tags[number] = str(self._bucket.call(what, "upload_part", **upload.named, **part)["ETag"])
        except BaseException as error:
            self._failure = self._failure or error
        finally:
            self._room.give()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


class Pieces:
    """Content in pieces of one size, of which the last may be smaller.

    Large pieces are mappings: they leave memory when they are done with, whatever the allocator would rather keep.
    """

    def __init__(self, descriptor: Descriptor, content: Content, size: int, place: str) -> None:
        self._wanted = f"{descriptor.digest}, {descriptor.size} bytes"
        self._chunks = content(0)
        self._size = size
        self._place = place
        self._rest = memoryview(b"")
        self.left = descriptor.size

    def next(self) -> _Body:
        """The next piece; the last one once the content has been found right to its end."""
        size = min(self._size, self.left)
        piece = mmap.mmap(-1, size) if size > limits.CHUNK else bytearray(size)
        with memoryview(piece) as view:
            for start, taken in self._taken(size):
                view[start : start + len(taken)] = taken
        self.left -= size
        if not self.left and (self._rest or any(self._chunks)):
            raise ContentMismatch(self._place, self._wanted, "longer than that")
        return piece

    def _taken(self, size: int) -> Iterator[tuple[int, memoryview]]:
        """So many bytes, as they come, each with its place in the piece."""
        start = 0
        while start < size:
            self._rest = self._rest or memoryview(next(self._chunks, b""))
            if not self._rest:
                raise ContentMismatch(self._place, self._wanted, "cut short")
            taken, self._rest = self._rest[: size - start], self._rest[size - start :]
            yield start, taken
            start += len(taken)


def _begin(bucket: Bucket, key: str, descriptor: Descriptor) -> _Upload:
    answer = bucket.call(
        f"cannot write `{key}`",
        "create_multipart_upload",
        Key=key,
        ContentType=descriptor.media_type,
        Metadata={DIGEST: descriptor.digest},
    )
    return _Upload(key, str(answer["UploadId"]))


def _unfinished(bucket: Bucket, prefix: str, *, exactly: bool = False) -> list[_Upload]:
    """Uploads below a prefix, or of that very key; none where the store does not tell."""
    try:
        answer = bucket.call(f"cannot list uploads to `{prefix}`", "list_multipart_uploads", Prefix=prefix)
    except StoreError:
        return []
    listed = [_Upload(str(entry["Key"]), str(entry["UploadId"])) for entry in answer.get("Uploads") or ()]
    return [upload for upload in listed if not exactly or upload.key == prefix]


def _listed(bucket: Bucket, upload: _Upload) -> dict[int, _Part]:
    """What the server has of an upload, some thousand parts at a time."""
    parts: dict[int, _Part] = {}
    marker = 0
    what = f"cannot list the parts of `{upload.key}`"
    while True:
        try:
            answer = bucket.call(what, "list_parts", **upload.named, PartNumberMarker=marker)
        except Gone:
            return {}
        for entry in answer.get("Parts") or ():
            parts[int(entry["PartNumber"])] = _Part(str(entry["ETag"]), int(entry["Size"]))
        following = int(answer.get("NextPartNumberMarker") or 0)
        if not answer.get("IsTruncated") or following <= marker:
            return parts
        marker = following


def _complete(bucket: Bucket, upload: _Upload, tags: Mapping[int, str]) -> None:
    """Make one object of the parts. A store may answer 200 and say in the body that it failed; boto3 reads that."""
    parts = [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]
    what = f"cannot complete `{upload.key}`"
    bucket.call(what, "complete_multipart_upload", **upload.named, MultipartUpload={"Parts": parts})


def _abort(bucket: Bucket, upload: _Upload) -> None:
    """End an upload; where that fails, its parts lie there until the bucket's own rules remove them."""
    with contextlib.suppress(StoreError):
        bucket.call(f"cannot abort the upload of `{upload.key}`", "abort_multipart_upload", **upload.named)


def _md5(data: _Body) -> tuple[str, str]:
    """The MD5 as a header has it, and as an ETag has it; against accidents, not against people."""
    fresh = hashlib.md5(data, usedforsecurity=False)
    return base64.b64encode(fresh.digest()).decode(), fresh.hexdigest()
