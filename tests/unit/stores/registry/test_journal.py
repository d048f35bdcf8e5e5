from __future__ import annotations

import dataclasses
import json
import os
import threading
from pathlib import Path

import pytest

from airgap import limits, strictjson
from airgap.stores.registry.journal import Journal, Place, Session

PLACE = Place("https://registry.internal", "apps/shop", "sha256:" + "a" * 64)
OTHER = dataclasses.replace(PLACE, repository="apps/other")
SESSION = Session("https://registry.internal/v2/apps/shop/blobs/uploads/1?_state=s3cret", 1000, 500)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.push.json"


def test_what_is_kept_is_found_by_the_next_run(path: Path) -> None:
    Journal(path).keep(PLACE, SESSION)
    assert Journal(path).find(PLACE) == SESSION
    assert Journal(path).find(OTHER) is None


def test_only_its_owner_may_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        Journal(path).keep(PLACE, SESSION)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_gone_when_nothing_is_open(path: Path) -> None:
    journal = Journal(path)
    journal.keep(PLACE, SESSION)
    journal.keep(OTHER, SESSION)
    journal.drop(PLACE)
    assert Journal(path).find(OTHER) == SESSION
    journal.drop(OTHER)
    assert not path.exists()


def test_it_is_gone_when_the_push_is_complete(path: Path) -> None:
    journal = Journal(path)
    journal.keep(PLACE, SESSION)
    journal.finish()
    assert not path.exists()


def test_dropping_what_was_never_kept_writes_nothing(path: Path) -> None:
    Journal(path).drop(PLACE)
    assert not path.exists()


def test_without_a_path_it_lasts_as_long_as_the_process() -> None:
    journal = Journal()
    journal.keep(PLACE, SESSION)
    assert journal.find(PLACE) == SESSION


def test_its_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "airgap" / "digest" / "push.json"
    Journal(path).keep(PLACE, SESSION)
    assert path.parent.stat().st_mode & 0o077 == 0


def test_many_may_keep_at_a_time(path: Path) -> None:
    journal = Journal(path)
    places = [dataclasses.replace(PLACE, repository=f"r{number}") for number in range(16)]
    threads = [threading.Thread(target=journal.keep, args=(place, SESSION)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(Journal(path).find(place) == SESSION for place in places)


def entry(**changes: object) -> dict[str, object]:
    return {**dataclasses.asdict(PLACE), **dataclasses.asdict(SESSION), **changes}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="F63-empty"),
        pytest.param(b"[]", id="F63-array"),
        pytest.param(b"null", id="F63-null"),
        pytest.param(b"\x00\xff", id="F63-noise"),
        pytest.param(b"[" * 100_000, id="F63-deep"),
        pytest.param({"uploads": []}, id="F63-no-version"),
        pytest.param({"schemaVersion": 2, "uploads": [entry()]}, id="F63-newer"),
        pytest.param({"schemaVersion": 1}, id="F63-no-uploads"),
        pytest.param({"schemaVersion": 1, "uploads": {"a": 1}}, id="F63-uploads-no-list"),
        pytest.param({"schemaVersion": 1, "uploads": ["x"]}, id="F63-entry-no-object"),
        pytest.param({"schemaVersion": 1, "uploads": [entry(digest="../../x")]}, id="F63-digest"),
        pytest.param({"schemaVersion": 1, "uploads": [entry(digest=5)]}, id="F63-digest-number"),
        pytest.param({"schemaVersion": 1, "uploads": [entry(offset=-1)]}, id="F63-negative"),
        pytest.param({"schemaVersion": 1, "uploads": [entry(offset=True)]}, id="F63-truth"),
        pytest.param({"schemaVersion": 1, "uploads": [entry(chunk=2**60)]}, id="F63-huge"),
        pytest.param({"schemaVersion": 1, "uploads": [entry(location=["x"])]}, id="F63-location"),
    ],
)
def test_what_cannot_be_read_is_said_once_and_replaced(path: Path, document: bytes | dict[str, object]) -> None:
    path.write_bytes(document if isinstance(document, bytes) else strictjson.dumps(document))
    notes: list[str] = []
    journal = Journal(path, notes.append)
    assert journal.find(PLACE) is None
    assert len(notes) == 1
    assert str(path) in notes[0]
    assert "s3cret" not in notes[0]
    journal.keep(PLACE, SESSION)
    assert Journal(path, notes.append).find(PLACE) == SESSION
    assert len(notes) == 1


def test_f63_a_journal_without_end_is_not_read_to_its_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JOURNAL", 1000)
    path.write_bytes(b" " * 2000)
    notes: list[str] = []
    Journal(path, notes.append)
    assert "larger than 1000" in notes[0]


def test_unknown_keys_are_passed_over(path: Path) -> None:
    path.write_text(json.dumps({"schemaVersion": 1, "uploads": [entry()], "later": True}))
    assert Journal(path).find(PLACE) == SESSION


def test_one_that_cannot_be_written_is_said_once_and_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    notes: list[str] = []
    journal = Journal(tmp_path / "file" / "push.json", notes.append)
    journal.keep(PLACE, SESSION)
    journal.keep(OTHER, SESSION)
    assert len(notes) == 1
    assert journal.find(OTHER) == SESSION
