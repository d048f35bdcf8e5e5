"""Progress on stderr: one line that is drawn again on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Final

from airgap.transfer import events
from airgap_cli import render
from airgap_cli.words import duration, escape, size

_REDRAW_SECONDS: Final = 0.2
_PLAIN_SECONDS: Final = 5.0
_SETTLING_SECONDS: Final = 0.5


class Progress:
    """Counts what a transfer tells and draws it; an observer and a context manager.

    Args:
        verb: what is being done, such as `packing`.
        quiet: draw nothing, but still say what a person must know.
    """

    def __init__(self, verb: str, *, quiet: bool = False) -> None:
        self.verb = verb
        self.total = self.moved = 0
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw_now_and_then, daemon=True)

    def __enter__(self) -> Progress:
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(1)
            self._clear()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def __call__(self, event: events.Event) -> None:
        """Take note of an event; called from several threads."""
        if isinstance(event, events.Moved):
            with self._lock:
                self.moved += event.bytes
        elif isinstance(event, events.Planned):
            self.total = event.bytes
        elif isinstance(event, events.Note):
            self._clear()
            render.say(f"note: {event.text}")

    def _draw_now_and_then(self) -> None:
        interval = _REDRAW_SECONDS if self._terminal else _PLAIN_SECONDS
        while not self._over.wait(interval):
            if not self.total:
                continue
            if self._terminal:
                sys.stderr.write(f"\r\x1b[K{escape(self._line())}")
                sys.stderr.flush()
            else:
                render.say(self._line())

    def _line(self) -> str:
        elapsed = max(self.seconds, 0.001)
        rate = self.moved / elapsed
        line = f"{self.verb}  {size(self.moved)} of {size(self.total)}  {size(rate)}/s"
        if elapsed > _SETTLING_SECONDS and 0 < self.moved < self.total:
            line += f"  {duration((self.total - self.moved) / rate)} left"
        return line

    def _clear(self) -> None:
        if self._terminal and not self._quiet:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
