"""Requests to one registry: authenticated, redirected and retried by rules of ours, never by a library's.

Rules, by their numbers in the transfer literature of this project (docs/registries.md): a 401 at any moment is a
request for a token; redirects are followed by hand and carry no credentials to another origin; bodies are streamed;
`Retry-After` is obeyed.
"""

from __future__ import annotations

import email.utils
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from airgap import limits
from airgap.errors import AccessDenied, StoreError
from airgap.references import DOCKER_HUB, is_loopback
from airgap.stores.pace import Pace
from airgap.stores.registry import credentials
from airgap.stores.registry.authentication import Authenticator
from airgap.stores.registry.courtesy import Courtesy
from airgap.stores.registry.elsewhere import joined, origin_of, refusal
from airgap.stores.registry.explaining import cause, explained, wants_login
from airgap.stores.registry.line import Timeouts
from airgap.stores.registry.mirrors import Endpoint
from airgap.stores.registry.refusals import Refusal, failure, refused
from airgap.stores.registry.retry import STATUSES, Patience, Transient
from airgap.stores.registry.session import Answer, Session, proxy_for, without_login
from airgap.stores.registry.trust import Trust

_HUB_HOST: Final = "registry-1.docker.io"
_RENEWALS: Final = 2
_SKEW_SECONDS: Final = 60  # that registries allow clocks to differ by


@dataclass(frozen=True)
class Request:
    """One request; `body` is opened anew for every attempt."""

    method: str
    url: str  # a path below the registry, or an absolute URL that it gave us
    repository: str = ""
    actions: str = "pull"
    headers: dict[str, str] = field(default_factory=dict)
    body: Callable[[], Any] | None = None
    retried: bool = True
    by_login: bool = False  # with the user's login at once, for interfaces that never ask for one

    @property
    def scope(self) -> str:
        """The access it needs, as token servers are asked for it."""
        return f"repository:{self.repository}:{self.actions}" if self.repository else ""


class Connections:
    """One client a registry host, made when it is first spoken to; all of a run share their manners.

    Args:
        trust: whose certificates count.
        workers: requests at a time to one host.
        patience: when to try again, and what stops the run.
        pace: how fast bytes may move.
        timeouts: how long a connection may stand still.
        note: told what a person should know though the work goes on.
    """

    def __init__(
        self,
        trust: Trust | None = None,
        *,
        workers: int = limits.WORKERS,
        patience: Patience | None = None,
        pace: Pace | None = None,
        timeouts: Timeouts | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.trust = trust or Trust()
        self.workers = workers
        self.patience = patience or Patience()
        self.pace = pace or Pace()
        self.timeouts = timeouts or Timeouts()
        self.courtesy = Courtesy(self.patience, workers, note)
        self._clients: dict[tuple[str, bool], Client] = {}
        self._lock = threading.Lock()

    def client(self, endpoint: Endpoint) -> Client:
        """The client for an endpoint's host."""
        plain = endpoint.plain_http or endpoint.host in self.trust.plain_http
        with self._lock:
            if (endpoint.host, plain) not in self._clients:
                self._clients[endpoint.host, plain] = Client(endpoint.host, self, plain_http=plain)
            return self._clients[endpoint.host, plain]


class Client:
    """Speaks to one registry host."""

    def __init__(self, host: str, connections: Connections, *, plain_http: bool) -> None:
        self.host = host
        self.patience = connections.patience
        self.gate = connections.courtesy.gate(host)
        self._real_host = _HUB_HOST if host == DOCKER_HUB else host
        self._plain_http = plain_http
        self._connections = connections
        self._sessions: dict[bool, Session] = {}  # at home, elsewhere; made when first needed
        self._authenticator: Authenticator | None = None
        self._answered: set[str] = set()  # hosts that have
        self._proxies: dict[str, str] = {}  # by origin
        self._lock = threading.Lock()
        self._session_lock = threading.Lock()

    def send(self, request: Request) -> Answer:
        """Send a request until it is answered; the answer's body has not been read yet.

        Returns:
            An answer of any status but 401 and those worth a retry.

        Raises:
            StoreError: no answer, or none but those, however often it was tried.
            AccessDenied: the registry wants a login that there is none for.
        """
        failures = 0
        while True:
            self.patience.check()
            try:
                response = self._in_turn(request)
                if response.status_code not in STATUSES or not request.retried:
                    return response
                said = Refusal.of(response)
                if not said.may_pass:
                    raise said.error(f"cannot use `{request.repository or self.host}`", self.host)
                why, retry_after = f"`{self.host}` answered {said}", said.retry_after
            except Transient as error:
                if not request.retried:
                    raise
                why, retry_after = str(error), error.retry_after
            failures += 1
            self.patience.wait(failures, why, retry_after)

    def expect(self, request: Request, what: str, *statuses: int) -> Answer:
        """Send a request whose answer must have one of `statuses`.

        Raises:
            NotFound: 404. AccessDenied: 401 or 403. StoreError: anything else; all with the registry's own words.
        """
        response = self.send(request)
        if response.status_code in statuses:
            return response
        raise failure(response, what, self.host)

    def read(self, response: Answer) -> Iterator[memoryview | bytes]:
        """The body in large pieces.

        Raises:
            Transient: the connection ended before the body did.
        """
        import urllib3.exceptions

        pace = self._connections.pace
        try:
            while chunk := response.raw.read(pace.piece, decode_content=False):
                self.patience.check()
                pace.take(len(chunk))
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Transient(f"the connection to `{self.host}` broke: {cause(error)}") from error
        finally:
            response.close()

    def absolute(self, url: str) -> str:
        """A path, or a location the registry gave, as a full URL."""
        return joined(self._connected().origin + "/", url)

    def _in_turn(self, request: Request) -> Answer:
        """One exchange, when it is its turn; what the host says of its limits is kept."""
        with self.gate.turn() as epoch:
            response = self._authenticated(request)
        self._connections.courtesy.heard(self.host, response.headers)
        try:
            self.gate.heard(epoch, response.status_code, response.headers.get("Retry-After", ""))
        except StoreError:
            response.close()
            raise
        return response

    def _authenticated(self, request: Request) -> Answer:
        """One exchange, with a fresh header after each 401; more than two in a row are a no."""
        authenticator = self._connected()
        header = authenticator.basic() if request.by_login else authenticator.header(request.scope, request.repository)
        for _ in range(_RENEWALS + 1):
            response, at_home = self._redirected(request, header)
            if response.status_code != 401:
                return response
            words = refused(response)
            if not at_home:  # whoever we were sent to may ask for a login, but it is not theirs
                raise AccessDenied(f"`{self.host}` sends us to a place that answered {words}")
            if request.by_login:
                raise AccessDenied(f"`{self.host}` answered {words}")
            challenge = response.headers.get("WWW-Authenticate", "") or self._asked_at_the_door()
            if not challenge and not header:
                raise AccessDenied(f"`{self.host}` answered {words}")
            header = authenticator.answer(challenge, request.scope, request.repository, header) if challenge else ""
        raise AccessDenied(
            f"`{self.host}` refuses the login for `{request.repository or self.host}`: {words}",
            hint=_skew(response)
            or f"log in again, and check that the user may {request.actions.replace(',', ' and ')} there",
        )

    def _asked_at_the_door(self) -> str:
        """What `/v2/` asks for: some old registries say it nowhere else."""
        response, at_home = self._redirected(Request("GET", "/v2/"), "")
        response.close()
        return response.headers.get("WWW-Authenticate", "") if at_home and response.status_code == 401 else ""

    def _redirected(self, request: Request, header: str) -> tuple[Answer, bool]:
        """One exchange, with GET and HEAD redirects followed by hand; and whether the registry itself answered."""
        origin = self._connected().origin
        url = self.absolute(request.url)
        for _ in range(limits.REDIRECTS + 1):
            at_home = origin_of(url) == origin_of(origin)
            sent = dict(request.headers) | ({"Authorization": header} if header and at_home else {})
            session = self._session(at_home=at_home)
            response = self._exchange(session, request.method, url, sent, request.body)
            location = response.headers.get("Location", "")
            if not response.is_redirect or request.method not in ("GET", "HEAD"):
                return response, at_home
            response.close()
            url = joined(url, location)
            why = refusal(url, origin)
            if why:
                raise StoreError(f"`{self.host}` sends us to a place that is refused: {why}")
        raise StoreError(f"`{self.host}` redirects more than {limits.REDIRECTS} times")

    def _session(self, *, at_home: bool) -> Session:
        """The registry's own session, or the one for other hosts, which has none of its client certificates."""
        with self._session_lock:
            if at_home not in self._sessions:
                trust, name = self._connections.trust, self.host if at_home else ""
                self._sessions[at_home] = Session(
                    lambda: trust.context(name), self._connections.workers + 2, self._connections.timeouts
                )
            return self._sessions[at_home]

    def _exchange(
        self, session: Session, method: str, url: str, headers: dict[str, str], body: Callable[[], Any] | None
    ) -> Answer:
        import urllib3.exceptions

        proxy = self._proxy(url)
        try:
            content = self._connections.pace.sending(body()) if body else None
            response = session.request(method, url, headers, content, proxy)
        except urllib3.exceptions.HTTPError as error:
            place = self._place(url)
            known = place in self._answered
            raise explained(error, place, proxy=without_login(proxy), known=known) from error
        except ValueError as error:  # an address that only some parsers take for one
            raise StoreError(f"`{self.host}` names an address that is none") from error
        self._answered.add(self._place(url))
        if response.status_code == 407 and proxy:
            response.close()
            raise wants_login(without_login(proxy))
        return response

    def _proxy(self, url: str) -> str:
        """The proxy on the way; the environment is read once for a host, as it is read slowly."""
        origin = origin_of(url)
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(url)
        return self._proxies[origin]

    def _place(self, url: str) -> str:
        """Who is asked, as people know it."""
        place = urlsplit(url).netloc
        return self.host if place == self._real_host else place

    def _connected(self) -> Authenticator:
        """The authenticator, once it is known how the host is reached."""
        if self._authenticator is None:
            with self._lock:
                if self._authenticator is None:
                    self._authenticator = Authenticator(self._origin(), self._login_for, self._fetch)
        return self._authenticator

    def _origin(self) -> str:
        """https, unless the user said plain, or a registry on loopback does not speak TLS."""
        if self._plain_http:
            return f"http://{self._real_host}"
        if is_loopback(self.host) and not _speaks_tls(self._real_host, self._connections.timeouts.connect):
            return f"http://{self._real_host}"
        return f"https://{self._real_host}"

    def _login_for(self, repository: str) -> credentials.Login | None:
        return credentials.find(self.host, repository)

    def _fetch(self, method: str, url: str, form: dict[str, str] | None, headers: dict[str, str]) -> Answer:
        """A request to a token server: its own session, so that nothing of the registry's comes along."""
        session = self._session(at_home=False)
        return self._exchange(session, method, url, headers, (lambda: form) if form else None)


def _skew(response: Answer) -> str:
    """A hint, where a server's clock is so far from ours that tokens are not valid yet, or no more."""
    try:
        theirs = email.utils.parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return ""
    seconds = round(theirs - time.time())
    if abs(seconds) < _SKEW_SECONDS:
        return ""
    return f"its clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} ours, and logins end by the clock"


def _speaks_tls(host: str, seconds: float) -> bool:
    """Whether a loopback server starts a TLS handshake; whose certificate it has does not matter here."""
    parts = urlsplit(f"//{host}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's certificates, which take time to read
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((parts.hostname or "", parts.port or 443), seconds) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname),
        ):
            return True
    except ssl.SSLError as error:
        reason = error.reason or ""  # an alert, or a version that is too old, is TLS all the same
        return "ALERT" in reason or "PROTOCOL" in reason
    except OSError:
        return parts.port != 80  # nothing answers; the request itself will say so
