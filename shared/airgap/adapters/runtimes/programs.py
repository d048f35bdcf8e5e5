"""Running a runtime's program: a fixed argv, no shell, little environment, an end to waiting and to output.

Three ways: asked for an answer, fed through a pipe, drained through one. Whatever ends us ends the program first; of
an importer that is killed before its input ends, nothing counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from airgap import limits
from airgap.errors import AccessDenied, Cancelled, NotFound, StoreError

# What the programs may see of the environment: where they find their settings, sockets and storage.
_KEPT = re.compile(
    r"PATH|HOME|USER|TMPDIR|LANG|LC_\w+|XDG_\w+|SSH_AUTH_SOCK|DBUS_SESSION_BUS_ADDRESS|"
    r"(DOCKER|CONTAINERS?|_CONTAINERS|STORAGE|CONTAINERD|NERDCTL)_\w+"
)
_TURN_SECONDS: Final = 0.2
_MESSAGE: Final = 600  # characters of a program's own words that we repeat
_DENIED: Final = re.compile(r"permission denied|operation not permitted|must be run as root|rootless", re.IGNORECASE)
_SILENT: Final = re.compile(r"cannot connect|failed to dial|connection refused|no such file.*sock", re.IGNORECASE)
_VERBS: Final = re.compile(r"images?|content|namespaces|load|save|inspect|import|ls|get|label")

Chunk = bytes | memoryview


def find(program: str, environment: dict[str, str] | None = None) -> str | None:
    """The path of a program, or None."""
    known = dict(os.environ) if environment is None else environment
    return shutil.which(program, path=known.get("PATH", os.defpath))


def ask(command: Sequence[str], *, most: int = limits.RUNTIME_ANSWER) -> bytes:
    """What a program prints.

    Raises:
        StoreError: it refuses, in its own words; it prints more than `most` bytes, or nothing for too long.
    """
    pieces: list[bytes] = []
    total = 0
    with contextlib.closing(drain(command, seconds=limits.RUNTIME_ANSWER_SECONDS)) as output:
        for piece in output:
            total += len(piece)
            if total > most:
                raise StoreError(f"`{_short(command)}` printed more than {most} bytes and was stopped")
            pieces.append(piece)
    return b"".join(pieces)


def drain(command: Sequence[str], *, seconds: float = limits.RUNTIME_STALL_SECONDS) -> Generator[bytes, None, None]:
    """What a program prints, as it comes; whoever stops reading stops the program.

    Raises:
        StoreError: it refuses, or prints nothing for `seconds`.
    """
    with _running(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as (process, words):
        assert process.stdout is not None
        stream = process.stdout
        while _ready(stream.fileno(), select.POLLIN, seconds, command):
            piece = os.read(stream.fileno(), limits.CHUNK)
            if not piece:
                break
            yield piece
        _end(process, words, command, seconds, threading.Event())


def feed(command: Sequence[str], chunks: Iterable[Chunk], stopped: threading.Event) -> None:
    """Give a program its input through a pipe, and wait until it has done with it.

    Raises:
        StoreError: it refuses, or takes nothing for too long.
        Cancelled: `stopped` was set; the program is dead.
        AirgapError: whatever reading `chunks` raises; the program is dead before its input ends, so that it cannot
            take a part for the whole.
    """
    seconds = limits.RUNTIME_STALL_SECONDS
    with _running(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as (process, words):
        assert process.stdin is not None
        pipe = process.stdin.fileno()
        _widen(pipe)
        with contextlib.suppress(BrokenPipeError):  # it has ended early: how, its status says
            for chunk in chunks:
                _write(pipe, chunk, command, stopped)
        process.stdin.close()
        _end(process, words, command, seconds, stopped)


def refusal(command: Sequence[str], words: str) -> StoreError:
    """A program's own words as an error of ours."""
    text = " ".join(words.split()) or "it gave no reason"
    text = text if len(text) <= _MESSAGE else text[:_MESSAGE] + "…"
    message = f"`{_short(command)}` failed: {text}"
    if _DENIED.search(text):
        return AccessDenied(message, hint="type it as root (sudo), or as a user who may use this runtime")
    if _SILENT.search(text):
        return StoreError(message, hint="is it running? name its socket with --address")
    return StoreError(message)


class _Words(threading.Thread):
    """What a program says on stderr: the first of it is kept, and all of it is read, so that nothing blocks."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._kept = bytearray()
        self.start()

    def run(self) -> None:
        with self._stream as stream, contextlib.suppress(ValueError):
            while piece := stream.read1(limits.ERROR_BODY):  # type: ignore[attr-defined]
                self._kept += piece[: limits.ERROR_BODY - len(self._kept)]

    def text(self) -> str:
        self.join(_TURN_SECONDS * 10)
        return bytes(self._kept).decode("utf-8", "replace")


@contextlib.contextmanager
def _running(command: Sequence[str], *, stdin: int, stdout: int) -> Iterator[tuple[subprocess.Popen[bytes], _Words]]:
    """A program in a session of its own: Ctrl-C is for us, and we end it; dead, whatever happens, on the way out."""
    kept = {key: value for key, value in os.environ.items() if _KEPT.fullmatch(key)}
    try:
        process = subprocess.Popen(
            list(command), stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=kept, start_new_session=True
        )
    except OSError as error:
        raise NotFound(f"`{command[0]}` cannot be started: {error.strerror}") from error
    assert process.stderr is not None
    try:
        yield process, _Words(process.stderr)
    finally:
        _kill(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end(
    process: subprocess.Popen[bytes], words: _Words, command: Sequence[str], seconds: float, stopped: threading.Event
) -> None:
    """Wait for a program's own end.

    Raises:
        StoreError: it failed, or does not end. Cancelled: `stopped` was set.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            process.wait(_TURN_SECONDS)
        except subprocess.TimeoutExpired:
            if stopped.is_set():
                raise Cancelled("stopped") from None
            if time.monotonic() > deadline:
                raise _stalled(command, seconds) from None
            continue
        break
    if process.returncode:
        raise refusal(command, words.text())


def _write(pipe: int, chunk: Chunk, command: Sequence[str], stopped: threading.Event) -> None:
    rest = memoryview(chunk)
    while rest:
        _ready(pipe, select.POLLOUT, limits.RUNTIME_STALL_SECONDS, command, stopped)
        rest = rest[os.write(pipe, rest) :]


def _ready(
    stream: int, event: int, seconds: float, command: Sequence[str], stopped: threading.Event | None = None
) -> bool:
    """Wait until a pipe can be read or written.

    Raises:
        StoreError: it cannot, for too long. Cancelled: `stopped` was set.
    """
    poll = select.poll()
    poll.register(stream, event)
    deadline = time.monotonic() + seconds
    while not poll.poll(_TURN_SECONDS * 1000):
        if stopped is not None and stopped.is_set():
            raise Cancelled("stopped")
        if time.monotonic() > deadline:
            raise _stalled(command, seconds)
    return True


def _widen(pipe: int) -> None:
    """Let a pipe hold a whole chunk, and never block us, who must see when we are stopped."""
    os.set_blocking(pipe, False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # users have a quota
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, limits.CHUNK)


def _stalled(command: Sequence[str], seconds: float) -> StoreError:
    return StoreError(f"`{_short(command)}` did nothing for {seconds:g} seconds and was stopped")


def _short(command: Sequence[str]) -> str:
    """A command as errors name it: the program and its verbs, without addresses and names."""
    return " ".join([Path(command[0]).name, *(word for word in command[1:] if _VERBS.fullmatch(word))])
