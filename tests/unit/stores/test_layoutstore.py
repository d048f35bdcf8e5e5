from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.s3 import S3Server, bucket_files

from airgap.errors import DamagedBundle, InvalidInput
from airgap.stores.directory import DirectoryFiles
from airgap.stores.layoutstore import Files, LayoutStore, LayoutWriter

NAMES = ("oci-layout", "airgap-inventory.json", "airgap-inventory.sig", "index.json")


@pytest.fixture(params=["directory", "bucket"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, s3_login: S3Server) -> Callable[[], Files]:
    if request.param == "directory":
        return lambda: DirectoryFiles.create(tmp_path / "shop")
    at = s3_login.location()
    return lambda: bucket_files(s3_login, at)


def write(files: Files, **members: bytes | None) -> None:
    with LayoutWriter(files, dict(zip(NAMES, members.values(), strict=True))) as writer:
        writer.finish()


def test_documents_are_those_of_the_last_bundle_and_none_of_an_earlier_one(opened: Callable[[], Files]) -> None:
    write(opened(), layout=b"{}", inventory=b"first", signature=b"of the first", index=b"[1]")
    write(opened(), layout=b"{}", inventory=b"second", signature=None, index=b"[2]")
    with contextlib.closing(LayoutStore(opened())) as store:
        found = store.documents(NAMES, 100)
    assert found == {"oci-layout": b"{}", "airgap-inventory.json": b"second", "index.json": b"[2]"}


def test_without_its_index_a_bundle_is_said_not_to_be_whole(opened: Callable[[], Files]) -> None:
    with LayoutWriter(opened(), {"oci-layout": b"{}"}) as writer:
        writer.finish()
    with contextlib.closing(LayoutStore(opened())) as store, pytest.raises(DamagedBundle, match="not whole"):
        store.documents(NAMES, 100)


def test_where_nothing_lies_there_is_no_bundle(tmp_path: Path, s3_login: S3Server) -> None:
    for files in (DirectoryFiles(tmp_path), bucket_files(s3_login)):
        with contextlib.closing(LayoutStore(files)) as store, pytest.raises(InvalidInput, match="no bundle"):
            store.documents(NAMES, 100)


def test_a_document_that_is_too_large_is_not_read(opened: Callable[[], Files]) -> None:
    write(opened(), layout=b"{}", inventory=b"x" * 101, signature=None, index=b"[]")
    with contextlib.closing(LayoutStore(opened())) as store, pytest.raises(DamagedBundle, match="100 bytes"):
        store.documents(NAMES, 100)
