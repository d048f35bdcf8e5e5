"""What threads hand to each other, with a bound on the bytes that wait; a run that is stopped ends every wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from airgap.errors import Cancelled

_POLL_SECONDS: Final = 0.2


class _Shared:
    """What threads hand to each other; every wait ends when the run is stopped."""

    def __init__(self, most: int, stopped: threading.Event) -> None:
        self._most = most
        self._stopped = stopped
        self._held = 0  # bytes
        self._changed = threading.Condition()

    def _wait(self) -> None:
        if self._stopped.is_set():
            raise Cancelled("stopped")
        self._changed.wait(_POLL_SECONDS)


class Handed(_Shared):
    """Work with the bytes it is about: first come, first served."""

    def __init__(self, most: int, stopped: threading.Event) -> None:
        super().__init__(most, stopped)
        self._jobs: deque[tuple[int, Callable[[], None]]] = deque()
        self._is_over = False

    def give(self, size: int, job: Callable[[], None]) -> None:
        """Hand a job over, once there is room for its bytes."""
        with self._changed:
            while self._held and self._held + size > self._most:
                self._wait()
            self._held += size
            self._jobs.append((size, job))
            self._changed.notify_all()

    def end(self) -> None:
        """No more jobs will come."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def work(self) -> None:
        """Do one job after another, until none will come."""
        while (taken := self._take()) is not None:
            size, job = taken
            job()
            with self._changed:
                self._held -= size
                self._changed.notify_all()

    def _take(self) -> tuple[int, Callable[[], None]] | None:
        with self._changed:
            while not self._jobs and not self._is_over:
                self._wait()
            return self._jobs.popleft() if self._jobs else None


class Basin(_Shared):
    """Bytes that are there before their turn. Whose turn it is can always go on, however full it is."""

    def __init__(self, most: int, stopped: threading.Event) -> None:
        super().__init__(most, stopped)
        self._pools: dict[int, deque[bytes]] = {}
        self._ended: set[int] = set()
        self._turn = 0  # whose it is
        self._is_drawn = False  # whether some of it was taken out

    def fill(self, turn: int, chunk: bytes) -> None:
        """Add to what will be needed at a turn, once there is room."""
        with self._changed:
            pool = self._pools.setdefault(turn, deque())
            while self._held + len(chunk) > self._most and not (turn == self._turn and not pool):
                self._wait()
            pool.append(chunk)
            self._held += len(chunk)
            self._changed.notify_all()

    def empty(self, turn: int) -> bool:
        """Throw away what is there for a turn; False where some was taken already."""
        with self._changed:
            if turn == self._turn and self._is_drawn:
                return False
            pool = self._pools.setdefault(turn, deque())
            self._held -= sum(map(len, pool))
            pool.clear()
            self._changed.notify_all()
            return True

    def end(self, turn: int) -> None:
        """All that is needed at a turn is there."""
        with self._changed:
            self._ended.add(turn)
            self._changed.notify_all()

    def drain(self, turn: int) -> Iterator[bytes]:
        """Take out what there is for a turn, until it has ended; turns come in order."""
        while (chunk := self._draw(turn)) is not None:
            yield chunk

    def _draw(self, turn: int) -> bytes | None:
        with self._changed:
            while not self._pools.get(turn) and turn not in self._ended:
                self._wait()
            pool = self._pools.get(turn)
            if not pool:
                self._pools.pop(turn, None)
                self._turn, self._is_drawn = turn + 1, False
                self._changed.notify_all()
                return None
            chunk = pool.popleft()
            self._held -= len(chunk)
            self._is_drawn = True
            self._changed.notify_all()
            return chunk
