from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.s3 import S3Server


@pytest.fixture
def client(s3: S3Server) -> Iterator[Any]:
    client = s3.client()
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.bucket()


def test_what_is_put_is_what_comes_back(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="a/b", Body=b"content")

    assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"content"


def test_an_object_that_is_there_is_not_overwritten_when_it_must_be_new(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="lock", Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as caught:
        client.put_object(Bucket=bucket, Key="lock", Body=b"second", IfNoneMatch="*")

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert client.get_object(Bucket=bucket, Key="lock")["Body"].read() == b"first"


def test_a_wrong_secret_is_refused(s3: S3Server) -> None:
    stranger = S3Server(s3.endpoint, secret_key="wrong").client()

    with pytest.raises(ClientError) as caught:
        stranger.list_buckets()

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    stranger.close()
