from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.faultproxy import fault_proxy
from tests.support.registry import Registry

from airgap import limits
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import ContentMismatch
from airgap.stores import Chunk
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.refusals import Refusal
from airgap.stores.registry.uploads import Body, _Feed, _Ways

HOST = "registry.internal"


class Reader:
    """A source that lends one buffer again and again, as the real ones do."""

    def __init__(self, data: bytes, piece: int) -> None:
        self.data = data
        self.piece = piece
        self.opened: list[int] = []

    def __call__(self, offset: int) -> Iterator[Chunk]:
        self.opened.append(offset)
        buffer = bytearray(self.piece)
        for start in range(offset, len(self.data), self.piece):
            part = self.data[start : start + self.piece]
            buffer[: len(part)] = part
            yield memoryview(buffer)[: len(part)]
            buffer[:] = b"\xee" * self.piece  # what was lent is not the reader's any more


def feed(reader: Reader) -> _Feed:
    return _Feed(reader, Descriptor.of(reader.data, OCI_LAYER), "a place")


def taken(chunks: Iterator[Chunk]) -> bytes:
    return b"".join(bytes(chunk) for chunk in chunks)


@given(st.integers(1, 300), st.integers(1, 50), st.lists(st.integers(1, 300), max_size=6))
def test_parts_are_the_blob_and_are_proved_whatever_their_sizes(size: int, piece: int, cuts: list[int]) -> None:
    reader = Reader(os.urandom(size), piece)
    fed = feed(reader)
    ends = sorted({min(cut, size) for cut in cuts} | {size})
    got = b""
    for end in ends:
        got += taken(fed.part(end))
        fed.confirm()
    fed.prove()
    assert got == reader.data
    assert reader.opened == [0]


@given(st.integers(2, 300), st.integers(1, 50), st.data())
def test_a_part_that_is_sent_again_is_the_same_and_is_hashed_once(size: int, piece: int, data: st.DataObject) -> None:
    reader = Reader(os.urandom(size), piece)
    fed = feed(reader)
    middle = data.draw(st.integers(1, size - 1))
    first = taken(fed.part(middle))
    fed.confirm()
    broken = fed.part(size)
    for _ in range(data.draw(st.integers(0, 3))):
        next(broken, None)
    del broken
    assert first + taken(fed.part(size)) == reader.data
    fed.confirm()
    fed.prove()


@given(st.integers(1, 300), st.integers(1, 50), st.data())
def test_going_anywhere_the_rest_is_right(size: int, piece: int, data: st.DataObject) -> None:
    reader = Reader(os.urandom(size), piece)
    fed = feed(reader)
    for _ in range(3):
        offset = data.draw(st.integers(0, size))
        fed.go_to(offset)
    assert taken(fed.part(size)) == reader.data[offset:]
    fed.confirm()
    fed.prove()


def test_bytes_that_are_not_the_blobs_are_not_proved() -> None:
    reader = Reader(b"x" * 100, 10)
    fed = _Feed(reader, Descriptor.of(b"y" * 100, OCI_LAYER), "a place")
    taken(fed.part(100))
    fed.confirm()
    with pytest.raises(ContentMismatch):
        fed.prove()


def test_a_blob_that_is_longer_than_it_should_be_is_not_proved() -> None:
    fed = _Feed(Reader(b"x" * 101, 10), Descriptor.of(b"x" * 100, OCI_LAYER), "a place")
    taken(fed.part(100))
    fed.confirm()
    with pytest.raises(ContentMismatch, match="longer"):
        fed.prove()


def test_a_blob_that_ends_early_is_an_error_and_not_a_server_that_waits() -> None:
    fed = _Feed(Reader(b"x" * 99, 10), Descriptor.of(b"x" * 100, OCI_LAYER), "a place")
    with pytest.raises(ContentMismatch, match="99 bytes"):
        taken(fed.part(100))


def test_a_body_gives_its_last_piece_only_when_its_reader_has_ended_well() -> None:
    def lying() -> Iterator[Chunk]:
        yield b"a"
        yield b"b"
        raise ContentMismatch("a test", "something", "something else")

    body = Body(lying(), 2)
    assert len(body) == 2
    assert body.read() == b"a"
    with pytest.raises(ContentMismatch):
        body.read()


def test_small_blobs_go_up_in_one_request_and_large_ones_in_chunks() -> None:
    ways = _Ways(0)
    assert ways.of(HOST, limits.UPLOAD_WHOLE) == 0
    assert ways.of(HOST, limits.UPLOAD_WHOLE + 1) == limits.UPLOAD_CHUNK


def test_a_size_that_the_user_gives_is_the_most_that_a_request_carries() -> None:
    ways = _Ways(1000)
    assert ways.of(HOST, 1000) == 0
    assert ways.of(HOST, 1001) == 1000


def test_a_chunk_that_is_too_large_is_followed_by_smaller_ones_and_no_chunks_by_one_put() -> None:
    large = limits.UPLOAD_WHOLE + 1
    ways = _Ways(0)
    assert ways.refuse(HOST, limits.UPLOAD_CHUNK, large, 416)
    assert ways.of(HOST, large) == limits.UPLOAD_CHUNK_SMALL
    assert ways.refuse(HOST, limits.UPLOAD_CHUNK_SMALL, large, 405)
    assert ways.of(HOST, large) == 0
    assert ways.of("other.internal", large) == limits.UPLOAD_CHUNK


def test_a_registry_that_takes_no_body_in_its_put_gets_one_patch() -> None:
    ways = _Ways(0)
    assert ways.refuse(HOST, 0, 10, 404)
    assert ways.of(HOST, 10) == limits.BLOB
    assert not ways.refuse(HOST, limits.BLOB, 10, 404)
    assert ways.of(HOST, 10) == 0  # the next blob is given every chance again


def refusal(status: int, body: bytes) -> Refusal:
    return Refusal(status, "Reason", body)


@pytest.mark.parametrize(
    ("status", "body", "full"),
    [
        (507, b"", True),
        (500, b"write /data: no space left on device", True),
        (500, b'{"errors":[{"detail":{"Err":28}}]}', True),
        (500, b'{"errors":[{"detail":{"Err": 122}}]}', True),
        (500, b'{"errors":[{"detail":{"Err":280}}]}', False),
        (500, b"", False),
        (404, b"no space left", False),
    ],
)
def test_a_full_disk_is_known_by_its_words_and_its_numbers(status: int, body: bytes, full: bool) -> None:
    assert refusal(status, body).is_full is full


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"errors":5}', b'{"errors":[5]}', b'{"errors":[{}]}', b"\xff"]
)
def test_a_body_that_is_no_list_of_errors_is_none(body: bytes) -> None:
    assert refusal(400, body).codes <= {""}
    assert str(refusal(400, body)) == "400 Reason"


def test_a_refusal_names_the_content_it_is_about() -> None:
    digest = "sha256:" + "b" * 64
    assert refusal(400, f'{{"errors":[{{"detail":"{digest}"}}]}}'.encode()).digests == {digest}


def test_a_small_blob_costs_one_request_where_it_is_and_two_where_it_is_not(registry: Registry) -> None:
    name, data = registry.repository().partition("/")[2], b"a config, say"
    blob = Descriptor.of(data, OCI_LAYER)
    for expected in (["POST", "PUT"], ["POST"]):
        with fault_proxy(registry.host) as proxy:
            RegistryStore(Connections()).put_blob(f"{proxy.host}/{name}", blob, lambda offset: iter([data[offset:]]))
        assert [request.split()[0] for request in proxy.requests if "/blobs/" in request] == expected
