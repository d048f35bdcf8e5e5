"""What nine registries in the field do otherwise, as rules of the proxy before the real registry.

Each profile is what was reported of the registry by name; the sources stand with it. None of them is the registry
itself: what is asserted is that we come through, and that every byte is right. Sizes are a sixteenth of the real ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Final

from airgap.limits import MIB
from tests.support.faultproxy import Answer, Fault

ALWAYS: Final = 10**9
SCALE: Final = 16
UPLOADS: Final = "/blobs/uploads/"
LEAST: Final = 8 * MIB // SCALE  # of ECR's chunks
MOST: Final = 4 * MIB // SCALE  # of GHCR's


@dataclass(frozen=True)
class Profile:
    """A registry's ways.

    Attributes:
        faults: made anew for each test, as they count.
        auth: how it wants to be told who asks: "", "basic" or "token".
        token_seconds: what its tokens live.
        refused: uploads that it refuses until its way is known, of however many blobs.
    """

    faults: Callable[[], list[Fault]]
    auth: str = ""
    token_seconds: int = 300
    refused: int = 0


def refusing(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)


def changed(status: int | None = None, **headers: str) -> Callable[[Answer], Answer]:
    """The server's answer with another status or other headers."""

    def alter(answer: Answer) -> Answer:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        kept = answer.without(*(key.lower() for key in named))
        return Answer(status or answer.status, [*kept, *named.items()], answer.body)

    return alter


def only_good(alter: Callable[[Answer], Answer]) -> Callable[[Answer], Answer]:
    return lambda answer: alter(answer) if answer.status < 300 else answer


def everything(alter: Callable[[Answer], Answer]) -> list[Fault]:
    return [Fault(method, "/v2/", ALWAYS, alter=alter) for method in ("GET", "HEAD", "POST", "PATCH", "PUT")]


def is_ranged(headers: Message, _size: int) -> bool:
    return "Content-Range" in headers


def harbor() -> list[Fault]:
    """Takes whoever returns its cookie for a browser (goharbor/harbor#11682)."""
    forbidden = refusing(403, "FORBIDDEN", "CSRF token invalid")
    methods = ("GET", "HEAD", "POST", "PATCH", "PUT")
    cookies = [Fault(m, "/v2/", ALWAYS, answer=forbidden, when=lambda headers, _: "Cookie" in headers) for m in methods]
    late = refusing(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")  # a replica that lags: harbor#22417
    return [*cookies, Fault("PUT", "/manifests/", 1, answer=late), *everything(changed(Set_Cookie="sid=1; Path=/"))]


def ecr() -> list[Fault]:
    """201 to PATCH (tart#273), a Range that stays as it was (aws/containers-roadmap#2831), a least size of chunks."""
    refused = refusing(416, "SIZE_INVALID", "the part is too small")

    def too_small(headers: Message, size: int) -> bool:
        return size < LEAST and str(headers.get("Content-Range", "")).startswith("0-")

    return [
        Fault("POST", UPLOADS, ALWAYS, alter=only_good(changed(OCI_Chunk_Min_Length=str(LEAST)))),
        Fault("PATCH", UPLOADS, ALWAYS, answer=refused, when=too_small),
        Fault("PATCH", UPLOADS, ALWAYS, alter=only_good(changed(201, Range="0-1048575"))),
    ]


def google() -> list[Fault]:
    """No chunks at all (its documentation; dotnet/sdk-container-builds#287)."""
    refused = refusing(400, "UNSUPPORTED", "chunked uploads are not supported")
    return [Fault("PATCH", UPLOADS, ALWAYS, answer=refused)]


def ghcr() -> list[Fault]:
    """No chunk above 4 MiB (oras-project/rust-oci-client#35)."""
    words = "the request body is too large and exceeds the maximum permissible limit of 4.00MiB"
    refused = refusing(416, "REQUESTED_RANGE_NOT_SATISFIABLE", words)

    def too_large(headers: Message, size: int) -> bool:
        return is_ranged(headers, size) and size > MOST

    return [Fault("PATCH", UPLOADS, ALWAYS, answer=refused, when=too_large)]


def quay() -> list[Fault]:
    """No mount without `from` (quay#899), and trouble with chunks after the first (oras-py#137)."""
    no_source = refusing(400, "BLOB_UPLOAD_INVALID", "missing from")
    trouble = refusing(400, "BLOB_UPLOAD_INVALID", "blob upload invalid")
    return [
        Fault("POST", r"\?mount=[^&]*$", ALWAYS, answer=no_source),
        Fault("PATCH", UPLOADS, ALWAYS, answer=trouble, when=is_later),
    ]


def is_later(headers: Message, _size: int) -> bool:
    return is_ranged(headers, 0) and not str(headers["Content-Range"]).startswith("0-")


def nexus() -> list[Fault]:
    """`BASIC` in capitals (dotnet/sdk-container-builds#527), locations from the root, manifests by another type."""

    def from_root(answer: Answer) -> Answer:
        location = answer.header("Location")
        path = "/" + location.split("/", 3)[3] if location else ""
        return changed(Location=path)(answer) if path else answer

    def spelled(answer: Answer) -> Answer:
        return changed(WWW_Authenticate='BASIC realm="Nexus"')(answer) if answer.status == 401 else from_root(answer)

    served = only_good(changed(Content_Type="application/json"))
    return [Fault("GET", "/manifests/", ALWAYS, alter=lambda a: spelled(served(a))), *everything(spelled)]


def artifactory() -> list[Fault]:
    """No body in the closing PUT (containerd/containerd#3533, docker/buildx#196)."""
    refused = refusing(404, "BLOB_UNKNOWN", "blob unknown to registry")
    return [Fault("PUT", UPLOADS, ALWAYS, answer=refused, when=lambda _, size: size > 0)]


def gitlab() -> list[Fault]:
    """Tokens end while a blob is on its way: after five minutes there, after two seconds here."""

    def slow(answer: Answer) -> Answer:
        time.sleep(0.7)
        return answer

    return [Fault("PATCH", UPLOADS, ALWAYS, alter=slow)]


def docker_hub() -> list[Fault]:
    """Too many requests now and then, and a token server elsewhere."""
    busy = refusing(429, "TOOMANYREQUESTS", "You have reached your pull rate limit")
    busy.headers.append(("Retry-After", "0"))
    return [Fault("GET", "/manifests/", 2, answer=busy), Fault("PUT", "/manifests/", 1, answer=busy)]


PROFILES: Final = {
    "harbor": Profile(harbor, "basic"),
    "ecr": Profile(ecr, "basic"),
    "google": Profile(google, refused=1),
    "ghcr": Profile(ghcr, refused=1),
    "quay": Profile(quay, refused=1),
    "nexus": Profile(nexus, "basic"),
    "artifactory": Profile(artifactory, refused=1),
    "gitlab": Profile(gitlab, "token", token_seconds=2),
    "docker-hub": Profile(docker_hub, "token"),
}
