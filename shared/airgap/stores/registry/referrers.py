"""What refers to content in a registry: asked by the API where it has one, else kept in the list of a tag.

Source: OCI distribution-spec v1.1.1, "Listing Referrers", "Referrers Tag Schema", "Pushing Manifests with Subject".
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airgap import limits
from airgap.descriptors import INDEXES, MANIFESTS, OCI_INDEX, Descriptor, hasher, parse_manifest
from airgap.errors import ContentError, InvalidManifest, NotFound, StoreError
from airgap.stores import Listed
from airgap.stores.registry.client import Client, Request
from airgap.stores.registry.documents import whole
from airgap.stores.registry.elsewhere import joined, origin_of
from airgap.stores.registry.mirrors import Endpoint

_ACCEPT: Final = ", ".join((OCI_INDEX, *sorted((INDEXES | MANIFESTS) - {OCI_INDEX})))
_NEXT: Final = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?next"?')
_NOTHING: Final = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
_UNLISTED: Final = "it is all there, but who asks for it is not told; push --no-referrers pushes images only"
_Doubt = Callable[[str], None]


def tag_of(digest: str) -> str:
    """The tag under which referrers are listed where there is no API; its parts are cut as the specification says."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


class Referrers:
    """Lists of referrers in registries. Whether one has the API is learnt from its first answer."""

    def __init__(self) -> None:
        self._has_api: dict[str, bool] = {}
        self._learning: dict[str, threading.Lock] = {}

    def listed(self, client: Client, at: Endpoint, digest: str) -> Listed:
        """What refers to `digest` in a repository.

        Raises:
            StoreError: the registry cannot be asked. InvalidManifest: its answer is no list.
        """
        doubts: list[str] = []
        found = self._by_api(client, at, digest, doubts.append)
        if found is None:
            found = _TagList.read(client, at, digest).digests
        if len(found) > limits.REFERRERS:
            doubts.append(f"`{at}` has more than {limits.REFERRERS} referrers of `{digest}`; the others stay behind")
        return Listed(found[: limits.REFERRERS], "; ".join(doubts))

    def enlist(self, client: Client, at: Endpoint, digest: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Have referrers listed that were pushed before: by the API it must have happened by itself, a tag is written.

        What readers will ask is asked here too, so that `OCI-Subject` in an answer need not be believed. A list that
        somebody else wrote at the same time is noticed, and written once more.

        Raises:
            StoreError: the registry does not list them. InvalidManifest: the tag is something else's.
        """
        for attempt in itertools.count():
            found, tag = self._by_api(client, at, digest, _unsaid), None
            if found is None:
                tag = _TagList.read(client, at, digest)
                found = tag.digests
            lacking = [entry for entry in entries if entry["digest"] not in found]
            if not lacking:
                return
            if attempt:
                _wait(client, attempt, f"`{at}` does not list all that was pushed about `{digest}`")
            if tag is not None:
                tag.write(client, at, lacking)

    def _by_api(self, client: Client, at: Endpoint, digest: str, doubt: _Doubt) -> tuple[str, ...] | None:
        """What the API says; None where there is none, or none that can be used."""
        with self._learning.setdefault(client.host, threading.Lock()):
            if client.host not in self._has_api:
                return self._learn(client, at, digest, doubt)
        try:
            return _ask(client, at, digest) if self._has_api[client.host] else None
        except NotFound:
            return None

    def _learn(self, client: Client, at: Endpoint, digest: str, doubt: _Doubt) -> tuple[str, ...] | None:
        found = None
        try:
            found = _ask(client, at, digest)
        except NotFound:
            pass
        except (StoreError, ContentError) as error:
            doubt(f"{error.message}; only tags are looked at")
        self._has_api[client.host] = found is not None
        return found


def _wait(client: Client, failures: int, why: str) -> None:
    try:
        client.patience.wait(failures, why)
    except StoreError as error:
        raise StoreError(error.message, hint=_UNLISTED) from error


def _unsaid(_text: str) -> None:
    """A doubt that does not matter: what is to be listed is looked for on the list."""


def _ask(client: Client, at: Endpoint, digest: str) -> tuple[str, ...]:
    """What the API lists, on all its pages, each once.

    Raises:
        NotFound: there is no API. StoreError: refused. InvalidManifest: the answer is no list, or has no end.
    """
    found: dict[str, None] = {}
    url = f"/v2/{at.repository}/referrers/{digest}"
    for _ in range(limits.REFERRER_PAGES):
        request = Request("GET", url, at.repository, headers={"Accept": OCI_INDEX})
        headers, data = whole(client, request, f"what refers to `{at}@{digest}`")
        found |= dict.fromkeys(_digests(data, f"the answer of `{client.host}` about referrers"))
        url = _next(client, url, headers.get("Link", ""))
        if not url:
            return tuple(found)
    raise InvalidManifest(f"`{client.host}` lists referrers on more than {limits.REFERRER_PAGES} pages")


def _next(client: Client, url: str, link: str) -> str:
    """Where the next page is, or nothing; never at another host."""
    match = _NEXT.search(link)
    if match is None:
        return ""
    following = joined(client.absolute(url), match[1])
    if origin_of(following) != origin_of(client.absolute("/")):
        raise StoreError(f"`{client.host}` has the rest of a list of referrers at another host")
    return following


@dataclass(frozen=True)
class _TagList:
    """The index that a tag keeps of the referrers of one subject.

    Attributes:
        data: its bytes.
        version: the registry's ETag, if it gives one.
    """

    subject: str
    data: bytes = _NOTHING
    version: str = ""

    @classmethod
    def read(cls, client: Client, at: Endpoint, subject: str) -> _TagList:
        """Read it; where nothing has the tag, it is empty.

        GitLab takes the tag for the digest that it is made of, and answers with the subject: that is no list.
        """
        path = f"/v2/{at.repository}/manifests/{tag_of(subject)}"
        try:
            request = Request("GET", path, at.repository, headers={"Accept": _ACCEPT})
            headers, data = whole(client, request, f"what refers to `{at}@{subject}`")
        except NotFound:
            return cls(subject)
        return cls(subject) if _is_content(data, subject) else cls(subject, data, headers.get("ETag", ""))

    @property
    def digests(self) -> tuple[str, ...]:
        """Of what is listed. Raises InvalidManifest where the tag has something else."""
        return _digests(self.data, f"what the tag `{tag_of(self.subject)}` stands for")

    def write(self, client: Client, at: Endpoint, more: Sequence[Mapping[str, Any]]) -> None:
        """Add to it; where somebody was faster (412), nothing is written."""
        document = json.loads(self.data)
        document["manifests"] += more
        data = json.dumps(document).encode()
        path = f"/v2/{at.repository}/manifests/{tag_of(self.subject)}"
        headers = {"Content-Type": OCI_INDEX, **({"If-Match": self.version} if self.version else {})}
        request = Request("PUT", path, at.repository, "push,pull", headers, lambda: data)
        response = client.expect(request, f"cannot list what refers to `{at}@{self.subject}`", 200, 201, 202, 204, 412)
        response.close()


def _is_content(data: bytes, digest: str) -> bool:
    fresh = hasher(digest)
    fresh.update(data)
    return fresh.hexdigest() == digest.partition(":")[2]


def _digests(data: bytes, what: str) -> tuple[str, ...]:
    return tuple(child.digest for child in parse_manifest(data, Descriptor.of(data, OCI_INDEX), what).children)
