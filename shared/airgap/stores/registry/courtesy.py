"""How we behave towards a server that is busy: fewer at a time, and not before it said.

A host that answers 429 or 503 gets half as many requests at a time, and one more again after each round of good
answers (additive increase, multiplicative decrease: RFC 5681 §3.1, for requests instead of segments). What a server
says of its limits (`RateLimit-*`, draft-ietf-httpapi-ratelimit-headers-03, as Docker Hub writes them) is kept and told.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from airgap import limits
from airgap.errors import StoreError
from airgap.stores.registry.retry import Patience, parse_retry_after

BUSY: Final = frozenset({429, 503})
_POLL_SECONDS: Final = 0.1
_ROUNDS: Final = 2  # times the attempts of one request that a host may say "busy", whoever asks, before we give up
_COUNT: Final = re.compile(r"\s*(\d{1,12})(?!\d)\s*(?:[;,]\s*w=(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True)
class Allowance:
    """What a host still answers: requests of so many in a window of seconds (0: it does not say how long)."""

    host: str
    remaining: int
    limit: int
    window: int = 0

    @classmethod
    def of(cls, host: str, headers: Mapping[str, str]) -> Allowance | None:
        """Read `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`; nonsense counts as nothing."""
        limit, remaining = (_COUNT.match(headers.get(f"ratelimit-{name}", "")) for name in ("limit", "remaining"))
        if limit is None or remaining is None or int(remaining[1]) > int(limit[1]):
            return None
        return cls(host, int(remaining[1]), int(limit[1]), int(limit[2] or remaining[2] or 0))

    def __str__(self) -> str:
        window = f" in {self.window / 3600:.3g} h" if self.window else ""
        return f"`{self.host}` answers {self.remaining} more requests of {self.limit}{window}"


class Gate:
    """One host's gate: so many requests at a time, none while the host wants to be left alone.

    Args:
        host: its name, for errors.
        most: requests at a time, as long as the host is well.
        patience: what stops a wait, and how long pauses are.
        inside: threads that are past some gate of the run, shared by all of them. They wait at no other: two that
            waited for each other would wait for ever.
    """

    def __init__(self, host: str, most: int, patience: Patience, inside: set[int] | None = None) -> None:
        self.host = host
        self.allowed = most
        self._most = most
        self._patience = patience
        self._inside = set() if inside is None else inside
        self._active = 0
        self._queue: deque[object] = deque()
        self._closed_until = 0.0
        self._epoch = 0  # how often the number was cut; an answer to an older question cuts it no further
        self._refusals = 0  # since the last good answer, each epoch counted once
        self._good = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def turn(self) -> Iterator[int]:
        """Wait for a turn, first come first served, and keep it until the block ends; gives what `heard` wants.

        Raises:
            Cancelled: the run was stopped meanwhile.
        """
        me = threading.get_ident()
        if me in self._inside:
            yield self._epoch
            return
        self._enter()
        self._inside.add(me)
        try:
            yield self._epoch
        finally:
            self._inside.discard(me)
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def heard(self, epoch: int, status: int, retry_after: str = "") -> None:
        """Take note of an answer to a question of that epoch.

        Raises:
            StoreError: the host has said that it is busy for as long as we ask.
        """
        with self._changed:
            if status not in BUSY:
                self._recover()
            elif epoch == self._epoch:
                self._yield(retry_after)
            refusals = self._refusals
        if refusals >= self._patience.attempts * _ROUNDS:
            why = f"`{self.host}` answered {status} {refusals} times in a row"
            raise StoreError(why, hint="type the same command again when it is less busy")

    def _enter(self) -> None:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while (pause := self._pause(ticket)) > 0:
                    self._patience.check()
                    self._changed.wait(min(pause, _POLL_SECONDS))
                self._active += 1
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _pause(self, ticket: object) -> float:
        """Seconds until it is worth looking again; 0 lets the ticket pass."""
        if self._queue[0] is not ticket or self._active >= self.allowed:
            return _POLL_SECONDS
        return max(self._closed_until - time.monotonic(), 0)

    def _recover(self) -> None:
        self._refusals = 0
        self._good += 1
        if self._good >= self.allowed:
            self._good = 0
            self.allowed = min(self.allowed + 1, self._most)
            self._changed.notify_all()

    def _yield(self, retry_after: str) -> None:
        self._epoch += 1
        self._refusals += 1
        self._good = 0
        self.allowed = max(self.allowed // 2, 1)
        pause = parse_retry_after(retry_after)
        if pause is None:  # one refusal is a moment's; only a second in a row stops everybody
            ceiling = min(self._patience.backoff * 2 ** (self._refusals - 2), limits.BACKOFF_MOST_SECONDS)
            pause = random.uniform(0, ceiling) if self._refusals > 1 else 0.0  # noqa: S311 - jitter, not a secret
        self._closed_until = max(self._closed_until, time.monotonic() + min(pause, limits.RETRY_AFTER_MOST_SECONDS))


class Courtesy:
    """How a run behaves towards all hosts: their gates, what they allow, and who is told of it.

    Args:
        patience: what stops a wait, and how long pauses are.
        workers: requests at a time to a host that is well.
        note: told, once a host, that little is left of what it allows.
    """

    def __init__(self, patience: Patience, workers: int, note: Callable[[str], None] | None = None) -> None:
        self._patience = patience
        self._workers = workers
        self._note = note
        self._inside: set[int] = set()
        self._gates: dict[str, Gate] = {}
        self._allowances: dict[str, Allowance] = {}
        self._wanted: dict[str, int] = {}
        self._noted: set[str] = set()
        self._lock = threading.Lock()

    @property
    def allowances(self) -> tuple[Allowance, ...]:
        """What each host still allows, as far as hosts say so."""
        with self._lock:
            return tuple(self._allowances[host] for host in sorted(self._allowances))

    def gate(self, host: str) -> Gate:
        """The gate of a host, the same for all who ask."""
        with self._lock:
            if host not in self._gates:
                self._gates[host] = Gate(host, self._workers, self._patience, self._inside)
            return self._gates[host]

    def want(self, host: str, count: int) -> None:
        """So many manifests more are to be read from a host, or fewer."""
        with self._lock:
            self._wanted[host] = max(self._wanted.get(host, 0) + count, 0)

    def heard(self, host: str, headers: Mapping[str, str]) -> None:
        """Keep what a host says of its limits, and tell once when that is little: a tenth, or less than is wanted."""
        allowance = Allowance.of(host, headers)
        if allowance is None:
            return
        with self._lock:
            self._allowances[host] = allowance
            wanted = self._wanted.get(host, 0)
            lacks = allowance.remaining < wanted
            is_news = host not in self._noted and (lacks or allowance.remaining * 10 < allowance.limit)
            self._noted.update((host,) if is_news else ())
        if is_news and self._note is not None:
            self._note(f"{allowance}, and {wanted} manifests are still to be read from it" if lacks else str(allowance))
