"""HTTP sessions as content transfer needs them: our certificates, large buffers, and no surprises."""

from __future__ import annotations

import contextlib
import functools
import ssl
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airgap import __version__, limits
from airgap.stores.registry.line import Timeouts, watch
from airgap.stores.registry.trust import is_loopback

if TYPE_CHECKING:
    import requests


def open_session(context: Callable[[], ssl.SSLContext], connections: int, timeouts: Timeouts) -> requests.Session:
    """A session that keeps no cookies (Harbor takes one for a browser) and reads no `.netrc`.

    It is made as oras makes its own; that one is not asked for, since its module reads JSON schemas for a tenth of a
    second that no transfer of ours needs.

    Args:
        context: whose certificates count; nothing else decides. Made when the first TLS connection is, as reading
            the system's certificates takes longer than many a transfer.
        connections: how many the pool keeps open to a host.
        timeouts: how long a connection may stand still.
    """
    import requests

    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = False  # .netrc would send a login to whatever host we are redirected to
    session.headers.update({"User-Agent": f"kubectl-airgap/{__version__}", "Accept-Encoding": "identity"})
    adapter = _adapter_class()(context, connections, timeouts.stall)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def proxies_for(url: str) -> dict[str, str]:
    """The proxies that the environment names for a URL (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in either case).

    None for this machine itself, whatever `NO_PROXY` says: so do docker, skopeo and helm (Go's httpproxy).
    """
    import requests

    return {} if is_loopback(urlsplit(url).netloc) else requests.utils.get_environ_proxies(url)


def proxy_name(url: str, proxies: dict[str, str]) -> str:
    """The proxy on the way to a URL as `HOST:PORT`: its login, if it has one, is nobody's business."""
    import requests

    proxy = requests.utils.select_proxy(url, proxies) or ""
    return urlsplit(proxy if "//" in proxy else f"//{proxy}").netloc.rpartition("@")[2]


def _adapter_class() -> Any:
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """Our context on every connection, and a buffer that does not halve the speed (urllib3's is 16 KiB)."""

        def __init__(self, context: Callable[[], ssl.SSLContext], connections: int, stall: float) -> None:
            self._context = functools.cache(context)
            self._stall = stall
            super().__init__(pool_connections=8, pool_maxsize=connections, max_retries=0)

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, blocksize=limits.CHUNK, **kwargs)
            watch(self.poolmanager, self._stall)

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(proxy, blocksize=limits.CHUNK, **kwargs)
            watch(manager, self._stall)
            return manager

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            """Our context in place of requests' own certificates, which would be loaded besides ours."""
            host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
            return host, {"ssl_context": self._context()} if host["scheme"] == "https" else {}

        def build_response(self, req: Any, resp: Any) -> Any:
            """An answer that is done with leaves its connection to the next request."""
            response = super().build_response(req, resp)
            response.close = lambda: _let_go(resp)  # type: ignore[method-assign]
            return response

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            """Our context has decided already."""

    return Adapter


def _let_go(raw: Any) -> None:
    """Read the little that is left, so that the connection can be used again; where it is more, close it.

    Closing is what requests does with every answer whose body nobody read: a new connection, and a new TLS handshake,
    for each HEAD and each upload.
    """
    import urllib3.exceptions

    rest = raw.length_remaining
    if rest is not None and rest <= limits.ERROR_BODY:
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            raw.read(rest + 1, decode_content=False)
            raw.release_conn()
            return
    raw.close()
