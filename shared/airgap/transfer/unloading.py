"""Does what a plan says with a bundle that passes by once: each byte is read once, and few are in memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Container, Iterator
from dataclasses import replace
from typing import Protocol

from airgap import limits
from airgap.descriptors import Descriptor
from airgap.errors import AirgapError, Cancelled, ContentError, StoreError
from airgap.stores import Chunk, Content, Source, Target
from airgap.stores.reading import pieces
from airgap.stores.stream import StreamReader
from airgap.transfer import engine, events, pool
from airgap.transfer.engine import Conduct, Outcome, Report, Result
from airgap.transfer.graph import Image
from airgap.transfer.plan import Copy, Plan
from airgap.transfer.waiting import Handed


class Place(Source, Target, Protocol):
    """A target that can be read as well: what is there already need not be sent to another of its repositories."""


def unload(plan: Plan, stream: StreamReader, target: Place, conduct: Conduct | None = None) -> Report:
    """Do what a plan says with a bundle that passes by once.

    Blobs are sent as they pass, small ones several at a time; what the target has already is read past. Mounts and
    names come last, once the whole stream was right.

    Raises:
        ContentError: the stream is damaged, or ended early; nothing has a name.
        StoreError: the target refused. What was sent before stays, and a new plan will not send it again.
        Cancelled: `stopped` was set.
    """
    conduct = conduct or Conduct()
    conduct.observe(events.Planned(stream.size, len(stream.blobs), plan.present))
    unloading = _Unloading(plan, stream, target, conduct)
    pool.run(unloading.tasks(), conduct.workers + 1, conduct.stopped)
    unloading.check()
    rest = unloading.rest()
    past = _Past(target, {copy.source for copy in rest.copies})
    done = engine.run(rest, past, target, replace(conduct, observe=_without_sums(conduct.observe)))
    return unloading.sum_up(done)


def _without_sums(observe: events.Observer) -> events.Observer:
    def passed_on(event: events.Event) -> None:
        if not isinstance(event, events.Planned):
            observe(event)

    return passed_on


class _Past:
    """In place of a stream that has passed: what the target has of it by now."""

    def __init__(self, target: Place, names: Container[str]) -> None:
        self._target = target
        self._names = names
        self.resolve = target.resolve
        self.manifest = target.manifest

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        """A blob from one of the target's repositories.

        Raises:
            StoreError: it would have to be sent again.
        """
        if name not in self._names:
            raise StoreError(
                f"the target lacks `{descriptor.digest}`, which it said it had, and the stream has passed",
                hint="type the same command again",
            )
        return self._target.blob(name, descriptor, offset)


class _Unloading:
    """One thread reads; others send what it hands to them."""

    def __init__(self, plan: Plan, stream: StreamReader, target: Place, conduct: Conduct) -> None:
        self._plan = plan
        self._stream = stream
        self._target = target
        self._conduct = conduct
        self._wanted = {copy.descriptor.digest: copy for copy in reversed(plan.copies) if not copy.mount_from}
        self._handed = Handed(limits.STREAM_HANDED, conduct.stopped)
        self._began: dict[str, float] = {}  # digest → when it was its turn
        self._sent: dict[str, Copy] = {}
        self._failed: dict[str, AirgapError] = {}
        self._damage: ContentError | None = None

    def tasks(self) -> list[pool.Task]:
        """One that reads, and those that send."""
        senders = [pool.Task(self._handed.work) for _ in range(self._conduct.workers)]
        return [pool.Task(self._read, weight=1), *senders]

    def rest(self) -> Plan:
        """What is left when all has passed; what is in the target by now is taken from there."""
        copies = [replace(copy, source=copy.mount_from) for copy in self._plan.copies if copy.mount_from]
        for copy in self._plan.copies:
            sent = self._sent.get(copy.descriptor.digest)
            if sent is not None and not copy.mount_from:
                names = copy.also if copy is sent else (copy.target, *copy.also)
                copies += [Copy(copy.descriptor, sent.target, name, mount_from=sent.target) for name in names]
        images = tuple(publish for publish in self._plan.images if self._failure_of(publish.image) is None)
        return replace(self._plan, copies=tuple(copies), images=images)

    def sum_up(self, rest: Report) -> Report:
        """What was done, before and after."""
        sizes = {digest: copy.descriptor.size for digest, copy in self._sent.items()}
        named = {outcome.image: outcome for outcome in rest.outcomes}
        outcomes: list[Outcome] = []
        for publish in self._plan.images:
            failure = self._failure_of(publish.image)
            if failure is not None:
                outcomes.append(Outcome(publish.image, publish.target, Result.FAILED, failure=failure))
            else:
                outcomes.append(self._with_sizes(named[publish.image], sizes))
        sent = sum(copy.descriptor.size for copy in self._sent.values())
        return replace(rest, bytes=sent + rest.bytes, copied=len(self._sent) + rest.copied, outcomes=tuple(outcomes))

    def _with_sizes(self, outcome: Outcome, sizes: dict[str, int]) -> Outcome:
        """Takes what is counted for this image out of `sizes`, so that nothing is counted twice."""
        if outcome.result is not Result.DONE:
            return outcome
        blobs = [blob.digest for blob in self._plan.graph.blobs_of(outcome.image)]
        began = min((self._began[digest] for digest in blobs if digest in self._began), default=time.monotonic())
        sent = sum(sizes.pop(digest) for digest in blobs if digest in sizes)
        return replace(outcome, bytes=sent, seconds=max(time.monotonic() - began, outcome.seconds))

    def _failure_of(self, image: Image) -> AirgapError | None:
        if not self._failed:
            return None
        blobs = self._plan.graph.blobs_of(image)
        return next((self._failed[blob.digest] for blob in blobs if blob.digest in self._failed), None)

    def check(self) -> None:
        """Raise what was wrong with the stream."""
        if self._damage is not None:
            raise self._damage

    def _read(self) -> None:
        """Read to the end, or as far as the stream is right: what was handed over by then is still sent."""
        try:
            self._read_all()
        except ContentError as error:
            self._damage = error
        self._handed.end()

    def _read_all(self) -> None:
        for blob in self._stream.blobs:
            copy = self._wanted.get(blob.digest)
            if copy is None:
                for _ in self._passing(blob):
                    pass
            elif blob.size <= limits.STREAM_WHOLE:
                data = b"".join(self._passing(blob))
                send = lambda copy=copy, data=data: self._send(copy, lambda offset: pieces(data, offset))  # noqa: E731
                self._handed.give(len(data), send)
            else:
                self._send(copy, _Once(self._passing(blob), copy))
        self._stream.finish()

    def _passing(self, blob: Descriptor) -> Iterator[Chunk]:
        self._began[blob.digest] = time.monotonic()
        for chunk in self._stream.blob("", blob):
            if self._conduct.stopped.is_set():
                raise Cancelled("stopped")
            self._conduct.observe(events.Moved(len(chunk)))
            yield chunk

    def _send(self, copy: Copy, content: Content) -> None:
        digest = copy.descriptor.digest
        try:
            self._target.put_blob(copy.target, copy.descriptor, content)
        except StoreError as error:
            if not self._conduct.keep_going:
                raise
            self._failed[digest] = error
        else:
            self._sent[digest] = copy
            self._conduct.observe(events.Done(digest))


class _Once:
    """Content that passes once; the last of it is kept, so that a retry can begin there."""

    def __init__(self, chunks: Iterator[Chunk], copy: Copy) -> None:
        self._chunks = chunks
        self._copy = copy
        self._kept: deque[bytes] = deque()
        self._start = self._end = 0  # of what is kept
        self._failure: AirgapError | None = None

    def __call__(self, offset: int) -> Iterator[Chunk]:
        """Go on from an offset.

        Raises:
            StoreError: it has passed already. ContentError: the content is not what it should be.
        """
        while chunk := self._at(offset):
            yield chunk
            offset += len(chunk)

    def _at(self, offset: int) -> Chunk:
        if offset < self._start:
            raise StoreError(
                f"sending `{self._copy.descriptor.digest}` to `{self._copy.target}` failed, and what comes from a"
                f" stream cannot be sent twice",
                hint="type the same command again: what has arrived is not sent again",
            )
        start = self._start
        for chunk in self._kept:
            if offset < start + len(chunk):
                return memoryview(chunk)[offset - start :]
            start += len(chunk)
        return self._more()

    def _more(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            chunk = bytes(next(self._chunks, b""))
        except AirgapError as error:
            self._failure = error
            raise
        self._kept.append(chunk)
        self._end += len(chunk)
        while self._end - self._start > limits.STREAM_WINDOW:
            self._start += len(self._kept.popleft())
        return chunk
