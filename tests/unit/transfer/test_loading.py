from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bundles import pack_into
from tests.support.images import add_image, random_layer

from airgap import limits
from airgap.bundles.composition import Label, compose
from airgap.descriptors import Descriptor
from airgap.errors import Cancelled, ContentMismatch
from airgap.references import Reference
from airgap.stores import Chunk
from airgap.stores.memory import MemoryStore
from airgap.transfer import events
from airgap.transfer.engine import Conduct, Report
from airgap.transfer.graph import walk
from airgap.transfer.loading import load
from airgap.transfer.waiting import Basin

NAME = Reference.parse("r.io/a:1")


class Source(MemoryStore):
    """Counts what is read, and spoils it where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.spoiled: dict[str, int] = {}  # digest → how often still
        layers = [random_layer(random.Random(seed), 30_000 + seed) for seed in range(12)]
        add_image(self, str(NAME), layers=layers, seed=1)

    def blob(self, name: str, descriptor: Descriptor, offset: int = 0) -> Iterator[Chunk]:
        yield from super().blob(name, descriptor, offset)
        if self.spoiled.get(descriptor.digest, 0):
            self.spoiled[descriptor.digest] -= 1
            raise ContentMismatch("a test", descriptor.digest, "something else")


def poured(source: Source, out: list[bytes], *, observe: events.Observer = events.silent) -> Report:
    graph = walk(source, [NAME])
    layout = compose(graph, {}, Label("x")).layout
    return load(graph, layout, source, lambda data: out.append(bytes(data)), Conduct(workers=4, observe=observe))


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", 1_000)


@pytest.mark.parametrize("ahead", [1, 10_000, 10_000_000])
def test_bytes_come_in_order_however_little_may_be_fetched_ahead(
    ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STREAM_AHEAD", ahead)
    source = Source()
    out: list[bytes] = []
    report = poured(source, out)
    pack_into(tmp_path / "x.tar", source, [NAME])
    assert b"".join(out) == (tmp_path / "x.tar").read_bytes()
    assert report.copied == 13
    assert report.bytes == sum(outcome.bytes for outcome in report.outcomes)


def layers_of(source: Source) -> list[Descriptor]:
    graph = walk(source, [NAME])
    return sorted(graph.blobs_of(graph.images[0]), key=lambda blob: (blob.size, blob.digest))


def test_what_arrives_damaged_before_its_turn_is_fetched_once_more(tmp_path: Path) -> None:
    source = Source()
    out: list[bytes] = []
    last = layers_of(source)[-1]
    source.spoiled[last.digest] = 1
    noticed = threading.Event()

    def observe(event: events.Event) -> None:
        if isinstance(event, events.Note) and last.digest in event.text:
            noticed.set()

    def write(data: Chunk) -> None:
        assert noticed.wait(20)
        out.append(bytes(data))

    graph = walk(source, [NAME])
    load(graph, compose(graph, {}, Label("x")).layout, source, write, Conduct(workers=13, observe=observe))
    pack_into(tmp_path / "x.tar", source, [NAME])
    assert b"".join(out) == (tmp_path / "x.tar").read_bytes()


def test_what_is_always_damaged_ends_the_stream_without_its_end_mark() -> None:
    source = Source()
    out: list[bytes] = []
    source.spoiled[layers_of(source)[5].digest] = 9
    with pytest.raises(ContentMismatch):
        poured(source, out)
    assert not b"".join(out).endswith(bytes(1024))


def test_a_writer_that_fails_ends_the_fetching() -> None:
    source = Source()
    graph = walk(source, [NAME])

    def write(data: Chunk) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        load(graph, compose(graph, {}, Label("x")).layout, source, write, Conduct(workers=2))


def test_no_more_is_held_than_may_be() -> None:
    basin = Basin(2_500, threading.Event())
    basin.fill(1, bytes(1_000))
    basin.fill(2, bytes(1_000))
    waiting = threading.Thread(target=basin.fill, args=(2, bytes(1_000)), daemon=True)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    basin.fill(0, bytes(1_000))  # whose turn it is goes on, however full it is
    basin.end(0)
    basin.end(1)
    assert list(basin.drain(0)) == [bytes(1_000)]
    assert list(basin.drain(1)) == [bytes(1_000)]
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_run_that_is_stopped_waits_no_longer() -> None:
    stopped = threading.Event()
    basin = Basin(10, stopped)
    stopped.set()
    with pytest.raises(Cancelled):
        list(basin.drain(0))
