"""Changes of exact characters in a text file: what is not named stays byte for byte."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from airgap.documents.layout import spans
from airgap.documents.yaml import Scalar, decode, reads_as_string
from airgap.errors import InvalidInput

_BOM: Final = "\ufeff".encode()
_SAFE = re.compile(r"[A-Za-z0-9_./:@+-]+")
_PRINTABLE = re.compile("[\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `text` in place of the characters from `start` to `end` (offsets as in `documents.yaml`)."""

    start: int
    end: int
    text: str


def replace(scalar: Scalar, value: str) -> Edit:
    """Let `scalar` say `value`, quoted as it was; without quotes only where it stays the same text."""
    return Edit(*_whole(scalar), _written(scalar, value))


def replace_within(scalar: Scalar, old: str, new: str) -> Edit:
    """Replace the one place where `scalar` says `old`; the rest of it, its folds and its escapes stay.

    Raises:
        InvalidInput: `old` does not stand in it exactly once.
    """
    if scalar.value.count(old) != 1 or not old:
        raise InvalidInput(f"{old!r} does not stand exactly once at line {scalar.line}")
    start = scalar.value.index(old)
    return replace_span(scalar, start, start + len(old), new)


def replace_span(scalar: Scalar, start: int, end: int, new: str) -> Edit:
    """Replace the characters from `start` to `end` of what `scalar` says.

    Raises:
        InvalidInput: the scalar is written so that it cannot hold `new`, such as a line break in a block.
    """
    whole = scalar.value[:start] + new + scalar.value[end:]
    if (start, end) == (0, len(scalar.value)) and scalar.style not in ("|", ">"):
        return replace(scalar, new)
    if not scalar.style and not (_fits(whole, start, new) and reads_as_string(whole)):
        return replace(scalar, whole)
    where = spans(scalar)
    begin = where[start][0] if start < len(where) else (where[-1][1] if where else scalar.start)
    stop = where[end - 1][1] if end > start else begin
    if scalar.style in ("|", ">") and ("\n" in scalar.text[begin:stop] or not _PRINTABLE.fullmatch(new)):
        raise InvalidInput(f"cannot write {new!r} over the lines of the text at line {scalar.line}")
    return Edit(begin, stop, _quoted(new, scalar.style))


def apply(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Carry out edits on a file; the same edit twice, as through an anchor, counts once.

    Raises:
        InvalidInput: two edits want the same characters.
    """
    ordered = sorted(set(edits), key=lambda edit: (edit.start, edit.end))
    if not ordered:
        return data
    mark = _BOM if data.startswith(_BOM) else b""
    return mark + apply_text(decode(data, "text"), ordered).encode()


def apply_text(text: str, edits: Iterable[Edit]) -> str:
    """`apply` for text."""
    pieces: list[str] = []
    position = 0
    last: Edit | None = None
    for edit in sorted(set(edits), key=lambda edit: (edit.start, edit.end)):
        if edit.start < position or (last is not None and (edit.start, edit.end) == (last.start, last.end)):
            raise InvalidInput(f"two changes of the same text: {last.text if last else ''!r} and {edit.text!r}")
        pieces += (text[position : edit.start], edit.text)
        position, last = edit.end, edit
    return "".join((*pieces, text[position:]))


def diff(before: bytes, after: bytes, name: str) -> str:
    """A unified diff as `patch` and `git apply` take it; empty where nothing changed."""
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", data.decode("utf-8", "replace"))


def _whole(scalar: Scalar) -> tuple[int, int]:
    """The characters that make up the scalar; of a block all but the line break that ends it."""
    end = scalar.end
    if scalar.style in ("|", ">"):
        while end > scalar.start and scalar.text[end - 1] in "\r\n ":
            end -= 1
    return scalar.start, end


def _written(scalar: Scalar, value: str) -> str:
    style = scalar.style
    if style in ("|", ">"):
        return _quoted(value, '"', outside=True)
    if style == "'" and not _PRINTABLE.fullmatch(value):
        style = '"'
    if not style:
        plain = _fits(value, 0, value) and reads_as_string(value)
        # After `key:` and `-` of an empty value there may be no space.
        gap = " " if scalar.start == scalar.end else ""
        return gap + (value if plain else _quoted(value, '"', outside=True))
    return f"{style}{_quoted(value, style)}{style}"


def _quoted(value: str, style: str, *, outside: bool = False) -> str:
    """`value` as it stands between the quotes of `style`, or with them."""
    if style == "'":
        text = value.replace("'", "''")
    elif style == '"':
        text = "".join(_ESCAPES.get(c) or (c if _PRINTABLE.fullmatch(c) else _escaped(c)) for c in value)
    else:
        text = value
    return f"{style}{text}{style}" if outside else text


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _fits(whole: str, start: int, new: str) -> bool:
    """Whether `new` may become part of a plain scalar that was fine with what it replaces."""
    stop = start + len(new)
    ends_key = new.endswith(":") and whole[stop : stop + 1] in ("", " ")
    return bool(_SAFE.fullmatch(new)) and (start > 0 or new[0].isalnum()) and not ends_key
