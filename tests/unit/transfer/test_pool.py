from __future__ import annotations

import threading
import time

import pytest

from airgap.errors import AirgapError, Cancelled, NotFound
from airgap.transfer.pool import Task, each, every, run


def test_the_heaviest_task_that_is_ready_goes_first() -> None:
    order: list[str] = []
    tasks = [Task(lambda n=n: order.append(n), w) for n, w in (("light", 1), ("heavy", 9), ("middle", 5))]  # type: ignore[misc]
    run(tasks, 1, threading.Event())
    assert order == ["heavy", "middle", "light"]


def test_a_task_waits_for_all_it_was_told_to() -> None:
    order: list[str] = []

    def slowly(name: str) -> None:
        time.sleep(0.02)
        order.append(name)

    first, second = Task(lambda: slowly("a")), Task(lambda: slowly("b"))
    last = Task(lambda: order.append("last"), weight=100).after([first, second])
    run([last, first, second], 3, threading.Event())
    assert order[-1] == "last"
    assert sorted(order) == ["a", "b", "last"]


def test_the_first_failure_stops_the_rest_and_is_raised() -> None:
    done: list[int] = []

    def fail() -> None:
        raise NotFound("it is gone")

    tasks = [Task(fail, 100), *(Task(lambda n=n: done.append(n)) for n in range(1000))]  # type: ignore[misc]
    stopped = threading.Event()
    with pytest.raises(NotFound):
        run(tasks, 1, stopped)
    assert done == []
    assert stopped.is_set()


def test_a_defect_in_a_task_is_raised_too_and_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        run([Task(lambda: 1 / 0)], 2, threading.Event())  # type: ignore[arg-type]


def test_stopping_from_elsewhere_ends_the_wait() -> None:
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run([Task(lambda: bool(stopped.wait(5))) for _ in range(4)], 2, stopped)  # type: ignore[arg-type]
    assert time.monotonic() - started < 2


def test_results_come_in_the_order_of_the_items() -> None:
    items = list(range(50))
    assert every(lambda n: n * n, items, 8, threading.Event()) == [n * n for n in items]


def test_failures_of_many_items_are_collected() -> None:
    def odd(number: int) -> int:
        if number % 2:
            raise NotFound(f"{number} is odd")
        return number

    results = each(odd, range(6), 3, threading.Event())
    assert [isinstance(result, AirgapError) for result in results] == [False, True] * 3
    with pytest.raises(NotFound, match="1 is odd"):
        every(odd, range(6), 3, threading.Event())


def test_nothing_to_do_is_done_at_once() -> None:
    run([], 4, threading.Event())
    assert every(lambda n: n, [], 4, threading.Event()) == []
