"""One pool of workers for everything: tasks with an order of importance, and with others they wait for."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from airgap.errors import AirgapError, Cancelled

Item = TypeVar("Item")
Result = TypeVar("Result")
_FAREWELL_SECONDS: Final = 3.0


@dataclass
class Task:
    """Something to do once all it waits for is done; among those ready, the heaviest goes first."""

    action: Callable[[], None]
    weight: int = 0
    failure: AirgapError | None = None  # why it was not done, where the others went on
    _waits: int = 0
    _then: list[Task] = field(default_factory=list)

    def after(self, others: Iterable[Task]) -> Task:
        """Wait for `others`, each of which must be handed to `run` with this one."""
        for other in others:
            other._then.append(self)
            self._waits += 1
        return self


def run(tasks: Sequence[Task], workers: int, stopped: threading.Event, *, keep_going: bool = False) -> None:
    """Do all tasks; the first failure stops the rest, and is raised here.

    Args:
        tasks: whose waits form no circle.
        workers: how many at a time.
        stopped: set from elsewhere to stop, and set here when something failed, so that waits and streams end.
        keep_going: a failure that we can explain is left in the task and in those that wait for it; the rest go on.

    Raises:
        Cancelled: `stopped` was set from elsewhere.
    """
    crew = _Crew(tasks, stopped, keep_going)
    threads = [threading.Thread(target=crew.work, daemon=True) for _ in range(min(workers, len(tasks)))]
    for thread in threads:
        thread.start()
    try:
        crew.wait()
    except BaseException:
        crew.stop()
        for thread in threads:
            thread.join(_FAREWELL_SECONDS / len(threads))
        raise
    for thread in threads:
        thread.join()


def each(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, stopped: threading.Event
) -> list[Result | AirgapError]:
    """`function` of every item, several at a time, in the items' order; a failure we can explain is a result."""
    results: list[Result | AirgapError] = [Cancelled("stopped")] * len(items)

    def at(index: int) -> None:
        try:
            results[index] = function(items[index])
        except Cancelled:
            raise
        except AirgapError as error:
            results[index] = error

    run([Task(lambda index=index: at(index)) for index in range(len(items))], workers, stopped)  # type: ignore[misc]
    return results


def every(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, stopped: threading.Event
) -> list[Result]:
    """As `each`, but the first failure, in the items' order, is raised."""
    results: list[Result] = []
    for result in each(function, items, workers, stopped):
        if isinstance(result, AirgapError):
            raise result
        results.append(result)
    return results


class _Crew:
    """The tasks that are ready, and how the run is going."""

    def __init__(self, tasks: Sequence[Task], stopped: threading.Event, keep_going: bool) -> None:
        self._keep_going = keep_going
        self._changed = threading.Condition()
        self._count = itertools.count()
        self._ready = [(-task.weight, next(self._count), task) for task in tasks if not task._waits]
        heapq.heapify(self._ready)
        self._left = len(tasks)
        self._failure: BaseException | None = None
        self._stopped = stopped

    def work(self) -> None:
        while (task := self._next()) is not None:
            try:
                if task.failure is None:
                    task.action()
            except BaseException as error:
                if not self._keep_going or not isinstance(error, AirgapError) or isinstance(error, Cancelled):
                    self._fail(error)
                    return
                task.failure = error
            self._finish(task)

    def wait(self) -> None:
        with self._changed:
            while self._left and self._failure is None and not self._stopped.is_set():
                self._changed.wait(0.2)
            if self._failure is not None:
                raise self._failure
            if self._left:
                raise Cancelled("stopped")

    def stop(self) -> None:
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def _next(self) -> Task | None:
        with self._changed:
            while self._left and self._failure is None and not self._stopped.is_set():
                if self._ready:
                    return heapq.heappop(self._ready)[2]
                self._changed.wait(0.2)
            return None

    def _finish(self, task: Task) -> None:
        with self._changed:
            self._left -= 1
            for other in task._then:
                other._waits -= 1
                other.failure = other.failure or task.failure
                if not other._waits:
                    heapq.heappush(self._ready, (-other.weight, next(self._count), other))
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if self._failure is None or isinstance(self._failure, Cancelled):
                self._failure = error
            self._changed.notify_all()
        self._stopped.set()
