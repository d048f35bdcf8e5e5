"""The client library, set up once: whose certificates count, whose login, and how often a request is tried.

boto3 signs and parses. Retries are ours, so that one policy waits, and a stopped run stops waiting.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from airgap import __version__, durable, limits
from airgap.errors import InvalidInput, StoreError
from airgap.references import is_loopback
from airgap.stores import Chunk
from airgap.stores.pace import Pace
from airgap.stores.registry.retry import Patience, Transient
from airgap.stores.registry.trust import Trust
from airgap.stores.s3 import failures

_ENDPOINT: Final = "write it as https://HOST[:PORT]"
_OWN_HOSTS: Final = (".amazonaws.com", ".amazonaws.com.cn")


@dataclass(frozen=True)
class S3Access:
    """How a bucket is reached.

    Attributes:
        endpoint: URL of a store that is not Amazon's; where empty, the AWS environment and profile decide.
        profile: in `~/.aws/config`; where empty, as AWS tools choose it.
        trust: whose certificates count, and who may be spoken to without TLS.
        patience: how often a request is tried.
        workers: how many requests are sent at a time.
        pace: the limit over everything that is sent and received.
    """

    endpoint: str = ""
    profile: str = ""
    trust: Trust = field(default_factory=Trust)
    patience: Patience = field(default_factory=Patience)
    workers: int = limits.WORKERS
    pace: Pace = field(default_factory=Pace)


class _Answer(dict[str, Any]):
    """What a server answered; one that leaves out what it must say is not understood."""

    def __init__(self, said: Mapping[str, Any], host: str) -> None:
        super().__init__(said)
        self._host = host

    def __missing__(self, key: str) -> NoReturn:
        raise StoreError(f"`{self._host}` does not say the `{key}` of what it answers", hint="does it speak S3?")


class Bucket:
    """Requests to one bucket, each tried until it is answered."""

    def __init__(self, name: str, access: S3Access) -> None:
        self.name = name
        self.patience = access.patience
        self._pace = access.pace
        self._client = _connect(access)
        self.host = urlsplit(self._client.meta.endpoint_url).netloc

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def call(self, what: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask for one operation, such as `put_object`.

        Args:
            what: to say when it fails, as in "cannot read `x`".
            operation: boto3's method.
            **arguments: its own, but the bucket.

        Raises:
            NotFound, AccessDenied, StoreError: it was refused, or there was no answer however often it was tried.
            Changed: a condition among the arguments does not hold. Gone: the multipart upload is not there.
        """
        count = 0
        while True:
            self.patience.check()
            self._begin(arguments.get("Body", b""))
            try:
                with self._explained(what):
                    return _Answer(getattr(self._client, operation)(Bucket=self.name, **arguments), self.host)
            except Transient as error:
                count += 1
                self.patience.wait(count, f"{what}: {error}", error.retry_after)

    def read(self, body: Any, what: str) -> Iterator[Chunk]:
        """The body of an answer in large pieces.

        Raises:
            Transient: the connection ended before the body did.
        """
        with contextlib.closing(body):
            while True:
                self.patience.check()
                with self._explained(what):
                    chunk = body.read(limits.CHUNK)
                if not chunk:
                    return
                self._pace.take(len(chunk))
                yield chunk

    def _begin(self, body: Any) -> None:
        """Wait until a body may be sent; one that is read as a file is, and has been sent before, is sent from 0."""
        self._pace.take(len(body))
        if hasattr(body, "seek"):
            body.seek(0)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (BotoCoreError, ClientError, ResponseParserError, HTTPError, OSError, ValueError) as error:
            raise failures.explained(error, what, self.host, self.name) from error


def _connect(access: S3Access) -> Any:
    """A client whose endpoint may be spoken to.

    The machine's own metadata service is asked for a login only where the bucket is Amazon's and there is no other:
    elsewhere nobody answers at its address, or somebody who should not be asked.

    Raises:
        InvalidInput: an endpoint, profile or region that cannot be meant; plain HTTP that the user has not allowed.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if access.endpoint:
        _check_endpoint(access.endpoint, access.trust)
    try:
        client, has_login = _made(access, from_machine=False)
        url = client.meta.endpoint_url
        if not access.endpoint and not (urlsplit(url).hostname or "").endswith(_OWN_HOSTS):
            return _connect(replace(access, endpoint=url))  # named in the environment or the profile
        return client if access.endpoint or has_login else _made(access, from_machine=True)[0]
    except (BotoCoreError, ClientError, ValueError) as error:
        raise failures.misconfigured(error) from error


def _made(access: S3Access, *, from_machine: bool) -> tuple[Any, bool]:
    """A client, and whether it has a login."""
    import boto3
    import botocore.session

    session = botocore.session.Session(profile=access.profile or None)
    if not from_machine:
        session.get_component("credential_provider").remove("iam-role")
    client = boto3.Session(botocore_session=session).client(
        "s3", endpoint_url=access.endpoint or None, config=_config(access, session.get_scoped_config())
    )
    if client.meta.endpoint_url.startswith("https:"):
        client._endpoint.http_session = _session(client.meta.endpoint_url, access, session)
    return client, session.get_credentials() is not None


def _config(access: S3Access, profile: Mapping[str, Any]) -> Any:
    from botocore.config import Config

    chosen = profile.get("s3")
    style = chosen.get("addressing_style") if isinstance(chosen, dict) else None
    return Config(
        retries={"total_max_attempts": 1},
        connect_timeout=limits.CONNECT_SECONDS,
        read_timeout=limits.STALL_SECONDS,
        max_pool_connections=_connections(access),
        # Checksums of a newer kind, sent unasked, are refused by stores that do not know them (boto/boto3#4392).
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra=f"kubectl-airgap/{__version__}",
        s3={"addressing_style": style or "path"} if access.endpoint else None,
    )


def _session(url: str, access: S3Access, session: Any) -> Any:
    """The library's transport with our certificates: it takes one file in place of all others, we add to them."""
    import urllib3
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies

    context = access.trust.context(urlsplit(url).netloc)
    if (
        context.verify_mode is ssl.CERT_NONE
    ):  # which the user asked for by name, and need not be told with every request
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    if own := session.get_config_variable("ca_bundle"):
        with durable.explained(Path(own)):
            context.load_verify_locations(own)

    class Session(URLLib3Session):  # type: ignore[misc]
        def _get_ssl_context(self) -> Any:
            return context

        def _setup_ssl_cert(self, conn: Any, url: str, verify: Any) -> None:
            """The context has decided that."""

    timeouts = (limits.CONNECT_SECONDS, limits.STALL_SECONDS)
    return Session(proxies=get_environ_proxies(url), timeout=timeouts, max_pool_connections=_connections(access))


def _connections(access: S3Access) -> int:
    return access.workers + limits.S3_BUFFERS


def _check_endpoint(url: str, trust: Trust) -> None:
    """Refuse what would be read in two ways, or would send content where everyone on the way can alter it."""
    with _well_formed(url):
        parts = urlsplit(url)
        _ = parts.port
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"`{_shown(url)}` is no endpoint", hint=_ENDPOINT)
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            f"the endpoint `{parts.hostname}` has a login in it", hint="give the login as AWS tools take it"
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidInput(
            f"the endpoint `{_shown(url)}` has a path", hint="the bucket and the path stand in s3://BUCKET/PREFIX"
        )
    if parts.scheme == "http" and not is_loopback(parts.netloc) and parts.netloc not in trust.plain_http:
        raise InvalidInput(
            f"the endpoint `{_shown(url)}` has no TLS: anyone on the way could read and alter what is sent",
            hint=f"if that is meant to be, say --plain-http {parts.netloc}",
        )


@contextlib.contextmanager
def _well_formed(url: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise InvalidInput(
            f"`{_shown(url)}` is no endpoint: {error}", hint="write it as https://HOST[:PORT]"
        ) from error


def _shown(url: str) -> str:
    """A URL without the login that may stand in it."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]
