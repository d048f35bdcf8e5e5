"""When to try again, and how long to wait: one policy for everything that speaks to a registry.

Retried: what may pass by itself (timeouts, resets, 408 425 429 499 5xx). Not retried: refusals, unknown names,
certificates. Attempts are counted without progress; any progress starts the count anew.
"""

from __future__ import annotations

import email.utils
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from airgap import limits
from airgap.errors import Cancelled, StoreError

STATUSES: Final = frozenset({408, 425, 429, 499, 500, 502, 503, 504, 522})


class Transient(Exception):
    """A failure that may pass by itself, with the pause the server asked for; only this package sees it."""

    def __init__(self, why: str, retry_after: str = "") -> None:
        super().__init__(why)
        self.retry_after = retry_after


@dataclass
class Patience:
    """Counts failures in a row and waits between them; `stopped` ends every wait at once."""

    stopped: threading.Event = field(default_factory=threading.Event)
    attempts: int = field(default_factory=lambda: limits.ATTEMPTS)
    backoff: float = field(default_factory=lambda: limits.BACKOFF_SECONDS)

    def wait(self, failures: int, why: str, retry_after: str = "") -> None:
        """Wait before trying again after the given number of failures without progress.

        Raises:
            StoreError: there have been too many, or the server asks for a longer pause than we keep.
            Cancelled: the user stopped the work.
        """
        if failures >= self.attempts:
            raise StoreError(f"{why}; tried {failures} times", hint="type the same command again when it is back")
        asked = parse_retry_after(retry_after)
        if asked is not None and asked > limits.RETRY_AFTER_MOST_SECONDS:
            raise StoreError(f"{why}, and asks to come back in {asked:.0f} s", hint="type the same command again then")
        ceiling = min(self.backoff * 2 ** (failures - 1), limits.BACKOFF_MOST_SECONDS)
        pause = asked if asked is not None else random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret
        if self.stopped.wait(pause):
            raise Cancelled("stopped")

    def check(self) -> None:
        """Fail if the work was stopped.

        Raises:
            Cancelled: it was.
        """
        if self.stopped.is_set():
            raise Cancelled("stopped")


def parse_retry_after(value: str) -> float | None:
    """Seconds until then: RFC 9110 §10.2.3 allows a number of seconds or a date; anything else counts as absent."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        then = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return max(then.timestamp() - time.time(), 0.0)
