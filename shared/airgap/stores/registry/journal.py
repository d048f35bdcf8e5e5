"""Which uploads are open, kept beside what is pushed, so that the next run goes on where this one was cut.

A journal helps and is never needed: one that cannot be read or written costs bytes, not the push. A location is a
secret, as whoever has it may write to the upload; so the file is for its owner's eyes, and nothing of it is printed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from airgap import durable, limits, strictjson
from airgap.errors import AirgapError, ContentError
from airgap.references import check_digest

_SCHEMA: Final = 1
_MODE: Final = 0o600


@dataclass(frozen=True)
class Place:
    """Where a blob goes: scheme and host of the registry, the repository, and the blob's digest."""

    origin: str
    repository: str
    digest: str


@dataclass(frozen=True)
class Session:
    """An upload that a registry has open.

    Attributes:
        location: the absolute URL of its next request; a secret.
        offset: bytes that the registry has confirmed.
        chunk: bytes that it is sent at a time.
    """

    location: str
    offset: int
    chunk: int


class Journal:
    """Open uploads by place; without a path they are forgotten with the process."""

    def __init__(self, path: Path | None = None, warn: Callable[[str], None] = lambda _: None) -> None:
        self.path = path
        self._warn = warn
        self._lock = threading.Lock()
        self._sessions = self._read()

    def find(self, place: Place) -> Session | None:
        """The upload that was open there when it was last heard of."""
        return self._sessions.get(place)

    def keep(self, place: Place, session: Session) -> None:
        """Note how far an upload is."""
        with self._lock:
            self._sessions[place] = session
            self._write()

    def drop(self, place: Place) -> None:
        """Forget an upload: it is closed, or gone."""
        with self._lock:
            if self._sessions.pop(place, None) is not None:
                self._write()

    def finish(self) -> None:
        """Remove the file: what was pushed is there."""
        with self._lock:
            self._sessions.clear()
            self._write()

    def _read(self) -> dict[Place, Session]:
        if self.path is None or not self.path.is_file():
            return {}
        try:
            return _parse(self.path)
        except (AirgapError, OSError) as error:
            self._warn(f"`{self.path}` is no journal that can be used ({error}); open uploads begin anew")
            return {}

    def _write(self) -> None:
        if self.path is None:
            return
        uploads = [asdict(place) | asdict(session) for place, session in self._sessions.items()]
        document = strictjson.dumps({"schemaVersion": _SCHEMA, "uploads": uploads})
        try:
            with durable.explained(self.path):
                if uploads:
                    self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    durable.write_file(self.path, document, mode=_MODE)
                else:
                    self.path.unlink(missing_ok=True)
        except AirgapError as error:
            self._warn(f"{error.message}; a run that is cut will not go on inside a blob")
            self.path = None


def _parse(path: Path) -> dict[Place, Session]:
    """Read a journal, trusting nothing.

    Raises:
        AirgapError: it is of another version, or damaged.
    """
    with path.open("rb") as file:
        data = file.read(limits.JOURNAL + 1)
    if len(data) > limits.JOURNAL:
        raise ContentError(f"larger than {limits.JOURNAL} bytes")
    value = strictjson.loads(data, "it")
    if not isinstance(value, dict) or value.get("schemaVersion") != _SCHEMA:
        raise ContentError("of another version")
    return dict(_entry(entry) for entry in _entries(value))


def _entries(value: dict[str, Any]) -> list[Any]:
    entries = value.get("uploads")
    if not isinstance(entries, list):
        raise ContentError("without uploads")
    return entries


def _entry(value: Any) -> tuple[Place, Session]:
    try:
        place = Place(str(value["origin"]), str(value["repository"]), check_digest(value["digest"]))
        session = Session(value["location"], value["offset"], value["chunk"])
    except (KeyError, TypeError) as error:
        raise ContentError("an entry is incomplete") from error
    numbers = (session.offset, session.chunk)
    if not isinstance(session.location, str) or not all(type(n) is int and 0 <= n <= limits.BLOB for n in numbers):
        raise ContentError("an entry makes no sense")
    return place, session
