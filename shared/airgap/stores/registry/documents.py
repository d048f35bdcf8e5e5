"""Small answers that are read whole: manifests, indexes, lists."""

from __future__ import annotations

from collections.abc import Mapping

from airgap import limits
from airgap.errors import InvalidManifest
from airgap.stores.registry.client import Client, Request
from airgap.stores.registry.retry import Transient


def whole(client: Client, request: Request, what: str) -> tuple[Mapping[str, str], bytes]:
    """The headers and the bytes of an answer; where the connection breaks in between, everything again.

    Raises:
        NotFound, AccessDenied, StoreError: the registry does not give it.
        InvalidManifest: it is larger than a manifest may be.
    """
    failures = 0
    while True:
        response = client.expect(request, f"cannot get {what}", 200)
        data = bytearray()
        try:
            for chunk in client.read(response):
                data += chunk
                if len(data) > limits.MANIFEST:
                    response.close()
                    raise InvalidManifest(f"{what} is larger than {limits.MANIFEST} bytes")
        except Transient as error:
            failures += 1
            client.patience.wait(failures, f"{what}: {error}")
        else:
            return response.headers, bytes(data)
