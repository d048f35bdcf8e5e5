"""Runs a plan: one pool of workers over all images, largest blobs first, manifests after what they name, tags last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from airgap import limits
from airgap.descriptors import Descriptor
from airgap.errors import Cancelled, ContentMismatch
from airgap.stores import Chunk, Source, Target
from airgap.transfer import events, pool
from airgap.transfer.plan import Copy, Plan, Publish


@dataclass(frozen=True)
class Report:
    """What a run did: bytes that crossed the line, blobs copied, mounted, and found in place."""

    bytes: int
    copied: int
    mounted: int
    present: int


def run(
    plan: Plan,
    source: Source,
    target: Target,
    *,
    workers: int = limits.WORKERS,
    observe: events.Observer = events.silent,
    stopped: threading.Event | None = None,
) -> Report:
    """Do what the plan says.

    A blob that arrives with a wrong digest is fetched once more, since a flipped bit on the way is not a damaged
    source; a second time it is an error.

    Raises:
        ContentMismatch: the source has other bytes than it should.
        StoreError: one side refused. What was copied before stays, and a new plan will not copy it again.
        Cancelled: `stopped` was set.
    """
    transfer = _Transfer(plan, source, target, observe, stopped or threading.Event())
    observe(events.Planned(plan.bytes, len(plan.copies), plan.present))
    pool.run(transfer.tasks(), workers, transfer.stopped)
    return Report(transfer.bytes, transfer.copied, transfer.mounted, plan.present)


class _Transfer:
    """A run's counters, and the actions of its tasks."""

    def __init__(
        self, plan: Plan, source: Source, target: Target, observe: events.Observer, stopped: threading.Event
    ) -> None:
        self.plan = plan
        self.source = source
        self.target = target
        self.observe = observe
        self.stopped = stopped
        self.bytes = self.copied = self.mounted = 0
        self._lock = threading.Lock()

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
                tasks.append(task.after(need for need in needs if need is not None))
        return tasks

    def _copy(self, copy: Copy) -> None:
        if copy.mount_from and self.target.mount(copy.target, copy.descriptor, copy.mount_from):
            self._count(mounted=1)
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
            self.target.put_blob(name, copy.descriptor, lambda offset: self._stream(copy, offset))
        except ContentMismatch as error:
            self.observe(events.Note(f"{error.message}; fetching it once more"))
            self.target.put_blob(name, copy.descriptor, lambda offset: self._stream(copy, offset))
        self._count(copied=1)

    def _stream(self, copy: Copy, offset: int) -> Iterator[Chunk]:
        for chunk in self.source.blob(copy.source, copy.descriptor, offset):
            if self.stopped.is_set():
                raise Cancelled("stopped")
            yield chunk
            self._count(count=len(chunk))
            self.observe(events.Moved(len(chunk)))

    def _publish(self, publish: Publish) -> None:
        *children, root = publish.manifests
        for child in children:
            self.target.put_manifest(publish.target.name, child, self._bytes(child))
        self.target.tag(publish.target, root, self._bytes(root))
        self.observe(events.Done(str(publish.target)))

    def _bytes(self, descriptor: Descriptor) -> bytes:
        return self.plan.graph.nodes[descriptor.digest].data

    def _count(self, *, count: int = 0, copied: int = 0, mounted: int = 0) -> None:
        with self._lock:
            self.bytes += count
            self.copied += copied
            self.mounted += mounted
