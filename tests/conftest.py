"""Real servers for every test, and an environment scrubbed of the machine's own settings."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

# A shell that starts us in the background has Ctrl-C ignored, and so would have whatever the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.support.tools",
    "tests.support.registry",
    "tests.support.stored",
    "tests.support.runtimes",
    "tests.support.apiserver",
    "tests.support.s3",
]

_FOREIGN = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "KUBECONFIG",
    "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION",
    "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HELM_REGISTRY_CONFIG", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "NO_COLOR",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _home_of_a_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a module's fixtures push is not remembered in the developer's home, nor in that of another module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XDG_STATE_HOME", raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the developer's logins, certificates, clusters or home."""
    for name in _FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
