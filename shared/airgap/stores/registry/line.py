"""Connections that fail when they hardly move: silence and a trickle are the same to whoever waits.

The HTTP library knows one timeout, from one byte to the next: a server that sends a byte now and then would keep us
for ever, and so would one whose headers never end. Besides, it counts a buffer that is sent as one wait, however
large. What is read and sent here is watched below it, where each piece passes.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airgap import limits

if TYPE_CHECKING:
    from urllib3.poolmanager import PoolManager


@dataclass(frozen=True)
class Timeouts:
    """Seconds that a connection may take to stand, TLS and all, and that it may stand still afterwards."""

    connect: float = limits.CONNECT_SECONDS
    stall: float = limits.STALL_SECONDS


class EndlessHead(http.client.HTTPException):
    """The headers of an answer are more than any server of ours would send."""


def watch(manager: PoolManager, stall: float) -> None:
    """Have a pool make connections that are watched."""
    manager.pool_classes_by_scheme = _pools(stall)


@functools.cache
def _pools(stall: float) -> dict[str, Any]:
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Watched:
        """Puts a `Line` below the HTTP library once the connection stands, and says when headers are read."""

        sock: Any

        def connect(self) -> None:
            super().connect()  # type: ignore[misc]
            self.sock = Line(self.sock, stall)
            self.is_verified = True  # as far as the user wants it to be; the library would warn at every request

        def getresponse(self) -> Any:
            line = self.sock
            line.in_head = True
            try:
                return super().getresponse()  # type: ignore[misc]
            finally:
                line.in_head = False

    class Plain(Watched, HTTPConnection):
        """Without TLS."""

    class Secure(Watched, HTTPSConnection):
        """With TLS."""

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class Line:
    """A socket as the HTTP library uses it; each answer, and each buffer that is sent, is watched by itself."""

    def __init__(self, connected: socket.socket, stall: float) -> None:
        self.in_head = False
        self.stall = stall
        self._socket = connected
        connected.settimeout(stall)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def settimeout(self, _seconds: float | None) -> None:
        """Ours stays: the library would send by the timeout that it connects by."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it, as long as it moves."""
        rest = memoryview(data).cast("B")
        progress = _Progress(self.stall)
        while rest:
            began = time.monotonic()
            try:
                count = self._socket.send(rest, flags)
            except TimeoutError:
                raise TimeoutError(f"nothing could be sent for {self.stall:g} s") from None
            progress.add(count, time.monotonic() - began)
            rest = rest[count:]

    def makefile(self, _mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        """What an answer is read from."""
        return io.BufferedReader(_Watched(self, self._socket.makefile("rb", buffering=0)))


class _Watched(io.RawIOBase):
    """Reads one answer, and counts."""

    def __init__(self, line: Line, raw: Any) -> None:
        self._line = line
        self._raw = raw
        self._progress: _Progress | None = None  # from the first byte on: before it, silence has its own bound
        self._head = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        began = time.monotonic()
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            raise TimeoutError(f"nothing came for {self._line.stall:g} s") from None
        if self._progress is None:
            self._progress = _Progress(self._line.stall)
        else:
            self._progress.add(count or 0, time.monotonic() - began, resets=not self._line.in_head)
        if self._line.in_head:
            self._head += count or 0
            if self._head > limits.HEAD:
                raise EndlessHead(f"more than {limits.HEAD} bytes of headers")
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Progress:
    """Bytes that moved while somebody waited for them; time that is spent elsewhere does not count."""

    def __init__(self, stall: float) -> None:
        self._stall = stall
        self._waited = 0.0
        self._moved = 0

    def add(self, count: int, seconds: float, *, resets: bool = True) -> None:
        """Count a piece.

        Args:
            count: its bytes.
            seconds: that it was waited for.
            resets: whether enough bytes begin a new wait; headers have one for all of them.

        Raises:
            TimeoutError: less than a line must carry has moved in the time.
        """
        self._waited += seconds
        self._moved += count
        if resets and self._moved >= limits.STALL_BYTES:
            self._waited, self._moved = 0.0, 0
        elif self._waited >= self._stall:
            raise TimeoutError(f"only {self._moved} bytes moved in {self._stall:g} s")
