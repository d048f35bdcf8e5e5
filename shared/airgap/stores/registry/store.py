"""Registries as a store: any number of them, addressed by full names (`quay.io/argoproj/argocli`).

Source: OCI distribution-spec v1.1.1. Manifests travel as the very bytes received; nothing is serialised anew.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from airgap import limits
from airgap.descriptors import INDEXES, MANIFESTS, Descriptor, artifact_type_of, media_type_of, parse_manifest, verify
from airgap.errors import (
    AccessDenied,
    ContentMismatch,
    InvalidReference,
    NotFound,
    StoreError,
    UnknownContent,
)
from airgap.references import Reference, check_digest
from airgap.stores import Chunk, Content, Listed
from airgap.stores.reading import verified
from airgap.stores.registry.client import Client, Connections, Request
from airgap.stores.registry.documents import whole
from airgap.stores.registry.mirrors import Endpoint, Mirrors
from airgap.stores.registry.referrers import Referrers
from airgap.stores.registry.refusals import Refusal, failure
from airgap.stores.registry.retry import Transient
from airgap.stores.registry.uploads import EMPTY, PUSH, Uploads

if TYPE_CHECKING:
    from airgap.stores.registry.session import Answer

_ACCEPT: Final = ", ".join(sorted(MANIFESTS | INDEXES, reverse=True))
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,16})-(\d{1,16})/(\d{1,16})", re.ASCII)
T = TypeVar("T")


class RegistryStore:
    """Reads from and writes to registries, through mirrors where the user named some."""

    def __init__(
        self, connections: Connections, mirrors: Mirrors | None = None, uploads: Uploads | None = None
    ) -> None:
        self.unasked = limits.UPLOAD_UNASKED
        self._doubted: set[str] = set()  # content that a registry said to have, and had not when it mattered
        self._connections = connections
        self._mirrors = mirrors or Mirrors()
        self._referrers = Referrers()
        self._uploads = uploads or Uploads()
        self._read: dict[str, bytes] = {}  # manifests that resolving a tag brought along, until they are asked for

    def resolve(self, reference: Reference) -> Descriptor:
        """What a name stands for now; the manifest itself comes along and is kept for `manifest`."""
        found, data = self._read_manifest(reference)
        self._want(reference, -1)
        self._read[found.digest] = data
        return found

    def manifest(self, name: str, descriptor: Descriptor) -> bytes:
        """A manifest by its digest, checked."""
        data = self._read.pop(descriptor.digest, None)
        if data is None:
            _, data = self._read_manifest(_by_digest(name, descriptor))
        return verify(data, descriptor, name)

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob, checked; a broken connection is taken up again where it broke."""
        return verified(self._resumed(name, descriptor, offset), descriptor, name, offset)

    def announce(self, references: Iterable[Reference]) -> None:
        """Say what will be resolved, so that whoever runs short of what a host allows learns it early."""
        for reference in references:
            self._want(reference, 1)

    def find(self, reference: Reference) -> Descriptor | None:
        """What a name stands for, by HEAD, or None."""
        client, at = self._client(reference.name)
        path = f"/v2/{at.repository}/manifests/{reference.version}"
        response = client.send(Request("HEAD", path, at.repository, headers={"Accept": _ACCEPT}))
        response.close()
        digest = response.headers.get("Docker-Content-Digest", "")
        if response.status_code == 200 and digest:
            media_type = response.headers.get("Content-Type", "").partition(";")[0]
            return Descriptor(media_type, _sound(digest, client), _length(response))
        if response.status_code == 404:
            return None
        if response.status_code in (200, 405):
            with contextlib.suppress(NotFound):
                return self.resolve(reference)
            return None
        raise failure(response, f"cannot look for `{reference}`", client.host)

    def has(self, name: str, descriptor: Descriptor) -> bool:
        """Whether a blob or manifest is there, with the size it must have."""
        client, at = self._client(name)
        kind = "manifests" if descriptor.is_manifest else "blobs"
        headers = {"Accept": _ACCEPT} if descriptor.is_manifest else {}
        path = f"/v2/{at.repository}/{kind}/{descriptor.digest}"
        response = client.send(Request("HEAD", path, at.repository, PUSH, headers=headers))
        response.close()
        if response.status_code == 200:
            return response.headers.get("Content-Length", str(descriptor.size)) == str(descriptor.size)
        if response.status_code == 404:
            return False
        raise failure(response, f"cannot look for `{descriptor.digest}` in `{name}`", client.host)

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        """Upload a blob, in the way the registry takes it; a broken upload goes on where it can.

        A small one is first mounted from where it is to go: that is done where it is there, and opens the upload where
        it is not, so that asking costs nothing.
        """
        doubted = descriptor.digest in self._doubted
        if descriptor.size <= self.unasked and not doubted and self.mount(name, descriptor, name):
            return
        client, at = self._client(name)
        self._uploads.send(client, at, descriptor, content, lambda: self.has(name, descriptor))

    def put_manifest(self, name: str, descriptor: Descriptor, data: bytes) -> None:
        """Push a manifest by its digest."""
        self._put_manifest(_by_digest(name, descriptor), descriptor, data)

    def tag(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """Push a manifest by its tag, or by its digest where it has no tag."""
        named = reference.by_tag() if reference.tag else _by_digest(reference.name, descriptor)
        self._put_manifest(named, descriptor, data)

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        """Ask the registry to take a blob from another of its repositories; anything but success is a no."""
        client, at = self._client(name)
        origin, source = self._client(other)
        if origin is not client:
            return False
        path = f"/v2/{at.repository}/blobs/uploads/?mount={descriptor.digest}&from={source.repository}"
        try:
            response = client.send(Request("POST", path, at.repository, PUSH, headers=EMPTY, retried=False))
        except (Transient, AccessDenied):
            return False
        response.close()
        if response.status_code == 202:
            self._uploads.offer(client, at, descriptor, response)
        return response.status_code == 201

    def _want(self, reference: Reference, count: int) -> None:
        self._connections.courtesy.want(self._client(reference.name)[0].host, count)

    def referrers(self, name: str, digest: str) -> Listed:
        """What is listed as referring to some content."""
        return self._somewhere(name, lambda client, at: self._referrers.listed(client, at, digest))

    def enlist(self, name: str, digest: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Have referrers that were pushed on the list of their subject."""
        client, at = self._client(name)
        self._referrers.enlist(client, at, digest, entries)

    def client_of(self, name: str) -> Client:
        """Who speaks to the registry of a name, for what only one kind of registry understands."""
        return self._client(name)[0]

    def _client(self, name: str) -> tuple[Client, Endpoint]:
        endpoint = self._mirrors.endpoints(name)[0]
        return self._connections.client(endpoint), endpoint

    def _somewhere(self, name: str, ask: Callable[[Client, Endpoint], T]) -> T:
        """Ask each place a name may be at, in order; the last one's refusal is the answer."""
        *others, last = self._mirrors.endpoints(name)
        for endpoint in others:
            try:
                return ask(self._connections.client(endpoint), endpoint)
            except StoreError:
                continue
        return ask(self._connections.client(last), last)

    def _read_manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """A manifest from wherever it is; one that arrives with a wrong digest is asked for once more."""

        def ask(client: Client, at: Endpoint) -> tuple[Descriptor, bytes]:
            try:
                return self._get_manifest(client, at, reference)
            except ContentMismatch:
                return self._get_manifest(client, at, reference)

        return self._somewhere(reference.name, ask)

    def _get_manifest(self, client: Client, at: Endpoint, reference: Reference) -> tuple[Descriptor, bytes]:
        path = f"/v2/{at.repository}/manifests/{reference.version}"
        what = f"the manifest of `{reference}`"
        headers, data = whole(client, Request("GET", path, at.repository, headers={"Accept": _ACCEPT}), what)
        named = reference.digest or headers.get("Docker-Content-Digest", "")
        digest = _sound(named, client) if named else Descriptor.of(data, "").digest
        verify(data, Descriptor("", digest, len(data)), str(reference))
        return Descriptor(media_type_of(data, headers.get("Content-Type", ""), what), digest, len(data)), data

    def _resumed(self, name: str, descriptor: Descriptor, offset: int) -> Iterator[Chunk]:
        """The bytes of a blob from `offset`, across broken connections."""
        position, failures, again = offset, 0, 0
        while position < descriptor.size or position == offset == 0:
            start = position
            try:
                with contextlib.ExitStack() as turns:
                    client, response = self._open(name, descriptor, position, turns)
                    passed = _passed_over(client, response, position, again)
                    again += passed
                    for chunk in _without_first(client.read(response), passed):
                        position += len(chunk)
                        yield chunk
                if position >= descriptor.size:
                    return
                why = f"`{name}`: {descriptor.digest} ended at {position} of {descriptor.size} bytes"
            except Transient as error:
                why = f"`{name}`: {error}"
            failures = 1 if position > start else failures + 1
            self._connections.patience.wait(failures, why)

    def _open(
        self, name: str, descriptor: Descriptor, position: int, turns: contextlib.ExitStack
    ) -> tuple[Client, Answer]:
        """Ask for a blob from `position` on; the turn at the host is kept until `turns` are over."""

        def ask(client: Client, at: Endpoint) -> tuple[Client, Answer]:
            headers = {"Range": f"bytes={position}-"} if position else {}
            path = f"/v2/{at.repository}/blobs/{descriptor.digest}"
            what = f"cannot get `{descriptor.digest}` of `{name}`"
            good = (200, 206, 416) if position else (200,)
            turns.enter_context(client.gate.turn())
            return client, client.expect(Request("GET", path, at.repository, headers=headers), what, *good)

        client, response = self._somewhere(name, ask)
        if response.status_code == 416:  # its body is not read: distribution 2.8 states a length it does not send
            response.raw.close()
            raise StoreError(f"`{client.host}` has less of `{descriptor.digest}` than it said")
        _check_range(response, descriptor, position)
        return client, response

    def _put_manifest(self, reference: Reference, descriptor: Descriptor, data: bytes) -> None:
        """PUT a manifest; where the answer is lost, what the name stands for now is the answer."""
        client, at = self._client(reference.name)
        path = f"/v2/{at.repository}/manifests/{reference.version}"
        headers = {"Content-Type": descriptor.media_type}
        request = Request("PUT", path, at.repository, PUSH, headers, lambda: data, retried=False)
        for failures in itertools.count(1):
            try:
                response = client.send(request)
                if response.status_code not in (200, 201, 202, 204):
                    raise _refused_manifest(Refusal.of(response), client, reference, data)
            except Transient as error:
                found = self.find(reference)
                if found is not None and found.digest == descriptor.digest:
                    return  # only the answer was lost
                client.patience.wait(failures, f"`{reference}`: {error}", error.retry_after)
            except UnknownContent:
                self._doubted.update(d.digest for d in parse_manifest(data, descriptor, str(reference)).children)
                raise
            else:
                response.close()
                _check_stored(response, client, reference, descriptor)
                return


def _refused_manifest(refused: Refusal, client: Client, reference: Reference, data: bytes) -> Exception:
    """What the refusal of a manifest means."""
    what = f"cannot push the manifest of `{reference}`"
    if refused.may_pass:
        return Transient(f"`{client.host}` answered {refused}", refused.retry_after)
    if refused.is_unknown_content:
        named = f" ({', '.join(sorted(refused.digests)[:3])})" if refused.digests else ""
        return UnknownContent(f"{what}: `{client.host}` answered {refused}{named}", refused.digests)
    error = refused.error(what, client.host)
    kind = artifact_type_of(data)
    if kind and refused.status in (400, 415):
        error.hint = (
            f"this is an artifact of type {kind}, and `{client.host}` may take images only; whoever runs it may be "
            "able to allow it (in Quay: ALLOWED_OCI_ARTIFACT_TYPES), and push does without it by --images-only"
        )
    return error


def _check_stored(response: Answer, client: Client, reference: Reference, descriptor: Descriptor) -> None:
    """A registry may name a manifest by another algorithm; by the same one it must be the same name."""
    said = response.headers.get("Docker-Content-Digest", descriptor.digest)
    if said.partition(":")[0] == descriptor.digest.partition(":")[0] and said != descriptor.digest:
        raise StoreError(f"`{client.host}` stored `{reference}` as {said}, not {descriptor.digest}")


def _by_digest(name: str, descriptor: Descriptor) -> Reference:
    registry, _, repository = name.partition("/")
    return Reference(registry, repository, digest=descriptor.digest)


def _length(response: Answer) -> int:
    """What a server says of the length; nothing is built on it, so nonsense counts as unknown."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 17 else 0


def _sound(digest: str, client: Client) -> str:
    try:
        return check_digest(digest)
    except InvalidReference as error:
        raise StoreError(f"`{client.host}` names content badly: {error.message}") from error


def _check_range(response: Answer, descriptor: Descriptor, position: int) -> None:
    """A part may only be joined to what we have if it begins where that ends (containers/image's rule)."""
    if response.status_code != 206:
        return
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if (
        match is None
        or (int(match[1]), int(match[3])) != (position, descriptor.size)
        or int(match[2]) + 1 > int(match[3])
    ):
        said = response.headers.get("Content-Range", "none")[:100]
        response.close()
        raise StoreError(f"`{descriptor.digest}` from byte {position} was asked for; the answer has the range {said!r}")


def _passed_over(client: Client, response: Answer, position: int, before: int) -> int:
    """Bytes of an answer that we have already: all up to `position`, where the server ignores ranges.

    Raises:
        StoreError: with those `before`, it is more than makes sense to send again.
    """
    if response.status_code != 200:
        return 0
    if before + position <= limits.SENT_AGAIN:
        return position
    response.close()
    raise StoreError(
        f"`{client.host}` ignores ranges: it would send {position} bytes again to go on after them",
        hint="type the same command again on a better line, or fetch from a mirror that knows ranges (--mirror)",
    )


def _without_first(chunks: Iterator[Chunk], count: int) -> Iterator[Chunk]:
    """A server that ignores ranges sends everything again; what we have is passed over, and the hash decides."""
    for chunk in chunks:
        skipped = min(count, len(chunk))
        count -= skipped
        if skipped < len(chunk):
            yield chunk[skipped:]
