from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from tests.support.bundles import pack_into
from tests.support.images import add_image, add_index

from airgap import limits
from airgap.bundles.reader import Bundle, read
from airgap.bundles.signing import ANYBODY
from airgap.bundles.verification import verify
from airgap.descriptors import Descriptor
from airgap.errors import AirgapError, ContentError, DamagedBundle, NotFound, StoreError
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.stores.stream import CutOff, StreamReader
from airgap.transfer.graph import among, walk

NAMES = ("docker.io/library/web:1", "quay.io/a/b:2", "r.io/multi:3")


class Trickle:
    """A pipe: it gives as much as it likes."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self._rng = random.Random(1)

    def readinto(self, buffer: memoryview, /) -> int:
        return self._data.readinto(buffer[: self._rng.randint(1, 9_000)])


def piped(data: bytes) -> StreamReader:
    return StreamReader(Trickle(data))


def opened(data: bytes) -> Bundle:
    return read(piped(data), ANYBODY)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    store = MemoryStore()
    add_image(store, NAMES[0], seed=1)
    add_image(store, NAMES[1], seed=2, size=40_000)
    add_index(store, NAMES[2])
    path = tmp_path_factory.mktemp("whole") / "x.tar"
    pack_into(path, store, [Reference.parse(name) for name in NAMES])
    return path.read_bytes()


def stream_of(bundle: Bundle) -> StreamReader:
    assert isinstance(bundle.store, StreamReader)
    return bundle.store


def read_all(store: StreamReader, blob: Descriptor) -> bytes:
    return b"".join(bytes(chunk) for chunk in store.blob("", blob))


def test_a_bundle_that_passes_by_verifies_as_its_file_does(whole: bytes) -> None:
    proved = verify(opened(whole))
    assert (proved.counts, proved.blobs) == ({"image": 3}, len(opened(whole).inventory.blobs))


def test_its_size_is_known_before_it_has_passed(whole: bytes) -> None:
    assert opened(whole).store.size == len(whole)


def test_manifests_may_be_asked_for_in_any_order(whole: bytes) -> None:
    bundle = opened(whole)
    graph = walk(bundle.store, tuple(reversed(bundle.references)), among(bundle.digests))
    assert {str(image.reference) for image in graph.images} == set(NAMES)


def test_blobs_pass_in_file_order_and_the_rest_is_read_past(whole: bytes) -> None:
    store = stream_of(opened(whole))
    wanted = store.blobs[::3]
    for blob in wanted:
        assert len(read_all(store, blob)) == blob.size
    store.finish()


def test_what_has_passed_cannot_be_asked_for_again(whole: bytes) -> None:
    store = stream_of(opened(whole))
    read_all(store, store.blobs[4])
    for blob in (store.blobs[4], store.blobs[2]):
        with pytest.raises(StoreError, match="has passed"):
            read_all(store, blob)


def test_what_was_never_in_it_is_not_found(whole: bytes) -> None:
    store = stream_of(opened(whole))
    unknown = Descriptor.of(b"unknown", "x")
    with pytest.raises(NotFound):
        read_all(store, unknown)
    with pytest.raises(NotFound):
        store.manifest("", unknown)


def test_a_reader_that_stops_in_the_middle_leaves_nothing_unproved(whole: bytes) -> None:
    """A byte behind the place where it stopped is flipped, and the one who reads on learns of it."""
    store = stream_of(opened(whole))
    largest = store.blobs[-1]
    at = whole.rindex(f"blobs/{largest.digest.replace(':', '/')}".encode()) + 512 + largest.size - 1
    damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    store = stream_of(opened(damaged))
    next(iter(store.blob("", largest)))
    with pytest.raises(ContentError):
        store.finish()


def test_every_flipped_bit_is_noticed_by_verify(whole: bytes) -> None:
    rng = random.Random(4)
    leading = range(0, 9000, 197)
    places = [*leading, *(rng.randrange(len(whole)) for _ in range(100)), len(whole) - 1, len(whole) - 1024]
    missed = []
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        try:
            verify(opened(bytes(damaged)))
        except AirgapError:
            continue
        missed.append(place)
    assert missed == []


@pytest.mark.parametrize("keep", [0, 1, 511, 512, 513, 5000, -1, -512, -1024, -1025])
def test_a_stream_that_ends_early_is_damaged(whole: bytes, keep: int) -> None:
    cut = whole[:keep] if keep else b""
    with pytest.raises(DamagedBundle, match="is empty" if not keep else "not a bundle|cut off"):
        verify(opened(cut))


def test_where_a_stream_ended_is_said(whole: bytes) -> None:
    with pytest.raises(CutOff, match=f"ended at byte {len(whole) - 2000} of {len(whole)}"):
        verify(opened(whole[:-2000]))


def test_bytes_after_the_end_are_refused(whole: bytes) -> None:
    with pytest.raises(DamagedBundle, match="after its end"):
        verify(opened(whole + b"\0"))


def test_each_damaged_blob_is_named(whole: bytes) -> None:
    bundle = opened(whole)
    victims = bundle.inventory.blobs[-3::2]
    damaged = bytearray(whole)
    for victim in victims:
        at = whole.rindex(f"blobs/{victim.digest.replace(':', '/')}".encode()) + 512
        damaged[at] ^= 1
    with pytest.raises(DamagedBundle) as caught:
        verify(opened(bytes(damaged)))
    assert all(victim.digest in caught.value.message for victim in victims)
    assert "2 of" in caught.value.message


def test_a_manifest_far_behind_is_not_waited_for_in_memory(whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_FRONT", 500)
    bundle = opened(whole)
    with pytest.raises(DamagedBundle, match="stands behind more than 500 bytes") as caught:
        bundle.store.manifest("", bundle.store.resolve(bundle.references[-1]))
    assert "file" in caught.value.hint


def test_a_file_that_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(DamagedBundle, match="is not a bundle"):
        opened(b"#!/bin/sh\n" * 200)
