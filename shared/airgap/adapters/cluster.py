"""The Kubernetes API, as plain JSON: the only module that talks to a cluster.

The client's typed models cost four times the reading and drop fields they do not know, so its connection is used
and nothing above it; that part is the same in the client's versions 36 and 37. Errors are worded as kubectl words them.

Source: kubernetes.io "Kubernetes API Concepts", sections "Retrieving large results sets in chunks" and "Resource
versions"; apimachinery pkg/apis/meta/v1 Status.
"""

from __future__ import annotations

import base64
import json
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode

from airgap import limits
from airgap.adapters.kubeconfig import Access, Selected, select
from airgap.errors import AccessDenied, InvalidInput, NotFound, StoreError

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_BUSY: Final = frozenset({429, 502, 503, 504})
_REASONS: Final = {  # for answers that carry none, from apimachinery pkg/api/errors
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ClusterError(StoreError):
    """The API server refused or did not answer, in the words that kubectl has for it."""

    label: ClassVar[str] = ""


class ClusterNotFound(ClusterError, NotFound):
    """It has no such object."""


class ClusterDenied(ClusterError, AccessDenied):
    """It does not know who we are, or who we are may not."""


class _Expired(ClusterError):
    """The rest of a list is gone; `proceed` is a token to go on with, where the server gave one."""

    proceed: str = ""


@dataclass(frozen=True)
class Cluster:
    """An API server and the way to reach it.

    Attributes:
        server: its address.
        namespace: of the chosen context.
        notes: what the user should know about the access.
        timeout: seconds a request may take, 0 for the default.
    """

    server: str
    namespace: str
    notes: tuple[str, ...]
    timeout: float
    _pool: Any
    _headers: tuple[tuple[str, str], ...]

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One object or one page of a list, as JSON.

        Raises:
            ClusterNotFound: there is none.
            ClusterDenied: 401 or 403.
            ClusterError: anything else but the answer.
        """
        url = f"{self.server}{path}{f'?{urlencode(query)}' if query else ''}"
        for attempt in range(limits.ATTEMPTS):
            status, headers, body = self._request(url)
            if status not in _BUSY or attempt == limits.ATTEMPTS - 1:
                break
            time.sleep(_pause(headers.get("Retry-After"), attempt))
        if status != 200:
            raise _refusal(status, body)
        return _object(body, self.server)

    def list(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """All objects of a list, asked for in pages; never more than a page is in memory.

        Where the server has forgotten the rest of the list (410 Gone), it goes on from the token the server gives for
        that, or starts over and leaves out what it has yielded.

        Raises:
            ClusterError: as `get`; what was yielded before stays true.
        """
        seen: set[str] = set()
        proceed, lost = "", 0
        while True:
            page = {"limit": str(limits.PODS_PAGE), **(query or {}), **({"continue": proceed} if proceed else {})}
            try:
                answer = self.get(path, page)
            except _Expired as error:
                lost += 1
                if not proceed or lost == limits.ATTEMPTS:
                    raise
                proceed = error.proceed
                continue
            for item in answer.get("items") or []:
                uid = str((item.get("metadata") or {}).get("uid") or "")
                if not uid or uid not in seen:
                    yield item
                seen.add(uid)
            proceed = (answer.get("metadata") or {}).get("continue") or ""
            del answer  # or two pages are in memory while the next is read
            if not proceed:
                return

    def _request(self, url: str) -> tuple[int, Mapping[str, str], bytes]:
        from urllib3.exceptions import HTTPError, ProtocolError

        try:
            return self._ask(url)
        except (ProtocolError, ConnectionResetError):  # cut off: reading again does no harm
            pass
        except (HTTPError, OSError) as error:
            raise _unreachable(self.server, error) from error
        try:
            return self._ask(url)
        except (HTTPError, OSError) as error:
            raise _unreachable(self.server, error) from error

    def _ask(self, url: str) -> tuple[int, Mapping[str, str], bytes]:
        from urllib3 import HTTPHeaderDict, Timeout
        from urllib3.exceptions import InsecureRequestWarning

        headers = HTTPHeaderDict(self._headers)
        timeout = Timeout(connect=self.timeout or limits.CONNECT_SECONDS, read=self.timeout or limits.STALL_SECONDS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)
            answer = self._pool.request("GET", url, headers=headers, timeout=timeout, retries=False, redirect=False)
            return answer.status, answer.headers, answer.data


def connect(access: Access) -> Cluster:
    """Make ready to ask the cluster that `access` names; nothing is asked yet.

    Raises:
        InvalidInput: the kubeconfig, the context or a certificate file is at fault.
        AccessDenied: a credential plugin gave nothing.
    """
    selected = select(access)
    api = _client(selected)
    if access.ca_file is not None:
        _trust(api, access)
    headers = [("Accept", "application/json"), ("Accept-Encoding", "gzip"), ("User-Agent", "kubectl-airgap")]
    headers += [(setting["key"].title(), setting["value"]) for setting in api.configuration.auth_settings().values()]
    if access.impersonate:
        headers.append(("Impersonate-User", access.impersonate))
        headers += [("Impersonate-Group", group) for group in access.impersonate_groups]
    return Cluster(
        server=api.configuration.host.rstrip("/"),
        namespace=selected.namespace,
        notes=selected.notes,
        timeout=access.timeout,
        _pool=api.rest_client.pool_manager,
        _headers=tuple(headers),
    )


def segment(name: str, what: str = "name") -> str:
    """A name as part of a path of the API.

    Raises:
        InvalidInput: no name that an object can have, such as `..`, which would lead elsewhere.
    """
    if not _NAME.fullmatch(name) or len(name) > 253 or ".." in name:
        raise InvalidInput(f"{name!r} is not a valid {what}")
    return quote(name, safe="")


def _client(selected: Selected) -> Any:
    import ssl

    from kubernetes import config

    cluster = selected.cluster
    authority, data = cluster.get("certificate-authority"), cluster.get("certificate-authority-data")
    try:
        if authority or data:
            text = base64.b64decode(data).decode("ascii", "replace") if data else None
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(None if data else authority, None, text)
    except ssl.SSLError as error:
        named = "certificate-authority-data" if data else f"certificate-authority {authority}"
        raise InvalidInput(f"error in configuration: there is no certificate in {named}") from error
    try:
        make: Any = config.new_client_from_config_dict
        return make(selected.config, persist_config=False)
    except (config.ConfigException, OSError, ValueError) as error:
        raise InvalidInput(f"error in configuration: {error}") from error


def _trust(api: Any, access: Access) -> None:
    import ssl

    context = ssl.create_default_context()
    try:
        context.load_verify_locations(access.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = "no certificates in it" if isinstance(error, ssl.SSLError) else str(error.strerror).lower()
        raise InvalidInput(f"unable to read --ca-file {access.ca_file}: {reason}") from error
    if not api.configuration.verify_ssl:
        return
    api.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context


def _pause(retry_after: str | None, attempt: int) -> float:
    """Seconds to wait for a server that is busy: what it asks for, within reason."""
    if retry_after and retry_after.isdecimal():
        return min(float(retry_after), limits.BACKOFF_MOST_SECONDS)
    return min(limits.BACKOFF_SECONDS * 2.0**attempt, limits.BACKOFF_MOST_SECONDS)


def _object(body: bytes, server: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise _no_api(server) from error
    if not isinstance(value, dict) or "kind" not in value:
        raise _no_api(server)
    return value


def _no_api(server: str) -> ClusterError:
    return ClusterError(
        f"error: the answer of {server} is not of the Kubernetes API",
        hint="a proxy or a login page may stand in between; see `kubectl cluster-info`",
    )


def _refusal(status: int, body: bytes) -> ClusterError:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    answer = answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}
    reason = answer.get("reason") or _REASONS.get(status, "")
    message = answer.get("message") or "the server answered with HTTP status " + str(status)
    if status == 401:
        return ClusterDenied(
            "error: You must be logged in to the server (Unauthorized)",
            hint="log in again, or see with `kubectl auth whoami` who you are",
        )
    text = f"Error from server ({reason}): {message}" if reason else f"Error from server: {message}"
    if status == 403:
        return ClusterDenied(text, hint="`get` and `list` on what it names are needed; reading is all that is done")
    if status == 404:
        return ClusterNotFound(text)
    if status == 410:
        expired = _Expired(text, hint="the list changed faster than it could be read; type it again")
        expired.proceed = (answer.get("metadata") or {}).get("continue") or ""
        return expired
    return ClusterError(text)


def _unreachable(server: str, error: Exception) -> ClusterError:
    import urllib3

    host = server.partition("://")[2].partition("/")[0]
    if _cause(error, ConnectionRefusedError):
        return ClusterError(
            f"The connection to the server {host} was refused - did you specify the right host or port?",
            hint="see with `kubectl config view --minify` which cluster is chosen",
        )
    if isinstance(error, urllib3.exceptions.SSLError):
        return ClusterError(
            f"Unable to connect to the server: tls: failed to verify certificate: {_plain(error)}",
            hint="give the authority's certificate with --ca-file, or set `certificate-authority` in the kubeconfig",
        )
    is_late = isinstance(error, urllib3.exceptions.TimeoutError)
    if is_late and not isinstance(error, urllib3.exceptions.NewConnectionError):  # which counts itself among them
        return ClusterError(
            f"Unable to connect to the server: {host} did not answer in time",
            hint="is a VPN or a proxy needed? --request-timeout sets how long to wait",
        )
    return ClusterError(f"Unable to connect to the server: {host}: {_plain(error)}")


def _cause(error: BaseException, wanted: type[BaseException]) -> bool:
    return any(isinstance(cause, wanted) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _plain(error: Exception) -> str:
    """The words of the innermost of nested exceptions: those around it name our own objects."""
    *_, cause = _causes(error)
    words = getattr(cause, "verify_message", "") or getattr(cause, "strerror", "") or str(cause)
    return re.sub(r" \(_?ssl\.c:\d+\)", "", str(words))
