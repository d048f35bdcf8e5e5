"""Getting blobs into a registry: in one request or in chunks, as it takes them, and on from where an upload broke.

Source: distribution-spec v1.1.1 "Pushing blobs"; what registries in the field do otherwise is in docs/registries.md.

What a request of an upload was not answered to is not known to have arrived, and distribution 2.8 appends whatever
comes: so a chunk goes into the same upload a second time only where the registry says that the first did not arrive.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airgap import limits
from airgap.descriptors import Descriptor, hasher
from airgap.errors import AccessDenied, ContentMismatch, StoreError
from airgap.stores import Chunk, Content
from airgap.stores.registry.client import Client, Request
from airgap.stores.registry.elsewhere import joined, origin_of, refusal
from airgap.stores.registry.journal import Journal, Place, Session
from airgap.stores.registry.mirrors import Endpoint
from airgap.stores.registry.refusals import Refusal
from airgap.stores.registry.retry import Transient

if TYPE_CHECKING:
    from airgap.stores.registry.session import Answer

PUSH: Final = "push,pull"
EMPTY: Final = {"Content-Length": "0"}
_WHOLE: Final = 0  # in place of a chunk's size: one PUT
_STREAM: Final = limits.BLOB  # one PATCH with everything, as docker sends it: what every registry takes
_ACCEPTED: Final = (201, 202, 204)  # to a PATCH: the specification's, ECR's, and an old one
_STORED: Final = (201, 204)
_OTHER_WAY: Final = frozenset({400, 404, 405, 411, 415, 416, 501})  # a registry that wants blobs otherwise says
_NO_WAY: Final = frozenset({"NAME_UNKNOWN", "NAME_INVALID", "DENIED", "UNAUTHORIZED"})
_SESSION_GONE: Final = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})
_RANGE: Final = re.compile(r"(?:bytes=)?0-(\d{1,16})", re.ASCII)


class _Unwanted(Exception):
    """The registry does not take blobs this way."""

    def __init__(self, refused: Refusal) -> None:
        super().__init__(str(refused))
        self.refused = refused


class Uploads:
    """Sends blobs, and remembers for the run how each registry takes them."""

    def __init__(self, journal: Journal | None = None, chunk: int = 0) -> None:
        """Send what is larger than `chunk` bytes in chunks of that size; 0 leaves it to us."""
        self.journal = journal or Journal()
        self.offers: dict[Place, Answer] = {}  # uploads that were opened in place of a mount
        self._ways = _Ways(chunk)

    def offer(self, client: Client, at: Endpoint, blob: Descriptor, response: Answer) -> None:
        """Keep what a registry answered that would not mount a blob: the upload it opened instead is the next one."""
        self.offers[_place(client, at, blob)] = response

    def send(self, client: Client, at: Endpoint, blob: Descriptor, content: Content, has: Callable[[], bool]) -> None:
        """Upload a blob, across broken connections and lost answers.

        Args:
            client: speaks to the registry.
            at: the repository.
            blob: what is sent.
            content: opens its bytes.
            has: asks whether the repository has it.

        Raises:
            StoreError: the registry refuses. ContentMismatch: the bytes are not the blob's; nothing was stored.
        """
        upload = _Upload(client, at, blob, content, self)
        failures, furthest = 0, 0
        refusals: dict[int, Refusal] = {}
        while True:
            way = self._ways.of(client.host, blob.size)
            try:
                return upload.run(way)
            except _Unwanted as error:
                refusals[way] = error.refused
                if not self._ways.refuse(client.host, way, blob.size, error.refused.status):
                    plainest = refusals.get(_WHOLE, error.refused)  # of the others it may say that it knows no such way
                    raise plainest.error(upload.what, client.host) from None
                upload.session = None
            except Transient as error:
                if has():  # only the answer was lost
                    return upload.forget()
                failures = 1 if upload.offset > furthest else failures + 1
                furthest = max(upload.offset, furthest)
                client.patience.wait(failures, f"`{at}`: {error}", error.retry_after)


class _Ways:
    """How each registry takes blobs, learnt from what it refuses: chunks of a size, one PUT, or one PATCH."""

    def __init__(self, chunk: int) -> None:
        self._chunk = chunk
        self._refused: dict[str, set[int]] = {}
        self._lock = threading.Lock()

    def of(self, host: str, size: int) -> int:
        """The size of a chunk for a blob of `size` bytes, 0 for one PUT."""
        with self._lock:
            return next((way for way in self._ladder(size) if way not in self._refused.get(host, ())), _WHOLE)

    def refuse(self, host: str, way: int, size: int, status: int) -> bool:
        """Remember that a host does not take blobs in this way; False where none is left.

        A chunk that is too large (416, GHCR) says nothing about smaller ones; otherwise it is chunks that are refused.
        """
        with self._lock:
            refused = self._refused.setdefault(host, set())
            refused.add(way)
            if way not in (_WHOLE, _STREAM) and status != 416:
                refused.update(self._chunks)
            left = any(other not in refused for other in self._ladder(size))
            if not left:
                refused.clear()
            return left

    @property
    def _chunks(self) -> tuple[int, ...]:
        wanted = self._chunk or limits.UPLOAD_CHUNK
        return (wanted, min(wanted, limits.UPLOAD_CHUNK_SMALL))

    def _ladder(self, size: int) -> tuple[int, ...]:
        in_chunks = size > (self._chunk or limits.UPLOAD_WHOLE)
        return (*(self._chunks if in_chunks else ()), _WHOLE, _STREAM)


class _Upload:
    """One blob on its way into one repository."""

    def __init__(self, client: Client, at: Endpoint, blob: Descriptor, content: Content, uploads: Uploads) -> None:
        self.what = f"cannot upload to `{at}`"
        self.session: Session | None = None
        self._client = client
        self._at = at
        self._blob = blob
        self._content = content
        self._feed = _Feed(content, blob, str(at))
        self._journal = uploads.journal
        self._offers = uploads.offers
        self._place = _place(client, at, blob)
        self._is_taken_up = False  # from an earlier run

    @property
    def offset(self) -> int:
        """Bytes that the registry has confirmed in the open session."""
        return self.session.offset if self.session else 0

    def run(self, way: int) -> None:
        """Send it, as far as it is not there yet.

        Raises:
            Transient: worth another attempt. _Unwanted: worth one in another way.
        """
        size = self._blob.size
        try:
            if way == _WHOLE and size:
                self._close(self._opened(way), {"Content-Length": str(size)}, lambda: Body(self._content(0), size))
            else:
                self._in_chunks(way)
        except ContentMismatch:
            self.forget()  # nobody shall go on after bytes that are not the blob's
            raise

    def forget(self) -> None:
        """The upload is over."""
        self.session = None
        self._journal.drop(self._place)

    def _in_chunks(self, way: int) -> None:
        session = self._still_open()
        if session is None:
            self.forget()
            session = self._opened(way)
        self._feed.go_to(session.offset)
        self.session = session
        while session.offset < self._blob.size:
            session = self.session = self._patched(session)
            self._journal.keep(self._place, session)
        self._feed.prove()
        self._close(session, EMPTY)
        self.forget()

    def _opened(self, way: int) -> Session:
        """A new upload; a registry may want chunks of a least size."""
        algorithm = self._blob.digest.partition(":")[0]
        query = "" if algorithm == "sha256" else f"?digest-algorithm={algorithm}"
        path = f"/v2/{self._at.repository}/blobs/uploads/{query}"
        response = self._offers.pop(self._place, None) or self._ask("POST", path)
        if response.status_code not in (201, 202):
            raise Refusal.of(response).error(self.what, self._client.host)
        response.close()
        if not response.headers.get("Location"):
            raise StoreError(f"`{self._client.host}` accepts an upload to `{self._at}`, but does not say where")
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        chunk = max(way, int(least)) if least.isascii() and least.isdigit() and len(least) < 16 else way
        return Session(self._location(response, self._client.absolute(path)), 0, chunk)

    def _still_open(self) -> Session | None:
        """The upload that this run or an earlier one has begun, if the registry has it."""
        if self.session is not None:
            return self._as_confirmed(self.session)
        kept = self._journal.find(self._place)
        session = self._as_confirmed(kept) if kept else None
        self._is_taken_up = session is not None
        return session

    def _as_confirmed(self, session: Session) -> Session | None:
        """The session as far as the registry has it; None where it has it no more, or cannot be believed (ECR)."""
        if refusal(session.location, self._place.origin):
            return None
        try:
            response = self._ask("GET", session.location, {})
        except AccessDenied:
            return None
        response.close()
        if response.status_code not in (200, 202, 204):
            return None
        match = _RANGE.fullmatch(response.headers.get("Range", ""))
        offset = int(match[1]) + 1 if match and int(match[1]) else 0  # distribution says 0-0 of an empty upload
        if not session.offset <= offset <= self._blob.size:
            return None
        return replace(session, location=self._location(response, session.location), offset=offset)

    def _patched(self, session: Session) -> Session:
        """The session after one more chunk."""
        end = min(session.offset + session.chunk, self._blob.size)
        length = end - session.offset
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        if length < self._blob.size:
            headers["Content-Range"] = f"{session.offset}-{end - 1}"
        response = self._ask("PATCH", session.location, headers, lambda: Body(self._feed.part(end), length))
        if response.status_code not in _ACCEPTED:
            self._raise(Refusal.of(response), is_new=not session.offset)
        response.close()
        self._feed.confirm()
        # What the answer's Range says is not looked at: ECR's stays where it was. The closing PUT decides.
        return replace(session, location=self._location(response, session.location), offset=end)

    def _close(self, session: Session, headers: dict[str, str], body: Callable[[], Any] | None = None) -> None:
        mark = "&" if "?" in session.location else "?"
        sent = {"Content-Type": "application/octet-stream", **headers}
        response = self._ask("PUT", f"{session.location}{mark}digest={self._blob.digest}", sent, body)
        if response.status_code not in _STORED:
            self._raise(Refusal.of(response), is_new=session.offset in (0, self._blob.size))
        response.close()

    def _ask(
        self, method: str, url: str, headers: dict[str, str] = EMPTY, body: Callable[[], Any] | None = None
    ) -> Answer:
        again = method in ("POST", "GET")  # where nothing is lost if the first did arrive
        return self._client.send(Request(method, url, self._at.repository, PUSH, headers, body, retried=again))

    def _raise(self, refused: Refusal, *, is_new: bool = False) -> NoReturn:
        """Raise what an answer means: try again, try again in a new upload, try otherwise, or give up."""
        if refused.may_pass:
            raise self._transient(refused)
        is_damaged = self._is_taken_up and "DIGEST_INVALID" in refused.codes  # by what an earlier run has sent
        if is_damaged or (refused.status == 404 and refused.codes & _SESSION_GONE):
            self.forget()
            raise self._transient(refused)
        if refused.status in (404, 416) and not is_new:  # it has more of the blob than we think, or nothing
            raise self._transient(refused)
        if refused.status in _OTHER_WAY and not refused.codes & _NO_WAY:
            self.forget()
            raise _Unwanted(refused)
        raise refused.error(self.what, self._client.host)

    def _transient(self, refused: Refusal) -> Transient:
        return Transient(f"`{self._client.host}` answered {refused}", refused.retry_after)

    def _location(self, response: Answer, before: str) -> str:
        """Where the next request goes: as given, relative or not, with its query; without one, where the last went."""
        url = joined(before, response.headers.get("Location", ""))
        why = refusal(url, self._place.origin)
        if why:
            hint = "the proxy before the registry must pass X-Forwarded-Proto on" if "by http" in why else ""
            raise StoreError(f"`{self._client.host}` wants the upload at a place that is refused: {why}", hint=hint)
        return url


def _place(client: Client, at: Endpoint, blob: Descriptor) -> Place:
    return Place(origin_of(client.absolute("/")), at.repository, blob.digest)


class Body:
    """What the HTTP library sends: it wants a length, and reads in pieces of our choice.

    The last piece goes out only when its reader has come to its end, and so has found the whole to be what it should
    be: a registry that is given anything else never gets all of it.
    """

    def __init__(self, chunks: Iterator[Chunk], size: int) -> None:
        self._chunks = chunks
        self._size = self._left = size

    def __len__(self) -> int:
        return self._size

    def read(self, _size: int = -1) -> Chunk:
        """The next piece, empty at the end."""
        chunk = next(self._chunks, b"")
        self._left -= len(chunk)
        if chunk and self._left <= 0:
            chunk = bytes(chunk)  # what a reader lends is its own again when it is asked for more
            next(self._chunks, None)
        return chunk


class _Feed:
    """A blob's bytes part by part, hashed as far as they are confirmed, and read again where a part is sent again."""

    def __init__(self, content: Content, blob: Descriptor, where: str) -> None:
        self._content = content
        self._blob = blob
        self._where = where
        self._offset = self._sent = 0  # confirmed; sent
        self._hash = self._ahead = hasher(blob.digest)  # of what is confirmed; of what is sent
        self._chunks: Iterator[Chunk] = iter(())
        self._rest: Chunk = b""
        self._at = -1  # where the open reader is

    def part(self, end: int) -> Iterator[Chunk]:
        """What is not confirmed yet, up to `end`."""
        self._ahead = self._hash.copy()
        for chunk in self._read(self._offset, end):
            self._ahead.update(chunk)
            yield chunk
        self._sent = end

    def confirm(self) -> None:
        """What was sent has arrived."""
        self._hash, self._offset = self._ahead, self._sent

    def go_to(self, offset: int) -> None:
        """Count what is before `offset` as arrived, no more and no less; it is read for its hash."""
        if offset < self._offset:
            self._offset, self._hash = 0, hasher(self._blob.digest)
        for _ in self.part(offset):
            pass
        self.confirm()

    def prove(self) -> None:
        """Fail unless all that was confirmed is the blob: the registry's own check is the second, not the first.

        Raises:
            ContentMismatch: it is not, or there is more of it.
        """
        if self._rest or next(self._chunks, b""):  # whose end may say more of what is wrong, and where
            raise ContentMismatch(self._where, self._blob.digest, "longer than that")
        if self._hash.hexdigest() != self._blob.hex:
            algorithm = self._blob.digest.partition(":")[0]
            raise ContentMismatch(self._where, self._blob.digest, f"{algorithm}:{self._hash.hexdigest()}")

    def _read(self, start: int, end: int) -> Iterator[Chunk]:
        if start < end and self._at != start:
            self._chunks, self._rest, self._at = self._content(start), b"", start
        while self._at < end and start < end:
            chunk = self._rest or next(self._chunks, b"")
            if not chunk:
                raise ContentMismatch(self._where, f"{self._blob.digest}, {self._blob.size} bytes", f"{self._at} bytes")
            here, self._rest = chunk[: end - self._at], chunk[end - self._at :]
            self._at += len(here)
            yield here
