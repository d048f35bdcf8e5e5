from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from airgap import limits
from airgap.stores.registry.line import EndlessHead, Line

STALL = 0.3


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    """Our end of a connection, and the other."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield Line(ours, STALL), theirs


def drip(to: socket.socket, piece: bytes, pause: float, times: int) -> threading.Thread:
    def work() -> None:
        for _ in range(times):
            time.sleep(pause)
            to.sendall(piece)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_silence_ends_after_the_stall_time(ends: tuple[Line, socket.socket]) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"nothing came for 0\.3 s"):
        ends[0].makefile().read(10)
    assert STALL <= time.monotonic() - began < 5


def test_a_trickle_is_silence(ends: tuple[Line, socket.socket]) -> None:
    thread = drip(ends[1], b"x", STALL / 6, 14)
    with pytest.raises(TimeoutError, match=r"bytes moved in 0\.3 s"):
        ends[0].makefile().read(limits.STALL_BYTES)
    thread.join()


def test_a_slow_line_that_moves_is_no_standstill(ends: tuple[Line, socket.socket]) -> None:
    thread = drip(ends[1], b"x" * limits.STALL_BYTES, STALL / 3, 8)  # more than twice the time of a standstill
    assert len(ends[0].makefile().read(8 * limits.STALL_BYTES)) == 8 * limits.STALL_BYTES
    thread.join()


def test_time_that_the_reader_takes_for_itself_is_not_the_lines(ends: tuple[Line, socket.socket]) -> None:
    stream = ends[0].makefile()
    for _ in range(4):
        ends[1].sendall(b"xy")
        assert stream.read(2) == b"xy"
        time.sleep(STALL / 2)


def test_each_answer_is_watched_by_itself(ends: tuple[Line, socket.socket]) -> None:
    for _ in range(4):
        thread = drip(ends[1], b"xy", STALL / 2, 1)
        assert ends[0].makefile().read(2) == b"xy"
        thread.join()


def test_headers_have_one_stall_time_for_all_of_them(ends: tuple[Line, socket.socket]) -> None:
    ends[0].in_head = True
    thread = drip(ends[1], b"x" * limits.STALL_BYTES, STALL / 4, 8)
    with pytest.raises(TimeoutError):
        ends[0].makefile().read(8 * limits.STALL_BYTES)
    thread.join()


def test_headers_have_a_bound_and_bodies_have_none(ends: tuple[Line, socket.socket]) -> None:
    feeding = threading.Thread(target=ends[1].sendall, args=(b"x" * (2 * limits.HEAD + 1),))
    feeding.start()
    stream = ends[0].makefile()
    assert len(stream.read(limits.HEAD)) == limits.HEAD
    ends[0].in_head = True
    with pytest.raises(EndlessHead):
        stream.read(limits.HEAD + 1)
    feeding.join()


def test_sending_to_somebody_who_does_not_read_ends_after_the_stall_time(ends: tuple[Line, socket.socket]) -> None:
    with pytest.raises(TimeoutError, match=r"nothing could be sent for 0\.3 s"):
        ends[0].sendall(bytes(10_000_000))


def test_a_large_buffer_may_take_longer_than_the_stall_time_as_long_as_it_moves(
    ends: tuple[Line, socket.socket],
) -> None:
    data, got = bytes(range(256)) * 400, bytearray()

    def read_slowly() -> None:
        while len(got) < len(data):
            time.sleep(STALL / 20)
            got.extend(ends[1].recv(3000))

    thread = threading.Thread(target=read_slowly)
    thread.start()
    began = time.monotonic()
    ends[0].sendall(memoryview(data))
    thread.join()
    assert time.monotonic() - began > STALL
    assert bytes(got) == data
