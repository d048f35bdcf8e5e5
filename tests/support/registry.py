"""The CNCF distribution registry, as Debian ships it, in every way of asking who is there."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import ipaddress
import json
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from airgap.stores.registry import Connections, RegistryStore, Trust
from airgap.stores.registry.retry import Patience
from tests.support.tools import require


@dataclass(frozen=True)
class Registry:
    """A running registry."""

    host: str  # HOST:PORT
    data: Path  # its storage
    log: Path  # what it was asked
    ca_file: Path | None = None

    def repository(self) -> str:
        """A name nobody has used yet."""
        return f"{self.host}/test/{uuid4().hex[:12]}"

    def blob_file(self, digest: str) -> Path:
        """Where it keeps a blob; damaging that is the easiest way to a lying source."""
        algorithm, _, hexadecimal = digest.partition(":")
        return self.data / "docker/registry/v2/blobs" / algorithm / hexadecimal[:2] / hexadecimal / "data"

    def requests(self) -> list[str]:
        """The requests of its access log, such as `HEAD /v2/test/1234/manifests/1`."""
        lines = self.log.read_text().splitlines()
        return [line.split('"')[1].rpartition(" HTTP/")[0] for line in lines if '" ' in line and "HTTP/1" in line]


@contextlib.contextmanager
def serving_registry(directory: Path, **settings: object) -> Iterator[Registry]:
    """A registry on loopback, with more of its configuration in `settings`."""
    with restarting_registry(directory, **settings) as restarting:
        yield restarting.running


@dataclass
class Restarting:
    """A registry that can be killed, and started again at the same port with the same storage."""

    directory: Path
    port: int
    settings: dict[str, object]
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> Registry:
        ca = self.settings.get("ca")
        return Registry(self.host, self.directory / "data", self.directory / "log", Path(str(ca)) if ca else None)

    def start(self, secret: str = "a secret of these tests") -> None:
        log = self.directory / "log"
        with log.open("ab") as out:
            command = [require("docker-registry"), "serve", str(self._configured(secret))]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        wait_for_port(self.port, self.process, log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(10)

    def _configured(self, secret: str) -> Path:
        settings = dict(self.settings)
        tls, http = settings.pop("tls", None), settings.pop("http", {})
        config = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.directory / "data")}, "delete": {"enabled": True}},
            **settings,
            "http": {"addr": self.host, "secret": secret, **({"tls": tls} if tls else {}), **dict(http)},  # type: ignore[call-overload]
        }
        path = self.directory / "config.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        return path


@contextlib.contextmanager
def restarting_registry(directory: Path, **settings: object) -> Iterator[Restarting]:
    """One that may be killed meanwhile."""
    restarting = Restarting(directory, free_port(), dict(settings))
    restarting.start()
    try:
        yield restarting
    finally:
        restarting.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the server ended: {log.read_text()[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    pytest.fail(f"no server at port {port}: {log.read_text()[-2000:]}")


def store_for(registry: Registry, **more: object) -> RegistryStore:
    """A store that reaches the registry, with waits too short to notice."""
    trust = Trust.of(registry.ca_file)
    return RegistryStore(Connections(trust, patience=Patience(backoff=0.01)))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks nobody who they are."""
    with serving_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def other_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A second one: the far side of the gap."""
    with serving_registry(tmp_path_factory.mktemp("other-registry")) as running:
        yield running


USER, PASSWORD = "robot$ci", "c4n4ry-s3cret"


@pytest.fixture(scope="session")
def basic_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One that wants USER and PASSWORD by Basic authentication."""
    directory = tmp_path_factory.mktemp("basic-registry")
    done = subprocess.run([require("htpasswd"), "-Bbn", USER, PASSWORD], capture_output=True, check=True)
    (directory / "htpasswd").write_bytes(done.stdout)
    auth = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    with serving_registry(directory, auth=auth) as running:
        yield running


@dataclass(frozen=True)
class Authority:
    """A private CA, and a certificate for 127.0.0.1 and localhost that it signed."""

    ca_file: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


LOOPBACK: Final = ("localhost", "127.0.0.1")


def make_authority(
    directory: Path,
    *,
    good_for_days: int = 2,
    leaf_days: int = 2,
    names: Sequence[str] = LOOPBACK,
    self_signed: bool = False,
) -> Authority:
    """Make one; a negative number of days gives one that has expired.

    Args:
        directory: where its files go.
        good_for_days: the CA.
        leaf_days: the certificate that it signs.
        names: whom that certificate is for.
        self_signed: the certificate is signed by its own key instead.
    """
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    ca = _certificate(ca_name, ca_name, ca_key.public_key(), ca_key, is_ca=True, days=good_for_days)
    issuer, signer = (name, key) if self_signed else (ca_name, ca_key)
    leaf = _certificate(name, issuer, key.public_key(), signer, is_ca=False, days=leaf_days, names=names)
    made = Authority(directory / "ca.crt", directory / "tls.crt", directory / "tls.key")
    made.ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(_pem(key))
    return made


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
    days: int = 2,
    names: Sequence[str] = LOOPBACK,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="session")
def tls_registry(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Registry]:
    """One with a certificate of the private CA."""
    tls = {"certificate": str(authority.certificate), "key": str(authority.key)}
    with serving_registry(tmp_path_factory.mktemp("tls-registry"), tls=tls, ca=str(authority.ca_file)) as running:
        running = Registry(running.host, running.data, running.log, authority.ca_file)
        yield running


@dataclass
class TokenServer:
    """Mints ES256 tokens for whoever knows the password, and counts what it was asked."""

    url: str = ""
    lifetime: float = 300
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def token_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TokenServer, Path]]:
    """A token server, and the certificate that a registry trusts its tokens by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token issuer")])
    certificate = _certificate(name, name, key.public_key(), key, is_ca=True)
    path = tmp_path_factory.mktemp("token") / "issuer.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    state = TokenServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            login = self.headers.get("Authorization", "")
            state.asked.append(query)
            state.logins.append(login)
            if login != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
                self._answer(401, {"errors": [{"code": "UNAUTHORIZED"}]})
                return
            scopes = [scope for value in query.get("scope", []) for scope in value.split()]
            self._answer(200, {"token": _token(key, certificate, scopes, state.lifetime), "expires_in": 60})

        def _answer(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/token"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state, path
    server.shutdown()
    server.server_close()


def _token(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, scopes: list[str], lifetime: float) -> str:
    """A JSON Web Token as distribution's token specification wants it, with the certificate in `x5c`."""
    now = int(time.time())
    der = certificate.public_bytes(serialization.Encoding.DER)
    header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
    access = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    # The registry allows 60 s for clocks that differ, so a token of 2 s is one that ended 58 s ago.
    claims = {
        "iss": "test-issuer", "sub": USER, "aud": "test-service", "jti": uuid4().hex, "access": access,
        "iat": now - 120, "nbf": now - 120, "exp": int(now + lifetime),
    }  # fmt: skip
    signed = f"{_segment(header)}.{_segment(claims)}"
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _segment(value: object) -> str:
    return _base64url(json.dumps(value).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def token_registry(
    tmp_path_factory: pytest.TempPathFactory, token_server: tuple[TokenServer, Path]
) -> Iterator[Registry]:
    """One that sends everybody to the token server."""
    server, certificate = token_server
    token = {
        "realm": server.url, "service": "test-service", "issuer": "test-issuer", "rootcertbundle": str(certificate),
    }  # fmt: skip
    with serving_registry(tmp_path_factory.mktemp("token-registry"), auth={"token": token}) as running:
        yield running


def login(
    monkeypatch: pytest.MonkeyPatch, directory: Path, key: str, user: str = USER, password: str = PASSWORD
) -> Path:
    """Log in as docker does: an entry in a config.json that DOCKER_CONFIG points at."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    path = directory / "config.json"
    path.write_text(json.dumps({"auths": {key: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    return path
