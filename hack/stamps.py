"""Remembers what was done by the contents it was done from, so that the second run does nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_of(*files: str, more: str = "") -> str:
    """One hash over the contents of `files` and `more`."""
    whole = hashlib.sha256(more.encode())
    for name in files:
        whole.update(hashlib.sha256(Path(name).read_bytes()).digest())
    return whole.hexdigest()


def is_current(stamp: Path, digest: str) -> bool:
    """Whether the work that left `stamp` was done from the same contents."""
    return stamp.is_file() and stamp.read_text() == digest


def leave(stamp: Path, digest: str) -> None:
    """Say that the work is done."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest)
