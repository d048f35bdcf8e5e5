"""Fetches what a stream is made of, ahead of its turn, and writes it in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from airgap import limits
from airgap.descriptors import Descriptor
from airgap.errors import ContentMismatch
from airgap.stores import Chunk, Source
from airgap.stores.archive import ArchiveLayout
from airgap.stores.stream import pour
from airgap.transfer import events, pool
from airgap.transfer.engine import Conduct, Outcome, Report, Result
from airgap.transfer.graph import Graph
from airgap.transfer.waiting import Basin


def load(
    graph: Graph, layout: ArchiveLayout, source: Source, write: Callable[[Chunk], None], conduct: Conduct | None = None
) -> Report:
    """Write an archive in the order of its bytes; several workers fetch what comes next.

    A blob that arrives with a wrong digest is fetched once more, unless some of it was written already.

    Args:
        graph: has the manifests, and the names that blobs are fetched by.
        layout: of the archive.
        source: has the blobs.
        write: takes all bytes, in order.
        conduct: how many fetch, and who watches.

    Raises:
        ContentMismatch: the source has other bytes than it should. What was written has no end mark, so that nobody
            takes it for an archive.
        StoreError: the source refused.
        Cancelled: `stopped` was set.
    """
    conduct = conduct or Conduct()
    loading = _Loading(graph, layout, source, conduct)
    conduct.observe(events.Planned(sum(blob.size for blob in loading.wanted), len(loading.wanted)))
    writer = pool.Task(lambda: pour(layout, loading.content, write), weight=1)
    fetchers = [pool.Task(loading.fetch) for _ in range(conduct.workers)]
    pool.run([writer, *fetchers], conduct.workers + 1, conduct.stopped)
    return loading.report()


class _Loading:
    """The blobs of an archive on their way to their turn."""

    def __init__(self, graph: Graph, layout: ArchiveLayout, source: Source, conduct: Conduct) -> None:
        self.wanted = [blob for blob in layout.blobs if blob.digest not in graph.nodes]
        self._graph = graph
        self._source = source
        self._conduct = conduct
        self._names = {b.digest: image.reference.name for image in graph.images for b in graph.blobs_of(image)}
        self._basin = Basin(limits.STREAM_AHEAD, conduct.stopped)
        self._turns = {blob.digest: turn for turn, blob in enumerate(self.wanted)}
        self._next = iter(self.wanted)
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def fetch(self) -> None:
        """Fetch one blob after another, until none is left."""
        while True:
            with self._lock:
                blob = next(self._next, None)
            if blob is None:
                return
            self._fetch(blob)

    def content(self, blob: Descriptor) -> Iterator[Chunk]:
        """A blob's bytes, when it is its turn."""
        node = self._graph.nodes.get(blob.digest)
        return iter((node.data,)) if node is not None else self._basin.drain(self._turns[blob.digest])

    def report(self) -> Report:
        """What was fetched."""
        sizes = {blob.digest: blob.size for blob in self.wanted}
        seconds = time.monotonic() - self._started
        outcomes = []
        for image in self._graph.images:
            count = sum(sizes.pop(blob.digest, 0) for blob in self._graph.blobs_of(image))
            outcomes.append(Outcome(image, image.reference, Result.DONE, count, seconds))
        return Report(sum(blob.size for blob in self.wanted), len(self.wanted), 0, 0, tuple(outcomes))

    def _fetch(self, blob: Descriptor) -> None:
        turn = self._turns[blob.digest]
        try:
            self._fill(blob, turn)
        except ContentMismatch as error:
            if not self._basin.empty(turn):
                raise
            self._conduct.observe(events.Note(f"{error.message}; reading it once more"))
            self._fill(blob, turn)
        self._basin.end(turn)
        self._conduct.observe(events.Done(blob.digest))

    def _fill(self, blob: Descriptor, turn: int) -> None:
        for chunk in self._source.blob(self._names[blob.digest], blob):
            self._basin.fill(turn, bytes(chunk))
            self._conduct.observe(events.Moved(len(chunk)))
