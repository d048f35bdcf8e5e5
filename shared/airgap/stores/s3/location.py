"""Where in which bucket: `s3://BUCKET/PREFIX`, checked before anything is asked."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from airgap.errors import InvalidInput

SCHEME: Final = "s3://"
_BUCKET: Final = re.compile(r"[a-z0-9]([a-z0-9-]|\.(?=[a-z0-9])){1,61}[a-z0-9]")
_KEY_MOST: Final = 1024  # bytes of UTF-8, everywhere
_NAME_MOST: Final = len("blobs/sha512/") + 128  # what a layout has below its prefix
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Location:
    """A place for one OCI layout; `prefix` is empty where it has the bucket to itself."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read `s3://BUCKET[/PREFIX][/]`.

        Raises:
            InvalidInput: a bucket name that no store takes, or a prefix that tools would read in two ways.

        Source: Amazon S3 User Guide, "General purpose bucket naming rules" and "Naming Amazon S3 objects".
        """
        bucket, _, rest = text.removeprefix(SCHEME).partition("/")
        prefix = rest.removesuffix("/")
        if not text.startswith(SCHEME) or _BUCKET.fullmatch(bucket) is None or _is_address(bucket):
            raise InvalidInput(
                f"`{text}` names no bucket: {bucket!r} is not 3 to 63 of a-z, 0-9, `-` and `.`",
                hint="write it as s3://BUCKET/PREFIX",
            )
        _check_prefix(text, prefix)
        return cls(bucket, prefix)

    def key(self, name: str) -> str:
        """The key of what a layout calls `name`."""
        return f"{self.prefix}/{name}" if self.prefix else name

    @property
    def name(self) -> str:
        """Its last word, as a file has a name."""
        return (self.prefix or self.bucket).rpartition("/")[2]

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}" if self.prefix else f"{SCHEME}{self.bucket}"


def _check_prefix(text: str, prefix: str) -> None:
    if _CONTROL.search(prefix):
        raise InvalidInput(f"`{text}` has a control character in it")
    if prefix and any(word in ("", ".", "..") for word in prefix.split("/")):
        raise InvalidInput(f"`{text}` has an empty word, `.` or `..` in its path", hint="keys are no file paths")
    if len(prefix.encode()) + 1 + _NAME_MOST > _KEY_MOST:
        raise InvalidInput(f"`{text[:80]}…` is too long: a key has {_KEY_MOST} bytes at most")


def _is_address(bucket: str) -> bool:
    try:
        ipaddress.ip_address(bucket)
    except ValueError:
        return False
    return True
