"""What the user logged in with: docker's, podman's and helm's files, and docker's credential helpers.

Nothing is stored here, and nothing is printed: an error names the file and the key, never the secret.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from airgap.errors import InvalidInput
from airgap.references import DOCKER_HUB

HELPER_SECONDS: Final = 30
_HUB_KEY: Final = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Login:
    """A user name with a password, or an identity token (then the user is empty)."""

    user: str = field(repr=False)
    secret: str = field(repr=False)
    is_identity_token: bool = False

    @property
    def basic(self) -> str:
        """The value of an `Authorization: Basic` header."""
        import oras.auth.utils

        return f"Basic {oras.auth.utils.get_basic_auth(self.user, self.secret)}"


def find(host: str, repository: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """The login for a repository: the longest key that covers it, in the first file that has one.

    Files, in order: `REGISTRY_AUTH_FILE`; containers' `auth.json`; docker's `config.json`; helm's registry config.

    Raises:
        InvalidInput: a file is not what it should be; it is named, and the key in it.
    """
    for path in _files(environment):
        config = _read(path)
        login = _from_helpers(config, host, path) or _from_auths(config, host, repository, path)
        if login is not None:
            return login
    return None


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or Path.home())
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    candidates = [
        environment.get("REGISTRY_AUTH_FILE"),
        environment.get("XDG_RUNTIME_DIR") and Path(environment["XDG_RUNTIME_DIR"], "containers", "auth.json"),
        config / "containers" / "auth.json",
        Path(environment.get("DOCKER_CONFIG") or home / ".docker", "config.json"),
        environment.get("HELM_REGISTRY_CONFIG") or config / "helm" / "registry" / "config.json",
    ]
    return (Path(path) for path in candidates if path and Path(path).is_file())


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8") or "{}")
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"the logins in `{path}` cannot be read", hint="log in again, or mend the file") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"the logins in `{path}` cannot be read: it is no JSON object")
    return value


def _from_helpers(config: dict[str, Any], host: str, path: Path) -> Login | None:
    key = _HUB_KEY if host == DOCKER_HUB else host
    helpers = config.get("credHelpers") or {}
    named = helpers.get(host) or helpers.get(key)
    if named:
        return _ask(str(named), key, path, required=True)
    if config.get("credsStore"):
        return _ask(str(config["credsStore"]), key, path, required=False)
    return None


def _ask(helper: str, key: str, path: Path, *, required: bool) -> Login | None:
    """Speak docker's helper protocol: the server's name in, JSON with Username and Secret out."""
    program = f"docker-credential-{helper}"
    if os.sep in helper:
        raise InvalidInput(f"`{path}` names the credential helper {helper!r}: a name, not a path, is wanted")
    try:
        done = subprocess.run(
            [program, "get"], input=key.encode(), capture_output=True, timeout=HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        raise InvalidInput(f"`{path}` names the credential helper `{program}`, which is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise InvalidInput(f"the credential helper `{program}` did not answer in {HELPER_SECONDS} s") from None
    if done.returncode != 0:
        if required and b"not found" not in done.stdout + done.stderr:
            raise InvalidInput(f"the credential helper `{program}` failed for `{key}`", hint=f"log in to {key} again")
        return None
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(f"the credential helper `{program}` did not answer in its protocol") from None
    return Login("", secret, True) if user == "<token>" else Login(user, secret)


def _from_auths(config: dict[str, Any], host: str, repository: str, path: Path) -> Login | None:
    auths = config.get("auths")
    if not isinstance(auths, dict):
        return None
    wanted = f"{host}/{repository}"
    by_length = sorted(auths, key=lambda key: len(_plain(key)), reverse=True)
    for key in by_length:
        if wanted == _plain(key) or wanted.startswith(_plain(key) + "/"):
            login = _entry(auths[key], key, path)
            if login is not None:
                return login
    return None


def _plain(key: str) -> str:
    """A key of `auths` as `HOST[:PORT][/PATH]`: docker writes some with a scheme and an API version."""
    plain = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    for version in ("/v1", "/v2"):
        plain = plain.removesuffix(version)
    return DOCKER_HUB if plain in ("index.docker.io", "registry-1.docker.io") else plain


def _entry(entry: Any, key: str, path: Path) -> Login | None:
    if not isinstance(entry, dict):
        raise InvalidInput(f"`{path}`: the login for {key!r} is no object")
    if entry.get("identitytoken"):
        return Login("", str(entry["identitytoken"]), True)
    if entry.get("username") and entry.get("password"):
        return Login(str(entry["username"]), str(entry["password"]))
    if not entry.get("auth"):
        return None
    try:
        user, colon, secret = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user, colon, secret = "", "", ""
    if not colon:
        raise InvalidInput(f"`{path}`: the login for {key!r} is damaged", hint=f"log in to {key} again")
    return Login("", secret, True) if user == "<token>" else Login(user, secret.rstrip("\0"))
