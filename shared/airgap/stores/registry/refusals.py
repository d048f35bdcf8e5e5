"""What a registry says when it does not do what it was asked: read once, and told in its own words with what helps.

Source: distribution-spec v1.1.1 "Error Codes"; the texts are those of distribution, Harbor, ECR, Quay and nginx.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from airgap import limits
from airgap.errors import AccessDenied, AirgapError, NotFound, StoreError
from airgap.stores.registry.retry import STATUSES

if TYPE_CHECKING:
    from airgap.stores.registry.session import Answer

_UNKNOWN: Final = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
_FULL: Final = re.compile(rb'no space left|disk quota exceeded|"Err":\s*(?:28|122)\b', re.IGNORECASE)  # ENOSPC, EDQUOT
_QUOTA: Final = re.compile(rb"quota|exceed\w* the configured (?:upper )?limit", re.IGNORECASE)
_NO_PROJECT: Final = re.compile(rb"project \S{0,300} ?(?:was )?not found", re.IGNORECASE)
_DIGEST: Final = re.compile(r"sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})")


@dataclass(frozen=True)
class Refusal:
    """An answer that was not hoped for, with as much of its body as is worth reading."""

    status: int
    reason: str
    body: bytes
    retry_after: str = ""

    @classmethod
    def of(cls, response: Answer) -> Refusal:
        """Read an answer's body, and close it."""
        import urllib3.exceptions

        try:
            body = response.raw.read(limits.ERROR_BODY, decode_content=True) if response.raw else b""
        except (urllib3.exceptions.HTTPError, OSError):
            body = b""
        response.close()
        return cls(response.status_code, response.reason or "", body, response.headers.get("Retry-After", ""))

    def __str__(self) -> str:
        # On one line each: a second one could pass for ours.
        texts = (" ".join(f"{code} {message}".split()) for code, message in self._errors[:3])
        words = ("; ".join(text for text in texts if text))[:500]
        return f"{self.status} {self.reason}".strip() + (f": {words}" if words else "")

    @property
    def codes(self) -> frozenset[str]:
        """The registry's error codes, such as `BLOB_UPLOAD_INVALID`."""
        return frozenset(code for code, _ in self._errors)

    @property
    def digests(self) -> frozenset[str]:
        """The content it names, wherever in its answer."""
        return frozenset(_DIGEST.findall(self.body.decode("utf-8", "replace")))

    @property
    def is_full(self) -> bool:
        """Whether the registry has no space left; distribution says so with 500, and it will not pass by itself."""
        return self.status == 507 or (self.status >= 500 and _FULL.search(self.body) is not None)

    @property
    def is_unknown_content(self) -> bool:
        """Whether a manifest is refused for content below it; distribution 2.8 says so with 500 for foreign layers."""
        return bool(self.codes & _UNKNOWN)

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be answered otherwise a little later."""
        return self.status in STATUSES and not self.is_full and not self.is_unknown_content

    def error(self, what: str, host: str) -> AirgapError:
        """The error to raise: what was wanted, the registry's words, and a way on."""
        message = f"{what}: `{host}` answered {self}"
        if self.status in (401, 403):
            return AccessDenied(message, hint=self._hint(host))
        if self.status == 404:
            return NotFound(message, hint=self._hint(host))
        return StoreError(message, hint=self._hint(host))

    def _hint(self, host: str) -> str:
        if self.is_full:
            return f"the disk of `{host}` is full; once there is space again, the same command goes on where it was"
        if _NO_PROJECT.search(self.body):
            return "create the project there first, or push with --create-projects"
        if self.status in (401, 403, 413) and _QUOTA.search(self.body):
            return "the quota there is used up: raise it, or delete what is not needed"
        if self.status == 405 or "UNSUPPORTED" in self.codes:
            return "the registry may be read-only for now (maintenance), or do without what was asked"
        return _HINTS.get(self.status, "").format(host=host)

    @property
    def _errors(self) -> list[tuple[str, str]]:
        try:
            return [(str(e.get("code") or ""), str(e.get("message") or "")) for e in json.loads(self.body)["errors"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return []


_HINTS: Final = {
    401: "log in to {host} as a user who may do that",
    403: "log in to {host} as a user who may do that",
    404: "check the name; a private repository says the same to strangers, and some want repositories made beforehand",
    413: "a proxy before the registry limits what a request may carry: raise client_max_body_size there, or push with "
    "a --chunk-size below it",
}


def refused(response: Answer) -> str:
    """The status and the registry's own words, shortened; reads and closes the body."""
    return str(Refusal.of(response))


def failure(response: Answer, what: str, host: str) -> AirgapError:
    """The error for an answer that was not hoped for; reads and closes the body."""
    return Refusal.of(response).error(what, host)
