"""Runs a plan: one pool of workers over all images, largest blobs first, manifests after what they name, tags last."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from airgap import limits
from airgap.descriptors import Descriptor
from airgap.errors import AirgapError, Cancelled, ContentMismatch, StoreError, UnknownContent
from airgap.references import Reference
from airgap.stores import Chunk, Source, Target
from airgap.transfer import events, pool
from airgap.transfer.graph import Image
from airgap.transfer.plan import Copy, Plan, Publish


class Result(StrEnum):
    """How it went with an image."""

    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image of a run.

    Attributes:
        bytes: of the content that was sent for it; what several images share counts for the first.
        seconds: from the first thing done for it to its name; 0 where nothing was.
        failure: why it failed.
    """

    image: Image
    target: Reference
    result: Result
    bytes: int = 0
    seconds: float = 0.0
    failure: AirgapError | None = None


@dataclass(frozen=True)
class Report:
    """What a run did: bytes that crossed the line, blobs copied, mounted, and found in place; and each image."""

    bytes: int
    copied: int
    mounted: int
    present: int
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class Conduct:
    """How a plan is run.

    Attributes:
        workers: how many copy at a time.
        observe: is told how it goes.
        stopped: ends it when set; set when it fails.
        keep_going: an image that fails does not keep the others from arriving; the report has the reasons.
    """

    workers: int = limits.WORKERS
    observe: events.Observer = events.silent
    stopped: threading.Event = field(default_factory=threading.Event)
    keep_going: bool = False


def run(plan: Plan, source: Source, target: Target, conduct: Conduct | None = None) -> Report:
    """Do what the plan says.

    A blob that arrives with a wrong digest is fetched once more, since a flipped bit on the way is not a damaged
    source; a second time it is an error.

    Raises:
        ContentMismatch: the source has other bytes than it should.
        StoreError: one side refused. What was copied before stays, and a new plan will not copy it again.
        Cancelled: `stopped` was set.
    """
    conduct = conduct or Conduct()
    transfer = _Transfer(plan, source, target, conduct)
    conduct.observe(events.Planned(plan.bytes, len(plan.copies), plan.present))
    pool.run(transfer.tasks(), conduct.workers, conduct.stopped, keep_going=conduct.keep_going)
    return Report(transfer.bytes, transfer.copied, transfer.mounted, plan.present, transfer.outcomes())


class _Transfer:
    """A run's counters, and the actions of its tasks."""

    def __init__(self, plan: Plan, source: Source, target: Target, conduct: Conduct) -> None:
        self.plan = plan
        self.source = source
        self.target = target
        self.observe = conduct.observe
        self.stopped = conduct.stopped
        self.bytes = self.copied = self.mounted = 0
        self._lock = threading.Lock()
        self._published: dict[Reference, pool.Task] = {}
        self._began: dict[str, float] = {}  # digest of a blob or root → when work on it began
        self._ended: dict[Reference, float] = {}

    def tasks(self) -> list[pool.Task]:
        """Copies first; each image's manifests wait for the copies into its repository."""
        copies: dict[tuple[str, str], pool.Task] = {}
        tasks: list[pool.Task] = []
        for copy in self.plan.copies:
            task = pool.Task(lambda copy=copy: self._copy(copy), copy.descriptor.size)  # type: ignore[misc]
            tasks.append(task)
            for name in (copy.target, *copy.also):
                copies[copy.descriptor.digest, name] = task
        for image in self.plan.images:
            if not image.complete:
                needs = (copies.get((blob.digest, image.target.name)) for blob in self.plan.graph.blobs_of(image.image))
                task = pool.Task(lambda image=image: self._publish(image), limits.BLOB)  # type: ignore[misc]
                self._published[image.image.reference] = task
                tasks.append(task.after(need for need in needs if need is not None))
        return tasks

    def outcomes(self) -> tuple[Outcome, ...]:
        """How it went with each image, in the plan's order."""
        sent = {copy.descriptor.digest: copy for copy in self.plan.copies if not copy.mount_from}
        return tuple(self._outcome(publish, sent) for publish in self.plan.images)

    def _outcome(self, publish: Publish, sent: dict[str, Copy]) -> Outcome:
        """Takes what is counted for this image out of `sent`, so that nothing is counted twice."""
        task = self._published.get(publish.image.reference)
        if task is None:
            return Outcome(publish.image, publish.target, Result.UNCHANGED)
        if task.failure is not None:
            return Outcome(publish.image, publish.target, Result.FAILED, failure=task.failure)
        blobs = [blob.digest for blob in self.plan.graph.blobs_of(publish.image)]
        began = min(self._began[digest] for digest in (*blobs, publish.image.root.digest) if digest in self._began)
        count = sum(sent.pop(digest).descriptor.size for digest in blobs if digest in sent)
        seconds = self._ended[publish.image.reference] - began
        return Outcome(publish.image, publish.target, Result.DONE, count, seconds)

    def _copy(self, copy: Copy) -> None:
        self._began[copy.descriptor.digest] = time.monotonic()
        if copy.mount_from and self.target.mount(copy.target, copy.descriptor, copy.mount_from):
            self._count(mounted=1)
        elif copy.lacking:
            raise StoreError(
                f"`{copy.mount_from}` has `{copy.descriptor.digest}`, but it cannot be mounted in `{copy.target}`",
                hint="this registry takes whole bundles only: pack without --since",
            )
        else:
            self._carry(copy, copy.target)
        for name in copy.also:
            if self.target.mount(name, copy.descriptor, copy.target):
                self._count(mounted=1)
            else:
                self._carry(copy, name)
        self.observe(events.Done(copy.descriptor.digest))

    def _carry(self, copy: Copy, name: str) -> None:
        try:
            self._put(copy, name)
        except ContentMismatch as error:
            self.observe(events.Note(f"{error.message}; reading it once more"))
            self._put(copy, name)
        self._count(copied=1)

    def _put(self, copy: Copy, name: str) -> None:
        """Put a blob, and let go of its source at once: a reader that is not at its end has a turn at its host.

        Left alone it would keep that as long as the error is kept that it was left for.
        """
        with contextlib.ExitStack() as opened:

            def content(offset: int) -> Iterator[Chunk]:
                opened.close()  # whoever begins anew is done with the last
                return opened.enter_context(contextlib.closing(self._stream(copy, offset)))

            self.target.put_blob(name, copy.descriptor, content)

    def _stream(self, copy: Copy, offset: int) -> Generator[Chunk, None, None]:
        for chunk in self.source.blob(copy.source, copy.descriptor, offset):
            if self.stopped.is_set():
                raise Cancelled("stopped")
            yield chunk
            self._count(count=len(chunk))
            self.observe(events.Moved(len(chunk)))

    def _publish(self, publish: Publish) -> None:
        self._began[publish.image.root.digest] = time.monotonic()
        try:
            self._put_manifests(publish)
        except UnknownContent as error:
            self._mend(publish, error)
            self._put_manifests(publish)
        self._ended[publish.image.reference] = time.monotonic()
        self.observe(events.Done(str(publish.target)))

    def _put_manifests(self, publish: Publish) -> None:
        *children, root = publish.manifests
        for child in children:
            self.target.put_manifest(publish.target.name, child, self._bytes(child))
        self.target.tag(publish.target, root, self._bytes(root))

    def _mend(self, publish: Publish, refusal: UnknownContent) -> None:
        """Send again what the target said it had and has not: replicas lag behind, and others delete.

        Raises:
            UnknownContent: what it names is not ours to send.
        """
        name, source = publish.target.name, publish.image.reference.name
        blobs = self.plan.graph.blobs_of(publish.image)
        missing = [blob for blob in blobs if blob.digest in refusal.digests or not self.target.has(name, blob)]
        ours = {blob.digest for blob in (*missing, *publish.manifests)}
        if refusal.digests and refusal.digests.isdisjoint(ours):
            raise refusal
        self.observe(events.Note(f"{refusal.message}; sending what it lacks once more"))
        for blob in missing:
            self._carry(Copy(blob, source, name), name)

    def _bytes(self, descriptor: Descriptor) -> bytes:
        return self.plan.graph.nodes[descriptor.digest].data

    def _count(self, *, count: int = 0, copied: int = 0, mounted: int = 0) -> None:
        with self._lock:
            self.bytes += count
            self.copied += copied
            self.mounted += mounted
