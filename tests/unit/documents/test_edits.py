"""An edit changes the value it names and not one byte besides."""

from __future__ import annotations

import json

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.documents.edits import Edit, apply, diff, replace, replace_span, replace_within
from airgap.documents.layout import spans
from airgap.documents.yaml import Scalar, path_text, read, walk
from airgap.errors import InvalidInput

VALUES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp")), min_size=1, max_size=12
)
NEW = st.one_of(
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,3})?(:[0-9]{2,4})?/[a-z/]{0,9}[a-z](:[a-z0-9.]{1,9})?", fullmatch=True), VALUES
)


@st.composite
def written(draw: st.DrawFn) -> str:
    """A file in which each value is written in a style of its own, with comments, anchors and other line ends."""
    lines = ["# first: comment é 😀"]
    for number in range(draw(st.integers(1, 6))):
        value = draw(VALUES)
        style = draw(st.sampled_from(["double", "single", "literal", "folded", "flow", "anchor", "plain", "null"]))
        quoted = json.dumps(value, ensure_ascii=draw(st.booleans()) and max(value) < "\uffff")
        lines += {
            "double": [f"k{number}: {quoted}  # {style}"],
            "single": [f"k{number}:   '{value.replace(chr(39), chr(39) * 2)}'"],
            "literal": [f"k{number}: |-", f"  x{value}", "", "    deeper"],
            "folded": [f"k{number}: >", f"  x{value.strip()}x", "  next", "", "  last"],
            "flow": [f"k{number}: {{a: {quoted}, b: [{quoted},", f"  {quoted} ] }}"],
            "anchor": [f"k{number}: &a{number} {quoted}", f"alias{number}: *a{number}"],
            "plain": [f"k{number}: nginx:1.{number}", f"'quoted {number}': two", "  lines here"],
            "null": [f"k{number}:", "n: ~" if number == 0 else f"m{number}: null"],
        }[style]
        if draw(st.integers(0, 5)) == 0:
            lines.append("---")
    return draw(st.sampled_from(["", "\ufeff"])) + draw(st.sampled_from(["\n", "\r\n"])).join(lines) + "\n"


def scalars(data: bytes) -> list[tuple[int, str, Scalar]]:
    return [
        (number, path_text(path), scalar)
        for number, document in enumerate(read(data, "f"))
        if document.root is not None
        for path, scalar in walk(document.root)
    ]


@given(written())
@settings(max_examples=150, deadline=None)
def test_every_character_of_a_value_is_found_where_it_is_written(text: str) -> None:
    for _, _, scalar in scalars(text.encode()):
        where = spans(scalar)
        assert len(where) == len(scalar.value)
        assert all(scalar.start <= begin <= end <= scalar.end for begin, end in where)


@given(written(), NEW, st.randoms())
@settings(max_examples=300, deadline=None)
def test_a_replaced_scalar_says_the_new_value_and_nothing_else_changes(text: str, new: str, random: object) -> None:
    data = text.encode()
    before = scalars(data)
    number, path, scalar = random.choice(before)  # type: ignore[attr-defined]

    edit = replace(scalar, new)
    after = apply(data, [edit])

    plain = data.decode().removeprefix("\ufeff")
    assert after.decode().removeprefix("\ufeff") == plain[: edit.start] + edit.text + plain[edit.end :]
    assert after.startswith(b"\xef\xbb\xbf") == data.startswith(b"\xef\xbb\xbf")
    assert [(n, p) for n, p, _ in scalars(after)] == [(n, p) for n, p, _ in before]
    for (n, p, old), (_, _, now) in zip(before, scalars(after), strict=True):
        assert now.value == (new if old.start == scalar.start else old.value), (n, p)
    assert apply(after, [replace(at(after, number, path), new)]) == after


@given(written(), st.from_regex(r"[a-z]{1,5}[.:/][a-z]{1,5}", fullmatch=True), st.randoms())
@settings(max_examples=300, deadline=None)
def test_a_part_of_a_scalar_is_replaced_inside_its_quotes_folds_and_indentation(
    text: str, new: str, random: object
) -> None:
    data = text.encode()
    candidates = [entry for entry in scalars(data) if entry[2].value.strip() and not entry[2].is_null]
    if not candidates:
        return
    number, path, scalar = random.choice(candidates)  # type: ignore[attr-defined]
    start = random.randrange(len(scalar.value))  # type: ignore[attr-defined]
    end = random.randint(start + 1, len(scalar.value))  # type: ignore[attr-defined]
    try:
        edit = replace_span(scalar, start, end, new)
    except InvalidInput:  # over the end of a line of a block
        assert scalar.style in ("|", ">") and set(" \n") & set(scalar.value[start:end])
        return

    after = apply(data, [edit])

    assert at(after, number, path).value == scalar.value[:start] + new + scalar.value[end:]


def at(data: bytes, number: int, path: str) -> Scalar:
    return next(s for n, p, s in scalars(data) if (n, p) == (number, path))


@pytest.mark.parametrize(
    ("before", "path", "new", "after"),
    [
        ("image: nginx # why\n", ".image", "r.local/nginx:1", "image: r.local/nginx:1 # why\n"),
        ("image: 'nginx'\n", ".image", "it's", "image: 'it''s'\n"),
        ('image: "a\\tb"\n', ".image", 'x"y', 'image: "x\\"y"\n'),
        ("tag: v1\n", ".tag", "1.10", 'tag: "1.10"\n'),
        ("tag: v1\n", ".tag", "1e3", 'tag: "1e3"\n'),
        ("tag: v1\n", ".tag", "NO", 'tag: "NO"\n'),
        ("tag:\nx: 1\n", ".tag", "v1", "tag: v1\nx: 1\n"),
        ("tag: ~\n", ".tag", "v1", "tag: v1\n"),
        ("tag: &a\nb: *a\n", ".tag", "v1", "tag: &a v1\nb: *a\n"),
        ("a: [nginx, b]\n", ".a[0]", "x:1/y", "a: [x:1/y, b]\n"),
        ("a: {i: nginx}\n", ".a.i", "x, y", 'a: {i: "x, y"}\n'),
        ("a: |\n  one\nb: 1\n", ".a", "two", 'a: "two"\nb: 1\n'),
        ("a: !Ref b\n", ".a", "c", "a: !Ref c\n"),
    ],
)
def test_a_value_keeps_its_quotes_and_gets_some_where_it_would_mean_something_else(
    before: str, path: str, new: str, after: str
) -> None:
    assert apply(before.encode(), [replace(at(before.encode(), 0, path), new)]).decode() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: x nginx:1 y\n", "a: x r/n:2 y\n"),
        ("a: 'it''s nginx:1 y'\n", "a: 'it''s r/n:2 y'\n"),
        ('a: "\\u0041 nginx:\\x31 y"\n', 'a: "\\u0041 r/n:2 y"\n'),
        ("a: |\n  one\n    nginx:1 # x\n  é\n", "a: |\n  one\n    r/n:2 # x\n  é\n"),
        ("a: |2\n    one\n  nginx:1\n", "a: |2\n    one\n  r/n:2\n"),
        ("a: >-\r\n  one\r\n\r\n  two nginx:1\r\n", "a: >-\r\n  one\r\n\r\n  two r/n:2\r\n"),
        ("a: --image=nginx:1, b\n", "a: --image=r/n:2, b\n"),
    ],
)
def test_only_the_part_named_is_rewritten(before: str, after: str) -> None:
    scalar = at(before.encode(), 0, ".a")
    assert apply(before.encode(), [replace_within(scalar, "nginx:1", "r/n:2")]).decode() == after


def test_a_part_that_stands_twice_or_never_is_refused() -> None:
    scalar = at(b"a: x x\n", 0, ".a")
    for part in ("x", "y", ""):
        with pytest.raises(InvalidInput, match="exactly once"):
            replace_within(scalar, part, "z")


def test_the_same_edit_twice_counts_once_and_overlapping_edits_are_refused() -> None:
    edit = Edit(3, 8, "other")
    assert apply(b"a: nginx\n", [edit, Edit(3, 8, "other")]) == b"a: other\n"
    with pytest.raises(InvalidInput, match="two changes"):
        apply(b"a: nginx\n", [edit, Edit(3, 8, "third")])
    with pytest.raises(InvalidInput, match="two changes"):
        apply(b"a: nginx\n", [edit, Edit(5, 6, "x")])


def test_without_edits_a_file_stays_as_it_is_even_if_it_is_no_text() -> None:
    assert apply(b"\xff\xfe", []) == b"\xff\xfe"


def test_a_diff_shows_the_changed_lines_and_applies_with_carriage_returns_and_no_last_newline() -> None:
    assert diff(b"a\r\nb", b"a\r\nc", "f.yaml") == (
        "--- a/f.yaml\n+++ b/f.yaml\n@@ -1,2 +1,2 @@\n a\r\n"
        "-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"
    )
    assert diff(b"a\n", b"a\n", "f.yaml") == ""


def test_the_reader_agrees_with_pyyaml_on_what_an_edited_file_says() -> None:
    data = b"a: &x 'one'\nb:\n- *x\n- >-\n  folded\n  text\n"
    edited = apply(data, [replace(at(data, 0, ".a"), "new: value")])
    assert pyyaml.safe_load(edited) == {"a": "new: value", "b": ["new: value", "folded text"]}
