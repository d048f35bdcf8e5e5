"""Bad input to pack, verify, push and inspect, by its numbers in the catalogue: one clear line each, in no time."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import SCRIPTS, check_refusal, kubectl_airgap
from tests.support.faultproxy import Answer, Fault, fault_proxy
from tests.support.registry import Registry, make_authority, serving_registry

from airgap.descriptors import DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST

pytestmark = pytest.mark.undisturbed

SECONDS = 2.0
DIGEST = "sha256:" + "a" * 64
NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _in_no_time() -> Any:
    """Each refusal comes at once; what a machine with other work adds is not ours."""
    before = os.times()
    started = time.monotonic()
    yield
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    assert busy < SECONDS or time.monotonic() - started < SECONDS


def served(value: object, content_type: str = OCI_MANIFEST) -> Answer:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Answer(200, [("Content-Type", content_type), ("Content-Length", str(len(body)))], body)


def manifest(**changes: object) -> dict[str, object]:
    layer = {"mediaType": OCI_LAYER, "digest": DIGEST, "size": 5}
    config = {"mediaType": OCI_CONFIG, "digest": DIGEST, "size": 5}
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer], **changes}


def sized(size: object) -> dict[str, object]:
    return manifest(layers=[{"mediaType": OCI_LAYER, "digest": DIGEST, "size": size}])


MANIFESTS = {
    "B34-too-large": (served(b" " * (5 << 20) + b"{}"), 3, "larger than"),
    "B34-schema-1": (served({"schemaVersion": 1, "fsLayers": []}), 3, "schema 1"),
    "B34-schema-3": (served(manifest(schemaVersion=3)), 3, "schemaVersion 3"),
    "B34-schema-text": (served(manifest(schemaVersion="2")), 3, "schemaVersion '2'"),
    "B34-schema-missing": (served({"mediaType": OCI_MANIFEST}), 3, "schemaVersion None"),
    "B35-both": (served(manifest(manifests=[])), 3, "two different things"),
    "B35-other-type": (served(manifest(), DOCKER_MANIFEST), 3, "served as"),
    "B36-negative": (served(sized(-1)), 3, "size -1"),
    "B36-too-large": (served(sized(2**63)), 3, "size"),
    "B36-float": (served(sized(1e3)), 3, "size 1000.0"),
    "B36-boolean": (served(sized(True)), 3, "size True"),
    "B36-text": (served(sized("12")), 3, "size '12'"),
    "B36-nan": (served(b'{"schemaVersion":2,"x":NaN}'), 3, "NaN"),
}


@pytest.mark.parametrize("case", [pytest.param(value, id=key) for key, value in MANIFESTS.items()])
def test_a_manifest_that_breaks_the_rules_is_refused(
    case: tuple[Answer, int, str], registry: Registry, tmp_path: Path
) -> None:
    answer, code, words = case
    with fault_proxy(registry.host, Fault("GET", "/manifests/", 9, answer=answer)) as proxy:
        done = kubectl_airgap("pack", "--quiet", "--image", f"{proxy.host}/a/b:1", "-o", tmp_path / "x.tar")
    check_refusal(done, code, words)
    assert list(tmp_path.iterdir()) == []


def test_b35_a_manifest_without_a_media_type_is_an_old_one_and_fine(registry: Registry, tmp_path: Path) -> None:
    old = manifest()
    del old["mediaType"]
    with fault_proxy(registry.host, Fault("GET", "/manifests/", 9, answer=served(old))) as proxy:
        done = kubectl_airgap("pack", "--dry-run", "--image", f"{proxy.host}/a/b:1", "-o", tmp_path / "x.tar")
    assert done.returncode == 0, done.stderr


def inventory_of(version: int) -> bytes:
    return json.dumps({"schemaVersion": version, "items": [], "blobs": [], "name": "", "version": ""}).encode()


def bundle_of(*members: tuple[str, bytes]) -> bytes:
    from airgap.stores import tar

    parts = (tar.header(name, len(data)) + data + tar.padding(len(data)) for name, data in members)
    return b"".join(parts) + tar.END


LAYOUT = ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
INDEX = ("index.json", b'{"manifests":[]}')
BUNDLES = {
    "B45-zero-bytes": (b"", 3, "is empty"),
    "B45-random-bytes": (random.Random(1).randbytes(100_000), 3, "not a bundle"),
    "B45-wrong-magic": (b"PK\x03\x04" + bytes(100_000), 3, "not a bundle"),
    "B45-only-zeros": (bytes(10_240), 3, "not a bundle"),
    "B45-another-tar": (bundle_of(("etc/passwd", b"x")), 3, "not a bundle"),
    "B45-an-image-layout": (bundle_of(LAYOUT, INDEX), 3, "airgap-inventory.json"),
    "B45-newer": (bundle_of(LAYOUT, ("airgap-inventory.json", inventory_of(2)), INDEX), 3, "newer version"),
    "B45-no-version": (bundle_of(LAYOUT, ("airgap-inventory.json", inventory_of(0)), INDEX), 3, "no version"),
}


@pytest.mark.parametrize("verb", ["verify", "inspect", "push"])
@pytest.mark.parametrize("case", [pytest.param(value, id=key) for key, value in BUNDLES.items()])
def test_what_is_no_bundle_is_said_to_be_none(case: tuple[bytes, int, str], verb: str, tmp_path: Path) -> None:
    data, code, words = case
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    more = [NOWHERE] if verb == "push" else []
    check_refusal(kubectl_airgap(verb, path, *more), code, words)


def test_a_bundle_that_is_not_there_or_a_directory_is_said_to_be_so(tmp_path: Path) -> None:
    check_refusal(kubectl_airgap("verify", tmp_path / "none.tar"), 2, "no such file")
    check_refusal(kubectl_airgap("verify", tmp_path), 2, "no bundle")


REGISTRIES = {
    "B67-ftp": ("ftp://r.io/x", 2, "ftp://"),
    "B67-http": ("http://r.io/x", 2, "--plain-http"),
    "B67-no-host": ("/x", 2, "no registry host"),
    "B67-empty": ("", 2, "no registry host"),
    "B67-query": ("r.io/x?y=1", 2, "query"),
    "B67-fragment": ("r.io/x#y", 2, "fragment"),
    "B67-unix": ("unix:///run/x.sock", 2, "no registry"),
    "B67-port-zero": ("r.io:0/x", 2, "port"),
    "B67-port-too-large": ("r.io:65536/x", 2, "port"),
    "B67-upper-case-path": ("r.io/UPPER", 2, "lower case"),
    "B71-userinfo": ("user:hunter2@r.io/x", 2, "log in"),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.unit.bundles.test_bundle import written

    return written(tmp_path_factory.mktemp("bundle") / "x.tar")


@pytest.mark.parametrize("case", [pytest.param(value, id=key) for key, value in REGISTRIES.items()])
def test_a_registry_that_cannot_be_meant_is_refused(case: tuple[str, int, str], bundle: Path) -> None:
    target, code, words = case
    done = kubectl_airgap("push", bundle, target)
    check_refusal(done, code, words)
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("suffix", [pytest.param(s, id=f"B67-{s}") for s in ("/", "/v2/", "/x/v2", "/x/")])
def test_a_registry_written_with_what_browsers_add_is_understood(suffix: str, bundle: Path, registry: Registry) -> None:
    for prefix in ("", "oci://"):
        done = kubectl_airgap("push", bundle, f"{prefix}{registry.host}{suffix}", "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "/v2" not in done.stdout


def ca_cases(directory: Path) -> dict[str, tuple[Path, str]]:
    made = make_authority(directory)
    (directory / "text").write_text("no certificate\n")
    (directory / "empty").write_text("")
    (directory / "binary").write_bytes(b"\xff\xfe\x00")
    (directory / "garbled").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    second = made.ca_file.read_text() + made.key.read_text()
    (directory / "second").write_text(second)
    return {
        "not-pem": (directory / "text", "no certificate"),
        "empty": (directory / "empty", "no certificate"),
        "binary": (directory / "binary", "not text"),
        "a-key": (made.key, "block 1 is a private key"),
        "a-key-behind": (directory / "second", "block 2 is a private key"),
        "garbled": (directory / "garbled", "block 1"),
        "a-directory": (directory, "is a directory"),
        "missing": (directory / "nothing", "no such file"),
    }


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(name, id=f"B68-{name}")
        for name in ("not-pem", "empty", "binary", "a-key", "a-key-behind", "garbled", "a-directory", "missing")
    ],
)
def test_a_ca_file_that_is_none_is_said_to_be_what_it_is(case: str, bundle: Path, tmp_path: Path) -> None:
    path, words = ca_cases(tmp_path)[case]
    check_refusal(kubectl_airgap("push", bundle, NOWHERE, "--ca-file", path), 2, words, str(path))


def test_b68_a_ca_that_has_expired_is_said_to_have(bundle: Path, tmp_path: Path) -> None:
    made = make_authority(tmp_path, good_for_days=-1)
    tls = {"certificate": str(made.certificate), "key": str(made.key)}
    with serving_registry(tmp_path, tls=tls) as registry:
        done = kubectl_airgap("push", bundle, registry.repository(), "--ca-file", made.ca_file)
    check_refusal(done, 4, "expired")


def client_certificate(home: Path, host: str) -> Path:
    place = home / ".config/containers/certs.d" / host
    place.mkdir(parents=True)
    made = make_authority(home)
    (place / "client.cert").write_bytes(made.certificate.read_bytes())
    return place


def test_b69_a_client_certificate_without_its_key_is_named(
    bundle: Path, tls_registry: Registry, tmp_path: Path
) -> None:
    place = client_certificate(tmp_path, tls_registry.host)
    done = kubectl_airgap("push", bundle, tls_registry.repository(), env={"HOME": str(tmp_path)})
    check_refusal(done, 2, str(place / "client.cert"), "no key beside it")


def test_b69_a_client_key_with_a_passphrase_is_said_to_have_one(
    bundle: Path, tls_registry: Registry, tmp_path: Path
) -> None:
    place = client_certificate(tmp_path, tls_registry.host)
    key = (tmp_path / "tls.key").read_bytes()
    encrypt = [
        "openssl",
        "pkcs8",
        "-topk8",
        "-v2",
        "aes-256-cbc",
        "-passout",
        "pass:hunter2",
        "-out",
        str(place / "client.key"),
    ]
    subprocess.run(encrypt, input=key, check=True)
    done = kubectl_airgap("push", bundle, tls_registry.repository(), env={"HOME": str(tmp_path)})
    check_refusal(done, 2, "passphrase")


FLAGS = {
    "B70-none": (["-j", "0"], "'-j'"),
    "B70-negative": (["-j", "-1"], "'-j'"),
    "B70-too-many": (["-j", "1000000"], "'-j'"),
    "B70-no-number": (["-j", "abc"], "'-j'"),
    "B70-near-miss": (["--concurency", "3"], "--concurrency"),
    "B70-no-value": (["--naming"], "--naming"),
    "B70-unknown-naming": (["--naming", "sideways"], "strip, keep, flat"),
    "B71-password-flag": (["--password", "hunter2"], "password"),
}


@pytest.mark.parametrize("case", [pytest.param(value, id=key) for key, value in FLAGS.items()])
def test_flags_that_cannot_be_meant_are_usage_errors(case: tuple[list[str], str], bundle: Path) -> None:
    flags, words = case
    done = kubectl_airgap("push", bundle, NOWHERE, *flags)
    check_refusal(done, 2, words, "hint: ")
    assert "hunter2" not in done.stderr


def test_b70_a_mirror_that_cannot_be_meant_is_a_usage_error(tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "--image", "a/b:1", "--mirror", "docker.io", "-o", tmp_path / "x.tar")
    check_refusal(done, 2, "HOST=MIRROR")


def test_b70_a_flag_given_twice_takes_the_last_as_kubectl_does(bundle: Path, registry: Registry) -> None:
    done = kubectl_airgap("push", bundle, registry.host, "--naming", "flat", "--naming", "keep", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "docker.io/library/web" in done.stdout.partition("->")[2]


@pytest.mark.parametrize("verb", ["pack", "push", "images", "relocate", "verify", "sign", "inspect", "mounts"])
def test_b71_no_verb_takes_a_password_on_its_command_line(verb: str) -> None:
    flags = [word for word in kubectl_airgap(verb, "--help").stdout.split() if word.startswith("--")]
    assert flags
    assert not [flag for flag in flags if "password" in flag and not flag.endswith(("-stdin", "-file"))]


SCREENS = {
    "B72-locale-c": {"LC_ALL": "C", "PYTHONIOENCODING": ""},
    "B72-no-color": {"NO_COLOR": "1"},
    "B72-narrow": {"COLUMNS": "1"},
    "B72-dumb": {"TERM": "dumb"},
}


@pytest.mark.parametrize("words", ["--help", "pack --help", "inspect BUNDLE", "inspect BUNDLE -o json"])
@pytest.mark.parametrize("env", [pytest.param(value, id=key) for key, value in SCREENS.items()])
def test_any_screen_will_do(env: dict[str, str], words: str, bundle: Path) -> None:
    done = kubectl_airgap(*words.replace("BUNDLE", str(bundle)).split(), env=env)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_b72_a_closed_standard_input_is_no_hindrance(bundle: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{SCRIPTS}/kubectl-airgap verify {bundle} <&-"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_b72_zero_bytes_where_manifests_are_expected_are_said_to_be_none(tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "-f", "-", "-o", tmp_path / "x.tar", stdin=b"")
    check_refusal(done, 2, "standard input is empty")


@pytest.mark.parametrize("name", ["", "link", "fifo", "no/x.tar", "/dev/full"])
def test_an_output_that_cannot_be_a_bundle_is_refused_before_anything_is_fetched(name: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "fifo")
    place = tmp_path / name
    check_refusal(kubectl_airgap("pack", "--image", f"{NOWHERE}/x:1", "-o", place), 2, str(place.parent))


def test_a_registry_that_is_not_there_is_said_to_refuse(tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "--image", f"{NOWHERE}/x:1", "-o", tmp_path / "x.tar")
    check_refusal(done, 4, "refuses the connection", "hint: ")
