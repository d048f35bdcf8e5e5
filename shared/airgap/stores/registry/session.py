"""HTTP as content transfer needs it: our certificates, large buffers, and no surprises.

urllib3's pools, spoken to directly: a library above them costs more than the pool itself for each request, and a push
of many small things is mostly requests.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import getproxies_environment

from airgap import __version__, limits
from airgap.references import is_loopback
from airgap.stores.registry.line import Timeouts, watch

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_HEADERS: Final = {"User-Agent": f"kubectl-airgap/{__version__}", "Accept-Encoding": "identity"}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HOSTS: Final = 8  # pools that are kept open at a time


class Answer:
    """What a server answered; the body has not been read yet."""

    def __init__(self, raw: BaseHTTPResponse) -> None:
        self.raw = raw
        self.status_code = raw.status
        self.reason = raw.reason or ""
        self.headers: Mapping[str, str] = raw.headers

    @property
    def is_redirect(self) -> bool:
        """Whether it sends us to another place."""
        return self.status_code in _REDIRECTS and "Location" in self.headers

    def close(self) -> None:
        """Leave the connection to the next request: the little that is left is read; where it is more, it is closed.

        Closing it always would cost a new connection, and a new TLS handshake, for each HEAD and each upload.
        """
        import urllib3.exceptions

        rest = self.raw.length_remaining
        if rest is not None and rest <= limits.ERROR_BODY:
            with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
                self.raw.read(rest + 1, decode_content=False)
                self.raw.release_conn()
                return
        self.raw.close()


class Session:
    """Connections to any number of hosts. No cookies (Harbor takes one for a browser), no `.netrc`, no redirects.

    Args:
        context: whose certificates count; nothing else decides. Made when the first TLS connection is, as reading
            the system's certificates takes longer than many a transfer.
        connections: how many are kept open to a host.
        timeouts: how long a connection may stand still.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], connections: int, timeouts: Timeouts) -> None:
        self._make_context = context
        self._connections = connections
        self._timeouts = timeouts
        self._managers: dict[tuple[str, bool], PoolManager] = {}  # by proxy, and whether it is for TLS
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def request(self, method: str, url: str, headers: Mapping[str, str], body: Any = None, proxy: str = "") -> Answer:
        """Send one request.

        Args:
            method: in upper case.
            url: absolute.
            headers: besides ours.
            body: bytes, something that is read in pieces and whose length stands in the headers, or the fields of a
                form.
            proxy: the URL of one, with its login if it needs one; empty for none.

        Raises:
            urllib3.exceptions.HTTPError: there was no answer. ValueError: it cannot be asked for.
        """
        from urllib3 import Timeout

        sent = {**_HEADERS, **headers}
        if isinstance(body, dict):
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(body).encode()
        raw = self._manager(url, proxy).urlopen(
            method,
            url,
            body=body,
            headers=sent,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(connect=self._timeouts.connect, read=self._timeouts.stall),
        )
        return Answer(raw)

    def _manager(self, url: str, proxy: str) -> PoolManager:
        secure = url.startswith("https:")
        with self._lock:
            if (proxy, secure) not in self._managers:
                self._managers[proxy, secure] = self._new_manager(proxy, secure=secure)
            return self._managers[proxy, secure]

    def _new_manager(self, proxy: str, *, secure: bool) -> PoolManager:
        from urllib3 import PoolManager, ProxyManager, make_headers

        # The library's own buffer, of 16 KiB, halves the speed.
        settings: dict[str, Any] = {"maxsize": self._connections, "blocksize": limits.CHUNK}
        if secure:
            self._context = self._context or self._make_context()
            settings["ssl_context"] = self._context
        if not proxy:
            manager = PoolManager(_HOSTS, **settings)
        else:
            parts = urlsplit(proxy)
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
            manager = ProxyManager(
                f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
                _HOSTS,
                proxy_headers=make_headers(proxy_basic_auth=login),
                **settings,
            )
        watch(manager, self._timeouts.stall)
        return manager


def proxy_for(url: str) -> str:
    """The proxy that the environment names for a URL (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in either case).

    None for this machine itself, whatever `NO_PROXY` says: so do docker, skopeo and helm (Go's httpproxy).
    """
    if not getproxies_environment() or is_loopback(urlsplit(url).netloc):
        return ""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url)) or ""
    return proxy if "//" in proxy or not proxy else f"http://{proxy}"


def without_login(proxy: str) -> str:
    """A proxy as `HOST:PORT`: its login, if it has one, is nobody's business."""
    return urlsplit(proxy).netloc.rpartition("@")[2]
