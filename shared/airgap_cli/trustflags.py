"""Flags about whom to believe: keys that sign, keys that verify, and what a series of bundles may do."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from airgap import durable, limits, state
from airgap.bundles.freshness import Freshness, History
from airgap.bundles.keys import Passphrase, SigningKey, read_signing_key, read_verifying_key
from airgap.bundles.signing import Keyring
from airgap.errors import InvalidInput
from airgap_cli.options import flag

if TYPE_CHECKING:
    from airgap.operations.environment import Run

PASSWORD = "AIRGAP_SIGN_PASSWORD"  # noqa: S105 # the variable's name

_VERIFY = "Public key, as PEM: only bundles signed with it are taken; repeatable, any one of them will do."
SignPasswordFile = Annotated[
    Path | None,
    flag("--sign-password-file", help=f"File with the key's passphrase; else ${PASSWORD}, or asked.", metavar="FILE"),
]
OwnVerifyKey = Annotated[list[Path] | None, flag("--verify-key", "--key", help=_VERIFY, metavar="FILE")]
OwnSignKey = Annotated[
    Path,
    flag("--sign-key", "--key", help="Private key, as PEM: ECDSA P-256 or Ed25519.", metavar="FILE"),
]


@dataclass(frozen=True)
class TrustFlags:
    """Whose bundles are read."""

    verify_key: Annotated[list[Path] | None, flag("--verify-key", help=_VERIFY, metavar="FILE")] = None


@dataclass(frozen=True)
class FreshnessFlags:
    """What a bundle may be that is about to change something."""

    allow_rollback: Annotated[
        bool, flag("--allow-rollback", help="Take a bundle that is older than the last one of its name.")
    ] = False
    allow_expired: Annotated[bool, flag("--allow-expired", help="Take a bundle that has expired.")] = False


@dataclass(frozen=True)
class LabelFlags:
    """What a bundle says of itself, and with what it is signed."""

    name: Annotated[
        str, flag("--name", help="What the bundle is called, whatever its file is; else as the file.", metavar="NAME")
    ] = ""
    bundle_version: Annotated[
        str, flag("--bundle-version", help="What you call this state of the bundle; else latest.", metavar="VERSION")
    ] = ""
    sequence: Annotated[
        int | None,
        flag("--sequence", help="A number that grows with each bundle of this name.", min=0, max=2**53, metavar="N"),
    ] = None
    expires: Annotated[
        str,
        flag("--expires", help="When it should not be taken any more: 2027-01-31, or 90d from now.", metavar="WHEN"),
    ] = ""
    sign_key: Annotated[
        Path | None,
        flag("--sign-key", help="Private key to sign with, as PEM: ECDSA P-256 or Ed25519.", metavar="FILE"),
    ] = None
    sign_password_file: SignPasswordFile = None


def now() -> datetime:
    """What the clock says, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def signing_key(path: Path, password_file: Path | None) -> SigningKey:
    """Read the key to sign with; its passphrase is asked for where it has one.

    Raises:
        InvalidInput: it is no such key, or its passphrase is wrong or nowhere to be had.
    """
    given = os.environ.pop(PASSWORD, None)  # what we start later has no business with it
    return read_signing_key(path, _passphrase(path, password_file, given))


def trusting(run: Run, keys: Iterable[Path] | None, allowed: FreshnessFlags | None = None) -> Run:
    """A run that takes no bundle but what the user's keys have signed, and knows what was pushed last.

    Raises:
        InvalidInput: one of them is no such key.
    """
    allowed = allowed or FreshnessFlags()
    history = History(state.directory() / "pushed")
    return replace(
        run,
        keys=Keyring(tuple(read_verifying_key(path) for path in keys or ())),
        freshness=Freshness(history, now(), allowed.allow_rollback, allowed.allow_expired),
    )


def _passphrase(path: Path, file: Path | None, given: str | None) -> Passphrase:
    def ask() -> bytes:
        if file is not None:
            return _first_line(file)
        if given is not None:
            return os.fsencode(given)
        if not sys.stderr.isatty():
            hint = f"put it into {PASSWORD}, or into a file: --sign-password-file FILE"
            raise InvalidInput(f"the private key `{path}` has a passphrase, and nobody is here to type it", hint=hint)
        try:
            return getpass.getpass(f"passphrase of {path}: ").encode()
        except EOFError:
            raise InvalidInput("no passphrase was typed") from None

    return ask


def _first_line(file: Path) -> bytes:
    with durable.explained(file), file.open("rb") as opened:
        return opened.readline(limits.PASSPHRASE).rstrip(b"\r\n")
