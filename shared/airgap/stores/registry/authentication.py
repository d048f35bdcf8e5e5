"""Answering challenges: Basic and Bearer, with tokens kept per scope and renewed at any moment.

Sources: distribution-spec "Authentication"; distribution's token specification (spec/auth/token.md, oauth.md);
RFC 9110 §11.6.1 for the header.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from airgap import limits
from airgap.errors import AccessDenied, StoreError
from airgap.stores.registry.credentials import Login
from airgap.stores.registry.elsewhere import refusal
from airgap.stores.registry.retry import STATUSES, Transient

if TYPE_CHECKING:
    from airgap.stores.registry.session import Answer

CLIENT_ID: Final = "kubectl-airgap"
_CHALLENGES_MOST: Final = 20
_TOKEN_MOST_SECONDS: Final = 86_400.0
_TOKEN_SECONDS: Final = 60  # what a token lives where the server does not say, or says less
_EARLY_SECONDS: Final = 5
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_ANY: Final = "*"  # in place of a header that failed: whatever token there is, it is not good enough
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,\s*|$)')
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)(?:\s+(?![=])|\s*,\s*|\s*$)")


@dataclass(frozen=True)
class Challenge:
    """One challenge of a `WWW-Authenticate` header; the scheme in lower case."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""
    error: str = ""


@dataclass(frozen=True)
class _Token:
    value: str
    good_until: float  # on the monotonic clock


Fetch = Callable[[str, str, dict[str, str] | None, dict[str, str]], "Answer"]
"""Sends one request (method, URL, form, headers) without redirects, retries or other authentication."""


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read a header with any number of challenges; what is not understood is passed over.

    A header of a thousand commas costs a thousand steps, not a million: each step moves on.
    """
    result: list[Challenge] = []
    position = 0
    while position < len(header) and len(result) < _CHALLENGES_MOST:
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            break
        position = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            quoted, bare = parameter[2], parameter[3]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
            parameters.setdefault(parameter[1].lower(), value)
            position = parameter.end()
        known = {key: parameters.get(key, "") for key in ("realm", "service", "scope", "error")}
        result.append(Challenge(scheme[1].lower(), **known))
    return tuple(result)


class Authenticator:
    """The `Authorization` header for one origin.

    Args:
        origin: scheme and host of the registry; credentials found for it go to it, and to a token server that it
            names, and nowhere else.
        login_for: finds the user's login for a repository.
        fetch: sends requests to token servers.
    """

    def __init__(self, origin: str, login_for: Callable[[str], Login | None], fetch: Fetch) -> None:
        self.origin = origin
        self._login_for = login_for
        self._fetch = fetch
        self._basic: dict[str, str] = {}  # repository → header, once the registry has asked for Basic
        self._wants_basic = False
        self._tokens: dict[tuple[str, str, str], _Token] = {}
        self._challenges: dict[str, Challenge] = {}
        self._lock = threading.Lock()

    def header(self, scope: str, repository: str) -> str:
        """What to send with a request for `scope`, before any challenge; empty where nothing is known yet."""
        with self._lock:
            if self._wants_basic:
                return self._basic_header(repository)
            challenge = self._challenges.get(scope) or self._challenges.get("")
            return self._bearer(challenge, scope, repository, failed="") if challenge else ""

    def basic(self) -> str:
        """The login for the host itself, whether it was asked for or not.

        Raises:
            AccessDenied: there is none.
        """
        with self._lock:
            return self._basic_header("")

    def answer(self, header: str, scope: str, repository: str, failed: str = "") -> str:
        """A new header after a 401, unless another worker has one that is newer than the one that `failed`.

        A challenge that cannot be met is not remembered: it may be about one path only, which is tried in case it is
        there (hauler-dev/hauler#617).

        Raises:
            AccessDenied: there is no login that could help, or the token server refuses it.
            StoreError: the challenge cannot be met, or asks to send credentials where they must not go.
        """
        challenges = parse_challenges(header)
        chosen = next((c for c in challenges if c.scheme == "bearer"), None) or next(
            (c for c in challenges if c.scheme == "basic"), None
        )
        if chosen is None:
            asked = ", ".join(c.scheme for c in challenges) or "nothing we know"
            raise StoreError(f"`{self.origin}` wants to be told who asks by {asked}; Basic and Bearer are known")
        with self._lock:
            if chosen.scheme == "basic":
                met = self._basic_header(repository)
                self._wants_basic = True
                return met
            met = self._bearer(chosen, scope, repository, failed=failed or _ANY)
            self._challenges[scope] = chosen
            self._challenges.setdefault("", chosen)
            return met

    def _basic_header(self, repository: str) -> str:
        """The login may be another for each repository."""
        if repository not in self._basic:
            self._basic[repository] = self._login(repository).basic
        return self._basic[repository]

    def _login(self, repository: str) -> Login:
        login = self._login_for(repository)
        if login is None:
            host = urlsplit(self.origin).netloc
            raise AccessDenied(
                f"`{host}` asks for a login, and there is none for `{repository or host}`",
                hint=f"log in: docker login {host}, podman login {host} or helm registry login {host}",
            )
        return login

    def _bearer(self, challenge: Challenge, scope: str, repository: str, *, failed: str) -> str:
        """A token that is good, and is not the one that `failed`."""
        key = (challenge.realm, challenge.service, scope)
        token = self._tokens.get(key)
        spent = token is None or token.good_until < time.monotonic() or failed in (_ANY, f"Bearer {token.value}")
        if token is None or spent:
            wanted = _joined(scope, challenge.scope if failed else "")
            token = self._tokens[key] = self._ask_token(challenge, wanted, repository)
        return f"Bearer {token.value}"

    def _ask_token(self, challenge: Challenge, scope: str, repository: str) -> _Token:
        check_realm(challenge.realm, self.origin)
        login = self._login_for(repository)
        if login is not None and login.is_identity_token:
            response = self._exchange(challenge, scope, login)
        else:
            query = [("service", challenge.service), *(("scope", part) for part in _scopes(scope))]
            url = _with_query(challenge.realm, [(key, value) for key, value in query if value])
            headers = {"Authorization": login.basic} if login else {}
            response = self._fetch("GET", url, None, headers)
        return self._read_token(response, challenge)

    def _exchange(self, challenge: Challenge, scope: str, login: Login) -> Answer:
        form = {
            "grant_type": "refresh_token",
            "service": challenge.service,
            "scope": scope,
            "client_id": CLIENT_ID,
            "refresh_token": login.secret,
        }
        return self._fetch("POST", challenge.realm, form, {})

    def _read_token(self, response: Answer, challenge: Challenge) -> _Token:
        host = urlsplit(challenge.realm).netloc
        body = _read_body(response, host)
        if response.status_code in (401, 403):
            raise AccessDenied(
                f"the token server `{host}` refuses the login for `{urlsplit(self.origin).netloc}`",
                hint="log in again; if that does not help, ask for the right to this repository",
            )
        if response.is_redirect:
            raise StoreError(f"the token server `{host}` sends us elsewhere; a login is never taken there")
        if response.status_code in STATUSES:
            pause = response.headers.get("Retry-After", "")
            raise Transient(f"the token server `{host}` answered {response.status_code}", pause)
        if response.status_code != 200:
            raise StoreError(f"the token server `{host}` answered {response.status_code}")
        if len(body) > limits.TOKEN:
            raise StoreError(f"the token server `{host}` answered more than {limits.TOKEN} bytes")
        try:
            value = json.loads(body)
            token = value.get("token") or value["access_token"]
            lives = min(max(float(value.get("expires_in") or 0), _TOKEN_SECONDS), _TOKEN_MOST_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise StoreError(f"the token server `{host}` gave no token") from None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise StoreError(f"the token server `{host}` gave a token that cannot be sent")
        return _Token(token, time.monotonic() + lives - _EARLY_SECONDS)


def _read_body(response: Answer, host: str) -> bytes:
    import urllib3.exceptions

    try:
        with contextlib.closing(response):
            return bytes(response.raw.read(limits.TOKEN + 1, decode_content=True))
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Transient(f"the token server `{host}` broke off") from error


def check_realm(realm: str, origin: str) -> None:
    """Refuse to send anything to a token server that the registry has no business to name.

    Raises:
        StoreError: the realm is refused; nothing has been sent.
    """
    why = refusal(realm, origin, with_login=True)
    if why:
        raise StoreError(f"`{urlsplit(origin).netloc}` names a token server that is refused: {why}")


def _joined(*scopes: str) -> str:
    """Scopes as one text, each once, ours first (some servers read only the first)."""
    return " ".join(dict.fromkeys(part for scope in scopes for part in _scopes(scope)))


def _scopes(scope: str) -> Iterable[str]:
    return scope.split()


def _with_query(url: str, query: list[tuple[str, str]]) -> str:
    from urllib.parse import urlencode

    separator = "&" if urlsplit(url).query else "?"
    return f"{url}{separator}{urlencode(query)}" if query else url
