"""A relocated manifest differs in its images' names and in nothing else."""

# ruff: noqa: E501 - before and after, one above the other, are read more easily than wrapped ones

from __future__ import annotations

import json

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.discovery.manifests import find
from airgap.errors import InvalidInput
from airgap.references import Reference
from airgap.relocation.manifests import RelocatedText, relocate
from airgap.relocation.policy import Relocation

SHA = "sha256:" + "ab" * 32
RULE = Relocation.to("r.local:5000/p")
HEAD = "kind: Pod\nmetadata: {name: p}  # é\nspec:\n  containers:\n"


def relocated(text: str, rule: Relocation = RULE) -> str:
    result = relocate(text.encode(), "f.yaml", rule)
    assert result.outside == ()
    again = relocate(result.after, "f.yaml", rule)
    assert again.after == result.after
    assert not again.changed
    return result.after.decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("image: nginx # why", "image: r.local:5000/p/library/nginx # why"),
        ("image:   'quay.io/a/b:1'", "image:   'r.local:5000/p/a/b:1'"),
        ('"image":"quay.io/a/b:1"', '"image":"r.local:5000/p/a/b:1"'),
        ('"image" : "quay.io\\/a\\/b:1"', '"image" : "r.local:5000/p/a/b:1"'),
        (f"image: a/b:1@{SHA}", f"image: r.local:5000/p/a/b:1@{SHA}"),
        (f"image: a/b@{SHA}", f"image: r.local:5000/p/a/b@{SHA}"),
        ("image: a/b:latest", "image: r.local:5000/p/a/b:latest"),
        ("image: &i a/b:1", "image: &i r.local:5000/p/a/b:1"),
        ("image: >-\n      a/b:1", "image: >-\n      r.local:5000/p/a/b:1"),
        ("image: r.local:5000/p/a/b:1", "image: r.local:5000/p/a/b:1"),
        ("args: [--x, --my-image=a/b:1, # c\n      --y]", "args: [--x, --my-image=r.local:5000/p/a/b:1, # c\n      --y]"),
        ("args: ['--image', 'a/b:1']", "args: ['--image', 'r.local:5000/p/a/b:1']"),
        ("args: ['it''s', '--images=a/b:1,c/d:2']", "args: ['it''s', '--images=r.local:5000/p/a/b:1,r.local:5000/p/c/d:2']"),
        ("env: [{name: AN_IMAGE, value: 'a/b:1'}]", "env: [{name: AN_IMAGE, value: 'r.local:5000/p/a/b:1'}]"),
        (
            "env: [{name: C, value: '{\"n\": \"it''s\", \"image\": \"quay.io/a/b:1\"}'}]",
            "env: [{name: C, value: '{\"n\": \"it''s\", \"image\": \"r.local:5000/p/a/b:1\"}'}]",
        ),
        (
            'env: [{name: C, value: "{\\"n\\": \\"\\u00e9\\", \\"image\\": \\"quay.io/a/b:1\\"}"}]',
            'env: [{name: C, value: "{\\"n\\": \\"\\u00e9\\", \\"image\\": \\"r.local:5000/p/a/b:1\\"}"}]',
        ),
        (
            "env:\n    - name: IMAGES\n      value: |\n        1=quay.io/a/b:1\n\n        2=quay.io/a/b:2",
            "env:\n    - name: IMAGES\n      value: |\n        1=r.local:5000/p/a/b:1\n\n        2=r.local:5000/p/a/b:2",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_name_is_changed_where_it_stands(before: str, after: str, end: str) -> None:
    text = "\ufeff# first\n---\n" + HEAD + "  - name: c\n    %s\n    x: 1\n---\n# last"
    if before.startswith('"'):
        text = text.replace("- name: c\n    %s\n    x: 1", "- {%s, x: 1}")
    assert relocated((text % before).replace("\n", end)) == (text % after).replace("\n", end)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{registry: quay.io, repository: a/b, tag: v1}", "{registry: 'r.local:5000', repository: p/a/b, tag: v1}"),
        (
            "{registry: '', repository: quay.io/a/b, tag: v1}",
            "{registry: '', repository: 'r.local:5000/p/a/b', tag: v1}",
        ),
        ("{image: quay.io/a/b, tag: v1}", "{image: 'r.local:5000/p/a/b', tag: v1}"),
        (
            "{repository: nvcr.io/nvidia, image: driver, version: '1'}",
            "{repository: 'r.local:5000/p/nvidia', image: driver, version: '1'}",
        ),
        (
            "{repository: nvcr.io/nvidia/cloud, image: a/driver, version: '1'}",
            "{repository: 'r.local:5000/p/nvidia/cloud', image: a/driver, version: '1'}",
        ),
        ("{registry: quay.io/, repository: /a/b, tag: v1}", "{registry: 'r.local:5000/', repository: /p/a/b, tag: v1}"),
    ],
)
def test_an_image_of_several_keys_is_changed_in_each_that_names_it(before: str, after: str) -> None:
    text = relocated(f"kind: X\nspec: {{image: {before}}}\n")
    assert pyyaml.safe_load(text) == pyyaml.safe_load(f"kind: X\nspec: {{image: {after}}}\n")


def test_a_hub_that_many_images_share_is_changed_once() -> None:
    values = {
        "global": {"hub": "docker.io/istio", "tag": "1", "proxy": {"image": "proxyv2"}},
        "pilot": {"image": "pilot"},
    }
    text = "kind: ConfigMap\ndata:\n  values: |-\n    " + json.dumps(values, indent=2).replace("\n", "\n    ") + "\n"
    assert relocated(text) == text.replace("docker.io/istio", "r.local:5000/p/istio")


def test_images_that_share_a_part_and_go_apart_are_reported_and_not_half_changed() -> None:
    values = {
        "global": {"hub": "docker.io/istio", "tag": "1", "proxy": {"image": "proxyv2"}, "init": {"image": "init"}}
    }
    explicit = {"docker.io/istio/init:1": Reference.parse("other.local/init:1")}
    text = "kind: ConfigMap\ndata:\n  values: '" + json.dumps(values) + "'\n"
    result = relocate(text.encode(), "f", Relocation.to("r.local", explicit=explicit))
    assert "shares a part" in result.outside[0].reason
    assert b"r.local/istio" in result.after
    assert {str(reference) for reference in find(result.after, "f").references} == {
        "r.local/istio/proxyv2:1", "r.local/istio/init:1",
    }  # fmt: skip


def test_an_anchor_is_changed_at_its_definition_and_all_its_users_follow() -> None:
    text = f"{HEAD}  - image: &i a/b:1\n  - image: *i\n  - &c {{image: 'c:2'}}\n  - {{<<: *c, name: x}}\n"
    after = relocated(text)
    assert after == text.replace("a/b:1", "r.local:5000/p/a/b:1").replace("c:2", "r.local:5000/p/library/c:2")


def test_yaml_in_json_in_yaml_is_changed_at_its_innermost_place() -> None:
    inner = json.dumps({"x": 'it\'s "é"', "y": "a: 1\nspec:\n  image: 'quay.io/a/b:1'\n"})
    text = "kind: ConfigMap\ndata:\n  a: '" + inner.replace("'", "''") + "'\n"
    assert relocated(text) == text.replace("quay.io/a/b", "r.local:5000/p/a/b")


def test_a_lock_gives_digests_and_other_tags_where_it_says_so() -> None:
    explicit = {
        "docker.io/a/b:1": Reference.parse(f"r.local/b:1@{SHA}"),
        "docker.io/c/d:2": Reference.parse("r.local/d:2-inside"),
        "quay.io/e/f:3": Reference.parse(f"r.local/f:3@{SHA}"),
    }
    text = f"{HEAD}  - image: a/b:1\n  - image: c/d:2\n---\nkind: X\nspec: {{image: {{repository: quay.io/e/f, tag: '3'}}}}\n"
    after = relocated(text, Relocation("", explicit=explicit))
    assert f"image: r.local/b:1@{SHA}\n" in after
    assert "image: r.local/d:2-inside\n" in after
    assert f"{{repository: r.local/f, tag: '3@{SHA}'}}" in after


def test_what_a_lock_does_not_have_is_left_and_reported() -> None:
    rule = Relocation("", explicit={"docker.io/a/b:1": Reference.parse("r.local/b:1")})
    result = relocate(f"{HEAD}  - image: a/b:1\n  - image: c/d:2\n".encode(), "f.yaml", rule)
    assert [(problem.place.line, problem.reason) for problem in result.outside] == [(6, "`c/d:2` points elsewhere")]
    assert b"image: c/d:2" in result.after and b"r.local/b:1" in result.after


def test_a_document_that_cannot_be_read_is_left_and_reported_and_the_others_are_changed() -> None:
    result = relocate(f"{HEAD}  - image: a/b:1\n---\nimage: {{{{ .x }}}}\n".encode(), "f.yaml", RULE)
    assert result.after == f"{HEAD}  - image: r.local:5000/p/a/b:1\n---\nimage: {{{{ .x }}}}\n".encode()
    assert [problem.place.line for problem in result.outside] == [7]


def test_a_file_without_images_and_a_file_that_is_no_text_stay_as_they_are() -> None:
    assert relocate(b"a: 1\r\n\t", "f", RULE).after == b"a: 1\r\n\t"
    binary = relocate(b"\xff\xfe\x00image", "f", RULE)
    assert binary.after == b"\xff\xfe\x00image"
    assert len(binary.outside) == 1


IMAGES = st.from_regex(r"([a-z]{1,3}\.io/)?[a-z]{1,3}/[a-z]{1,4}(:[a-z0-9]([.]?[a-z0-9])?)?", fullmatch=True)


@st.composite
def manifests(draw: st.DrawFn) -> str:
    """Documents with images in many forms, and in between all that must stay."""
    forms = [
        "  - image: {i}  # {i} é", "  - {{name: 'x', image: '{i}'}}", '  - "image": "{i}"', "  - image: &a{n} {i}\n  - image: *a{n}",
        "  - args: ['--some-image={i}', \"--é\"]", "  - env:\n    - {{name: A_IMAGE, value: {i}}}\n\n",
        "  - env:\n    - name: A\n      value: |\n        # 😀 {i}\n        image: {i}\n", "  - name: {i}", "  # - image: {i}",
    ]  # fmt: skip
    count = draw(st.integers(1, 5))
    entries = [draw(st.sampled_from(forms)).format(i=draw(IMAGES), n=number) for number in range(count)]
    lines = ["kind: Pod", "spec:", "  containers:", *entries]
    text = draw(st.sampled_from(["\n", "\r\n"])).join("\n".join(lines).split("\n"))
    return draw(st.sampled_from(["", "\ufeff"])) + text + draw(st.sampled_from(["", "\n", "\n---\n# end"]))


@given(manifests(), st.sampled_from(["strip", "keep", "flat"]))
@settings(max_examples=100, deadline=None)
def test_outside_the_images_every_byte_stays_and_twice_is_once(text: str, naming: str) -> None:
    rule = Relocation.to("r.local:5000/p", naming)
    before = find(text.encode(), "f")
    try:
        result: RelocatedText = relocate(text.encode(), "f", rule)
    except InvalidInput as error:
        assert "would both become" in error.message
        return
    assert result.outside == ()
    after = find(result.after, "f")
    assert [rule.target_of(finding.reference) for finding in before.findings] == [f.reference for f in after.findings]
    assert [finding.place for finding in before.findings] == [finding.place for finding in after.findings]
    undone = result.after.decode()
    for finding, now in zip(before.findings, after.findings, strict=True):
        lines = undone.split("\n")
        lines[now.place.line - 1] = lines[now.place.line - 1].replace(now.written, finding.written)
        undone = "\n".join(lines)
    assert undone == text
    assert relocate(result.after, "f", rule).after == result.after
