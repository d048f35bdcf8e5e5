"""Where a server may send us: to another host without credentials, never to places it has no business to name.

Sources: distribution-spec "API" (credentials do not cross host boundaries); SSRF rules of
google/go-containerregistry#2258 and #2259, oras-project/oras-go GHSA-h7vf-4x9w-h99v.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urljoin, urlsplit

from airgap import limits
from airgap.errors import StoreError
from airgap.references import host_name

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def origin_of(url: str) -> str:
    """Scheme and host with port, in one spelling: what credentials belong to."""
    parts = urlsplit(url)
    host = parts.netloc.lower()
    return f"{parts.scheme}://{host.removesuffix(_DEFAULT_PORTS.get(parts.scheme, ' '))}"


def joined(base: str, location: str) -> str:
    """A location as a server gave it, relative or not, as a full URL.

    Raises:
        StoreError: it is none.
    """
    try:
        return urljoin(base, location)
    except ValueError:
        raise StoreError(f"`{urlsplit(base).netloc}` sends us to an address that is none") from None


def refusal(url: str, origin: str, *, with_login: bool = False) -> str:
    """Why a registry at `origin` may not send us to `url`; empty where it may.

    Args:
        url: where it sends us: a redirect, an upload location, a token server.
        origin: the registry's own scheme and host.
        with_login: whether the user's credentials would be sent there, as to a token server. Then only the same
            host may be a loopback address or be written as a private one.
    """
    ours = urlsplit(origin)
    try:
        theirs = urlsplit(url)
        _ = theirs.port
    except ValueError:
        return "it is no URL"
    if not theirs.hostname or (with_login and len(url) > limits.REALM_URL):
        return "it is no URL"
    if theirs.username or theirs.password:
        return "it has a user in it"
    if theirs.scheme not in ("http", "https"):
        return f"it is reached by {theirs.scheme!r}, not https"
    if theirs.scheme == "http" and ours.scheme == "https":
        return "it is reached by http, although the registry is by https"
    return _address_refusal(theirs, host_name(ours.netloc), with_login)


def _address_refusal(theirs: SplitResult, own: str, with_login: bool) -> str:
    """Addresses inside a network are for registries inside it; a login goes to one only by a name."""
    host = theirs.hostname or ""
    if host == own:
        return ""
    inside = [address for address in _addresses(host) if not address.is_global]
    ours = [address for address in _addresses(own) if not address.is_global]
    if not inside:
        return ""
    allowed = bool(ours) and not any(a.is_link_local or a.is_unspecified for a in inside)
    if any(a.is_loopback for a in inside):
        allowed = allowed and any(a.is_loopback for a in ours) and not with_login
    if not allowed or (with_login and _is_literal(host)):
        return f"{host!r} is an address inside this network"
    return ""


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(host: str) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []  # a name that does not resolve cannot be connected to either
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]
