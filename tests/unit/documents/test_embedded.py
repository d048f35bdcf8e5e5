"""Documents inside values are read and edited inside; what is around them stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.documents import embedded
from airgap.documents.edits import apply, replace
from airgap.documents.yaml import Scalar, read, walk
from airgap.errors import DocumentError, InvalidInput


def scalar(data: bytes) -> Scalar:
    (document,) = read(data, "f")
    assert document.root is not None
    return next(scalar for _, scalar in walk(document.root))


def inner(outer: Scalar, name: str) -> Scalar:
    (document,) = embedded.read(outer, "f")
    assert document.root is not None
    return next(scalar for path, scalar in walk(document.root) if path[-1] == name)


@pytest.mark.parametrize(
    "form",
    [
        "a: |\n  x: é\n  image: {}\n  y: 1\n",
        "a: |2-\n    x:\n     image: {}\n",
        "a: >\n  {{x: 1,\n  image: '{}'}}\n",
        'a: \'{{"x": "it\'\'s", "image": "{}"}}\'\n',
        'a: "x: \\u00e9\\nimage: {}\\ny: 1\\n"\n',
        "a: 'x: 1\n\n  image: {}'\n",
        'a: &anchor |\n  # c\n  image: "{}" # d\n',
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_inner_value_is_edited_in_place(form: str, end: str) -> None:
    data = form.format("a/b:1").replace("\n", end).encode()
    outer = scalar(data)
    found = inner(outer, "image")
    edit = embedded.lift(outer, replace(found, "r.local:5000/a/b:1"))
    assert apply(data, [edit]).decode() == form.format("r.local:5000/a/b:1").replace("\n", end)
    line = next(number for number, text in enumerate(data.decode().split("\n"), 1) if "image" in text)
    assert embedded.line_of(outer, found.start) == line


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=4), st.booleans(), st.sampled_from("'\"|"))
@settings(max_examples=150, deadline=None)
def test_json_in_any_quotes_keeps_all_its_other_values(more: dict[str, str], ascii_only: bool, quote: str) -> None:
    value = {**more, "image": "a/b:1"}
    text = json.dumps(value, ensure_ascii=ascii_only).replace("\x7f", "\\u007f")
    try:
        text.encode()
        quoted = {"'": "'" + text.replace("'", "''") + "'", '"': json.dumps(text), "|": "|-\n  " + text}[quote]
        data = f"k: {quoted}\n".encode()
        outer = scalar(data)
        found = inner(outer, "image")
    except (DocumentError, UnicodeEncodeError):
        return  # characters that YAML does not allow, or surrogate pairs, which libyaml does not join
    try:
        edit = embedded.lift(outer, replace(found, "c/d:2"))
    except InvalidInput:  # line ends that only YAML 1.1 has
        assert set("\x85\u2028\u2029") & set(text)
        return
    after = scalar(apply(data, [edit]))
    assert after.value == outer.value[: found.start] + '"c/d:2"' + outer.value[found.end :]


def test_what_is_no_document_is_an_error_and_what_a_block_cannot_hold_is_refused() -> None:
    with pytest.raises(DocumentError):
        embedded.read(scalar(b"a: |\n  {{ if }}\n  x: [\n"), "f")
    outer = scalar(b"a: |\n  x: 1\n")
    with pytest.raises(InvalidInput, match="cannot write"):
        embedded.lift(outer, replace(inner(outer, "x"), "b").__class__(3, 4, "two\nlines"))
