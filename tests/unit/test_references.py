"""Image names are read as Docker reads them; the table is distribution/reference's own, from its grammar and tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import InvalidReference
from airgap.references import Reference, check_digest, check_host, check_repository

SHA = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8
HEX = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5c7b9a1f3e5d7c9b1a3f"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/fooo/bar", "docker.io/fooo/bar:latest"),
        ("docker.io/library/foo/bar", "docker.io/library/foo/bar:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("localhost", "docker.io/library/localhost:latest"),
        ("example.com", "docker.io/library/example.com:latest"),
        ("192.168.1.1:5000", "docker.io/library/192.168.1.1:5000"),
        ("test.com:5000", "docker.io/library/test.com:5000"),
        ("foo_bar.com:8080", "docker.io/library/foo_bar.com:8080"),
        ("test:5000/repo", "test:5000/repo:latest"),
        ("registry:5000/kubevirt/x:devel", "registry:5000/kubevirt/x:devel"),
        ("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080"),
        ("192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo:5050"),
        ("b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io/test.example.com/my-app:test.example.com"),
        (f"xn--n3h.com/myimage:xn--n3h.com@{SHA}", f"xn--n3h.com/myimage:xn--n3h.com@{SHA}"),
        ("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000/repo:tag"),
        ("[2001:db8::1]/repo", "[2001:db8::1]/repo:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("Docker/docker", "Docker/docker:latest"),
        ("FOO/bar", "FOO/bar:latest"),
        ("LOCALDOMAIN/debian", "LOCALDOMAIN/debian:latest"),
        ("lowercase:Uppercase", "docker.io/library/lowercase:Uppercase"),
        (f"docker.io/{HEX}", f"docker.io/library/{HEX}:latest"),
        ("docker---rules/x", "docker.io/docker---rules/x:latest"),
        ("dock__er/x", "docker.io/dock__er/x:latest"),
        (f"busybox:latest@{SHA}", f"docker.io/library/busybox:latest@{SHA}"),
        (f"busybox@{SHA}", f"docker.io/library/busybox@{SHA}"),
        (f"repo@{SHA512}", f"docker.io/library/repo@{SHA512}"),
        ("a/" * 127 + "a:tag", "docker.io/" + "a/" * 127 + "a:tag"),
        ("example.com/" + "a" * 255, "example.com/" + "a" * 255 + ":latest"),
        ("a:" + "t" * 128, "docker.io/library/a:" + "t" * 128),
        (f"quay.io/eclipse/che--traefik@{SHA}", f"quay.io/eclipse/che--traefik@{SHA}"),
        (f"mcr.microsoft.com/powershell:nanoserver@{SHA}", f"mcr.microsoft.com/powershell:nanoserver@{SHA}"),
        ("us-docker.pkg.dev/a/b/c:latest", "us-docker.pkg.dev/a/b/c:latest"),
        ("quay.io/almalinuxorg/10-minimal:10", "quay.io/almalinuxorg/10-minimal:10"),
        ("docker:19.03.13-dind", "docker.io/library/docker:19.03.13-dind"),
        ("host:65535/x", "host:65535/x:latest"),
        ("a.b/c", "a.b/c:latest"),
    ],
)
def test_a_name_is_normalised_as_docker_does_and_stays_so(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full
    assert Reference.parse(full) == Reference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "docker/Docker", "Uppercase:tag", "test:5000/Uppercase/x:tag", HEX,
        "-docker/x", "docker-/x", "_a/_a", "dock..er/x", "dock_.er", "dock-.er", "a___b/x", "a///b", "docker/", ":tag",
        f"@{SHA}", "aa/asdf$$^/aa", "https://example.com/x", "[2001:db8::1]", "[2001:db8::1]:5000",
        "[fe80::1%eth0]:5000/x", "fc00::1:5000/x", "2001:db8::1/x", "[::1/x", "[]/x", "a:", "a@", "a@@b", "a:b:c",
        "x/a:b/c:d", "quay.io/:tag", "quay.io/", "quay.io//a", "/a", "a/.b", "a/b.", "a/-b",
        "a:" + "t" * 129, "a/" * 128 + "a:tag", "example.com/" + "a" * 256, f"repo@{SHA[:41]}", "repo@sha256:",
        "[:::::]/x", "[1234567::1]/x",
    ],
)  # fmt: skip
def test_what_docker_refuses_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("invalid ")


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("docker.io/library/nginx:latest", "nginx"),
        ("docker.io/library/nginx:1", "nginx:1"),
        ("docker.io/library/foo/bar", "library/foo/bar"),
        ("docker.io/store/foo/bar", "store/foo/bar"),
        (f"busybox:latest@{SHA}", f"busybox:latest@{SHA}"),
        ("quay.io/a/b:latest", "quay.io/a/b"),
        ("docker.io/localhost/x:1", "docker.io/localhost/x:1"),
        ("docker.io/a.b/x", "docker.io/a.b/x"),
        (f"docker.io/{HEX}", f"docker.io/library/{HEX}"),
    ],
)
def test_the_familiar_form_is_the_shortest_that_means_the_same(text: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert reference.familiar == familiar
    assert Reference.parse(familiar) == reference


def test_a_digest_is_what_is_pulled_where_there_is_one() -> None:
    both = Reference.parse(f"a/b:1@{SHA}")
    assert (both.version, both.tag, both.digest) == (SHA, "1", SHA)
    assert str(both.without_tag()) == f"docker.io/a/b@{SHA}"
    assert Reference.parse("a/b").without_tag().tag == "latest"
    assert Reference.parse("a/b:1").with_digest(SHA) == both
    assert Reference.parse("a/b:1").version == "1"


@pytest.mark.parametrize(
    ("text", "position"), [("a//b", 3), ("quay.io/a/Bc", 11), ("quay.io/a/b$c", 12), ("ab c", 3), ("quay.io/a/..", 11)]
)
def test_the_character_to_blame_is_named_by_its_position(text: str, position: int) -> None:
    with pytest.raises(InvalidReference, match=f"at position {position}"):
        Reference.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_is_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReference as error:
        assert error.message.isprintable()
    else:
        assert Reference.parse(str(reference)) == reference
        assert Reference.parse(reference.familiar) == reference


COMPONENT = st.from_regex(r"[a-z0-9]{1,5}([._-][a-z0-9]{1,5}){0,2}", fullmatch=True)
HOSTS = st.from_regex(
    r"([a-z0-9]{1,5}(-[a-z0-9]{1,3})?(\.[a-z]{2,3})(:[1-9][0-9]{0,3})?|localhost|\[[0-9a-f]::1\]:1)", fullmatch=True
)


@given(HOSTS, st.lists(COMPONENT, min_size=1, max_size=4), st.from_regex(r"\w[\w.-]{0,9}", fullmatch=True))
def test_a_full_name_is_taken_apart_where_it_was_put_together(host: str, parts: list[str], tag: str) -> None:
    if not tag.isascii():
        return
    path = "/".join(parts)
    reference = Reference.parse(f"{host}/{path}:{tag}@{SHA}")
    assert (reference.tag, reference.digest) == (tag, SHA)
    if host != "docker.io":
        assert (reference.registry, reference.repository) == (host, path)


def test_hosts_and_repositories_and_digests_are_checked_alone_too() -> None:
    assert check_host("registry.local:5000") == "registry.local:5000"
    assert check_repository("a/b-c") == "a/b-c"
    assert check_digest(SHA) == SHA
    for check, text in ((check_host, "a..b"), (check_repository, "A"), (check_repository, ""), (check_digest, "md5:0")):
        with pytest.raises(InvalidReference):
            check(text)
