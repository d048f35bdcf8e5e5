"""What an S3 server, or the client library, means by its refusal: worth another attempt, or what to do instead."""

from __future__ import annotations

import socket
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from airgap.errors import AccessDenied, AirgapError, InvalidInput, NotFound, StoreError
from airgap.stores.registry.explaining import cause, innermost, tls_failure
from airgap.stores.registry.retry import STATUSES, Transient

CHANGED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_PASSING: Final = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted"})
_LOGIN: Final = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})
_REGION: Final = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_HOW_TO_LOG_IN: Final = (
    "give a login as AWS tools take it: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile with --s3-profile"
)


class Changed(StoreError):
    """A conditional write found something else than it was to find."""


class Gone(StoreError):
    """A multipart upload, or a part of it, is not there any more."""


class Unsupported(StoreError):
    """The store does not know what was asked for."""


class NoBucket(NotFound):
    """It is the bucket that is not there, not only a key in it."""


def explained(error: Exception, what: str, host: str, bucket: str) -> Exception:
    """The exception to raise for one of botocore's.

    Args:
        error: what it raised.
        what: that was tried, as in "cannot read `x`".
        host: of the endpoint.
        bucket: that was asked.

    Returns:
        `Transient` for this package, or an error for the user.
    """
    from botocore import exceptions
    from urllib3.exceptions import HTTPError

    if isinstance(error, exceptions.ClientError):
        return _refusal(error.response, what, host, bucket)
    if isinstance(error, exceptions.SSLError):
        return tls_failure(innermost(error), host)
    if isinstance(error, exceptions.EndpointConnectionError):
        return _unreachable(error, host)
    if isinstance(error, exceptions.ProxyConnectionError):
        return StoreError(f"the proxy on the way to `{host}` refuses", hint="check HTTPS_PROXY and NO_PROXY")
    broken = exceptions.ConnectionError | exceptions.HTTPClientError | exceptions.IncompleteReadError
    if isinstance(error, broken | HTTPError | OSError):
        return Transient(f"the connection to `{host}` broke: {_one_line(cause(error))}")
    return misconfigured(error)


def misconfigured(error: Exception) -> AirgapError:
    """What the client library finds wrong before it asks anybody: logins, profiles, regions."""
    from botocore import exceptions

    text = _one_line(str(error))
    if isinstance(error, exceptions.NoCredentialsError):
        return AccessDenied("there is no login for S3", hint=_HOW_TO_LOG_IN)
    if isinstance(error, exceptions.PartialCredentialsError | exceptions.CredentialRetrievalError):
        return AccessDenied(f"the login for S3 cannot be used: {text}", hint=_HOW_TO_LOG_IN)
    if isinstance(error, exceptions.ProfileNotFound):
        return InvalidInput(f"there is no such profile: {text}", hint="see ~/.aws/config; `aws configure` writes it")
    return InvalidInput(f"S3 cannot be used like this: {text}", hint="check the AWS_… variables and ~/.aws/config")


def _refusal(response: dict[str, Any], what: str, host: str, bucket: str) -> Exception:
    """An answer that was no success."""
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    code = str(response.get("Error", {}).get("Code", ""))
    said = f"`{host}` answered {_said(response, status, code)}"
    if code in CHANGED:
        return Changed(f"{what}: {said}")
    if code in ("NoSuchUpload", "InvalidPart"):
        return Gone(f"{what}: {said}")
    if code in _PASSING or status in STATUSES:
        return Transient(said, _header(response, "retry-after"))
    if code in _REGION or status in (301, 307):
        return _elsewhere(response, f"{what}: {said}", bucket)
    if code == "RequestTimeTooSkewed":
        return StoreError(f"{what}: {said}", hint=_skew(response))
    return _permanent(status, code, f"{what}: {said}", bucket)


def _permanent(status: int, code: str, message: str, bucket: str) -> AirgapError:
    if code == "NoSuchBucket":
        return NoBucket(message, hint=f"make the bucket `{bucket}` first, or check its name and --s3-endpoint")
    if code in _LOGIN or status == 401:
        return AccessDenied(message, hint=_HOW_TO_LOG_IN)
    if status == 403:
        hint = f"the login needs s3:GetObject, s3:ListBucket and, to write, s3:PutObject for the bucket `{bucket}`"
        return AccessDenied(message, hint=hint)
    if status == 501 or code == "NotImplemented":
        return Unsupported(message)
    return NotFound(message) if status == 404 else StoreError(message)


def _elsewhere(response: dict[str, Any], message: str, bucket: str) -> StoreError:
    """A bucket of another region: nothing signed is sent after a redirect that we have not understood."""
    region = str(response.get("Error", {}).get("Region", "")) or _header(response, "x-amz-bucket-region")
    hint = f"the bucket `{bucket}` is in another region; set AWS_DEFAULT_REGION"
    return StoreError(message, hint=f"{hint}={region}" if region.replace("-", "").isalnum() else hint)


def _skew(response: dict[str, Any]) -> str:
    """How far this machine's clock is from the server's, which tells its own beside the refusal."""
    told = str(response.get("Error", {}).get("ServerTime", ""))
    try:
        there = datetime.fromisoformat(told) if told else parsedate_to_datetime(_header(response, "date"))
        seconds = round(time.time() - there.timestamp())
    except (TypeError, ValueError, OverflowError):
        return "set this machine's clock"
    return f"this machine's clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} the server's; set it"


def _said(response: dict[str, Any], status: int, code: str) -> str:
    message = _one_line(str(response.get("Error", {}).get("Message", "")))
    return " ".join(word for word in (str(status), "" if code == str(status) else code) if word) + (
        f": {message}" if message else ""
    )


def _header(response: dict[str, Any], name: str) -> str:
    return str(response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(name, ""))


def _unreachable(error: Exception, host: str) -> Exception:
    root = innermost(error)
    if isinstance(root, ConnectionRefusedError):
        return StoreError(f"`{host}` refuses the connection", hint="is it running, and is this its port?")
    if isinstance(root, socket.gaierror):
        return StoreError(f"`{host}` is not known: {root.strerror}", hint="check --s3-endpoint, the region, and DNS")
    return Transient(f"the connection to `{host}` broke: {_one_line(cause(error))}")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")
