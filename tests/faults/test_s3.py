"""Faults of buckets, by their numbers in the catalogue (docs/faults.md)."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import SCRIPTS, check_refusal, kubectl_airgap
from tests.support.faultproxy import Answer, Fault, FaultProxy, fault_proxy, sink
from tests.support.images import add_image, layer
from tests.support.registry import Registry, store_for
from tests.support.s3 import S3Server, bucket_files

from airgap import limits
from airgap.bundles import reader
from airgap.bundles.composition import Composition, Label, compose
from airgap.bundles.signing import ANYBODY
from airgap.bundles.verification import verify
from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.errors import ContentMismatch, StoreError
from airgap.references import Reference
from airgap.stores import Chunk, Content
from airgap.stores.layoutstore import Files, LayoutStore, LayoutWriter, LostRace
from airgap.stores.memory import MemoryStore
from airgap.stores.s3.location import Location
from airgap.transfer import engine, plan
from airgap.transfer.graph import walk

PART = 5 * limits.MIB  # the smallest that S3 takes
SIZE = 2 * PART + 1000  # three parts
PARTS = r"partNumber="
COMPLETE = r"\?uploadId="


@pytest.fixture
def at(s3_login: S3Server) -> Location:
    return s3_login.location()


@contextlib.contextmanager
def behind(s3: S3Server, *faults: Fault) -> Iterator[FaultProxy]:
    with fault_proxy(s3.endpoint.removeprefix("http://"), *faults) as proxy:
        yield proxy


@contextlib.contextmanager
def through(proxy: FaultProxy, s3: S3Server, at: Location) -> Iterator[Files]:
    with contextlib.closing(bucket_files(s3, at, endpoint=f"http://{proxy.host}", part=PART)) as files:
        yield files


def blob(size: int = SIZE) -> tuple[bytes, Descriptor]:
    data = os.urandom(size)
    return data, Descriptor.of(data, OCI_LAYER)


def content(data: bytes) -> Content:
    return lambda offset: (data[start : start + 100_000] for start in range(offset, len(data), 100_000))


def refusal(status: int, code: str, *headers: tuple[str, str], extra: str = "") -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>in a test</Message>{extra}</Error>".encode()
    return Answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body))), *headers], body)


def parts_sent(proxy: FaultProxy) -> list[int]:
    return sorted(int(match[1]) for line in proxy.requests if (match := re.search(r"PUT .*partNumber=(\d+)", line)))


def uploads(s3: S3Server, at: Location) -> list[dict[str, Any]]:
    with contextlib.closing(s3.client()) as client:
        return list(client.list_multipart_uploads(Bucket=at.bucket, Prefix=at.key("")).get("Uploads", []))


def begun(s3: S3Server, at: Location, descriptor: Descriptor, *parts: bytes) -> str:
    """An upload that was cut after these parts."""
    with contextlib.closing(s3.client()) as client:
        key = at.key(descriptor.blob_path)
        named = {"Bucket": at.bucket, "Key": key}
        started = client.create_multipart_upload(**named, Metadata={"airgap-digest": descriptor.digest})
        for number, data in enumerate(parts, 1):
            client.upload_part(**named, UploadId=started["UploadId"], PartNumber=number, Body=data)
        return str(started["UploadId"])


@dataclasses.dataclass(frozen=True)
class Made:
    """An image in memory, and the bundle it makes."""

    origin: MemoryStore
    reference: Reference
    composition: Composition

    @property
    def documents(self) -> dict[str, bytes | None]:
        return dict(self.composition.layout.members)


def image() -> Made:
    origin = MemoryStore()
    name = f"r.example/{os.urandom(4).hex()}:1"
    add_image(origin, name)
    reference = Reference.parse(name)
    return Made(origin, reference, compose(walk(origin, [reference]), {}, Label("shop"), {}))


def fill(writer: LayoutWriter, made: Made) -> None:
    graph = walk(made.origin, [made.reference])
    engine.run(plan.plan(graph, writer, {made.reference: made.reference}), made.origin, writer)


@contextlib.contextmanager
def writing(s3: S3Server, at: Location, made: Made) -> Iterator[LayoutWriter]:
    with LayoutWriter(bucket_files(s3, at), made.documents) as writer:
        fill(writer, made)
        yield writer


def pack(s3: S3Server, at: Location, made: Made) -> None:
    with writing(s3, at, made) as writer:
        writer.finish()


NONSENSE = b"<ListMultipartUploadsResult><MaxUploads>many</MaxUploads></ListMultipartUploadsResult>"
SLOW_DOWN = refusal(503, "SlowDown", ("Retry-After", "0"))
WEATHER = {
    "F57-slow-down": (Fault("PUT", "/blobs/", answer=SLOW_DOWN), 1000),
    "F57-slow-down-in-parts": (Fault("PUT", PARTS, answer=SLOW_DOWN), SIZE),
    "F57-answer-lost": (Fault("PUT", "/blobs/", drop_answer=True), 1000),
    "F57-part-lost": (Fault("PUT", PARTS, drop_answer=True), SIZE),
    "F57-part-times-out": (Fault("PUT", PARTS, answer=refusal(400, "RequestTimeout")), SIZE),
    "F57-complete-fails-with-200": (Fault("POST", COMPLETE, answer=refusal(200, "InternalError")), SIZE),
    "F57-nonsense": (Fault("GET", r"[?&]uploads", answer=Answer(200, [], NONSENSE)), SIZE),
    "F57-complete-lost": (Fault("POST", COMPLETE, drop_answer=True), SIZE),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in WEATHER.items()])
def test_what_passes_by_itself_is_tried_again_and_the_blob_is_whole(
    case: tuple[Fault, int], s3_login: S3Server, at: Location
) -> None:
    fault, size = case
    data, descriptor = blob(size)
    with behind(s3_login, dataclasses.replace(fault)) as proxy, through(proxy, s3_login, at) as files:
        files.put(descriptor, content(data))
        assert proxy.faults[0].times == 0
        assert files.has(descriptor)
        assert b"".join(bytes(chunk) for chunk in files.content(descriptor, 0)) == data
    assert uploads(s3_login, at) == []


def test_f57_a_complete_that_always_fails_with_200_is_an_error(s3_login: S3Server, at: Location) -> None:
    data, descriptor = blob()
    always = Fault("POST", COMPLETE, 99, answer=refusal(200, "InternalError"))
    with behind(s3_login, always) as proxy, through(proxy, s3_login, at) as files:
        with pytest.raises(StoreError) as caught:
            files.put(descriptor, content(data))
        assert not files.has(descriptor)
    assert "InternalError" in caught.value.message


def test_f57_a_part_without_an_etag_is_an_error(s3_login: S3Server, at: Location) -> None:
    nameless = Fault("PUT", PARTS, 99, alter=lambda answer: Answer(answer.status, answer.without("etag"), answer.body))
    data, descriptor = blob()
    with (
        behind(s3_login, nameless) as proxy,
        through(proxy, s3_login, at) as files,
        pytest.raises(StoreError, match="does not say the `ETag`"),
    ):
        files.put(descriptor, content(data))


def test_f57_a_complete_whose_answer_was_lost_may_find_the_upload_gone(s3_login: S3Server, at: Location) -> None:
    data, descriptor = blob()
    lost = Fault("POST", COMPLETE, drop_answer=True)
    gone = Fault("POST", COMPLETE, answer=refusal(404, "NoSuchUpload"))
    with behind(s3_login, lost, gone) as proxy, through(proxy, s3_login, at) as files:
        files.put(descriptor, content(data))
        assert files.has(descriptor)
    assert parts_sent(proxy) == [1, 2, 3]


def test_f57_an_upload_that_was_cut_goes_on_with_the_parts_that_are_lacking(s3_login: S3Server, at: Location) -> None:
    data, descriptor = blob()
    begun(s3_login, at, descriptor, data[:PART])
    begun(s3_login, at, descriptor, data[:PART], b"other bytes", data[2 * PART :])
    with behind(s3_login) as proxy, through(proxy, s3_login, at) as files:
        files.put(descriptor, content(data))
        assert b"".join(bytes(chunk) for chunk in files.content(descriptor, 0)) == data
    assert parts_sent(proxy) == [2]
    assert uploads(s3_login, at) == []  # and the other one is ended


def test_f57_content_that_is_wrong_leaves_no_object_and_no_parts(s3_login: S3Server, at: Location) -> None:
    data, descriptor = blob()

    def lying(_offset: int) -> Iterator[Chunk]:
        yield data[:-1]
        raise ContentMismatch("a test", descriptor.digest, "something else")

    with contextlib.closing(bucket_files(s3_login, at, part=PART)) as files:
        with pytest.raises(ContentMismatch):
            files.put(descriptor, lying)
        assert not files.has(descriptor)
    assert uploads(s3_login, at) == []


def test_f57_uploads_that_nobody_goes_on_with_are_ended_with_the_bundle(s3_login: S3Server, at: Location) -> None:
    _, forgotten = blob()
    begun(s3_login, at, forgotten, b"a part")
    pack(s3_login, at, image())
    assert uploads(s3_login, at) == []


@pytest.mark.parametrize("cut", [pytest.param(n, id=f"F1-at-{n}") for n in (0, 1, SIZE // 2, SIZE - 1)])
def test_a_reset_download_goes_on_where_it_broke(cut: int, s3_login: S3Server, at: Location) -> None:
    data, descriptor = blob()
    with contextlib.closing(bucket_files(s3_login, at)) as files:
        files.put(descriptor, content(data))
    with behind(s3_login, Fault("GET", "/blobs/", reset_after=cut)) as proxy, through(proxy, s3_login, at) as files:
        assert b"".join(bytes(chunk) for chunk in LayoutStore(files).blob("", descriptor)) == data
        assert sum(proxy.sent.values()) <= SIZE + limits.CHUNK


def test_f58_no_checksum_is_sent_that_other_stores_do_not_know(s3_login: S3Server, at: Location) -> None:
    def kinds(proxy: FaultProxy) -> set[str]:
        signed = re.findall(r"SignedHeaders=([^,]+)", " ".join(proxy.logins))
        return {name for names in signed for name in names.split(";") if re.search("checksum|trailer", name)}

    data, descriptor = blob()
    with behind(s3_login) as proxy:
        with through(proxy, s3_login, at) as files:
            files.put(descriptor, content(data))
            files.put(Descriptor.of(b"small", OCI_LAYER), content(b"small"))
            assert files.has(descriptor)
        assert proxy.logins
        assert kinds(proxy) == set()
        with contextlib.closing(S3Server(f"http://{proxy.host}").client()) as usual:
            usual.put_object(Bucket=at.bucket, Key=at.key("x"), Body=b"x")
        assert kinds(proxy) != set()  # boto3 left alone sends one


def test_f59_an_object_that_is_something_else_is_not_taken_for_the_blob(s3_login: S3Server, at: Location) -> None:
    data, descriptor = blob(5000)
    with contextlib.closing(s3_login.client()) as client:
        client.put_object(Bucket=at.bucket, Key=at.key(descriptor.blob_path), Body=b"x" * 5000)
    with contextlib.closing(bucket_files(s3_login, at)) as files:
        assert not files.has(descriptor)
        files.put(descriptor, content(data))
        assert files.has(descriptor)
        assert b"".join(bytes(chunk) for chunk in files.content(descriptor, 0)) == data


def test_f59_of_two_who_write_a_bundle_to_one_place_the_second_is_told_and_the_first_stays(
    s3_login: S3Server, at: Location
) -> None:
    first, second = image(), image()
    with writing(s3_login, at, first) as one, writing(s3_login, at, second) as two:
        one.finish()
        with pytest.raises(LostRace) as caught:
            two.finish()
    assert "somebody else" in caught.value.message
    with reader.read(LayoutStore(bucket_files(s3_login, at)), ANYBODY) as bundle:
        assert bundle.references == (first.reference,)
        assert verify(bundle).blobs == 4
    pack(s3_login, at, second)  # knowing what is there, it is replaced
    with reader.read(LayoutStore(bucket_files(s3_login, at)), ANYBODY) as bundle:
        assert bundle.references == (second.reference,)
        assert verify(bundle).blobs == 4


def test_f59_a_conditional_write_whose_answer_was_lost_is_not_taken_for_a_lost_race(
    s3_login: S3Server, at: Location
) -> None:
    made = image()
    lost = Fault("PUT", "/index.json", drop_answer=True)
    with (
        behind(s3_login, lost) as proxy,
        through(proxy, s3_login, at) as files,
        LayoutWriter(files, made.documents) as writer,
    ):
        fill(writer, made)
        writer.finish()
    with reader.read(LayoutStore(bucket_files(s3_login, at)), ANYBODY) as bundle:
        assert verify(bundle).blobs == 4


def test_f59_a_store_without_conditional_writes_is_asked_what_is_there_instead(
    s3_login: S3Server, at: Location
) -> None:
    first, second = image(), image()
    pack(s3_login, at, first)
    unknown = refusal(501, "NotImplemented")
    with (
        behind(s3_login, Fault("PUT", "/airgap-inventory.json", answer=unknown)) as proxy,
        through(proxy, s3_login, at) as files,
        LayoutWriter(files, second.documents) as writer,
    ):
        fill(writer, second)
        pack(s3_login, at, image())
        with pytest.raises(LostRace):
            writer.finish()
    with (
        behind(s3_login, Fault("PUT", "/index.json", answer=unknown)) as proxy,
        through(proxy, s3_login, at) as files,
        LayoutWriter(files, second.documents) as writer,
    ):
        fill(writer, second)
        writer.finish()
    with reader.read(LayoutStore(bucket_files(s3_login, at)), ANYBODY) as bundle:
        assert bundle.references == (second.reference,)


def test_f59_a_clock_that_is_off_is_said_to_be_and_by_how_much(s3_login: S3Server, at: Location) -> None:
    then = (datetime.now(UTC) + timedelta(seconds=1200)).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = refusal(403, "RequestTimeTooSkewed", extra=f"<ServerTime>{then}</ServerTime>")
    with (
        behind(s3_login, Fault("GET", "", 9, answer=told)) as proxy,
        through(proxy, s3_login, at) as files,
        pytest.raises(StoreError) as caught,
    ):
        files.document("index.json", 1000)
    assert "RequestTimeTooSkewed" in caught.value.message
    assert re.search(r"\b1(19\d|200) s behind", caught.value.hint)


def test_f59_a_redirect_to_another_region_is_explained_and_nothing_signed_goes_there(
    s3_login: S3Server, at: Location
) -> None:
    with sink() as elsewhere:
        location = ("Location", f"{elsewhere.url}/{at.bucket}")
        moved = refusal(301, "PermanentRedirect", location, ("x-amz-bucket-region", "eu-west-7"))
        with (
            behind(s3_login, Fault("GET", "", 9, answer=moved)) as proxy,
            through(proxy, s3_login, at) as files,
            pytest.raises(StoreError) as caught,
        ):
            files.document("index.json", 1000)
        assert elsewhere.requests == []
    assert "AWS_DEFAULT_REGION=eu-west-7" in caught.value.hint


@pytest.fixture
def large(registry: Registry) -> Reference:
    """An image in a real registry whose layer has three parts."""
    name = Reference.parse(f"{registry.repository()}/large:1")
    origin = MemoryStore()
    add_image(origin, str(name), layers=[layer(os.urandom(2 * limits.S3_PART + 5000))])
    graph = walk(origin, [name])
    target = store_for(registry)
    engine.run(plan.plan(graph, target, {name: name}), origin, target)
    return name


def test_a_pack_that_is_killed_goes_on_and_sends_nothing_twice(
    s3_login: S3Server, at: Location, large: Reference, tmp_path: Path
) -> None:
    running: list[subprocess.Popen[bytes]] = []

    def kill(answer: Answer) -> Answer:
        running[0].kill()
        return answer

    with behind(s3_login, Fault("PUT", f"{PARTS}2", alter=kill)) as proxy:
        command = ["pack", "--image", large, "-o", at, "--s3-endpoint", f"http://{proxy.host}"]
        with subprocess.Popen([SCRIPTS / "kubectl-airgap", *map(str, command)], stderr=subprocess.DEVNULL) as process:
            running.append(process)
        assert process.returncode == -signal.SIGKILL
        (upload,) = uploads(s3_login, at)
        there = parts_of(s3_login, at, upload)
        assert 2 in there
        assert "index.json" not in s3_login.keys(at)
        check_refusal(kubectl_airgap("verify", at, "--s3-endpoint", s3_login.endpoint), 2, "no bundle")

        small = {name for name in s3_login.keys(at) if name.startswith("blobs/")}
        proxy.requests.clear()
        again = kubectl_airgap(*command)
        assert again.returncode == 0, again.stderr
        assert parts_sent(proxy) == sorted({1, 2, 3} - there)
        assert not [line for line in proxy.requests if line.startswith("PUT") and line.rpartition("/")[2] in small]
        whole = kubectl_airgap("verify", at, "--s3-endpoint", s3_login.endpoint)
        assert whole.returncode == 0, whole.stderr

        proxy.requests.clear()
        assert kubectl_airgap(*command).returncode == 0
        assert [line for line in proxy.requests if line.startswith(("PUT", "POST"))] == []


def parts_of(s3: S3Server, at: Location, upload: dict[str, Any]) -> set[int]:
    with contextlib.closing(s3.client()) as client:
        listed = client.list_parts(Bucket=at.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return {entry["PartNumber"] for entry in listed.get("Parts", ())}
