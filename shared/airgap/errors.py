"""Every failure we can explain, in one tree.

AirgapError                 1   failed
├── InvalidInput            2   what was typed or written cannot be meant
│   └── InvalidReference        … as an image name
├── DocumentError           1   a file that cannot be read as what it should be, with its line
├── ContentError            3   bytes are not what they should be
│   ├── ContentMismatch         … their digest or size says so
│   ├── InvalidManifest         … a manifest or index breaks the OCI rules
│   ├── DamagedBundle           … the bundle file does
│   └── UntrustedBundle         … it is not signed by whom it should be, too old, or out of date
├── StoreError              4   a registry, bucket, cluster or file system refused
│   ├── NotFound                … it does not have what was asked for
│   ├── UnknownContent          … it refuses a manifest for content that it does not have
│   └── AccessDenied            … it wants other credentials
├── IncompleteError         5   part of it could not be done, or a check found something
├── NoSpace                 1   the disk is too small
└── Cancelled             130   the user stopped it

Errors carry plain strings and import nothing of ours; only `airgap_cli.runner` turns them into words and an exit code.
"""

from __future__ import annotations

from typing import ClassVar


class AirgapError(Exception):
    """A failure we can explain: `message` says what happened, `hint` what to try next."""

    exit_code: ClassVar[int] = 1
    label: ClassVar[str] = "error: "  # what stands before the message; empty where the message is another tool's own

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(AirgapError):
    """What was typed or written in a file of the user's cannot be meant."""

    exit_code = 2


class InvalidReference(InvalidInput):
    """A text that is no image name."""


class DocumentError(AirgapError):
    """A file that cannot be read as what it should be; `place` is `FILE:LINE:COLUMN`, as far as known."""

    def __init__(self, place: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{place}: {reason}", hint=hint)
        self.place = place
        self.reason = reason


class ContentError(AirgapError):
    """Bytes are not what they should be: damaged, truncated or altered on the way."""

    exit_code = 3


class ContentMismatch(ContentError):
    """Content differs from the digest or the size that named it."""

    def __init__(self, place: str, wanted: str, got: str) -> None:
        super().__init__(
            f"content named `{wanted}` in `{place}` is `{got}`",
            hint="fetch or carry it over again; if it recurs, it is damaged at its source",
        )
        self.place = place
        self.wanted = wanted
        self.got = got


class InvalidManifest(ContentError):
    """A manifest, index or descriptor breaks the rules of the OCI image specification."""


class DamagedBundle(ContentError):
    """A bundle file that is cut, altered, or no bundle at all."""


class UntrustedBundle(ContentError):
    """A bundle that may be whole, but is not from whom it should be, or older than it may be."""


class StoreError(AirgapError):
    """A registry, a bucket, a cluster or a file system refused or did not answer."""

    exit_code = 4


class NotFound(StoreError):
    """The store does not have what was asked for."""


class UnknownContent(StoreError):
    """The store refuses a manifest for content that it does not have, whatever it said before.

    Attributes:
        digests: the content it names, as far as it does.
    """

    def __init__(self, message: str, digests: frozenset[str] = frozenset(), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.digests = digests


class AccessDenied(StoreError):
    """The store wants other credentials, or none that we have are enough."""


class IncompleteError(AirgapError):
    """Part of the work could not be done, or a check found something; `findings` names each."""

    exit_code = 5

    def __init__(self, message: str, findings: tuple[str, ...] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = findings


class NoSpace(AirgapError):
    """The disk, or a quota on it, is too small for what would be written."""


class Cancelled(AirgapError):
    """The user stopped the work; what was done stays, and the same command goes on from there."""

    exit_code = 130
