"""Where a registry is really reached: `--mirror`, and containers' `registries.conf`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airgap.errors import InvalidInput
from airgap.references import DOCKER_HUB, check_host


@dataclass(frozen=True)
class Endpoint:
    """One place to ask for a repository."""

    host: str
    repository: str
    plain_http: bool = False

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}"


@dataclass(frozen=True)
class _Rule:
    prefix: str  # HOST[/PATH] of the names it speaks of
    locations: tuple[tuple[str, bool], ...]  # in the order to try: HOST[/PATH], plain HTTP allowed
    blocked: bool = False


@dataclass(frozen=True)
class Mirrors:
    """Rules, the longest prefix first; a name without a rule is asked for at its own host."""

    rules: tuple[_Rule, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str] = (), files: Iterable[Path] | None = None) -> Mirrors:
        """Read `HOST=MIRROR[/PREFIX]` flags, which win, and `registries.conf` files (None: containers' own places).

        Raises:
            InvalidInput: a flag or a file that cannot be meant.
        """
        flags = tuple(_parse_flag(text) for text in texts)
        read = [rule for path in (_standard_files() if files is None else files) for rule in _read(path)]
        named = {rule.prefix for rule in flags}
        rules = (*flags, *(rule for rule in read if rule.prefix not in named))
        return cls(tuple(sorted(rules, key=lambda rule: len(rule.prefix), reverse=True)))

    def endpoints(self, name: str) -> tuple[Endpoint, ...]:
        """The places to ask for `HOST/REPOSITORY`, in order.

        Raises:
            InvalidInput: a rule of the user's blocks the name.
        """
        for rule in self.rules:
            if name == rule.prefix or name.startswith(rule.prefix + "/"):
                if rule.blocked:
                    raise InvalidInput(f"`{name}` is blocked by a rule for `{rule.prefix}` in registries.conf")
                rest = name[len(rule.prefix) :]
                return tuple(_endpoint(location + rest, plain) for location, plain in rule.locations)
        return (_endpoint(name, plain_http=False),)


def _endpoint(name: str, plain_http: bool) -> Endpoint:
    host, _, repository = name.partition("/")
    return Endpoint(host, repository, plain_http)


def _parse_flag(text: str) -> _Rule:
    source, equals, mirror = text.partition("=")
    if not equals or not source or not mirror:
        raise InvalidInput(
            f"{text!r} is no mirror", hint="write --mirror HOST=MIRROR[/PREFIX], such as docker.io=mirror.local/hub"
        )
    plain = mirror.startswith("http://")
    location = mirror.removeprefix("http://").removeprefix("https://").rstrip("/")
    check_host(location.partition("/")[0])
    source = source.rstrip("/")
    host, slash, path = source.partition("/")
    host = DOCKER_HUB if host == "index.docker.io" else check_host(host)
    return _Rule(host + slash + path, ((location, plain),))


def _standard_files() -> list[Path]:
    """containers-registries.conf(5): the user's file instead of the system's, and drop-ins after it."""
    named = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    if named:
        return [Path(named)]
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "containers", "registries.conf")
    main = own if own.is_file() else Path("/etc/containers/registries.conf")
    drop_ins = sorted(Path("/etc/containers/registries.conf.d").glob("*.conf"))
    return [path for path in (main, *drop_ins) if path.is_file()]


def _read(path: Path) -> list[_Rule]:
    try:
        value = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"`{path}` cannot be read: {error}", hint="mend it, or name another with CONTAINERS_REGISTRIES_CONF"
        ) from error
    tables = value.get("registry", [])
    return [
        _rule(table) for table in tables if isinstance(table, dict) and (table.get("prefix") or table.get("location"))
    ]


def _rule(table: dict[str, Any]) -> _Rule:
    prefix = str(table.get("prefix") or table["location"]).removeprefix("*.").rstrip("/")
    mirrors = [m for m in table.get("mirror", []) if isinstance(m, dict) and m.get("location")]
    locations = [(str(m["location"]).rstrip("/"), bool(m.get("insecure"))) for m in mirrors]
    locations.append((str(table.get("location") or prefix).rstrip("/"), bool(table.get("insecure"))))
    return _Rule(prefix, tuple(locations), bool(table.get("blocked")))
