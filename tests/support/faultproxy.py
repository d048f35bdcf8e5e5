"""A proxy on loopback that misbehaves on purpose, request by request.

Rules look at each request and may let it pass, answer in the server's place, or damage the answer on its way. What
passed is counted, so that a test can say how many bytes a recovery cost.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import http.server
import random
import re
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message


@dataclass
class Answer:
    """What goes back: a status, headers and a body, which faults may alter."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def without(self, *names: str) -> list[tuple[str, str]]:
        return [(key, value) for key, value in self.headers if key.lower() not in names]


@dataclass
class Fault:
    """What happens to requests that match, for as many times as it is meant to."""

    method: str
    path: str  # a regular expression
    times: int = 1
    reset_after: int | None = None  # bytes of the body, then RST
    close_after: int | None = None  # bytes of the body, then FIN, with the Content-Length of the whole
    alter: Callable[[Answer], Answer] | None = None
    answer: Answer | None = None  # in place of the server's
    drop_answer: bool = False  # the server does it, the client never hears of it
    drip: float | None = None  # seconds between the bytes of the body, from `drip_after` on
    drip_after: int = 0
    break_after: int | None = None  # bytes of the request's body that the server gets, then RST to both
    when: Callable[[Message, int], bool] = lambda _headers, _size: True  # of the request's headers and body's size

    def matches(self, method: str, path: str, headers: Message, size: int) -> bool:
        fits = self.times > 0 and method == self.method and re.search(self.path, path) is not None
        return fits and self.when(headers, size)


@dataclass
class FaultProxy:
    """A running proxy."""

    host: str
    upstream: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)  # of requests that were answered in the server's place
    sent: dict[str, int] = field(default_factory=dict)  # path → body bytes that went to the client
    weather: Callable[[str, str], Fault | None] | None = None  # method and path → what happens besides `faults`
    received: list[tuple[str, int]] = field(default_factory=list)  # method and body bytes of each request
    answers: list[tuple[str, int]] = field(default_factory=list)  # "METHOD path" and the status it was given
    passed: list[tuple[str, int]] = field(default_factory=list)  # the same, of those that the server answered

    def took(self, method: str) -> int:
        """Body bytes that came from the client in requests of a method."""
        return sum(size for one, size in self.received if one == method)

    def count(self, method: str) -> int:
        """Requests of a method."""
        return sum(request.startswith(f"{method} ") for request in self.requests)

    def take(self, method: str, path: str, headers: Message, size: int) -> Fault | None:
        with _LOCK:
            for fault in self.faults:
                if fault.matches(method, path, headers, size):
                    fault.times -= 1
                    return fault
            return self.weather(method, path) if self.weather else None


_LOCK = threading.Lock()


def storm(seed: int, *, reset: float = 0.1, **answers: float) -> Callable[[str, str], Fault | None]:
    """Weather in which each request may be reset, or answered `status_503=0.1`, by chance; the same for each seed."""
    seen: dict[tuple[str, str], int] = {}

    def strike(method: str, path: str) -> Fault | None:
        place = re.sub(r"/blobs/uploads/.*", "/blobs/uploads/", path)
        seen[method, place] = seen.get((method, place), 0) + 1
        chance = random.Random(f"{seed} {method} {place} {seen[method, place]}").random()
        if chance < reset:
            return Fault(method, "", drop_answer=True)
        chance -= reset
        for name, share in answers.items():
            if chance < share:
                return Fault(method, "", answer=Answer(int(name[-3:]), [("Content-Length", "0")], b""))
            chance -= share
        return None

    return strike


@contextlib.contextmanager
def fault_proxy(upstream: str, *faults: Fault, tls: ssl.SSLContext | None = None) -> Iterator[FaultProxy]:
    """Stand before `upstream` (HOST:PORT) with these faults; clients speak TLS with us where there is a context."""
    state = FaultProxy("", upstream, list(faults))

    class Handler(_Handler):
        proxy = state

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    state.host = f"127.0.0.1:{server.server_port}"
    with _serving(server):
        yield state


@contextlib.contextmanager
def _serving(server: http.server.HTTPServer) -> Iterator[None]:
    """Answer in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what this is for."""


class _Handler(http.server.BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        state = self.proxy
        with _LOCK:
            state.requests.append(f"{self.command} {self.path}")
            state.logins.append(self.headers.get("Authorization", ""))
            state.cookies.append(self.headers.get("Cookie", ""))
        body = self._read_body()
        with _LOCK:
            state.received.append((self.command, len(body)))
        fault = state.take(self.command, self.path, self.headers, len(body))
        if fault and fault.answer:
            state.bodies.append(body)
        if fault and fault.break_after is not None:
            self._forward_part(body, fault.break_after)
            self._reset()
            return
        answer = fault.answer if fault and fault.answer else self._forward(body)
        if fault and fault.alter:
            answer = fault.alter(answer)
        if fault and fault.drop_answer:
            self._reset()
            return
        self._send(answer, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _handle

    def _read_body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length) if length else b""

    def _forward(self, body: bytes) -> Answer:
        headers = {key: value for key, value in self.headers.items() if key.lower() != "connection"}
        with contextlib.closing(http.client.HTTPConnection(self.proxy.upstream, timeout=30)) as connection:
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        with _LOCK:
            self.proxy.passed.append((self.command, len(body)))
        return answer

    def _forward_part(self, body: bytes, count: int) -> None:
        host, _, port = self.proxy.upstream.partition(":")
        lines = [f"{self.command} {self.path} HTTP/1.1", *(f"{key}: {value}" for key, value in self.headers.items())]
        with socket.create_connection((host, int(port)), 30) as upstream:
            upstream.sendall("\r\n".join((*lines, "", "")).encode() + body[:count])
            _settle(upstream)
            time.sleep(0.1)  # the server has it, and reads it
            upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        with _LOCK:
            self.proxy.answers.append((f"{self.command} {self.path}", answer.status))
        self.send_response(answer.status)
        for key, value in answer.headers:
            if key.lower() not in ("transfer-encoding", "connection"):
                self.send_header(key, value)
        chunked = not answer.header("Content-Length")
        if chunked and answer.body:
            self.send_header("Transfer-Encoding", "chunked")
        elif chunked:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = next((n for n in (fault.reset_after, fault.close_after) if n is not None), None) if fault else None
        body = answer.body if cut is None else answer.body[:cut]
        self._count(len(body))
        if chunked and body:
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        elif fault and fault.drip is not None:
            self._drip(body, fault)
        else:
            self.wfile.write(body)
        if fault and fault.reset_after is not None:
            self._reset()
        elif fault and fault.close_after is not None:
            self.close_connection = True

    def _drip(self, body: bytes, fault: Fault) -> None:
        """Until the client has enough of it."""
        self.wfile.write(body[: fault.drip_after])
        self.close_connection = True
        for byte in body[fault.drip_after :]:
            time.sleep(fault.drip or 0)
            self.wfile.write(bytes([byte]))

    def _count(self, size: int) -> None:
        with _LOCK:
            path = self.path.partition("?")[0]
            self.proxy.sent[path] = self.proxy.sent.get(path, 0) + size

    def _reset(self) -> None:
        """RST, not FIN: the client's read fails instead of ending. What was written before has arrived by then."""
        self.wfile.flush()
        _settle(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _settle(connection: socket.socket) -> None:
    """Wait until what was written has arrived."""
    deadline = time.monotonic() + 2
    while _unsent(connection) and time.monotonic() < deadline:
        time.sleep(0.001)


def _unsent(connection: socket.socket) -> int:
    count = bytearray(4)
    fcntl.ioctl(connection, termios.TIOCOUTQ, count)
    return int.from_bytes(count, "little")


@dataclass
class Sink:
    """A listener at a place where no login may arrive: it notes every request and answers 404."""

    url: str
    requests: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    body: bytes = b""


@contextlib.contextmanager
def sink(address: str = "127.0.0.2", body: bytes = b"") -> Iterator[Sink]:
    """A sink on another loopback address; with a body it answers 200."""
    state = Sink("", body=body)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(f"{self.command} {self.path}")
            state.logins.append(self.headers.get("Authorization", ""))
            self.send_response(200 if state.body else 404)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Server((address, 0), Handler)
    state.url = f"http://{address}:{server.server_port}"
    with _serving(server):
        yield state
