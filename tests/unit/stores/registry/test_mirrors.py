from __future__ import annotations

from pathlib import Path

import pytest

from airgap.errors import InvalidInput
from airgap.stores.registry.elsewhere import refusal
from airgap.stores.registry.mirrors import Endpoint, Mirrors
from airgap.stores.registry.retry import parse_retry_after


def test_a_name_without_a_rule_is_asked_for_at_its_own_host() -> None:
    assert Mirrors.of((), ()).endpoints("quay.io/a/b") == (Endpoint("quay.io", "a/b"),)


@pytest.mark.parametrize(
    ("flag", "name", "expected"),
    [
        ("docker.io=m.io", "docker.io/library/x", Endpoint("m.io", "library/x")),
        ("docker.io=m.io:5000/hub/", "docker.io/library/x", Endpoint("m.io:5000", "hub/library/x")),
        ("index.docker.io=m.io", "docker.io/library/x", Endpoint("m.io", "library/x")),
        ("quay.io/team=m.io", "quay.io/team/x", Endpoint("m.io", "x")),
        ("quay.io/team=m.io", "quay.io/teams/x", Endpoint("quay.io", "teams/x")),
        ("docker.io=http://m.io/hub", "docker.io/library/x", Endpoint("m.io", "hub/library/x", True)),
    ],
)
def test_a_flag_says_where_a_host_is_really_reached(flag: str, name: str, expected: Endpoint) -> None:
    assert Mirrors.of((flag,), ()).endpoints(name) == (expected,)


@pytest.mark.parametrize("flag", ["docker.io", "=m.io", "docker.io=", "docker.io=bad host", "doc ker.io=m.io"])
def test_a_flag_that_cannot_be_meant_is_refused(flag: str) -> None:
    with pytest.raises(InvalidInput):
        Mirrors.of((flag,), ())


CONF = """
unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "docker.io/library"
location = "library.internal"
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "first.internal/hub"
[[registry.mirror]]
location = "second.internal:5000"
insecure = true
[[registry]]
location = "forbidden.io"
blocked = true
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "registries.conf"
    path.write_text(CONF)
    return path


def test_registries_conf_lists_mirrors_in_order_and_the_registry_last(conf: Path) -> None:
    assert Mirrors.of((), [conf]).endpoints("docker.io/team/x") == (
        Endpoint("first.internal", "hub/team/x"),
        Endpoint("second.internal:5000", "team/x", True),
        Endpoint("docker.io", "team/x"),
    )


def test_the_longest_prefix_wins(conf: Path) -> None:
    assert Mirrors.of((), [conf]).endpoints("docker.io/library/x") == (Endpoint("library.internal", "x"),)


def test_a_flag_wins_over_the_file(conf: Path) -> None:
    assert Mirrors.of(("docker.io=m.io",), [conf]).endpoints("docker.io/team/x") == (Endpoint("m.io", "team/x"),)


def test_what_the_file_blocks_is_blocked(conf: Path) -> None:
    with pytest.raises(InvalidInput, match="blocked"):
        Mirrors.of((), [conf]).endpoints("forbidden.io/x")


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "registries.conf"
    path.write_text("[[registry")
    with pytest.raises(InvalidInput, match=str(path)):
        Mirrors.of((), [path])


@pytest.mark.parametrize(
    ("url", "origin", "with_login", "refused"),
    [
        ("https://auth.example.invalid/token", "https://r.invalid", True, False),
        ("http://auth.example.invalid/token", "https://r.invalid", True, True),
        ("https://8.8.8.8/x", "https://r.invalid", False, False),
        ("https://127.0.0.1/x", "https://r.invalid", False, True),
        ("https://10.1.2.3/x", "https://8.8.8.8", False, True),
        ("https://10.1.2.3/x", "https://10.9.9.9", False, False),
        ("https://10.1.2.3/x", "https://10.9.9.9", True, True),
        ("https://10.9.9.9:8443/x", "https://10.9.9.9", True, False),
        ("http://127.0.0.2:1/x", "http://127.0.0.1:5000", False, False),
        ("http://127.0.0.2:1/x", "http://127.0.0.1:5000", True, True),
        ("http://169.254.169.254/x", "http://127.0.0.1:5000", False, True),
        ("http://[::1]/x", "http://r.invalid", False, True),
        ("http://0.0.0.0/x", "http://127.0.0.1", False, True),
        ("http://2130706433/x", "http://8.8.8.8", False, True),
        ("https://u:p@r.invalid/x", "https://r.invalid", False, True),
        ("https://r.invalid:99999/x", "https://r.invalid", False, True),
        ("https:///x", "https://r.invalid", False, True),
        ("https://r.invalid/" + "x" * 3000, "https://r.invalid", True, True),
    ],
)
def test_where_a_registry_may_send_us(url: str, origin: str, with_login: bool, refused: bool) -> None:
    assert bool(refusal(url, origin, with_login=with_login)) is refused


@pytest.mark.parametrize(
    ("value", "seconds"), [("5", 5.0), ("", None), ("soon", None), ("-3", None), ("1e3", None), ("²", None)]
)
def test_retry_after_is_a_number_or_absent(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    later = parse_retry_after("Wed, 21 Oct 2065 07:28:00 GMT")
    assert later is not None
    assert later > 10**9
