"""Whose certificates count: the system's, the user's `--ca-file`, and `certs.d/HOST` as docker and podman read it."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from airgap.errors import InvalidInput

CERTS_D: Final = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
_BEGIN: Final = "-----BEGIN "


@dataclass(frozen=True)
class Trust:
    """How the identity of servers is checked.

    Attributes:
        ca_file: PEM certificates to trust besides the system's (`SSL_CERT_FILE` replaces those, as everywhere).
        plain_http: hosts that are spoken to without TLS, because the user said so.
        unverified: hosts whose certificate is not checked, because the user said so.
        certs_d: directories with a `HOST[:PORT]` folder each, holding `*.crt` and `NAME.cert` with `NAME.key`.
    """

    ca_file: Path | None = None
    plain_http: frozenset[str] = frozenset()
    unverified: frozenset[str] = frozenset()
    certs_d: tuple[Path, ...] = CERTS_D

    @classmethod
    def of(cls, ca_file: Path | None, plain_http: Iterable[str] = (), unverified: Iterable[str] = ()) -> Trust:
        """The user's choices, with the CA file read once so that a wrong one fails before anything else."""
        if ca_file is not None:
            _check_pem(ca_file)
        own = Path.home() / ".config" / "containers" / "certs.d"
        return cls(ca_file, frozenset(plain_http), frozenset(unverified), (*CERTS_D, own))

    def context(self, host: str) -> ssl.SSLContext:
        """TLS 1.2 at least, certificate and host name checked unless told otherwise; no host means any other."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not context.cert_store_stats()["x509_ca"]:
            _load_bundled(context)
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        for directory in self.certs_d if host else ():
            _load_host(context, directory / host)
        if host in self.unverified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _load_bundled(context: ssl.SSLContext) -> None:
    """The certificates that come with requests, for systems and frozen builds that have none of their own."""
    import certifi

    context.load_verify_locations(certifi.where())


def _load_host(context: ssl.SSLContext, directory: Path) -> None:
    if not directory.is_dir():
        return
    for path in sorted(directory.glob("*.crt")):
        _check_pem(path)
        context.load_verify_locations(path)
    for path in sorted(directory.glob("*.cert")):
        key = path.with_suffix(".key")
        if not key.is_file():
            raise InvalidInput(f"`{path}` has no key beside it", hint=f"put the key at `{key}`")
        try:
            context.load_cert_chain(path, key, password=_no_passphrase)
        except (ssl.SSLError, OSError) as error:
            raise InvalidInput(f"the client certificate `{path}` cannot be used: {error}") from error


def _no_passphrase() -> str:
    raise InvalidInput("a client key has a passphrase", hint="store it without one, readable by you alone (mode 0600)")


def _check_pem(path: Path) -> None:
    """Tell what is wrong with a CA file in words; OpenSSL's are for those who know it already."""
    try:
        text = path.read_text("ascii")
    except IsADirectoryError:
        raise InvalidInput(f"`{path}` is a directory, not a file of certificates") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InvalidInput(f"cannot read certificates from `{path}`: {reason.lower()}") from error
    blocks = [line[len(_BEGIN) :].rstrip("- \n") for line in text.splitlines() if line.startswith(_BEGIN)]
    if not blocks:
        raise InvalidInput(f"`{path}` holds no certificate", hint="it must be PEM: `-----BEGIN CERTIFICATE-----` …")
    for number, kind in enumerate(blocks, 1):
        if "CERTIFICATE" not in kind:
            raise InvalidInput(f"`{path}`: block {number} is a {kind.lower()}, not a certificate")
    _check_blocks(path, text)


def _check_blocks(path: Path, text: str) -> None:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    for number, part in enumerate(text.split(begin)[1:], 1):
        try:
            ssl.create_default_context(cadata=f"{begin}{part.partition(end)[0]}{end}\n")
        except (ssl.SSLError, ValueError) as error:
            raise InvalidInput(f"`{path}`: block {number} is no certificate that can be read") from error
