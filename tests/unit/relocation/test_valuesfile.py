"""Values set in values files of every style."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from airgap.errors import InvalidInput
from airgap.relocation.valuesfile import Path, dump, set_values

X = "r.corp:5000/m"


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ("a: b\n", ("a",), f"a: {X}\n"),
        ("a: 'b'  # why\n", ("a",), f"a: '{X}'  # why\n"),
        ('a: "b"\r\nc: d\r\n', ("a",), f'a: "{X}"\r\nc: d\r\n'),
        ("a:\n", ("a",), f"a: {X}\n"),
        ("a: ~\n", ("a",), f"a: {X}\n"),
        ('a: ""\n', ("a",), f'a: "{X}"\n'),
        ("l:\n  - n: 1\n    i: b\n", ("l", 0, "i"), f"l:\n  - n: 1\n    i: {X}\n"),
        ("é: ü\na: b\n", ("a",), f"é: ü\na: {X}\n"),
        ("a:\n  b: 1 # one\n# end\n", ("a", "c"), f"a:\n  b: 1 # one\n  c: {X}\n# end\n"),
        ("a:\n    b: 1\nz: 2\n", ("a", "c", "d"), f"a:\n    b: 1\n    c:\n      d: {X}\nz: 2\n"),
        ("a: {b: 1}\n", ("a", "c"), f"a: {{c: {X}, b: 1}}\n"),
        ("a: {}\n", ("a", "c", "d"), f"a: {{c: {{d: {X}}}}}\n"),
        ("a:\nz: 1\n", ("a", "c"), f"a:\n  c: {X}\nz: 1\n"),
        ("a: # nothing yet\nz: 1\n", ("a", "c"), f"a: # nothing yet\n  c: {X}\nz: 1\n"),
        ("a: ~ # none\nz: 1\n", ("a", "c"), f"a: # none\n  c: {X}\nz: 1\n"),
        ("s: {a: ~}\n", ("s", "a", "c"), f"s: {{a: {{c: {X}}}}}\n"),
        ("z: 1", ("a", "c"), f"z: 1\na:\n  c: {X}"),
        ("", ("a", "c"), f"a:\n  c: {X}\n"),
        ("# only words\n", ("a",), f"# only words\na: {X}\n"),
        ("t: |\n  one\n  two\n\nz: 1\n", ("a",), f"t: |\n  one\n  two\n\nz: 1\na: {X}\n"),
        ("s:\n  t: |\n    one\n\nz: 1\n", ("s", "a"), f"s:\n  t: |\n    one\n  a: {X}\n\nz: 1\n"),
        ("s:\n  l:\n  - 1\n  - 2\nz: 1\n", ("s", "a"), f"s:\n  l:\n  - 1\n  - 2\n  a: {X}\nz: 1\n"),
        ("b: &b {x: 1}\ns:\n  y: *b\nz: 1\n", ("s", "a"), f"b: &b {{x: 1}}\ns:\n  y: *b\n  a: {X}\nz: 1\n"),
    ],
)
def test_only_the_value_changes_or_comes_in(before: str, path: Path, after: str) -> None:
    assert set_values(before.encode(), {path: X}, "values.yaml").decode() == after


def test_a_switch_is_written_as_a_word() -> None:
    assert set_values(b"a: false # no\n", {("a",): True}, "v") == b"a: true # no\n"


def test_several_new_keys_go_to_their_places_at_once() -> None:
    done = set_values(b"a:\n  b: 1\n", {("a", "c", "d"): "x", ("a", "c", "e"): "y", ("f",): "z"}, "v")

    assert yaml.safe_load(done) == {"a": {"b": 1, "c": {"d": "x", "e": "y"}}, "f": "z"}


def test_an_empty_value_and_a_new_key_behind_it_come_in_that_order() -> None:
    done = set_values(b"a:\n  registry:\n", {("a", "repository"): "y", ("a", "registry"): "x"}, "v")

    assert done == b'a:\n  registry: x\n  repository: "y"\n'


def test_a_byte_order_mark_stays() -> None:
    assert set_values(b"\xef\xbb\xbfa: b\n", {("a",): "x"}, "v") == b"\xef\xbb\xbfa: x\n"


SHARED = b"common: &c docker.io\nimage:\n  registry: *c\ndocs: *c\n"


def test_a_text_that_others_share_through_an_anchor_is_not_changed_for_one_of_them() -> None:
    with pytest.raises(InvalidInput, match="share an anchor") as caught:
        set_values(SHARED, {("image", "registry"): X}, "values.yaml")
    assert "--values-only" in caught.value.hint


def test_a_text_that_others_share_is_changed_once_for_all_of_them() -> None:
    all_of_them: dict[Path, str | bool] = {("common",): X, ("image", "registry"): X, ("docs",): X}
    assert set_values(SHARED, all_of_them, "values.yaml") == SHARED.replace(b"docker.io", X.encode())


@pytest.mark.parametrize(
    ("before", "path"),
    [
        (b"b: &b {x: 1}\nsub:\n  <<: *b\n", ("sub", "image")),
        (b"a: |+\n  text\n\n", ("k",)),
        (b"a: {repo: x, registry}\n", ("a", "registry")),
    ],
)
def test_a_form_that_cannot_be_edited_safely_is_refused_with_a_way_out(before: bytes, path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        set_values(before, {path: X}, "values.yaml")
    assert "--values-only" in caught.value.hint


def test_nothing_can_be_set_below_a_text() -> None:
    with pytest.raises(InvalidInput, match="v:1: `a` is no mapping"):
        set_values(b"a: text\n", {("a", "b"): "x"}, "v")


@pytest.mark.parametrize(
    "tree",
    [
        {"a": {"b": "x", "c": True}},
        {"a": "1.10", "b": "yes", "c": "", "d": "a: b", "e.f/g": "x", "no": "x"},
        {"l": [{"n": 1.5, "image": "x", "m": {}}, {"k": [1, None]}]},
    ],
)
def test_what_is_written_reads_back_the_same(tree: dict[str, Any]) -> None:
    assert yaml.safe_load(dump(tree)) == tree
