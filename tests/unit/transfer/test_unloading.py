"""What passes by once, against a target that fails: what is kept, what is sent again, what has to be typed again."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from tests.support.bundles import pack_into
from tests.support.images import add_image, layer

from airgap import limits
from airgap.bundles.reader import Bundle, read
from airgap.bundles.signing import ANYBODY
from airgap.descriptors import Descriptor
from airgap.errors import StoreError
from airgap.references import Reference
from airgap.stores import Content
from airgap.stores.memory import MemoryStore
from airgap.stores.stream import StreamReader
from airgap.transfer import events, plan
from airgap.transfer.engine import Conduct, Report, Result
from airgap.transfer.graph import Graph, walk
from airgap.transfer.unloading import unload

ONE, TWO = (Reference.parse(f"r.io/{name}:1") for name in ("one", "two"))
SECOND = layer(b"two")
LARGE = layer(bytes(range(256)) * 20_000)


class Target(MemoryStore):
    """Keeps repositories apart; what it does to uploads and mounts can be said."""

    def __init__(self, upload: Callable[[Content], Iterator[object]] = lambda content: content(0)) -> None:
        super().__init__()
        self.repositories: set[tuple[str, str]] = set()
        self.mounts = True
        self._upload = upload

    def has(self, name: str, descriptor: Descriptor) -> bool:
        return (name, descriptor.digest) in self.repositories

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        self.blobs[descriptor.digest] = b"".join(bytes(chunk) for chunk in self._upload(content))  # type: ignore[call-overload]
        self.repositories.add((name, descriptor.digest))

    def mount(self, name: str, descriptor: Descriptor, other: str) -> bool:
        if self.mounts:
            self.repositories.add((name, descriptor.digest))
        return self.mounts


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two images that share a large layer."""
    store = MemoryStore()
    add_image(store, str(ONE), layers=[LARGE, layer(b"one")], seed=1)
    add_image(store, str(TWO), layers=[LARGE, SECOND], seed=2)
    path = tmp_path_factory.mktemp("whole") / "x.tar"
    pack_into(path, store, [ONE, TWO])
    return path.read_bytes()


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", 1_000)
    monkeypatch.setattr(limits, "STREAM_WHOLE", 5_000)
    monkeypatch.setattr(limits, "STREAM_WINDOW", 8_000)


def opened(data: bytes) -> tuple[Bundle, Graph]:
    bundle = read(StreamReader(io.BytesIO(data)), ANYBODY)
    return bundle, walk(bundle.store, bundle.references)


def pushed(
    data: bytes, target: Target, *, keep_going: bool = False, observe: events.Observer = events.silent
) -> Report:
    bundle, graph = opened(data)
    assert isinstance(bundle.store, StreamReader)
    todo = plan.plan(graph, target, {ONE: ONE, TWO: TWO})
    return unload(todo, bundle.store, target, Conduct(workers=2, keep_going=keep_going, observe=observe))


def sound(target: Target) -> bool:
    graph = walk(target, [ONE, TWO])
    return all(
        Descriptor.of(target.blobs[b.digest], "x").digest == b.digest for i in graph.images for b in graph.blobs_of(i)
    )


def test_what_is_shared_is_sent_once_and_mounted(whole: bytes) -> None:
    target = Target()
    report = pushed(whole, target)
    assert sound(target)
    assert (report.copied, report.mounted) == (5, 1)
    assert report.bytes == sum(outcome.bytes for outcome in report.outcomes)
    assert [outcome.result for outcome in report.outcomes] == [Result.DONE] * 2


def test_what_cannot_be_mounted_is_read_back_from_the_target(whole: bytes) -> None:
    target = Target()
    target.mounts = False
    report = pushed(whole, target)
    assert sound(target)
    assert report.copied == 6


def test_progress_is_counted_over_the_stream(whole: bytes) -> None:
    seen: list[events.Event] = []
    pushed(whole, Target(), observe=seen.append)
    planned = [event for event in seen if isinstance(event, events.Planned)]
    moved = sum(event.bytes for event in seen if isinstance(event, events.Moved))
    assert [event.bytes for event in planned] == [len(whole)]
    assert 0 < moved <= len(whole)


def again_from(offset_of: Callable[[int], int]) -> Callable[[Content], Iterator[object]]:
    """An upload that breaks after 12,000 bytes and goes on elsewhere."""

    def upload(content: Content) -> Iterator[object]:
        count = 0
        for chunk in content(0):
            if count >= 12_000:
                break
            count += len(chunk)
            yield bytes(chunk)
        else:
            return
        position = offset_of(count)
        for chunk in content(position):
            yield bytes(chunk)[max(count - position, 0) :] if position < count else bytes(chunk)
            position += len(chunk)

    return upload


def test_an_upload_that_goes_on_near_where_it_broke_can(whole: bytes) -> None:
    target = Target(again_from(lambda count: count - 5_000))
    pushed(whole, target)
    assert set(target.blobs) >= {Descriptor.of(LARGE[0], "x").digest}
    assert target.names


def test_one_that_begins_anew_has_to_be_typed_again(whole: bytes) -> None:
    target = Target(again_from(lambda _: 0))
    with pytest.raises(StoreError, match="cannot be sent twice") as caught:
        pushed(whole, target)
    assert "type the same command again" in caught.value.hint
    assert target.names == {}
    target._upload = lambda content: content(0)
    pushed(whole, target)
    assert sound(target)


def refuse(content: Content) -> Iterator[object]:
    """Whatever is of the second image alone."""
    data = b"".join(bytes(chunk) for chunk in content(0))
    if data == SECOND[0]:
        raise StoreError("no room for that")
    yield data


def test_an_image_that_is_refused_does_not_keep_the_other_from_arriving(whole: bytes) -> None:
    target = Target(refuse)
    report = pushed(whole, target, keep_going=True)
    assert [outcome.result for outcome in report.outcomes] == [Result.DONE, Result.FAILED]
    assert report.outcomes[1].failure is not None
    assert report.outcomes[1].failure.message == "no room for that"
    assert str(ONE) in target.names
    assert str(TWO) not in target.names
    with pytest.raises(StoreError, match="no room"):
        pushed(whole, Target(refuse))


def test_a_target_that_stops_reading_does_not_stop_the_proof(whole: bytes) -> None:
    """It says that it has the large layer when half of it has passed; the rest is hashed all the same."""

    def half(content: Content) -> Iterator[object]:
        for number, chunk in enumerate(content(0)):
            if number == 3:
                return
            yield bytes(chunk)

    target = Target(half)
    pushed(whole, target)
    at = whole.rindex(LARGE[0][-600:])
    damaged = whole[: at + 500] + bytes([whole[at + 500] ^ 1]) + whole[at + 501 :]
    other = Target(half)
    with pytest.raises(Exception, match=Descriptor.of(LARGE[0], "x").digest):
        pushed(damaged, other)
    assert other.names == {}


def test_few_bytes_wait_however_slow_the_target_is(whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_HANDED", 1)
    target = Target()
    pushed(whole, target)
    assert sound(target)
