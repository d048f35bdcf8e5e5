"""Documents are read as they are written, each value with its place."""

from __future__ import annotations

import pytest

from airgap.documents.edits import apply, replace_within
from airgap.documents.yaml import Mapping, Scalar, compose, path_text, plain, read, split, walk


def scalars(data: bytes) -> dict[str, Scalar]:
    return {
        path_text(path): scalar for document in read(data, "f") if document.root for path, scalar in walk(document.root)
    }


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_offsets_count_characters_and_lines_count_from_one(mark: bytes, end: str) -> None:
    text = end.join(["# é 😀", "a: 'ü'", "---", "b:", "  - {c: &x d, e: *x}", "  - !t &y f", ""])
    found = scalars(mark + text.encode())
    assert {path: (text[s.start : s.end], s.line) for path, s in found.items()} == {
        ".a": ("'ü'", 2), ".b[0].c": ("d", 5), ".b[0].e": ("d", 5), ".b[1]": ("f", 6),
    }  # fmt: skip
    assert all(scalar.raw == text[scalar.start : scalar.end] for scalar in found.values())
    assert found[".b[0].c"] is not found[".a"] and found[".b[0].e"] == found[".b[0].c"]
    assert found[".b[1]"].tag == "!t"


def test_an_anchor_on_a_line_of_its_own_does_not_shift_the_line() -> None:
    assert scalars(b"a: &x\n  b\n")[".a"].line == 2


@pytest.mark.parametrize(
    ("text", "is_null", "is_string"),
    [
        ("", True, False), ("~", True, False), ("null", True, False), ("'null'", False, True), ("''", False, True),
        ("x", False, True), ("1", False, False), ("1.10", False, False), ("NO", False, False), ("0o17", False, False),
        ("1e3", False, False), ("y", False, False), ("12:30:45", False, False), ("2024-01-01", False, False),
        ("!!str 1", False, True), ("!Ref x", False, False), ("a:1", False, True), ("1.2.3", False, True),
    ],
)  # fmt: skip
def test_a_value_knows_whether_it_is_nothing_and_whether_it_is_text_to_others(
    text: str, is_null: bool, is_string: bool
) -> None:
    scalar = scalars(f"a: {text}\n".encode())[".a"]
    assert (scalar.is_null, scalar.is_string) == (is_null, is_string)


def test_mappings_answer_by_key_and_by_path() -> None:
    (document,) = read(b"a: {b: [x, {c: d}], n: ~}\n", "f")
    root = document.root
    assert isinstance(root, Mapping)
    found = root.at("a", "b", 1, "c")
    assert isinstance(found, Scalar) and found.value == "d"
    assert [root.at("a", "b", 2), root.at("a", "x", "y"), root.at("a", "b", "c"), root.get("z")] == [None] * 4
    inner = root.get("a")
    assert isinstance(inner, Mapping)
    assert [inner.text("n"), inner.text("b"), inner.text("z")] == ["", "", ""]


def test_a_path_is_written_as_people_do() -> None:
    assert (
        path_text(("metadata", "annotations", "helm.sh/images", 0, "a-b_c"))
        == '.metadata.annotations["helm.sh/images"][0].a-b_c'
    )


def test_the_last_of_two_equal_keys_wins_where_helm_is_followed() -> None:
    (document,) = read(b"a: 1\nb: 2\na: 3\n", "f", unique=False)
    assert plain(document.root) == {"a": "3", "b": "2"}


def test_documents_are_split_where_yaml_splits_them_even_in_block_scalars() -> None:
    text = "%YAML 1.1\n---\na: |\n  x\n  --- no\n---no: 1\n--- # yes\nb: 1\n---\n"
    parts = list(split(text, "f"))
    assert [(part.line, part.body) for part in parts] == [
        (1, "%YAML 1.1\n---\na: |\n  x\n  --- no\n---no: 1\n"), (7, "--- # yes\nb: 1\n"), (9, "---\n"),
    ]  # fmt: skip
    assert plain(compose(parts[1])[0].root) == {"b": "1"}
    assert "".join(part.body for part in parts) == text


def test_empty_documents_and_comments_have_no_root() -> None:
    assert [document.root for document in read(b"# a\n---\n---\n# b\n---\n~\n", "f")] == [None] * 3


def test_json_with_tabs_and_escaped_slashes_is_read() -> None:
    (document,) = read(b'{\n\t"a": "b\\/c",\n\t"d": [1, true, null]\n}', "f")
    assert plain(document.root) == {"a": "b/c", "d": ["1", "true", None]}


def test_json_with_surrogate_pairs_is_read_and_edited_like_any_other() -> None:
    data = b'{"a": "\\ud83d\\ude00 x", "b": "\\ud83d\\uDE00", "image": "y"}'
    found = scalars(data)
    assert found[".image"].value == "y"
    assert apply(data, [replace_within(found[".a"], "x", "z")]) == data.replace(b" x", b" z")
