"""Target names: a pure function of the source's name, injective or an error that names both sources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import InvalidInput, InvalidReference
from airgap.references import Reference
from airgap.relocation.policy import Relocation, parse_target

SHA = "sha256:" + "ab" * 32
NAMINGS = ("strip", "keep", "flat", "group=g")
NAMES = st.from_regex(
    r"([a-z]{1,4}\.io(:[1-9][0-9]{0,3})?/|localhost/|r:5000/|)[a-z]{1,3}(/[a-z]{1,3}([._-][a-z0-9])?){0,2}(:[a-z0-9]{1,3})?",
    fullmatch=True,
)


@pytest.mark.parametrize(
    ("naming", "source", "target"),
    [
        ("strip", "quay.io/a/b:1", "r.local:5000/p/q/a/b:1"),
        ("strip", "nginx", "r.local:5000/p/q/library/nginx:latest"),
        ("strip", f"quay.io/a/b:1@{SHA}", f"r.local:5000/p/q/a/b:1@{SHA}"),
        ("strip", f"quay.io/a/b@{SHA}", f"r.local:5000/p/q/a/b@{SHA}"),
        ("keep", "quay.io/a/b:1", "r.local:5000/p/q/quay.io/a/b:1"),
        ("keep", "nginx", "r.local:5000/p/q/docker.io/library/nginx:latest"),
        ("keep", "localhost:5000/x:1", "r.local:5000/p/q/localhost-5000/x:1"),
        ("keep", "[::1]:5000/x:1", "r.local:5000/p/q/1-5000/x:1"),
        ("keep", "FOO/x:1", "r.local:5000/p/q/foo/x:1"),
        ("flat", "quay.io/a/b/c:1", "r.local:5000/p/q/a-b-c:1"),
        ("group=apps", "quay.io/a/b/c:1", "r.local:5000/p/q/apps/c:1"),
        ("group=my/apps", "nginx:1", "r.local:5000/p/q/my/apps/nginx:1"),
        *((naming, "airgap.alt/charts/shop:1", "r.local:5000/p/q/charts/shop:1") for naming in NAMINGS),
    ],
)
def test_the_naming_decides_what_becomes_of_the_source_name(naming: str, source: str, target: str) -> None:
    rule = Relocation.to("r.local:5000/p/q", naming)
    assert str(rule.target_of(Reference.parse(source))) == target


@pytest.mark.parametrize(
    ("source", "inside"),
    [
        ("ghcr.io/p/a:1", True),
        ("ghcr.io/p/a/b:1", True),
        ("ghcr.io.corp/p/a:1", False),
        ("ghcr.io/pp/a:1", False),
        ("ghcr.io/p:1", False),
        ("ghcr.io:443/p/a:1", False),
    ],
)
def test_what_is_at_the_target_already_is_told_by_whole_names_and_stays(source: str, inside: bool) -> None:
    rule = Relocation.to("ghcr.io/p")
    reference = Reference.parse(source)
    assert rule.covers(reference) is inside
    assert (rule.target_of(reference) == reference) is inside


@given(st.lists(NAMES, max_size=8), st.sampled_from(NAMINGS), st.sampled_from([0, 2, 3]))
def test_no_two_images_get_one_name_and_doing_it_twice_changes_nothing(
    names: list[str], naming: str, max_depth: int
) -> None:
    rule = Relocation.to("r.local/p", naming, max_depth=max_depth)
    try:
        mapping = rule.mapping(Reference.parse(name) for name in names)
    except InvalidInput as error:
        assert "would both become" in error.message
        assert error.hint
        return
    assert all(len(target.repository.split("/")) <= (max_depth or 99) for target in mapping.values())
    assert len({str(target) for target in mapping.values()}) == len(mapping)
    assert all(rule.covers(target) and rule.target_of(target) == target for target in mapping.values())
    assert rule.mapping(mapping.values()) == {target: target for target in mapping.values()}


@pytest.mark.parametrize(
    ("max_depth", "prefix", "source", "path"),
    [
        (1, "", "quay.io/a/b/c:1", "a-b-c"),
        (2, "", "quay.io/a/b/c:1", "a/b-c"),
        (3, "", "quay.io/a/b/c:1", "a/b/c"),
        (2, "p", "quay.io/a/b/c:1", "p/a-b-c"),
        (3, "p", "quay.io/a_b/c.d/e:1", "p/a_b/c.d-e"),
        (2, "p", "airgap.alt/charts/shop:1", "p/charts-shop"),
        (9, "p/q", "quay.io/a/b/c:1", "p/q/a/b/c"),
    ],
)
def test_the_last_components_of_a_path_that_is_too_deep_are_joined(
    max_depth: int, prefix: str, source: str, path: str
) -> None:
    rule = Relocation.to(f"r.local/{prefix}", max_depth=max_depth)
    assert str(rule.target_of(Reference.parse(source))) == f"r.local/{path}:1"


def test_a_depth_that_the_prefix_uses_up_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"none below `r\.local/p/q`"):
        Relocation.to("r.local/p/q", max_depth=2)


def test_a_hint_about_names_that_meet_says_what_would_keep_them_apart() -> None:
    names = [Reference.parse(name) for name in ("quay.io/a/b-c:1", "quay.io/a/b/c:1")]
    with pytest.raises(InvalidInput) as caught:
        Relocation.to("r.local", max_depth=2).mapping(names)
    assert "--max-depth" in caught.value.hint


def test_d05_two_images_of_different_origin_that_a_group_gives_one_name_are_refused_by_both_names() -> None:
    names = ["quay.io/k8scsi/livenessprobe:v2.11.0", "registry.k8s.io/sig-storage/livenessprobe:v2.11.0"]
    with pytest.raises(InvalidInput) as caught:
        Relocation.to("r.local:5000", "group=juicedata").mapping(Reference.parse(name) for name in names)
    assert all(name in caught.value.message for name in names)
    assert "r.local:5000/juicedata/livenessprobe:v2.11.0" in caught.value.message
    other = [names[0], names[1].replace("v2.11.0", "v2.12.0")]
    assert len(Relocation.to("r.local", "group=juicedata").mapping(map(Reference.parse, other))) == 2


@pytest.mark.parametrize(
    ("naming", "one", "other"),
    [
        ("strip", "quay.io/a/b:1", "ghcr.io/a/b:1"),
        ("flat", "quay.io/a/b:1", "quay.io/a-b:1"),
        ("group=g", "quay.io/a/b:1", "quay.io/c/b:1"),
        ("keep", "h:5000/x:1", "h-5000/x:1"),
    ],
)
def test_b9_two_sources_with_one_target_are_an_error_that_names_both(naming: str, one: str, other: str) -> None:
    if "." not in other and other.startswith("h-"):
        other = "H-5000/x:1"  # a host only by its capital
    with pytest.raises(InvalidInput) as caught:
        Relocation.to("r.local", naming).mapping([Reference.parse(one), Reference.parse(other)])
    assert one in caught.value.message and other in caught.value.message


def test_versions_of_one_image_and_a_half_done_move_are_no_collision() -> None:
    names = ["quay.io/a/b:1", "quay.io/a/b:2", f"quay.io/a/b@{SHA}", "r.local/a/b:1"]
    mapping = Relocation.to("r.local").mapping(Reference.parse(name) for name in names)
    assert sorted(map(str, mapping.values())) == [
        "r.local/a/b:1",
        "r.local/a/b:1",
        "r.local/a/b:2",
        f"r.local/a/b@{SHA}",
    ]


def test_a_lock_wins_over_the_rule_and_without_a_registry_it_is_the_only_rule() -> None:
    fixed = {"quay.io/a/b:1": Reference.parse("r.local/x/b:1"), f"quay.io/c@{SHA}": Reference.parse(f"r.local/c@{SHA}")}
    both, alone = Relocation.to("r.local/p", explicit=fixed), Relocation("", explicit=fixed)
    for rule in (both, alone):
        assert str(rule.target_of(Reference.parse("quay.io/a/b:1"))) == "r.local/x/b:1"
        assert str(rule.target_of(Reference.parse(f"quay.io/c:9@{SHA}"))) == f"r.local/c@{SHA}"
        assert rule.covers(Reference.parse("r.local/x/b:1"))
    assert str(both.target_of(Reference.parse("quay.io/a/b:2"))) == "r.local/p/a/b:2"
    assert str(alone.target_of(Reference.parse("quay.io/a/b:2"))) == "quay.io/a/b:2"
    assert not alone.covers(Reference.parse("quay.io/a/b:2"))


def test_a_name_too_long_for_the_target_is_refused() -> None:
    with pytest.raises(InvalidReference, match=r"quay\.io/aaa.*not 255"):
        Relocation.to("r.local/" + "p" * 100).target_of(Reference.parse("quay.io/" + "a" * 200))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("r.local", ("r.local", "")),
        ("r.local:5000/a/b/", ("r.local:5000", "a/b")),
        ("oci://r.local/a", ("r.local", "a")),
        ("localhost/a", ("localhost", "a")),
        ("[::1]:5000/a", ("[::1]:5000", "a")),
        ("docker.io/me", ("docker.io", "me")),
        ("index.docker.io/me", ("docker.io", "me")),
        pytest.param("r.local/v2/", ("r.local", ""), id="B67-trailing-v2"),
    ],
)
def test_a_target_is_a_host_with_a_path(text: str, parsed: tuple[str, str]) -> None:
    assert parse_target(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ftp://h.io/x", id="B67-ftp"),
        pytest.param("https://h.io/x", id="B67-https"),
        pytest.param("", id="B67-empty"),
        pytest.param("/x", id="B67-no-host"),
        pytest.param("h.io/x?y=1", id="B67-query"),
        pytest.param("h.io/x#y", id="B67-fragment"),
        pytest.param("unix:/run/x.sock", id="B67-unix"),
        pytest.param("unix:///run/x.sock", id="B67-unix-url"),
        pytest.param("user:word@h.io/x", id="B71-user"),
        "h.io/Upper", "h.io//x", "h.io:0/x", "h.io:65536", "h.io./x", "-h.io", "h io", "registry/apps", "registry",
    ],
)  # fmt: skip
def test_a_target_that_images_cannot_have_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_target(text)
    assert "\n" not in caught.value.message
    assert "word" not in caught.value.message


@pytest.mark.parametrize("naming", ["", "same", "group", "group=", "group=UP", "keep=x"])
def test_a_naming_that_is_none_is_refused(naming: str) -> None:
    with pytest.raises(InvalidInput):
        Relocation.to("r.local", naming)
