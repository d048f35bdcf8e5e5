"""How fast bytes may move: one limit over everything that a run sends and receives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from airgap import limits
from airgap.errors import Cancelled
from airgap.stores import Chunk

_PIECES: Final = 8  # a second: pieces so small that a slow limit is even, so large that a fast one costs nothing
_LEAST_PIECE: Final = 4 * limits.KIB
_CATCHING_UP_SECONDS: Final = 0.25


class Pace:
    """A token bucket that all workers of a run share; whoever came first is served first.

    Args:
        rate: bytes a second; 0 is no limit.
        stopped: ends every wait at once.
        clock: seconds, counted from anywhere.
    """

    def __init__(
        self, rate: int = 0, stopped: threading.Event | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        self.piece = min(limits.CHUNK, max(rate // _PIECES, _LEAST_PIECE)) if rate else limits.CHUNK
        self._stopped = stopped or threading.Event()
        self._clock = clock
        self._paid_until = 0.0
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Wait until `count` bytes more may have moved; time that nobody used is soon forgotten.

        Raises:
            Cancelled: the run was stopped meanwhile.
        """
        if not self.rate:
            return
        with self._lock:
            now = self._clock()
            self._paid_until = max(self._paid_until, now - _CATCHING_UP_SECONDS) + count / self.rate
            pause = self._paid_until - now
        if pause > 0 and self._stopped.wait(pause):
            raise Cancelled("stopped")

    def sending(self, body: Any) -> Any:
        """A request's body, sent no faster than this; what has no length to read from is a form, and goes at once."""
        if self.rate and hasattr(body, "read"):
            return _Paced(body, self)
        if isinstance(body, bytes):
            self.take(len(body))
        return body


class _Paced:
    """A body in pieces, each of which waits for its turn."""

    def __init__(self, body: Any, pace: Pace) -> None:
        self._length = len(body)
        self._pieces = _pieces(body, pace)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Chunk]:
        return self._pieces

    def read(self, _size: int = -1) -> Chunk:
        return next(self._pieces, b"")


def _pieces(body: Any, pace: Pace) -> Iterator[Chunk]:
    while chunk := body.read(pace.piece):
        view = memoryview(chunk)
        for start in range(0, len(view), pace.piece):
            piece = view[start : start + pace.piece]
            pace.take(len(piece))
            yield piece
