from __future__ import annotations

import io
import time
from typing import Any

import pytest

from airgap.errors import AccessDenied, StoreError
from airgap.stores.registry.authentication import Authenticator, Challenge, parse_challenges
from airgap.stores.registry.credentials import Login
from airgap.stores.registry.retry import Transient


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', [Challenge("basic", "x")]),
        ("BASIC realm=x", [Challenge("basic", "x")]),
        (
            'Bearer realm="https://auth.io/token",service="reg",scope="repository:a/b:pull,push repository:c/d:pull"',
            [Challenge("bearer", "https://auth.io/token", "reg", "repository:a/b:pull,push repository:c/d:pull")],
        ),
        ('Basic realm="a", Bearer realm="b",service="c"', [Challenge("basic", "a"), Challenge("bearer", "b", "c")]),
        ('Negotiate, Basic realm="a"', [Challenge("negotiate"), Challenge("basic", "a")]),
        (r'Basic realm="a \"quoted\", one"', [Challenge("basic", 'a "quoted", one')]),
        ('Bearer realm="r" , error="invalid_token"', [Challenge("bearer", "r", error="invalid_token")]),
        ("", []),
        ("???", []),
    ],
)
def test_challenges_are_read_as_servers_really_write_them(header: str, expected: list[Challenge]) -> None:
    assert list(parse_challenges(header)) == expected


@pytest.mark.parametrize(
    "header", ["Basic " + "," * 50_000, "a=" * 50_000, 'Bearer realm="' + "\\" * 50_000, "A " * 50_000]
)
@pytest.mark.undisturbed
def test_a_hostile_challenge_costs_no_time(header: str) -> None:
    started = time.perf_counter()
    parse_challenges(header)
    assert time.perf_counter() - started < 1


class Answers:
    """Stands where requests would be sent: what an authenticator asks for, and what it is told."""

    def __init__(self, *bodies: bytes, status: int = 200) -> None:
        self.bodies = list(bodies)
        self.status = status
        self.asked: list[tuple[str, str, dict[str, str] | None, dict[str, str]]] = []

    def __call__(self, method: str, url: str, form: dict[str, str] | None, headers: dict[str, str]) -> Any:
        self.asked.append((method, url, form, headers))
        import requests
        import urllib3

        response = requests.Response()
        response.status_code = self.status
        response.raw = urllib3.HTTPResponse(io.BytesIO(self.bodies.pop(0)), preload_content=False, status=self.status)
        return response


HEADER = 'Bearer realm="https://192.0.2.1/token",service="reg",scope="repository:a/b:pull"'
HEADER_SAME = 'Bearer realm="https://reg.invalid/token",service="reg",scope="repository:a/b:pull"'


def authenticator(answers: Answers, login: Login | None = None) -> Authenticator:
    return Authenticator("https://reg.invalid", lambda _: login, answers)


def test_nothing_is_sent_before_it_is_asked_for() -> None:
    ours = authenticator(Answers(), Login("u", "secret"))
    assert ours.header("repository:a/b:pull", "a/b") == ""


def test_a_token_is_asked_for_by_scope_and_kept() -> None:
    answers = Answers(b'{"token": "t1", "expires_in": 300}')
    ours = authenticator(answers)
    assert ours.answer(HEADER_SAME, "repository:a/b:pull", "a/b") == "Bearer t1"
    assert ours.header("repository:a/b:pull", "a/b") == "Bearer t1"
    assert len(answers.asked) == 1
    assert "scope=repository%3Aa%2Fb%3Apull" in answers.asked[0][1]


def test_a_refused_token_is_replaced_not_repeated() -> None:
    answers = Answers(b'{"token": "old"}', b'{"access_token": "new"}')
    ours = authenticator(answers)
    assert ours.answer(HEADER_SAME, "repository:a/b:pull", "a/b") == "Bearer old"
    assert ours.answer(HEADER_SAME, "repository:a/b:pull", "a/b") == "Bearer new"
    assert ours.header("repository:a/b:pull", "a/b") == "Bearer new"


def test_another_scope_needs_another_token() -> None:
    answers = Answers(b'{"token": "pull"}', b'{"token": "push"}')
    ours = authenticator(answers)
    ours.answer(HEADER_SAME, "repository:a/b:pull", "a/b")
    assert ours.header("repository:a/b:push,pull", "a/b") == "Bearer push"
    assert ours.header("repository:a/b:pull", "a/b") == "Bearer pull"


def test_an_identity_token_is_exchanged_by_post_and_never_sent_as_a_password() -> None:
    answers = Answers(b'{"access_token": "t"}')
    ours = authenticator(answers, Login("", "refresh-me", True))
    assert ours.answer(HEADER_SAME, "repository:a/b:pull", "a/b") == "Bearer t"
    method, url, form, headers = answers.asked[0]
    assert method == "POST"
    assert form is not None
    assert form["refresh_token"] == "refresh-me"
    assert "refresh-me" not in url
    assert headers == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b'{"token": "x" ',
        b"x" * 70_000,
        b'{"token": "a\\nb"}',
        b'{"token": 7}',
    ],
)
def test_a_token_server_that_gives_no_token_is_said_to_give_none(body: bytes) -> None:
    with pytest.raises(StoreError, match="token server"):
        authenticator(Answers(body)).answer(HEADER_SAME, "repository:a/b:pull", "a/b")


def test_a_refused_login_is_told_apart_from_a_broken_server() -> None:
    with pytest.raises(AccessDenied, match="refuses the login"):
        authenticator(Answers(b"", status=401)).answer(HEADER_SAME, "s", "a/b")
    with pytest.raises(Transient, match="answered 503"):
        authenticator(Answers(b"", status=503)).answer(HEADER_SAME, "s", "a/b")
    with pytest.raises(StoreError, match="answered 418"):
        authenticator(Answers(b"", status=418)).answer(HEADER_SAME, "s", "a/b")


def test_a_token_that_claims_to_live_for_ever_is_taken() -> None:
    body = b'{"token": "t", "expires_in": 1e400}'
    assert authenticator(Answers(body)).answer(HEADER_SAME, "s", "a/b") == "Bearer t"


def test_a_token_that_another_worker_has_renewed_is_taken_and_no_third_is_asked_for() -> None:
    answers = Answers(b'{"token": "first"}', b'{"token": "second"}')
    ours = authenticator(answers)
    failed = ours.answer(HEADER_SAME, "s", "a/b")
    renewed = ours.answer(HEADER_SAME, "s", "a/b", failed)
    assert ours.answer(HEADER_SAME, "s", "a/b", failed) == renewed == "Bearer second"
    assert len(answers.asked) == 2


def test_each_repository_has_the_login_that_its_owner_gave_it() -> None:
    logins = {"a/x": Login("u", "one"), "b/y": Login("u", "two")}
    ours = Authenticator("https://reg.invalid", logins.get, Answers())
    first = ours.answer('Basic realm="x"', "s", "a/x")
    assert ours.header("s", "b/y") == logins["b/y"].basic != first


def test_a_documentation_address_is_no_place_for_a_login() -> None:
    answers = Answers()
    with pytest.raises(StoreError, match="refused"):
        authenticator(answers, Login("u", "p")).answer(HEADER, "repository:a/b:pull", "a/b")
    assert answers.asked == []


def test_basic_without_a_login_says_how_to_log_in() -> None:
    with pytest.raises(AccessDenied) as caught:
        authenticator(Answers()).answer('Basic realm="x"', "s", "a/b")
    assert "docker login reg.invalid" in caught.value.hint


def test_a_scheme_nobody_knows_is_named() -> None:
    with pytest.raises(StoreError, match="negotiate"):
        authenticator(Answers()).answer("Negotiate", "s", "a/b")


def test_a_login_does_not_show_what_it_is() -> None:
    assert "secret" not in repr(Login("user", "secret"))
    assert "user" not in repr(Login("user", "secret"))
