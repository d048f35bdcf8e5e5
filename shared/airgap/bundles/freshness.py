"""Whether a bundle is the one that should come next: not older than the last one, and not out of date.

A signature says who made a bundle, not that it is the newest: whoever carries it can carry an old one again (rollback),
or none that is newer (freeze). The sequence number and the expiry, both signed, and the memory of what was pushed last
are against that. Names of these attacks: The Update Framework's specification, 1.5.2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from airgap import durable, limits, strictjson
from airgap.errors import AirgapError, DamagedBundle, InvalidInput

SOON: Final = timedelta(days=14)
_VERSION: Final = 1
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)  # no clock that is right said less since this was written
_SKEW: Final = timedelta(days=1)
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d))?", re.ASCII)
_DURATION: Final = re.compile(r"([1-9]\d{0,4})([hdw])", re.ASCII)
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_GRAIN: Final = {"h": 3600, "d": 86_400, "w": 86_400}  # whole hours or days, so that a run repeated today says the same


@dataclass(frozen=True)
class Stamp:
    """What tells one bundle of a series from the next.

    Attributes:
        name: of the bundle; the series, together with `key`.
        key: fingerprint of the key that has signed it; empty where nobody's signature was checked.
        sequence: its place in the series, if it says one.
        expires: until when it may be used (RFC 3339); empty means for ever.
        inventory: the digest of its inventory.
    """

    name: str
    key: str
    sequence: int | None
    expires: str
    inventory: str

    @property
    def called(self) -> str:
        """The name for people, on one line, whatever is in it."""
        return f"`{' '.join(self.name.split())[:100]}`"


@dataclass(frozen=True)
class Verdict:
    """What is to be said about a bundle.

    Attributes:
        older: why it counts as older than the last one; empty if it does not.
        expired: since when it may not be used; empty if it may.
        notes: what a person should know all the same.
    """

    older: str = ""
    expired: str = ""
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """All of it, the worst first."""
        return (*filter(None, (self.older, self.expired)), *self.notes)


@dataclass(frozen=True)
class Freshness:
    """What a bundle is compared with, and what the user allows all the same.

    Attributes:
        history: what was pushed last.
        now: what the clock says, right or wrong.
        allow_rollback: to take one that is older than the last.
        allow_expired: to take one that is out of date.
    """

    history: History
    now: datetime
    allow_rollback: bool = False
    allow_expired: bool = False


def judge(stamp: Stamp, last: tuple[Stamp, datetime] | None, now: datetime) -> Verdict:
    """Compare a bundle with the last one of its series, and with the clock.

    Args:
        stamp: of the bundle at hand.
        last: the stamp of the last one pushed, and when that was.
        now: what the clock says, right or wrong.

    Raises:
        DamagedBundle: the bundle's expiry is no date.
    """
    notes = [*_doubts(now, last), *_about_last(stamp, last, now)]
    expired = ""
    if stamp.expires:
        end = moment(stamp.expires, f"the bundle {stamp.called}")
        if end <= now:
            expired = f"{stamp.called} expired on {stamp.expires}, {_days(now - end)} ago"
        elif end - now <= SOON:
            notes.append(f"{stamp.called} expires in {_days(end - now)}: a newer one should be on its way")
    return Verdict(_older(stamp, last[0] if last else None), expired, tuple(notes))


def expiry(text: str, now: datetime) -> str:
    """A moment as the user writes it: `2027-01-31`, `2027-01-31T12:00:00+01:00`, or `90d`, `12w`, `36h` from now.

    A date means its first moment, in UTC. A length of time is rounded up to whole hours or days.

    Raises:
        InvalidInput: neither, or past.
    """
    form = "write a date such as 2027-01-31, or a time from now such as 90d"
    try:
        length = _DURATION.fullmatch(text)
        end = _after(now, int(length[1]), length[2]) if length else _parsed(text)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"invalid expiry {text!r}", hint=form) from error
    if end <= max(now, _FIRST):
        raise InvalidInput(f"the expiry {text} is past: the clock says {now:%Y-%m-%d}", hint=form)
    return end.strftime(_FORM)


def moment(expires: str, place: str) -> datetime:
    """The expiry of an inventory.

    Raises:
        DamagedBundle: not a date and time of RFC 3339.
    """
    try:
        return _parsed(expires)
    except (ValueError, OverflowError) as error:
        raise DamagedBundle(f"{place} expires on {expires[:40]!r}, which is no date") from error


@dataclass(frozen=True)
class History:
    """What was pushed last, of each series; a small file each, in a directory of the user's own.

    Losing it costs the next bundle its comparison, nothing else: what cannot be read or written is told as a note.
    """

    directory: Path

    def last(self, stamp: Stamp, note: Callable[[str], None]) -> tuple[Stamp, datetime] | None:
        """The last one of the same series, and when it was pushed; None if there was none."""
        path = self._path(stamp)
        try:
            found = _loads(path) if path.exists() else None
        except (AirgapError, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
            note(f"`{path}` cannot be read, so it is not known what was pushed last: {error}")
            return None
        return found if found and (found[0].name, found[0].key) == (stamp.name, stamp.key) else None

    def remember(self, stamp: Stamp, now: datetime, note: Callable[[str], None]) -> None:
        """Take note of a bundle that was pushed."""
        path = self._path(stamp)
        document = {"version": _VERSION, **asdict(stamp), "at": now.strftime(_FORM)}
        try:
            with durable.explained(path):
                self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            durable.write_file(path, strictjson.dumps(document), mode=0o600)
        except AirgapError as error:
            note(f"it cannot be remembered that {stamp.called} was pushed: {error.message}")

    def _path(self, stamp: Stamp) -> Path:
        series = hashlib.sha256(strictjson.dumps([stamp.name, stamp.key])).hexdigest()
        return self.directory / f"{series}.json"


def _loads(path: Path) -> tuple[Stamp, datetime]:
    with path.open("rb") as file:
        value = strictjson.loads(file.read(limits.STATE_FILE), "it")
    if value["version"] != _VERSION:
        raise ValueError(f"of form {value['version']!r}, {_VERSION} is known")
    sequence = value["sequence"]
    if sequence is not None and type(sequence) is not int:
        raise ValueError(f"the sequence {sequence!r}")
    name, key, expires, inventory = (str(value[part]) for part in ("name", "key", "expires", "inventory"))
    if expires:
        _parsed(expires)
    return Stamp(name, key, sequence, expires, inventory), _parsed(str(value["at"]))


def _older(stamp: Stamp, last: Stamp | None) -> str:
    """A bundle without a number is older than one that has one: else leaving it out would be the way back."""
    if last is None or last.sequence is None:
        return ""
    if stamp.sequence is None:
        return f"{stamp.called} has no sequence number, and the last one pushed had {last.sequence}"
    if stamp.sequence < last.sequence:
        return f"{stamp.called} has sequence number {stamp.sequence}, and {last.sequence} was pushed before"
    return ""


def _about_last(stamp: Stamp, last: tuple[Stamp, datetime] | None, now: datetime) -> list[str]:
    if last is None or last[0].inventory == stamp.inventory:
        return []
    notes = []
    before = last[0]
    if before.sequence is not None and before.sequence == stamp.sequence:
        notes.append(f"another bundle {stamp.called} was pushed under the same sequence number, {stamp.sequence}")
    if before.expires and (end := _parsed(before.expires)) <= now:
        notes.append(f"the last {stamp.called} expired {_days(now - end)} ago, and none was pushed since")
    return notes


def _doubts(now: datetime, last: tuple[Stamp, datetime] | None) -> list[str]:
    """A clock that cannot be right makes no bundle expire; that is said, not guessed away."""
    if now < _FIRST:
        return [f"the clock says {now:%Y-%m-%d}, which cannot be: whether a bundle has expired is not known"]
    if last is not None and now < last[1] - _SKEW:
        return [f"the clock says {now:%Y-%m-%d}, but the last push was on {last[1]:%Y-%m-%d}: one of them was wrong"]
    return []


def _parsed(text: str) -> datetime:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no date")
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if match[1] else found.replace(tzinfo=UTC)


def _after(now: datetime, count: int, unit: str) -> datetime:
    exact = (now + count * _UNITS[unit]).timestamp()
    grain = _GRAIN[unit]
    return datetime.fromtimestamp(-int(-exact // grain) * grain, UTC)


def _days(length: timedelta) -> str:
    if length < timedelta(days=1):
        return "less than a day"
    return "a day" if length.days == 1 else f"{length.days} days"
