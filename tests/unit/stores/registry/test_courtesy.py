from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from airgap.errors import Cancelled, StoreError
from airgap.stores.registry.courtesy import Allowance, Courtesy, Gate
from airgap.stores.registry.retry import Patience


def gate(most: int = 8, attempts: int = 6, backoff: float = 0.001) -> Gate:
    return Gate("reg.invalid", most, Patience(attempts=attempts, backoff=backoff))


def ask(gate: Gate, status: int, retry_after: str = "") -> None:
    with gate.turn() as epoch:
        gate.heard(epoch, status, retry_after)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_host_gets_half_as_many_requests_at_a_time_and_never_none(status: int) -> None:
    ours, allowed = gate(), []
    for _ in range(5):
        ask(ours, status)
        allowed.append(ours.allowed)
    assert allowed == [4, 2, 1, 1, 1]


def test_one_request_more_is_let_in_after_each_round_of_good_answers() -> None:
    ours = gate(most=4)
    ask(ours, 503)
    ask(ours, 503)
    allowed = []
    for _ in range(10):
        ask(ours, 200)
        allowed.append(ours.allowed)
    assert allowed == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4]


def test_answers_to_requests_that_were_under_way_together_count_once() -> None:
    ours = gate()
    with ours.turn() as epoch:
        for _ in range(8):
            ours.heard(epoch, 429)
    assert ours.allowed == 4


def together(gate: Gate, workers: int) -> int:
    """How many of so many threads are inside at a time."""
    inside = most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with gate.turn():
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.002)
                with lock:
                    inside -= 1

    run_all([work] * workers)
    return most


def run_all(functions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_no_more_are_inside_than_are_allowed() -> None:
    ours = gate(most=8)
    assert together(ours, 12) <= 8
    ask(ours, 429)
    ask(ours, 429)
    assert together(ours, 12) <= 2


def test_whoever_is_inside_somewhere_waits_nowhere_so_that_nobody_waits_in_a_circle() -> None:
    courtesy = Courtesy(Patience(), 1)
    here, there = courtesy.gate("a"), courtesy.gate("b")
    both = threading.Barrier(2)

    def through(first: Gate, second: Gate) -> Callable[[], None]:
        def work() -> None:
            with first.turn():
                both.wait(10)
                with second.turn():
                    pass

        return work

    run_all([through(here, there), through(there, here)])
    assert together(here, 2) == together(there, 2) == 1


def test_a_host_that_says_when_to_come_back_is_left_alone_until_then_by_everybody() -> None:
    ours = gate()
    began = time.monotonic()
    ask(ours, 429, "1")
    run_all([lambda: ask(ours, 200)] * 4)
    assert time.monotonic() - began >= 1


def test_a_single_busy_answer_stops_nobody_else() -> None:
    ours = gate(backoff=3600)
    ask(ours, 503)
    began = time.monotonic()
    ask(ours, 200)
    assert time.monotonic() - began < 5


def test_a_wait_at_the_gate_ends_when_the_run_is_stopped() -> None:
    stopped = threading.Event()
    ours = Gate("reg.invalid", 1, Patience(stopped))
    ask(ours, 429, "300")
    threading.Timer(0.1, stopped.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled), ours.turn():
        pass
    assert time.monotonic() - began < 5


def test_a_host_that_is_always_busy_is_given_up_after_two_rounds_of_attempts() -> None:
    ours = gate(attempts=3)
    for _ in range(5):
        ask(ours, 503)
    with pytest.raises(StoreError, match="6 times in a row"):
        ask(ours, 503)


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [
        ("100;w=21600", "76;w=21600", Allowance("h", 76, 100, 21600)),
        ("100", "0", Allowance("h", 0, 100)),
        ("100, 100;w=60", "5", Allowance("h", 5, 100)),
        (" 200 ; w=3600", "199", Allowance("h", 199, 200, 3600)),
        ("100", "", None),
        ("many", "5", None),
        ("5", "100", None),
        ("9" * 5000, "1", None),
    ],
)
def test_limits_are_read_as_hosts_write_them(limit: str, remaining: str, expected: Allowance | None) -> None:
    assert Allowance.of("h", {"ratelimit-limit": limit, "ratelimit-remaining": remaining}) == expected


def headers(remaining: int) -> dict[str, str]:
    return {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{remaining};w=21600"}


def test_what_a_host_allows_is_kept_and_told_once_when_little_is_left() -> None:
    notes: list[str] = []
    courtesy = Courtesy(Patience(), 1, notes.append)
    for remaining in (11, 10, 9, 8):
        courtesy.heard("docker.io", headers(remaining))
    assert notes == ["`docker.io` answers 9 more requests of 100 in 6 h"]
    assert [allowance.remaining for allowance in courtesy.allowances] == [8]


def test_it_is_told_early_that_a_host_allows_less_than_is_still_to_be_read() -> None:
    notes: list[str] = []
    courtesy = Courtesy(Patience(), 1, notes.append)
    courtesy.want("docker.io", 42)
    courtesy.want("docker.io", -1)
    courtesy.heard("docker.io", headers(41))
    assert notes == []
    courtesy.heard("docker.io", headers(40))
    assert len(notes) == 1
    assert "41 manifests are still to be read" in notes[0]
