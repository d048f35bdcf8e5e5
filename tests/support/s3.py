"""A real S3 server, SeaweedFS, for the session."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from airgap import limits
from airgap.stores.registry.retry import Patience
from airgap.stores.s3.client import S3Access
from airgap.stores.s3.location import Location
from airgap.stores.s3.store import BucketFiles
from tests.support.registry import make_authority
from tests.support.tools import require

READY = "ready"
_READY_SECONDS = 60.0
_ENVIRONMENT = {**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}  # seven volumes a bucket fill the disk


@dataclass(frozen=True)
class S3Server:
    """Where the server answers, and the key that may do everything; `https` is trusted by `ca_file` alone."""

    endpoint: str
    access_key: str = "airgap-test"
    secret_key: str = "not-a-secret"
    region: str = "us-east-1"
    https: str = ""
    ca_file: Path = Path()

    def bucket(self) -> str:
        """A new bucket."""
        name = f"test-{uuid4().hex}"
        client = self.client()
        client.create_bucket(Bucket=name)
        client.close()
        return name

    def location(self) -> Location:
        """A new place in a bucket that all tests share; SeaweedFS takes its time with new buckets."""
        return Location(READY, f"{uuid4().hex}/shop")

    def change(self, location: Location, name: str, change: Callable[[bytes], bytes]) -> str:
        """Alter an object's bytes, but not what is said of it; its name."""
        with contextlib.closing(self.client()) as client:
            at = {"Bucket": location.bucket, "Key": location.key(name)}
            found = client.get_object(**at)
            client.put_object(**at, Body=change(found["Body"].read()), Metadata=found["Metadata"])
        return name

    def remove(self, location: Location, name: str) -> None:
        """Delete an object."""
        with contextlib.closing(self.client()) as client:
            client.delete_object(Bucket=location.bucket, Key=location.key(name))

    def keys(self, location: Location) -> dict[str, int]:
        """The size of every object at a place, by its name there."""
        with contextlib.closing(self.client()) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.key(""))
            found = [entry for page in pages for entry in page.get("Contents", ())]
        return {entry["Key"].removeprefix(location.key("")): entry["Size"] for entry in found}

    @property
    def environment(self) -> dict[str, str]:
        """What an S3 client of any kind reads from its environment."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    def log_in(self, patched: pytest.MonkeyPatch) -> None:
        """Put the key where S3 clients look for one, but do not say where the server is."""
        for name, value in self.environment.items():
            if name != "AWS_ENDPOINT_URL_S3":
                patched.setenv(name, value)

    def client(self) -> Any:
        """A boto3 client."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(retries={"total_max_attempts": 1}),
        )


def bucket_files(
    server: S3Server, location: Location | None = None, *, endpoint: str = "", part: int = limits.S3_PART
) -> BucketFiles:
    """The files of a layout in a bucket, reached without much patience, through a proxy where `endpoint` names one."""
    access = S3Access(endpoint or server.endpoint, patience=Patience(attempts=3, backoff=0.01))
    return BucketFiles(location or server.location(), access, part=part)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS on loopback; `bucket()` makes a new one for a test."""
    folder = tmp_path_factory.mktemp("s3")
    ports, made = _free_ports(5), make_authority(folder)
    server = S3Server(f"http://127.0.0.1:{ports[3]}", https=f"https://127.0.0.1:{ports[4]}", ca_file=made.ca_file)
    tls = [f"-s3.port.https={ports[4]}", f"-s3.cert.file={made.certificate}", f"-s3.key.file={made.key}"]
    command = [*_command(folder, ports[:4], server), *tls]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=_ENVIRONMENT)
    try:
        _wait(server, process, folder / "log")
        yield server
    finally:
        process.kill()  # asked politely, it waits ten seconds for nobody
        process.wait()


@pytest.fixture
def s3_login(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with its key where S3 clients look for one."""
    s3.log_in(monkeypatch)
    return s3


def _command(folder: Path, ports: list[int], server: S3Server) -> list[str]:
    (folder / "data").mkdir()
    key = {"accessKey": server.access_key, "secretKey": server.secret_key}
    config = {"identities": [{"name": "test", "credentials": [key], "actions": ["Admin"]}]}
    (folder / "s3.json").write_text(json.dumps(config))
    names = ("master", "volume", "filer", "s3")
    return [
        require("weed"),
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}.port={port}" for name, port in zip(names, ports, strict=True)),
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=200",
    ]


def _free_ports(count: int) -> list[int]:
    """Ports that are free together with the one 10,000 above, which SeaweedFS takes as well."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            with contextlib.suppress(OSError):
                port = _hold(held, 0)
                _hold(held, port - 10000)
                found.append(port - 10000)
    return found


def _hold(held: contextlib.ExitStack, port: int) -> int:
    if port < 0 or 0 < port < 1024:
        raise OSError
    taken = held.enter_context(socket.socket())
    taken.bind(("127.0.0.1", port))
    return int(taken.getsockname()[1])


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it stores an object: it answers seconds before it can."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(server.endpoint) and _stores(server):
            return
        time.sleep(0.2)
    pytest.fail(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-2000:]}", pytrace=False)


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=2).close()
    except urllib.error.HTTPError as error:  # 403 is an answer
        error.close()
    except OSError:
        return False
    return True


def _stores(server: S3Server) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    client = server.client()
    try:
        if not any(bucket["Name"] == READY for bucket in client.list_buckets()["Buckets"]):
            client.create_bucket(Bucket=READY)
        client.put_object(Bucket=READY, Key="ready", Body=b"ready")
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True
