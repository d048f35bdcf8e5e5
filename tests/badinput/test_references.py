"""Names that are no image names: refused before a path or a URL is made of them, and shown without harm."""

from __future__ import annotations

import subprocess
import time

import pytest

from airgap.errors import InvalidReference
from airgap.references import Reference

pytestmark = pytest.mark.undisturbed

HEX = "0123456789abcdef" * 4


def refusal(text: str) -> InvalidReference:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "it is empty", id="B1-empty"),
        pytest.param("a b", "a space at position 2", id="B1-space"),
        pytest.param(" nginx", "a space at position 1", id="B1-leading-space"),
        pytest.param("a\tb", r"'\t' at position 2", id="B1-control"),
        pytest.param("quay.io/" + "a" * 256, "256 characters, not 255", id="B1-name-too-long"),
        pytest.param("a:" + "t" * 129, "129 characters, not 128", id="B1-tag-too-long"),
        pytest.param(":" * 100_000 + "@", "100001 characters", id="B1-colons-without-end"),
        pytest.param("quay.io/", "it has no name", id="B1-host-alone"),
        pytest.param("quay.io/:1", "it has no name", id="B1-host-and-tag"),
        pytest.param("UPPER/x/Y", "'Y' at position 9", id="B2-upper-in-path"),
        pytest.param("Upper", "lower case", id="B2-upper"),
        pytest.param("a//b", "'/' at position 3", id="B2-double-slash"),
        pytest.param("a/../b", "'.' at position 3", id="B2-dots"),
        pytest.param("-a/b", "'-' at position 1", id="B2-dash"),
        pytest.param("a___b", "'_' at position", id="B2-three-underscores"),
        pytest.param("a/b/", "ends with `/`", id="B2-trailing-slash"),
        pytest.param("a@sha256:abc", "3 digits, not 64", id="B5-short"),
        pytest.param("a@sha256:" + HEX.upper(), "64 digits of 0-9a-f", id="B5-upper"),
        pytest.param("a@sha256:" + HEX[:63], "63 digits", id="B5-63"),
        pytest.param("a@sha256:" + HEX + "0", "65 digits", id="B5-65"),
        pytest.param("a@sha256:../../etc", "invalid digest", id="B5-path"),
        pytest.param("a@md5:" + HEX[:32], "not sha256 or sha512", id="B5-md5"),
        pytest.param("a@blake3:" + HEX, "not sha256 or sha512", id="B5-unknown"),
        pytest.param("https://host/x", "no `https://` in front", id="B6-https"),
        pytest.param("oci://host/x", "no `oci://` in front", id="B6-oci"),
        pytest.param("docker://host/x", "no `docker://` in front", id="B6-docker"),
        pytest.param("user:secretword@host.io/x", "user and a password", id="B6-password"),
        pytest.param("user@host.io/x", "invalid", id="B6-user"),
        pytest.param("https://user:secretword@host.io/x", "no `https://` in front", id="B6-password-in-url"),
        pytest.param("https://user:secretword@host.io", "no `https://` in front", id="B6-password-in-url-no-path"),
        pytest.param("user:secretword@host.io/x@sha256:" + HEX, "user and a password", id="B6-password-and-digest"),
        pytest.param("user:secretword@host.io:5000/x:1", "user and a password", id="B6-password-and-port"),
        pytest.param("user:secret/word@host.io/x", "invalid", id="B6-password-with-slash"),
        pytest.param("user:secretword@sha256:" + HEX[:5], "invalid", id="B6-looks-like-digest"),
        pytest.param("$(id)", "'$' at position 1", id="B7-shell"),
        pytest.param("a\nb", r"'\n' at position 2", id="B7-newline"),
        pytest.param("a\x1b[31mb", r"'\x1b' at position 2", id="B7-escape"),
        pytest.param("a\u202eb", r"'\u202e' at position 2", id="B7-bidi"),
        pytest.param("a\0b", r"'\x00' at position 2", id="B7-nul"),
        pytest.param("a\u00a0b", r"'\xa0' at position 2", id="B7-no-break-space"),
        pytest.param("host:0/x", "not between 1 and 65535", id="B8-port-0"),
        pytest.param("host:65536/x", "not between 1 and 65535", id="B8-port-65536"),
        pytest.param("host:99999999999999999999/x", "not between 1 and 65535", id="B8-port-huge"),
        pytest.param("host:00000099/x", "port", id="B8-port-zeros"),
        pytest.param("host.io./x", "it ends with a dot", id="B8-trailing-dot"),
        pytest.param("quау.io/x", "", id="B8-homograph"),
    ],
)
def test_it_is_refused_in_one_printable_line_that_says_why(text: str, why: str) -> None:
    begun = time.monotonic()
    error = refusal(text)
    assert why in error.message
    assert error.exit_code == 2
    assert (error.message + error.hint).isprintable()
    assert len(error.message) < 400
    assert "secret" not in error.message + error.hint
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("text", "full"),
    [
        pytest.param("nginx", "docker.io/library/nginx:latest", id="B3-short"),
        pytest.param("nginx:latest", "docker.io/library/nginx:latest", id="B3-tag"),
        pytest.param("ns/nginx", "docker.io/ns/nginx:latest", id="B3-namespace"),
        pytest.param("host:5000/x", "host:5000/x:latest", id="B3-port"),
        pytest.param("localhost/x", "localhost/x:latest", id="B3-localhost"),
        pytest.param("[::1]:5000/x", "[::1]:5000/x:latest", id="B3-ipv6"),
        pytest.param("a__b", "docker.io/library/a__b:latest", id="B2-two-underscores"),
        pytest.param(f"a:1@sha256:{HEX}", f"docker.io/library/a:1@sha256:{HEX}", id="B4-tag-and-digest"),
    ],
)
def test_it_is_accepted_and_normalised(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full


def test_a_foreign_scheme_and_a_foreign_host_say_what_to_write_instead() -> None:
    assert refusal("docker://host/x").hint == "write 'host/x'"
    assert refusal("https://user:secretword@host.io/x").hint == "write 'host.io/x'"
    assert "xn--" in refusal("quау.io/x").hint


@pytest.mark.parametrize("text", ["a\x1b]0;pwned\x07b", "a\u202eb", "user:secretword@host.io/x", "a" * 100_000 + "/B"])
def test_the_command_shows_a_refused_name_without_harm(text: str) -> None:
    ended = subprocess.run(["kubectl-airgap", "images", "--image", text], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: invalid reference")
    assert all(line.isprintable() for line in ended.stderr.splitlines())
    assert "secret" not in ended.stderr
    assert len(ended.stderr) < 1000
