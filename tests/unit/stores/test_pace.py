from __future__ import annotations

import io
import threading
import time

import pytest

from airgap import limits
from airgap.errors import Cancelled
from airgap.stores.pace import Pace


class Hours(threading.Event):
    """A clock that moves when somebody waits."""

    now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        return self.is_set()

    def __call__(self) -> float:
        return self.now


def test_bytes_take_as_long_as_the_rate_says() -> None:
    hours = Hours()
    pace = Pace(1000, hours, hours)
    for _ in range(20):
        pace.take(500)
    assert hours.now == pytest.approx(10)


def test_without_a_rate_nobody_waits() -> None:
    hours = Hours()
    Pace(0, hours, hours).take(2**60)
    assert hours.now == 0


def test_time_that_nobody_used_is_not_caught_up_on() -> None:
    hours = Hours()
    pace = Pace(1000, hours, hours)
    hours.now = 3600
    pace.take(10_000)
    assert hours.now >= 3609.7


def test_all_threads_share_one_limit_evenly() -> None:
    pace, moved, ready = Pace(200_000), [0] * 4, threading.Barrier(4)
    pace.take(100_000)  # what may be caught up on is gone
    end = time.monotonic() + 1

    def work(index: int) -> None:
        ready.wait()
        while time.monotonic() < end:
            pace.take(2_000)
            moved[index] += 2_000

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) < 250_000
    assert max(moved) - min(moved) <= sum(moved) / 10


def test_a_wait_ends_at_once_when_the_run_is_stopped() -> None:
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        Pace(1, stopped).take(1_000_000)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("rate", "piece"), [(0, limits.CHUNK), (1, 4096), (80_000, 10_000), (10**9, limits.CHUNK)])
def test_pieces_fit_the_rate(rate: int, piece: int) -> None:
    assert Pace(rate).piece == piece


class Body(io.BytesIO):
    def __len__(self) -> int:
        return len(self.getvalue())


@pytest.mark.parametrize("size", [0, 1, 4096, 100_000])
def test_a_body_that_is_sent_slowly_is_the_same_body(size: int) -> None:
    hours, data = Hours(), bytes(range(256)) * (size // 256 + 1)
    pace = Pace(32_768, hours, hours)
    body = pace.sending(Body(data[:size]))
    assert len(body) == size
    pieces = list(iter(lambda: bytes(body.read(1)), b""))
    assert b"".join(pieces) == data[:size]
    assert max(map(len, pieces), default=0) <= pace.piece
    assert hours.now == pytest.approx(size / 32_768)


def test_a_form_and_bytes_are_sent_as_they_are() -> None:
    hours = Hours()
    pace = Pace(100, hours, hours)
    assert pace.sending({"a": "b"}) == {"a": "b"}
    assert hours.now == 0
    assert pace.sending(b"x" * 100) == b"x" * 100
    assert hours.now == pytest.approx(1)
