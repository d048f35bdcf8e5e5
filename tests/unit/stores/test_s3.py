from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given
from hypothesis import strategies as st

from airgap import limits
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import AccessDenied, AirgapError, ContentMismatch, NotFound, StoreError
from airgap.stores import Chunk
from airgap.stores.registry.retry import Transient
from airgap.stores.s3.failures import Changed, Gone, NoBucket, explained
from airgap.stores.s3.location import Location
from airgap.stores.s3.upload import Pieces, part_size

PLACES = {
    "s3://bundles/app": ("bundles", "app", "s3://bundles/app", "app"),
    "s3://bundles/app/": ("bundles", "app", "s3://bundles/app", "app"),
    "s3://bundles/team a/app+1?x=y#z": (
        "bundles",
        "team a/app+1?x=y#z",
        "s3://bundles/team a/app+1?x=y#z",
        "app+1?x=y#z",
    ),
    "s3://my.bundles-1": ("my.bundles-1", "", "s3://my.bundles-1", "my.bundles-1"),
    "s3://bundles/": ("bundles", "", "s3://bundles", "bundles"),
}


@pytest.mark.parametrize("text", PLACES)
def test_a_place_is_a_bucket_and_a_prefix(text: str) -> None:
    at = Location.parse(text)
    assert (at.bucket, at.prefix, str(at), at.name) == PLACES[text]
    assert Location.parse(str(at)) == at
    assert at.key("index.json") == (f"{at.prefix}/index.json" if at.prefix else "index.json")


@given(st.integers(0, limits.BLOB))
def test_ten_thousand_parts_are_enough_for_any_blob(size: int) -> None:
    part = part_size(size)
    assert part >= limits.S3_PART
    assert -(-size // part) <= limits.S3_PARTS
    assert part == limits.S3_PART or size > limits.S3_PART * limits.S3_PARTS


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 60))
def test_pieces_joined_are_the_content_and_all_but_the_last_have_the_size(chunks: list[bytes], size: int) -> None:
    data = b"".join(chunks)
    pieces = Pieces(Descriptor.of(data, OCI_LAYER), lambda _: iter(chunks), size, "a test")
    got = []
    while pieces.left:
        got.append(bytes(pieces.next()))
    assert b"".join(got) == data
    assert all(len(piece) == size for piece in got[:-1])


@pytest.mark.parametrize("other", [b"shor", b"longer"])
def test_the_last_piece_is_not_given_where_the_content_has_another_size(other: bytes) -> None:
    pieces = Pieces(Descriptor.of(b"right", OCI_LAYER), lambda _: iter([other]), 3, "a test")
    assert bytes(pieces.next()) == other[:3]
    with pytest.raises(ContentMismatch):
        pieces.next()


def test_the_last_piece_is_not_given_where_the_content_fails_at_its_end() -> None:
    def lying(_offset: int) -> Iterator[Chunk]:
        yield b"wrong"
        raise ContentMismatch("a test", "this", "that")

    with pytest.raises(ContentMismatch):
        Pieces(Descriptor.of(b"right", OCI_LAYER), lying, 5, "a test").next()


def answer(status: int, code: str, message: str = "words", **headers: str) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "PutObject")


ANSWERS: dict[str, tuple[ClientError, type[Exception], str]] = {
    "no-bucket": (answer(404, "NoSuchBucket"), NoBucket, "make the bucket `bundles`"),
    "no-key": (answer(404, "NoSuchKey"), NotFound, ""),
    "no-head": (answer(404, "404"), NotFound, ""),
    "denied": (answer(403, "AccessDenied"), AccessDenied, "s3:PutObject"),
    "no-such-login": (answer(403, "InvalidAccessKeyId"), AccessDenied, "--s3-profile"),
    "wrong-secret": (answer(403, "SignatureDoesNotMatch"), AccessDenied, "--s3-profile"),
    "expired": (answer(400, "ExpiredToken"), AccessDenied, "--s3-profile"),
    "malformed-region": (answer(400, "AuthorizationHeaderMalformed"), StoreError, "AWS_DEFAULT_REGION"),
    "region": (answer(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-x"}), StoreError, "REGION=eu-x"),
    "region-of-nonsense": (answer(301, "301", **{"x-amz-bucket-region": "a; rm"}), StoreError, "AWS_DEFAULT_REGION"),
    "skew-without-a-date": (answer(403, "RequestTimeTooSkewed", date="soon"), StoreError, "set this machine's clock"),
    "quota": (answer(403, "QuotaExceeded"), AccessDenied, ""),
    "full": (answer(507, "XMinioStorageFull"), StoreError, ""),
    "condition": (answer(412, "PreconditionFailed"), Changed, ""),
    "conflict": (answer(409, "ConditionalRequestConflict"), Changed, ""),
    "upload-gone": (answer(404, "NoSuchUpload"), Gone, ""),
    "slow-down": (answer(503, "SlowDown"), Transient, ""),
    "timeout": (answer(400, "RequestTimeout"), Transient, ""),
    "internal": (answer(500, "InternalError"), Transient, ""),
    "page-of-a-proxy": (answer(502, "502", "<html>\n<body>\x1b[2J bad gateway"), Transient, ""),
}


@pytest.mark.parametrize("case", [pytest.param(value, id=key) for key, value in ANSWERS.items()])
def test_every_answer_has_its_meaning_and_fits_on_a_line(case: tuple[ClientError, type[Exception], str]) -> None:
    error, meaning, hint = case
    got = explained(error, "cannot write `x`", "s3.local", "bundles")
    assert type(got) is meaning
    assert "s3.local" in str(got)
    assert "\n" not in str(got)
    assert hint in getattr(got, "hint", "")


def test_a_pause_that_is_asked_for_is_kept() -> None:
    got = explained(answer(503, "SlowDown", **{"retry-after": "7"}), "cannot", "s3.local", "bundles")
    assert isinstance(got, Transient)
    assert got.retry_after == "7"


def made(kind: Any) -> Exception:
    fields = {name: "x" for _, name, _, _ in string.Formatter().parse(kind.fmt) if name}
    return kind(**fields)  # type: ignore[no-any-return]


KINDS = [
    kind
    for kind in vars(botocore.exceptions).values()
    if isinstance(kind, type) and issubclass(kind, BotoCoreError) and "__init__" not in vars(kind)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_client_library_is_explained_in_a_line(kind: type[BotoCoreError]) -> None:
    got = explained(made(kind), "cannot write `x`", "s3.local", "bundles")
    assert isinstance(got, AirgapError | Transient)
    assert "\n" not in str(got)
