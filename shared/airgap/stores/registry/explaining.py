"""What a failed exchange means: worth another attempt, or a permanent refusal with its reason and what helps."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import Final

from airgap.errors import AccessDenied, StoreError
from airgap.stores.registry.line import EndlessHead
from airgap.stores.registry.retry import Transient

_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})")
_CA_HINT: Final = "trust its CA with --ca-file FILE, or put it at /etc/docker/certs.d/{host}/ca.crt"
# OpenSSL's X509_V_ERR_* codes: what is wrong, and what to do about it.
_CERTIFICATES: Final = {
    9: ("is not valid yet", "is the clock of this machine right?"),
    10: ("has expired", "renew it there; or is the clock of this machine wrong?"),
    18: ("is signed by itself, and not trusted", _CA_HINT),
    19: ("is signed by a CA that is not trusted", _CA_HINT),
    20: ("is signed by a CA that is not trusted", _CA_HINT),
    21: ("is signed by a CA that is not trusted", _CA_HINT),
    62: ("is for another name", "ask for it by a name that is in its certificate, or have one made for this name"),
    64: (
        "is for another address",
        "ask for it by a name that is in its certificate, or have one made for this address",
    ),
}


def explained(error: Exception, host: str, *, proxy: str = "", known: bool = False) -> Exception:
    """The error to raise for one of the HTTP library's.

    Args:
        error: what urllib3 raised.
        host: who was asked.
        proxy: the proxy on the way, without its login; empty where there is none.
        known: whether the host has answered before: then it is gone for a moment, not missing.
    """
    import urllib3.exceptions

    root = innermost(error)
    if isinstance(error, urllib3.exceptions.ProxyError):
        return _proxy_failure(root, host, proxy)
    if isinstance(root, ssl.SSLEOFError):
        return Transient(f"the connection to `{host}` broke in the middle of TLS")
    if isinstance(error, urllib3.exceptions.SSLError):
        return tls_failure(root, host)
    if isinstance(root, ConnectionRefusedError | socket.gaierror) and not known:
        return _unreachable(root, host)
    if isinstance(root, http.client.HTTPException) and not isinstance(root, http.client.RemoteDisconnected):
        return _not_http(root, host)
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return StoreError(f"`{host}` cannot be asked: its name or a header of its making is malformed")
    return Transient(f"the connection to `{host}` broke: {cause(error)}")


def cause(error: BaseException) -> str:
    """The words of the innermost cause."""
    root = innermost(error)
    return getattr(root, "strerror", None) or str(root) or type(root).__name__


def innermost(error: BaseException) -> BaseException:
    """The innermost cause: urllib3 wraps a socket's error more than once, and others wrap it again."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if inner is None and error.args and isinstance(error.args[-1], BaseException):
            inner = error.args[-1]
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def tls_failure(root: BaseException, host: str) -> StoreError:
    """What a failed handshake means.

    Args:
        root: the innermost cause.
        host: who was asked.
    """
    text = str(root)
    if isinstance(root, ssl.SSLCertVerificationError):
        what, hint = _CERTIFICATES.get(root.verify_code, (f"is not trusted: {root.verify_message}", _CA_HINT))
        return StoreError(f"the certificate of `{host}` {what}", hint=hint.format(host=host))
    if "UNSUPPORTED_PROTOCOL" in text or "PROTOCOL_VERSION" in text:
        hint = "have it speak TLS 1.2 or 1.3; older ones can be read on the way"
        return StoreError(f"`{host}` speaks only TLS that is older than 1.2", hint=hint)
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text.lower():
        return StoreError(f"`{host}` does not speak TLS", hint=f"if that is meant to be, say --plain-http {host}")
    return StoreError(f"no TLS connection to `{host}`: {cause(root)}")


def wants_login(proxy: str) -> AccessDenied:
    """The error for a proxy that answers 407."""
    return AccessDenied(
        f"the proxy `{proxy}` asks for a login",
        hint="write it into the address: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT; special characters as %40",
    )


def _unreachable(root: OSError, host: str) -> StoreError:
    if isinstance(root, socket.gaierror):
        hint = "check the name and DNS; a mirror is named with --mirror"
        return StoreError(f"`{host}` is not known: {root.strerror}", hint=hint)
    return StoreError(f"`{host}` refuses the connection", hint="is it running, and is this its port?")


def _proxy_failure(root: BaseException, host: str, proxy: str) -> Exception:
    tunnel = _TUNNEL.search(str(root))
    status = int(tunnel[1]) if tunnel else 0
    if status == 407:
        return wants_login(proxy)
    if status >= 500:
        return Transient(f"the proxy `{proxy}` answered {status} for `{host}`")
    reason = f"answered {status}" if status else f"cannot be used: {cause(root)}"
    return StoreError(f"the proxy `{proxy}` on the way to `{host}` {reason}", hint="check HTTPS_PROXY and NO_PROXY")


def _not_http(root: http.client.HTTPException, host: str) -> Exception:
    if isinstance(root, EndlessHead | http.client.LineTooLong) or type(root) is http.client.HTTPException:
        return StoreError(f"`{host}` answers with headers that do not end: {cause(root)}")
    if isinstance(root, http.client.BadStatusLine):
        return StoreError(f"`{host}` does not speak HTTP", hint="is this its port?")
    return Transient(f"the connection to `{host}` broke: {cause(root)}")
