"""Where each character of a scalar's value is written: quotes, escapes, folds and indentation undone one by one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from airgap.documents.nodes import Scalar
from airgap.errors import InvalidInput

_SIMPLE: Final = dict(
    zip("0abtnvfre \"/\\N_LP\t", "\0\a\b\t\n\v\f\r\x1b \"/\\\x85\xa0\u2028\u2029\t", strict=True)
)  # fmt: skip
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(\r\n|[\s\S]))")
_BREAK = re.compile(r"[ \t]*(\r\n|\r|\n)((?:[ \t]*(?:\r\n|\r|\n))*)[ \t]*")
_BLANKS = re.compile(r"[ \t]+")
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")

Span = tuple[int, int]  # from where to where one character of the value is written


@lru_cache(maxsize=32)  # many edits of one ConfigMap value ask again
def spans(scalar: Scalar) -> tuple[Span, ...]:
    """For each character of `scalar.value`, the offsets in `scalar.text` between which it is written.

    Raises:
        InvalidInput: the scalar is written in a way that this does not read as YAML does; it is then left alone.
    """
    if scalar.style in ("|", ">"):
        value, where = _block(scalar)
    else:
        value, where = _flow(scalar)
    if value != scalar.value:
        raise InvalidInput(f"the text at line {scalar.line} is written in a form that is not edited in place")
    return tuple(where)


def _flow(scalar: Scalar) -> tuple[str, list[Span]]:
    """Plain and quoted scalars: a line break is a space, an empty line is a break (YAML 1.1, 9.1)."""
    quote = scalar.style
    position, end = scalar.start + len(quote), scalar.end - len(quote)
    text = scalar.text
    characters: list[str] = []
    where: list[Span] = []
    while position < end:
        blanks = _BLANKS.match(text, position, end)
        if blanks and text[blanks.end() : blanks.end() + 1] not in ("\r", "\n"):
            characters += blanks[0]
            where += [(at, at + 1) for at in range(position, blanks.end())]
            position = blanks.end()
            continue
        character, stop = _next(text, position, end, quote)
        characters += character
        where += [(position, stop)] * len(character)
        position = stop
    return "".join(characters), where


def _next(text: str, position: int, end: int, quote: str) -> tuple[str, int]:
    """What stands at `position` says, and where it ends."""
    character = text[position]
    if character == "'" and quote == "'":
        return "'", position + 2
    if character == "\\" and quote == '"':
        return _unescaped(text, position)
    if character in " \t\r\n" and (match := _BREAK.match(text, position, end)):
        return "\n" * len(re.findall(r"\r\n|\r|\n", match[2])) or " ", match.end()
    return character, position + 1


def _unescaped(text: str, position: int) -> tuple[str, int]:
    match = _ESCAPE.match(text, position)
    if match is None:
        return "\\", position + 1
    if match[4] is None:
        code = int(match[1] or match[2] or match[3], 16)
        return chr(0xFFFD if 0xD800 <= code <= 0xDFFF else code), match.end()  # half a pair, as the reader has it
    if match[4] in ("\n", "\r", "\r\n"):
        blank = re.compile(r"[ \t]*").match(text, match.end())
        return "", blank.end() if blank else match.end()
    return _SIMPLE.get(match[4], match[4]), match.end()


def _block(scalar: Scalar) -> tuple[str, list[Span]]:
    """Literal and folded scalars, after their header line."""
    header = _LINE.match(scalar.text, scalar.start, scalar.end)
    if header is None:
        return "", []
    lines = _lines_of(scalar, header.end())
    indent = _indent(scalar, header[1], lines)
    characters: list[str] = []
    where: list[Span] = []
    for start, stop, after in lines:
        begin = min(start + indent, stop)
        characters += scalar.text[begin:stop]
        where += [(at, at + 1) for at in range(begin, stop)]
        if after > stop:
            characters.append("\n")
            where.append((stop, after))
    if scalar.style == ">":
        characters, where = _folded(characters, where, scalar.value)
    # What chomping takes from the end is in the text and not in the value.
    length = len(scalar.value)
    return "".join(characters[:length]), where[:length]


def _lines_of(scalar: Scalar, position: int) -> list[tuple[int, int, int]]:
    lines = []
    while position < scalar.end:
        match = _LINE.match(scalar.text, position)
        if match is None:
            break
        lines.append((match.start(), match.end(1), match.end()))
        position = match.end()
    return lines


def _indent(scalar: Scalar, header: str, lines: list[tuple[int, int, int]]) -> int:
    """How many characters each line is indented: by its first line that is not empty, or as the header says."""
    texts = [scalar.text[start:stop] for start, stop, _ in lines]
    first = next((text for text in texts if text.strip(" ")), "")
    found = len(first) - len(first.lstrip(" "))
    if re.search(r"[1-9]", header.partition("#")[0]) and (value := scalar.value.lstrip("\n")):
        return found - (len(value) - len(value.lstrip(" ")))
    return found


def _folded(characters: list[str], where: list[Span], value: str) -> tuple[list[str], list[Span]]:
    """Line breaks that the value has as a space, or not at all, found by walking both side by side."""
    kept: list[str] = []
    places: list[Span] = []
    at = 0
    for character, place in zip(characters, where, strict=True):
        if at >= len(value):
            break
        wanted = value[at]
        if character == wanted or (character == "\n" and wanted == " "):
            kept.append(wanted)
            places.append(place)
            at += 1
        elif character != "\n":
            break
    return kept, places
