"""Image names: what people write, read as Docker reads it.

Source of every rule: distribution/reference (grammar in regexp.go, short forms in normalize.go).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from airgap.errors import InvalidReference

DOCKER_HUB: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
MADE_HERE: Final = "airgap.alt"  # in place of a host, of what packing made: RFC 9476 keeps `.alt` out of DNS for good
NAME_LENGTH: Final = 255  # of the path; the host is not counted
DIGEST_LENGTHS: Final = {"sha256": 64, "sha512": 128}

_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::(?P<port>[0-9]+))?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"(?P<algorithm>[a-z0-9]+(?:[.+_-][a-z0-9]+)*):(?P<hex>[0-9a-f]+)")
_LONGEST: Final = 1024  # host 253, path 255, tag 128 and a sha512 digest stay far below
_HEX_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is said to be. Always normalised: `nginx` is `docker.io/library/nginx:latest`.

    Attributes:
        registry: host, with a port where one is named: `quay.io`, `localhost:5000`, `[::1]:5000`.
        repository: path below the registry: `library/nginx`.
        tag: at most 128 characters, or None where only a digest names the content.
        digest: `sha256:…` or `sha512:…`, or None; where there are both, the digest is what is pulled.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read an image name in any of the forms that Docker accepts.

        Raises:
            InvalidReference: with what is wrong and, where one character is to blame, its position (from 1).
        """
        return _parse(text)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What the distribution API calls `<reference>`: the digest where there is one, else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def familiar(self) -> str:
        """The shortest form that means the same: `nginx`, `quay.io/a/b:1`."""
        name = self.name
        if self.registry == DOCKER_HUB:
            short = self.repository.removeprefix("library/") if self.repository.count("/") == 1 else self.repository
            # `docker.io/localhost/x` has no shorter form, and 64 digits alone are an image id.
            if _split_host(short)[0] is None and not _HEX_NAME.fullmatch(short):
                name = short
        if self.tag == DEFAULT_TAG and self.digest is None:
            return name
        return name + self._suffix()

    def with_digest(self, digest: str) -> Reference:
        """The same name, pinned."""
        return replace(self, digest=digest)

    def without_tag(self) -> Reference:
        """The same name, by digest alone where it has one."""
        return replace(self, tag=None) if self.digest else self

    def by_tag(self) -> Reference:
        """The same name, by tag alone where it has one: what says whether the tag leads where it must."""
        return replace(self, digest=None) if self.tag else self

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix()


def check_digest(text: str) -> str:
    """Return `text` if it is a digest we can compute; it may then be part of a path or a URL.

    Raises:
        InvalidReference: another algorithm, upper case, or a wrong number of digits (CVE-2024-3727 is what follows
            when such a text reaches a path).
    """
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise InvalidReference(f"invalid digest {text!r}: it is written `sha256:` and 64 digits of 0-9a-f")
    wanted = DIGEST_LENGTHS.get(match["algorithm"])
    if wanted is None:
        raise InvalidReference(f"invalid digest {text!r}: the algorithm is not sha256 or sha512")
    if len(match["hex"]) != wanted:
        raise InvalidReference(f"invalid digest {text!r}: {len(match['hex'])} digits, not {wanted}")
    return text


def check_host(text: str) -> str:
    """Return `text` if it is `HOST[:PORT]` as an image name may have it.

    Raises:
        InvalidReference: a trailing dot, a port that cannot be, characters outside the grammar.
    """
    match = _HOST.fullmatch(text)
    if match is None:
        raise InvalidReference(f"invalid registry host {text!r}{_why_host(text)}")
    if text.startswith("[") and not _is_ipv6(text[1:].partition("]")[0]):
        raise InvalidReference(f"invalid registry host {text!r}: this is no IPv6 address")
    if match["port"] is not None and not 0 < int(match["port"][:6]) < 65536:
        raise InvalidReference(f"invalid registry host {text!r}: the port is not between 1 and 65535")
    return text


def check_repository(text: str) -> str:
    """Return `text` if it is a repository path: lower case components of letters, digits and `.`, `_`, `__`, `-`."""
    match = _PATH.match(text)
    if match is None or match.end() != len(text):
        raise InvalidReference(f"invalid reference {text!r}: {_why_path(text, match.end() if match else 0)}")
    if len(text) > NAME_LENGTH:
        raise InvalidReference(
            f"invalid reference {text[:40]!r}…: the name has {len(text)} characters, not {NAME_LENGTH}"
        )
    return text


def _parse(text: str) -> Reference:
    _refuse_foreign(text)
    rest, _, digest = text.partition("@")
    if "@" in text:
        check_digest(digest)
    host, path = _split_host(rest)
    start = len(rest) - len(path)
    path, tag = _split_tag(path, text)
    if host is None and _HEX_NAME.fullmatch(rest):
        raise InvalidReference(f"invalid reference {text!r}: 64 digits are an image id, not a name")
    check_host(host or DOCKER_HUB)
    _check_path(path, text, start)
    if host in (None, DOCKER_HUB, "index.docker.io"):
        host, path = DOCKER_HUB, path if "/" in path else f"library/{path}"
    return Reference(host or DOCKER_HUB, path, tag or (None if digest else DEFAULT_TAG), digest or None)


def _refuse_foreign(text: str) -> None:
    if not text:
        raise InvalidReference("invalid reference '': it is empty")
    if len(text) > _LONGEST:
        raise InvalidReference(f"invalid reference {text[:40]!a}…: it has {len(text)} characters")
    if match := re.match(r"([a-z][a-z0-9+.-]*)://", text):
        plain = text[match.end() :].rpartition("@")[2] if "@" in text.split("/")[2] else text[match.end() :]
        raise InvalidReference(
            f"invalid reference: an image name has no `{match[0]}` in front", hint=f"write {plain!r}"
        )
    userinfo = re.match(r"[^/@]*:[^/@]*@(?!sha\d+:|[a-z0-9+._-]+:[0-9a-fA-F]*$)", text)
    if userinfo:
        raise InvalidReference(
            "invalid reference: it has a user and a password in it",
            hint="log in with `docker login`, `podman login` or `helm registry login`; name what follows the `@`",
        )
    if text.isascii() and text.isprintable() and " " not in text:
        return
    for position, character in enumerate(text, 1):
        if character.isspace() or not character.isprintable() or not character.isascii():
            raise InvalidReference(
                f"invalid reference {text!a}: {_describe(character)} at position {position}",
                hint=_punycode(text),
            )


def _describe(character: str) -> str:
    return "a space" if character == " " else f"the character {character!a}"


def _punycode(text: str) -> str:
    host = text.partition("/")[0].partition(":")[0]
    if host.isascii() or not host.isprintable():
        return ""
    try:
        return f"the host is really `{host.encode('idna').decode()}`; write that if you mean it"
    except UnicodeError:
        return ""


def _split_host(text: str) -> tuple[str | None, str]:
    first, slash, rest = text.partition("/")
    is_host = slash and (first == "localhost" or any(c in ".:[" for c in first) or first != first.lower())
    return (first, rest) if is_host else (None, text)


def _split_tag(path: str, text: str) -> tuple[str, str | None]:
    name, colon, tag = path.rpartition(":")
    if not colon:
        return path, None
    if _TAG.fullmatch(tag) is None:
        why = f"the tag has {len(tag)} characters, not 128" if len(tag) > 128 else f"{tag!r} is no tag"
        raise InvalidReference(f"invalid reference {_short(text)}: {why}")
    return name, tag


def _check_path(path: str, text: str, start: int) -> None:
    match = _PATH.match(path)
    end = match.end() if match else 0
    if match is None or end != len(path):
        raise InvalidReference(f"invalid reference {_short(text)}: {_why_path(path, end, start)}")
    if len(path) > NAME_LENGTH:
        raise InvalidReference(
            f"invalid reference {_short(text)}: the name has {len(path)} characters, not {NAME_LENGTH}"
        )


def _why_path(path: str, end: int, start: int = 0) -> str:
    if not path:
        return "it has no name"
    if end == len(path):
        return "it ends too early"
    bad = path[end]
    if bad == "/" and end + 1 == len(path):
        return "it ends with `/`"
    if bad == "/" or (bad in "._-" and end and path[end - 1] == "/"):
        after = path[end + 1] if end + 1 < len(path) else ""
        bad, end = (after, end + 1) if bad == "/" and after else (bad, end)
    why = "a name is written in lower case" if bad.isupper() else "this cannot stand here"
    return f"{bad!r} at position {start + end + 1}: {why}"


def _is_ipv6(text: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def _why_host(text: str) -> str:
    host = text.partition(":")[0]
    if host.endswith("."):
        return ": it ends with a dot"
    if host.startswith("-") or host.endswith("-"):
        return ": a label begins or ends with `-`"
    return ""


def _short(text: str) -> str:
    return repr(text) if len(text) <= 120 else repr(text[:117] + "...")


def is_loopback(host: str) -> bool:
    """Whether `HOST[:PORT]` is this machine by its very name; such registries need no TLS to be safe."""
    name = host_name(host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """`HOST[:PORT]` without its port, `[::1]` without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
