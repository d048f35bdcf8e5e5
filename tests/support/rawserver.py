"""Servers that do not keep to HTTP, and a proxy that keeps to it: what no well-behaved program can be asked to be."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.support.faultproxy import FaultProxy, _Handler, _Server, _serving


@dataclass
class RawServer:
    """A listener that hands each connection to a function, in a thread of its own."""

    host: str
    accepted: int = 0
    over: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def raw_server(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[RawServer]:
    """Listen on loopback; `talk` gets each connection, and the event that says when to stop talking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        state = RawServer(f"127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_accept, args=(listener, talk, state), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            state.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, talk: Callable[[socket.socket, threading.Event], None], state: RawServer) -> None:
    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            talk(connection, state.over)

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        state.accepted += 1
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


@contextlib.contextmanager
def forward_proxy(upstream: str, login: str = "") -> Iterator[FaultProxy]:
    """A proxy as companies have them: it takes whole URLs and CONNECT, and leads everything to `upstream`.

    Args:
        upstream: HOST:PORT that every name stands for here.
        login: `USER:PASSWORD` that it wants, if any.
    """
    state = FaultProxy("", upstream)
    wanted = "Basic " + base64.b64encode(login.encode()).decode()

    class Handler(_Handler):
        proxy = state

        def _handle(self) -> None:
            if login and self.headers.get("Proxy-Authorization") != wanted:
                state.requests.append(f"{self.command} {self.path}")
                self.send_response(407)
                self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super()._handle()

        def do_CONNECT(self) -> None:
            if login and self.headers.get("Proxy-Authorization") != wanted:
                self._handle()
                return
            state.requests.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.end_headers()
            tunnel(self.connection, upstream)
            self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _handle

    server = _Server(("127.0.0.1", 0), Handler)
    state.host = f"127.0.0.1:{server.server_port}"
    with _serving(server):
        yield state


def tunnel(near: socket.socket, upstream: str) -> None:
    """Connect somebody with `upstream` (HOST:PORT) until either hangs up."""
    host, _, port = upstream.partition(":")
    with socket.create_connection((host, int(port))) as far:
        threading.Thread(target=_pour, args=(near, far), daemon=True).start()
        _pour(far, near)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
