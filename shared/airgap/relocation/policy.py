"""Which name an image gets at its target: a pure function from reference to reference, injective or an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from airgap.errors import InvalidInput, InvalidReference
from airgap.references import MADE_HERE, Reference, check_host, check_repository


class Naming(StrEnum):
    """How the source's name becomes the target's.

    STRIP leaves the source host out (`quay.io/a/b` → `HOST/PREFIX/a/b`), KEEP puts it in front of the path
    (`HOST/PREFIX/quay.io/a/b`), FLAT joins the path with dashes (`HOST/PREFIX/a-b`), GROUP keeps the last
    component only, under a name of the user's (`HOST/PREFIX/NAME/b`).
    """

    STRIP = "strip"
    KEEP = "keep"
    FLAT = "flat"
    GROUP = "group"


@dataclass(frozen=True)
class Relocation:
    """The rule from source references to target references.

    Attributes:
        registry: host of the target, with a port where needed; empty where only `explicit` says what goes where.
        prefix: path below it; may be empty.
        naming: what becomes of the source's own name.
        group: the name for `Naming.GROUP`.
        explicit: targets that a lock or the user fixed, by the source's full text; they win over the rule.
        max_depth: how many components a path may have, those of the prefix included; 0 is any number. The last ones
            of a deeper path are joined with dashes.

    Raises:
        InvalidInput: `explicit` contradicts itself, or the prefix leaves no component for a name.
    """

    registry: str
    prefix: str = ""
    naming: Naming = Naming.STRIP
    group: str = ""
    explicit: Mapping[str, Reference] = field(default_factory=dict)
    max_depth: int = 0

    def __post_init__(self) -> None:
        _check_explicit(self.explicit)
        if self.max_depth and self.prefix and self.prefix.count("/") + 1 >= self.max_depth:
            raise InvalidInput(
                f"names of {self.max_depth} components leave none below `{self.registry}/{self.prefix}`",
                hint="take a larger --max-depth, or a shorter prefix",
            )

    @classmethod
    def to(
        cls, target: str, naming: str = "strip", explicit: Mapping[str, Reference] | None = None, max_depth: int = 0
    ) -> Relocation:
        """Read `HOST[:PORT][/PREFIX]` and a naming such as `keep` or `group=apps`.

        Raises:
            InvalidInput: a target with another scheme, a query or a user in it; an unknown naming.
        """
        registry, prefix = parse_target(target)
        word, _, group = naming.partition("=")
        if word not in list(Naming) or (word == Naming.GROUP) != bool(group):
            raise InvalidInput(f"unknown naming {naming!r}", hint="use strip, keep, flat or group=NAME")
        if group:
            check_repository(group)
        return cls(registry, prefix, Naming(word), group, dict(explicit or {}), max_depth)

    def target_of(self, source: Reference) -> Reference:
        """The name of `source` at the target; what is there already stays as it is.

        Raises:
            InvalidReference: the name would be longer than names may be.
        """
        fixed = self.explicit.get(str(source)) or self.explicit.get(str(source.without_tag()))
        if fixed is not None:
            return fixed
        if self.covers(source) or not self.registry:
            return source
        path = "/".join(part for part in (self.prefix, self._path_of(source)) if part)
        try:
            return Reference(self.registry, check_repository(self._shallow(path)), source.tag, source.digest)
        except InvalidReference as error:
            raise InvalidReference(f"`{source}` has no name at the target: {error.message}") from error

    def covers(self, reference: Reference) -> bool:
        """Whether a reference points below the target already; hosts and path components are compared whole."""
        inside = not self.prefix or reference.repository.startswith(self.prefix + "/")
        return (reference.registry == self.registry and inside) or reference.name in self._fixed

    def mapping(self, sources: Iterable[Reference]) -> dict[Reference, Reference]:
        """The targets of all `sources`.

        Raises:
            InvalidInput: two sources would get one name; both are named.
        """
        taken: dict[tuple[str, str], Reference] = {}
        result: dict[Reference, Reference] = {}
        for source in sorted(set(sources), key=str):
            target = self.target_of(source)
            result[source] = target
            if target == source:  # there already, as after a run that was stopped half way
                continue
            key = (target.name, target.tag or target.version)
            other = taken.setdefault(key, source)
            if other.name != source.name:
                raise InvalidInput(f"`{other}` and `{source}` would both become `{target}`", hint=self._way_out)
        return result

    @cached_property
    def _fixed(self) -> frozenset[str]:
        return frozenset(target.name for target in self.explicit.values())

    @property
    def _way_out(self) -> str:
        if self.max_depth:
            return "allow longer paths with a larger --max-depth"
        if self.naming is Naming.KEEP:
            return "their hosts are one in a path: push one of them below another prefix"
        return "keep the source host in the names with --naming keep"

    def _shallow(self, path: str) -> str:
        parts = path.split("/")
        if not self.max_depth or len(parts) <= self.max_depth:
            return path
        last = self.max_depth - 1
        return "/".join((*parts[:last], "-".join(parts[last:])))

    def _path_of(self, source: Reference) -> str:
        if source.registry == MADE_HERE:  # charts and files have no source whose name could be kept or dropped
            return source.repository
        if self.naming is Naming.KEEP:
            host = re.sub(r"[^a-z0-9.]+", "-", source.registry.lower()).strip("-")
            return f"{host}/{source.repository}"
        if self.naming is Naming.FLAT:
            return source.repository.replace("/", "-")
        if self.naming is Naming.GROUP:
            return f"{self.group}/{source.repository.rpartition('/')[2]}"
        return source.repository


def _check_explicit(explicit: Mapping[str, Reference]) -> None:
    """Refuse targets that no order of moves could mean.

    Raises:
        InvalidInput: two sources have one target, or a target is a source that moves on (a circle is the worst of it).
    """
    taken: dict[tuple[str, str], str] = {}
    for source, target in explicit.items():
        following = explicit.get(str(target), target)
        if following != target:
            raise InvalidInput(
                f"`{source}` becomes `{target}`, which becomes `{following}`",
                hint="name only where things end: each source with its last target",
            )
        if source == str(target):  # there already
            continue
        other = taken.setdefault((target.name, target.tag or target.version), source)
        if Reference.parse(other).name != Reference.parse(source).name:
            raise InvalidInput(f"`{other}` and `{source}` both become `{target}`", hint="give each its own target")


def parse_target(text: str) -> tuple[str, str]:
    """Read `HOST[:PORT][/PREFIX]`, with or without `oci://` and a trailing slash.

    Raises:
        InvalidInput: another scheme, a query, a fragment, a user, or no host.
    """
    plain = re.sub(r"^oci://", "", text)
    if "://" in plain or plain.startswith("unix:"):
        raise InvalidInput(
            f"`{text.partition('://')[0]}://…` is no registry",
            hint="write HOST[:PORT][/PREFIX]; push speaks plain HTTP with --plain-http HOST",
        )
    if "@" in plain:
        raise InvalidInput("a registry has no user in its name", hint="log in with `docker login`")
    if "?" in plain or "#" in plain:
        raise InvalidInput(f"{text!r} is no registry: it has a query or a fragment")
    host, _, prefix = plain.rstrip("/").partition("/")
    prefix = re.sub(r"(^|/)v2$", "", prefix)
    if not host:
        raise InvalidInput(f"{text!r} names no registry host", hint="write HOST[:PORT][/PREFIX]")
    return _as_written(check_host(host)), check_repository(prefix) if prefix else ""


def _as_written(host: str) -> str:
    """The host as image names have it, if they can name it at all.

    Raises:
        InvalidInput: a host such as `registry`, which every container tool would take for a name on Docker Hub.
    """
    registry = Reference.parse(f"{host}/name").registry
    if registry != host and host not in ("index.docker.io", registry):
        raise InvalidInput(
            f"`{host}/…` would be read as a name on Docker Hub",
            hint=f"write the host with a dot or a port: `{host}:443`, or its full name",
        )
    return registry
