"""Places in buckets, and ways to reach them, that cannot be meant."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest
from tests.support.cli import check_refusal, kubectl_airgap
from tests.support.faultproxy import fault_proxy, sink
from tests.support.s3 import S3Server

from airgap.errors import AccessDenied, AirgapError, InvalidInput, NotFound, StoreError
from airgap.operations import places
from airgap.operations.environment import Run
from airgap.stores.registry.retry import Patience
from airgap.stores.registry.trust import Trust
from airgap.stores.s3.client import S3Access
from airgap.stores.s3.location import Location
from airgap.stores.s3.store import BucketFiles

PLACES = {
    "B63-no-bucket": "s3://",
    "B63-empty-bucket": "s3:///x",
    "B63-capital": "s3://A/x",
    "B63-capitals": "s3://Bundles/x",
    "B63-two-characters": "s3://ab/x",
    "B63-too-long": f"s3://{'a' * 64}/x",
    "B63-dots": "s3://../x",
    "B63-two-dots": "s3://a..b/x",
    "B63-address": "s3://192.168.5.4/x",
    "B63-underscore": "s3://my_bucket/x",
    "B63-dash-first": "s3://-bucket/x",
    "B63-login": "s3://user:secret@bucket/x",
    "B63-port": "s3://bucket:9000/x",
    "B63-parent": "s3://bundles/../x",
    "B63-parent-inside": "s3://bundles/a/../x",
    "B63-here": "s3://bundles/./x",
    "B63-leading-slash": "s3://bundles//x",
    "B63-empty-word": "s3://bundles/a//x",
    "B63-two-slashes-at-the-end": "s3://bundles/a//",
    "B63-control": "s3://bundles/a\tb",
    "B63-null": "s3://bundles/a\0b",
    "B63-surrogate": "s3://bundles/a\udce4",
    "B63-long-key": f"s3://bundles/{'x' * 900}",
    "B63-long-key-in-bytes": f"s3://bundles/{'ü' * 450}",
}


@pytest.mark.parametrize("place", [pytest.param(value, id=key) for key, value in PLACES.items()])
def test_a_place_that_no_store_could_keep_is_refused_before_anything_is_asked(place: str) -> None:
    for use in (places.check_new, lambda place: places.open_bundle(place, Run())):
        with pytest.raises(InvalidInput) as caught:
            use(place)
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 250


ENDPOINTS = {
    "B63-no-scheme": ("s3.local:9000", "https://HOST"),
    "B63-host-only": ("s3.local", "https://HOST"),
    "B63-other-scheme": ("ftp://s3.local", "https://HOST"),
    "B63-no-host": ("https://", "https://HOST"),
    "B63-port": ("https://s3.local:port", "https://HOST"),
    "B63-port-too-large": ("https://s3.local:99999", "https://HOST"),
    "B63-path": ("https://s3.local/minio", "s3://BUCKET/PREFIX"),
    "B63-query": ("https://s3.local?x=y", "s3://BUCKET/PREFIX"),
    "B63-login": ("https://user:canary@s3.local", "as AWS tools take it"),
    "B63-plain-http": ("http://s3.local:9000", "--plain-http s3.local:9000"),
    "B63-bracket": ("https://[::1", "https://HOST"),
}


@pytest.mark.parametrize("case", [pytest.param(value, id=key) for key, value in ENDPOINTS.items()])
@pytest.mark.parametrize("way", ["flag", "environment"])
def test_an_endpoint_that_cannot_be_meant_is_refused_before_it_is_asked(
    case: tuple[str, str], way: str, s3_login: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, words = case
    if way == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(InvalidInput) as caught:
        ask(S3Access(endpoint if way == "flag" else "", patience=Patience(attempts=1)))
    assert words in f"{caught.value.message} {caught.value.hint}" or way == "environment"
    assert "canary" not in f"{caught.value.message} {caught.value.hint}"


def ask(access: S3Access, at: Location | None = None) -> None:
    with contextlib.closing(BucketFiles(at or Location("ready", "x"), access)) as files:
        files.document("index.json", 1000)


def refusal(access: S3Access, at: Location | None = None) -> AirgapError:
    with pytest.raises(AirgapError) as caught:
        ask(access, at)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def impatient(endpoint: str, *, profile: str = "", trust: Trust | None = None) -> S3Access:
    return S3Access(endpoint, profile, trust or Trust(), Patience(attempts=1))


def test_b63_a_profile_that_is_not_there_is_named(s3_login: S3Server) -> None:
    refused = refusal(impatient(s3_login.endpoint, profile="nobody"))
    assert isinstance(refused, InvalidInput)
    assert "nobody" in refused.message


@pytest.mark.parametrize("region", [pytest.param("", id="B63-empty"), pytest.param("a b/c", id="B63-nonsense")])
def test_a_region_that_is_none_is_refused_or_passed_over(
    region: str, s3_login: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    if region:
        assert isinstance(refusal(impatient(s3_login.endpoint)), InvalidInput)
    else:
        ask(impatient(s3_login.endpoint))


def test_b63_a_configuration_that_is_no_configuration_is_said_to_be_none(
    s3_login: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("no configuration\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert isinstance(refusal(impatient(s3_login.endpoint)), InvalidInput)


def test_b64_without_a_login_it_is_said_how_to_give_one_and_the_machine_is_not_asked(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sink() as metadata:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        refused = refusal(impatient(s3.endpoint))
        assert metadata.requests == []
    assert isinstance(refused, AccessDenied)
    assert "AWS_ACCESS_KEY_ID" in refused.hint


def test_b64_half_a_login_is_said_to_be_that(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "airgap-test")
    assert isinstance(refusal(impatient(s3.endpoint)), AccessDenied)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_b64_a_login_that_is_refused_is_said_to_be(
    name: str, s3_login: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "canary")
    refused = refusal(impatient(s3_login.endpoint))
    assert isinstance(refused, AccessDenied)
    assert "canary" not in refused.message + refused.hint


def test_b64_a_bucket_that_is_not_there_is_named_before_anything_is_written(s3_login: S3Server) -> None:
    refused = refusal(impatient(s3_login.endpoint), Location("not-there", "x"))
    assert isinstance(refused, NotFound)
    assert "`not-there`" in refused.hint


def test_b64_a_ca_bundle_of_the_configuration_that_is_not_there_is_named(
    s3_login: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    assert "/nowhere/ca.pem" in refusal(impatient(s3_login.https)).message


def test_b64_a_certificate_is_trusted_by_any_of_the_usual_ways_and_else_not(
    s3_login: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "signed by a CA that is not trusted" in refusal(impatient(s3_login.https)).message
    ask(impatient(s3_login.https, trust=Trust.of(s3_login.ca_file)))
    ask(impatient(s3_login.https, trust=Trust.of(None, unverified=[s3_login.https.removeprefix("https://")])))
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        with monkeypatch.context() as patched:
            patched.setenv(name, str(s3_login.ca_file))
            ask(impatient(s3_login.https))


@pytest.mark.parametrize("way", ["flag", "environment"])
def test_b64_the_bucket_of_a_store_that_is_not_amazons_is_no_part_of_its_host(
    way: str, s3_login: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fault_proxy(s3_login.endpoint.removeprefix("http://")) as proxy:
        endpoint = f"http://localhost:{proxy.host.rpartition(':')[2]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        ask(impatient(endpoint if way == "flag" else ""))
        assert proxy.requests == ["GET /ready/x/index.json"]


def test_b64_an_endpoint_without_tls_is_said_to_have_none(s3_login: S3Server) -> None:
    assert "does not speak TLS" in refusal(impatient(s3_login.endpoint.replace("http:", "https:"))).message


def test_b64_an_endpoint_where_nobody_is_is_said_to_refuse(s3_login: S3Server) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        refused = refusal(impatient(f"http://127.0.0.1:{held.getsockname()[1]}"))
    assert isinstance(refused, StoreError)
    assert "refuses the connection" in refused.message


def test_plain_http_is_spoken_where_the_user_says_so(s3_login: S3Server) -> None:
    with pytest.raises(InvalidInput):
        ask(impatient("http://s3.invalid:9000"))
    refused = refusal(impatient("http://s3.invalid:9000", trust=Trust.of(None, ["s3.invalid:9000"])))
    assert "s3.invalid:9000" in refused.message
    assert "is not known" in refused.message


def test_what_is_wrong_with_a_bucket_is_one_line_on_the_command_line(s3_login: S3Server, tmp_path: Path) -> None:
    began = time.monotonic()
    there = ("--s3-endpoint", s3_login.endpoint)
    check_refusal(kubectl_airgap("verify", "s3://Bundles/x"), 2, "names no bucket")
    check_refusal(kubectl_airgap("inspect", "s3://not-there/x", *there), 4, "NoSuchBucket")
    check_refusal(kubectl_airgap("push", "s3://ready/nothing", "127.0.0.1:1", *there), 2, "there is no bundle in")
    check_refusal(kubectl_airgap("verify", "s3://ready/x", "--s3-endpoint", "s3.local"), 2, "is no endpoint")
    assert time.monotonic() - began < 60


def test_a_directory_that_is_something_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "full", f"{tmp_path}/full/", f"{tmp_path}/file/", f"{tmp_path}/none/shop/"):
        with pytest.raises(InvalidInput):
            places.check_new(str(place))
    places.check_new(f"{tmp_path}/new/")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
