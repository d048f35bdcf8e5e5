"""Faults of TLS and of proxies, by their numbers in the catalogue (docs/faults.md)."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.faultproxy import Answer, Fault, FaultProxy, fault_proxy
from tests.support.rawserver import forward_proxy, raw_server
from tests.support.registry import Authority, free_port, make_authority
from tests.support.stored import BLOBS, Stored, impatient

from airgap.errors import StoreError
from airgap.references import Reference
from airgap.stores.registry import Connections, RegistryStore, Trust
from airgap.stores.registry.retry import Patience


def serving_with(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    return context


def store_that_trusts(ca_file: Path | None) -> RegistryStore:
    return RegistryStore(Connections(Trust(ca_file, certs_d=()), patience=Patience(attempts=3, backoff=0.01)))


CERTIFICATES = {
    "expired": ({"leaf_days": -1}, "has expired", "clock"),
    "expired-ca": ({"good_for_days": -1}, "has expired", "clock"),
    "wrong-host": ({"names": ("other.test",)}, "is for another address", "a name that is in its certificate"),
    "self-signed": ({"self_signed": True}, "is signed by itself", "--ca-file"),
}


@pytest.mark.parametrize(
    ("made", "words", "hint"), [pytest.param(*value, id=f"F33-{key}") for key, value in CERTIFICATES.items()]
)
def test_what_is_wrong_with_a_certificate_is_said_once_with_what_helps(
    stored: Stored, tmp_path: Path, made: dict[str, object], words: str, hint: str
) -> None:
    authority = make_authority(tmp_path, **made)  # type: ignore[arg-type]
    with fault_proxy(stored.registry.host, tls=serving_with(authority)) as proxy:
        with pytest.raises(StoreError, match=f"the certificate of `{proxy.host}` {words}") as caught:
            store_that_trusts(authority.ca_file).resolve(stored.reference(proxy.host))
        assert proxy.requests == []
    assert hint in caught.value.hint


def test_f33_a_certificate_for_another_name_is_said_to_be_one(stored: Stored, tmp_path: Path) -> None:
    authority = make_authority(tmp_path, names=("other.test", "127.0.0.1"))
    with fault_proxy(stored.registry.host, tls=serving_with(authority)) as proxy:
        host = proxy.host.replace("127.0.0.1", "localhost")
        with pytest.raises(StoreError, match="is for another name"):
            store_that_trusts(authority.ca_file).resolve(stored.reference(host))


def test_f33_a_certificate_of_an_unknown_ca_names_the_flag_and_the_file(stored: Stored, authority: Authority) -> None:
    with fault_proxy(stored.registry.host, tls=serving_with(authority)) as proxy:
        with pytest.raises(StoreError, match="signed by a CA that is not trusted") as caught:
            store_that_trusts(None).resolve(stored.reference(proxy.host))
        assert f"/etc/docker/certs.d/{proxy.host}/ca.crt" in caught.value.hint
        assert "--ca-file" in caught.value.hint
        assert store_that_trusts(authority.ca_file).resolve(stored.reference(proxy.host))


def test_f33_the_command_says_the_same(stored: Stored, authority: Authority, tmp_path: Path) -> None:
    with fault_proxy(stored.registry.host, tls=serving_with(authority)) as proxy:
        image, bundle = stored.reference(proxy.host), tmp_path / "x.tar"
        done = kubectl_airgap("pack", "--image", image, "-o", bundle)
        check_refusal(done, 4, "signed by a CA that is not trusted", "--ca-file FILE")
        done = kubectl_airgap("pack", "--image", image, "-o", bundle, "--ca-file", authority.ca_file)
        assert done.returncode == 0, done.stderr
        done = kubectl_airgap("pack", "--image", image, "-o", bundle, "--insecure-skip-tls-verify", proxy.host)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr


def test_f33_tls_that_is_too_old_is_said_to_be(stored: Stored, authority: Authority) -> None:
    context = serving_with(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
    with fault_proxy(stored.registry.host, tls=context) as proxy:
        with pytest.raises(StoreError, match=r"speaks only TLS that is older than 1\.2") as caught:
            store_that_trusts(authority.ca_file).resolve(Reference("localhost:" + proxy.host[10:], "a/b", "1"))
        assert proxy.requests == []
    assert "TLS 1.2" in caught.value.hint


def test_a_connection_that_breaks_in_the_handshake_is_tried_again(authority: Authority) -> None:
    def hang_up(connection: object, _over: threading.Event) -> None:
        connection.recv(100)  # type: ignore[attr-defined]

    with raw_server(hang_up) as server:
        host = server.host
        store = RegistryStore(Connections(patience=Patience(attempts=3, backoff=0.01)))
        with pytest.raises(StoreError, match="tried 3 times"):
            store.resolve(Reference(host, "a/b", "1"))


def test_f27_a_redirect_from_https_to_http_is_refused(stored: Stored, authority: Authority) -> None:
    with fault_proxy(stored.registry.host) as plain:
        away = Answer(307, [("Location", f"http://{plain.host}/x"), ("Content-Length", "0")], b"")
        with fault_proxy(stored.registry.host, Fault("GET", BLOBS, answer=away), tls=serving_with(authority)) as proxy:
            store = store_that_trusts(authority.ca_file)
            with pytest.raises(StoreError, match="by http, although the registry is by https"):
                list(store.blob(f"{proxy.host}/{stored.repository}", stored.layer))
        assert plain.requests == []


NAME = "registry.test:5000"


def address(proxy: FaultProxy, login: str = "") -> str:
    return f"http://{login}{'@' if login else ''}{proxy.host}"


def plain_http() -> RegistryStore:
    trust = Trust(plain_http=frozenset({NAME}))
    return RegistryStore(Connections(trust, patience=Patience(attempts=3, backoff=0.01)))


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_f34_a_proxy_that_the_environment_names_is_used(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with forward_proxy(stored.registry.host) as proxy:
        monkeypatch.setenv(variable, address(proxy))
        assert b"".join(map(bytes, plain_http().blob(f"{NAME}/{stored.repository}", stored.layer))) == stored.content
        assert proxy.requests[0].startswith(f"GET http://{NAME}/v2/")


@contextlib.contextmanager
def tls_behind_a_proxy(stored: Stored, directory: Path, login: str = "") -> Iterator[tuple[FaultProxy, Path]]:
    """A TLS registry called `registry.test` that only a proxy knows the way to; the proxy, and the registry's CA."""
    authority = make_authority(directory, names=("registry.test",))
    with (
        fault_proxy(stored.registry.host, tls=serving_with(authority)) as registry,
        forward_proxy(registry.host, login) as proxy,
    ):
        yield proxy, authority.ca_file


def test_f34_a_tls_registry_is_reached_through_a_tunnel_with_its_own_certificate(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with tls_behind_a_proxy(stored, tmp_path, "user:pass") as (proxy, ca_file):
        monkeypatch.setenv("HTTPS_PROXY", address(proxy, "user:pass"))
        store = store_that_trusts(ca_file)
        assert b"".join(map(bytes, store.blob(f"{NAME}/{stored.repository}", stored.layer))) == stored.content
        assert set(proxy.requests) == {f"CONNECT {NAME}"}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("login", ["", "user:wr0ng-s3cret"])
def test_f34_a_proxy_that_wants_a_login_is_named_without_one(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str, login: str
) -> None:
    with tls_behind_a_proxy(stored, tmp_path, "user:pass") as (proxy, ca_file):
        monkeypatch.setenv(f"{scheme}_proxy", address(proxy, login))
        store = plain_http() if scheme == "http" else store_that_trusts(ca_file)
        with pytest.raises(StoreError, match=f"the proxy `{proxy.host}` asks for a login") as caught:
            store.resolve(Reference(NAME, stored.repository, "1"))
        assert len(proxy.requests) == 1
    assert "s3cret" not in caught.value.message + caught.value.hint
    assert "HTTPS_PROXY=" in caught.value.hint


@pytest.mark.parametrize("exempt", ["registry.test", ".test", "*", "other.host,registry.test:5000"])
def test_f34_no_proxy_is_honoured(stored: Stored, monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    with forward_proxy(stored.registry.host) as proxy:
        monkeypatch.setenv("HTTP_PROXY", address(proxy))
        monkeypatch.setenv("http_proxy", address(proxy))
        monkeypatch.setenv("NO_PROXY", exempt)
        with pytest.raises(StoreError, match=r"`registry\.test:5000` is not known"):
            plain_http().resolve(Reference(NAME, stored.repository, "1"))
        assert proxy.requests == []


def test_f34_a_registry_on_this_machine_is_never_asked_for_through_a_proxy(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert impatient().resolve(stored.reference(stored.registry.host))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_f34_a_proxy_that_is_down_is_named_without_its_login(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv(f"{scheme}_proxy", f"http://user:s3cret@{place}")
    store = plain_http() if scheme == "http" else store_that_trusts(None)
    with pytest.raises(StoreError, match=f"the proxy `{place}` on the way to `{NAME}` cannot be used") as caught:
        store.resolve(Reference(NAME, "a/b", "1"))
    assert "s3cret" not in caught.value.message + caught.value.hint
