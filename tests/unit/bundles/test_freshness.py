from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airgap.bundles.freshness import History, Stamp, expiry, judge, moment
from airgap.errors import DamagedBundle, InvalidInput

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
STAMP = Stamp("shop", "sha256:aa", 7, "2027-01-31T00:00:00Z", "sha256:11")
YESTERDAY = NOW - timedelta(days=1)


def after(last: Stamp, stamp: Stamp = STAMP, now: datetime = NOW) -> tuple[str, str]:
    verdict = judge(stamp, (last, YESTERDAY), now)
    return verdict.older, verdict.expired


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2027-01-31", "2027-01-31T00:00:00Z"),
        ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
        ("2027-01-31T12:00:00+01:00", "2027-01-31T11:00:00Z"),
        ("2027-01-31T12:00:00.25Z", "2027-01-31T12:00:00Z"),
        ("90d", "2027-02-20T00:00:00Z"),
        ("1w", "2026-11-29T00:00:00Z"),
        ("2h", "2026-11-21T11:00:00Z"),
    ],
)
def test_an_expiry_is_a_date_or_a_time_from_now_in_whole_hours_or_days(text: str, meant: str) -> None:
    assert expiry(text, NOW) == meant
    assert moment(meant, "a test") > NOW


def test_the_same_run_on_the_same_day_writes_the_same_expiry() -> None:
    assert expiry("90d", NOW) == expiry("90d", NOW + timedelta(hours=12))


@pytest.mark.parametrize(
    "text",
    ["", "soon", "90", "0d", "-1d", "99999999d", "2027-02-30", "2027-1-1", "20270131", "2027-W01-1",
     "2027-01-31T25:00:00Z", "2027-01-31T00:00:00", "2027-01-31 00:00:00Z", "0001-01-01T00:00:00+23:00"],
)  # fmt: skip
def test_an_expiry_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid expiry") as caught:
        expiry(text, NOW)
    assert caught.value.hint


@pytest.mark.parametrize("now", [NOW, datetime(1970, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("text", ["2025-01-01", "1999-12-31T23:59:59Z"])
def test_an_expiry_in_the_past_is_refused_whatever_the_clock_says(text: str, now: datetime) -> None:
    with pytest.raises(InvalidInput, match="is past"):
        expiry(text, now)


@pytest.mark.parametrize("text", ["x", "2027-01-31T00:00:00", "9999-12-31T23:59:59-23:59", "٢٠٢٧-01-31"])
def test_an_inventory_that_expires_on_no_date_is_damaged(text: str) -> None:
    with pytest.raises(DamagedBundle, match="no date"):
        judge(replace(STAMP, expires=text), None, NOW)


def test_the_first_of_a_series_is_fresh_and_so_are_the_same_again_and_the_next() -> None:
    assert judge(STAMP, None, NOW).older == ""
    assert after(STAMP) == ("", "")
    assert after(STAMP, replace(STAMP, sequence=8, inventory="sha256:22")) == ("", "")


def test_b51_a_lower_sequence_number_is_older() -> None:
    older, _ = after(replace(STAMP, sequence=8))
    assert "7" in older
    assert "8 was pushed before" in older


def test_b51_leaving_the_number_out_is_no_way_back() -> None:
    older, _ = after(STAMP, replace(STAMP, sequence=None))
    assert "no sequence number" in older


def test_bundles_that_never_had_a_number_are_never_older() -> None:
    none = replace(STAMP, sequence=None)
    assert after(none, none) == after(none, STAMP) == ("", "")


def test_a_name_with_lines_in_it_makes_no_lines() -> None:
    hostile = replace(STAMP, name="shop\n\r\x1cpushed 7 images" + "x" * 500)
    words = judge(hostile, (replace(hostile, sequence=9, inventory=""), YESTERDAY), NOW + timedelta(days=400)).words
    assert len(words) >= 2
    for text in words:
        assert text.splitlines() == [text]
        assert len(text) < 250


def test_b51_a_bundle_expires_at_the_moment_it_names() -> None:
    end = moment(STAMP.expires, "a test")
    assert judge(STAMP, None, end - timedelta(seconds=1)).expired == ""
    assert "less than a day ago" in judge(STAMP, None, end).expired
    assert "3 days ago" in judge(STAMP, None, end + timedelta(days=3, hours=1)).expired


@pytest.mark.parametrize(("days", "said"), [(15, False), (14, True), (1, True)])
def test_a_freeze_is_warned_of_before_a_bundle_expires(days: int, said: bool) -> None:
    notes = judge(STAMP, None, moment(STAMP.expires, "a test") - timedelta(days=days)).notes
    assert any("a newer one should be on its way" in note for note in notes) == said


def test_a_freeze_is_told_when_the_last_one_had_expired_before_this_one_came() -> None:
    last = replace(STAMP, expires="2026-11-01T00:00:00Z", inventory="sha256:00")
    notes = judge(replace(STAMP, sequence=8), (last, YESTERDAY), NOW).notes
    assert notes == ("the last `shop` expired 20 days ago, and none was pushed since",)


def test_two_bundles_under_one_number_are_told_apart() -> None:
    notes = judge(STAMP, (replace(STAMP, inventory="sha256:00"), YESTERDAY), NOW).notes
    assert notes == ("another bundle `shop` was pushed under the same sequence number, 7",)


@pytest.mark.parametrize("year", [1970, 2001, 2025])
def test_f51_a_clock_that_cannot_be_right_lets_nothing_expire_and_is_told(year: int) -> None:
    verdict = judge(STAMP, (STAMP, YESTERDAY), datetime(year, 1, 1, tzinfo=UTC))
    assert (verdict.older, verdict.expired) == ("", "")
    assert len(verdict.notes) == 1
    assert f"the clock says {year}-01-01, which cannot be" in verdict.notes[0]


def test_f51_a_clock_that_was_set_back_is_told_and_stops_nothing() -> None:
    verdict = judge(STAMP, (STAMP, NOW + timedelta(days=400)), NOW)
    assert (verdict.older, verdict.expired) == ("", "")
    assert "the last push was on 2027-12-26" in verdict.notes[0]


def test_f51_the_number_counts_whatever_the_clock_says() -> None:
    verdict = judge(STAMP, (replace(STAMP, sequence=8), YESTERDAY), datetime(1970, 1, 1, tzinfo=UTC))
    assert verdict.older


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "airgap" / "pushed")


def unheard(note: str) -> None:
    raise AssertionError(note)


def test_what_was_pushed_last_is_remembered_of_each_series(history: History) -> None:
    others = [replace(STAMP, name="other"), replace(STAMP, key="")]
    for stamp in (replace(STAMP, sequence=6), STAMP, *others):
        history.remember(stamp, NOW, unheard)
    for stamp in (STAMP, *others):
        assert history.last(replace(stamp, sequence=1, inventory=""), unheard) == (stamp, NOW.replace(microsecond=0))
    assert history.last(replace(STAMP, key="sha256:bb"), unheard) is None


def test_names_that_are_hostile_as_paths_stay_in_the_directory(history: History) -> None:
    for name in ("../../x", "/etc/passwd", "a\0b", "x" * 5000, "\udc80", "a\nb"):
        stamp = replace(STAMP, name=name)
        history.remember(stamp, NOW, unheard)
        found = history.last(stamp, unheard)
        assert found is None or found[0].sequence == 7
    assert {path.suffix for path in history.directory.iterdir()} == {".json"}
    assert [path.name for path in history.directory.parent.iterdir()] == [history.directory.name]


def test_only_its_owner_may_read_what_was_pushed(history: History) -> None:
    history.remember(STAMP, NOW, unheard)
    (path,) = history.directory.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.directory.stat().st_mode) == 0o700


GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "bytes": bytes(range(256)),
    "list": b"[]",
    "null": b"null",
    "newer": b'{"version":2}',
    "no-name": b'{"version":1}',
    "deep": b"[" * 50_000,
    "long": b'{"version":1,"x":"' + b"x" * 100_000 + b'"}',
}


@pytest.mark.parametrize("case", GARBAGE)
def test_a_memory_that_cannot_be_read_is_a_note_and_is_written_anew(history: History, case: str) -> None:
    history.remember(STAMP, NOW, unheard)
    (path,) = history.directory.iterdir()
    path.write_bytes(GARBAGE[case])
    notes: list[str] = []
    assert history.last(STAMP, notes.append) is None
    assert "it is not known what was pushed last" in notes[0]
    history.remember(STAMP, NOW, unheard)
    assert history.last(STAMP, unheard) is not None


@pytest.mark.parametrize(
    "change",
    [{"sequence": "7"}, {"sequence": True}, {"sequence": 1.5}, {"expires": "x"}, {"at": ""}, {"at": 7}],
    ids=str,
)
def test_a_memory_with_a_field_that_cannot_be_is_a_note(history: History, change: dict[str, object]) -> None:
    history.remember(STAMP, NOW, unheard)
    (path,) = history.directory.iterdir()
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **change}))
    notes: list[str] = []
    assert history.last(STAMP, notes.append) is None
    assert len(notes) == 1


def test_a_memory_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "airgap").write_text("a file where the directory should be")
    notes: list[str] = []
    history = History(tmp_path / "airgap" / "pushed")
    history.remember(STAMP, NOW, notes.append)
    assert "cannot be remembered" in notes[0]
    assert history.last(STAMP, unheard) is None


def test_a_directory_in_the_place_of_a_memory_is_a_note(history: History) -> None:
    history.remember(STAMP, NOW, unheard)
    (path,) = history.directory.iterdir()
    path.unlink()
    path.mkdir()
    notes: list[str] = []
    assert history.last(STAMP, notes.append) is None
    assert notes
