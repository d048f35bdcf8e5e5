"""Images in texts that are not a single image: arguments, variables, files in ConfigMaps."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache

from airgap.discovery import rules
from airgap.errors import InvalidReference
from airgap.references import Reference

Span = tuple[int, int]


class Hint(IntEnum):
    """What a name says about its value."""

    NONE = 0  # nothing: the value must have a host, and a tag or digest
    MENTIONS = 1  # `image` somewhere: it must have a path, and a host, a tag or a digest
    NAMES = 2  # ends in `image`: it must have a path, a tag or a digest
    IS = 3  # the place is an image by definition: a bare name will do


@lru_cache(maxsize=4096)
def hint_of(name: str) -> Hint:
    """What the name of a key, a variable or a flag promises."""
    if "image" not in name.lower():
        return Hint.NONE
    words = [word.lower() for word in rules.WORDS.findall(name)]
    if words and words[-1] in ("image", "images"):
        return Hint.NAMES
    if rules.PART_WORDS.intersection(words):
        return Hint.NONE
    return Hint.MENTIONS


def image(text: str, hint: Hint) -> Reference | None:
    """The image that `text` is, if a place with `hint` may hold it."""
    if not _possible(text, hint):
        return None
    reference = parsed(text)
    if reference is None:
        return None
    last = text.rpartition("/")[2]
    tagged = ":" in last or reference.digest is not None
    hosted = _has_host(text)
    if hint is Hint.IS:
        return reference
    if reference.registry in rules.NOT_REGISTRIES or reference.repository.endswith(rules.NOT_IMAGE_SUFFIXES):
        return None
    enough = {
        Hint.NONE: hosted and tagged,
        Hint.MENTIONS: "/" in text and (hosted or tagged),
        Hint.NAMES: "/" in text or tagged,
    }[hint]
    return reference if enough else None


def _possible(text: str, hint: Hint) -> bool:
    """What costs nothing to know before a text is parsed."""
    if not text or len(text) > 700 or text[0] in "/-{$<*!. " or "://" in text:
        return False
    tagged = ":" in text or "@" in text
    return hint is Hint.IS or (tagged if hint is Hint.NONE else "/" in text or (tagged and hint is Hint.NAMES))


@lru_cache(maxsize=4096)
def parsed(text: str) -> Reference | None:
    """The same image stands in many places."""
    try:
        return Reference.parse(text)
    except InvalidReference:
        return None


def _has_host(text: str) -> bool:
    first, slash, _ = text.partition("/")
    if not slash or first == "localhost" or first[:1] == "[":
        return bool(slash)
    name, colon, _ = first.partition(":")
    return "." in name or (bool(colon) and not name.isdigit())  # `12:30/x` is no host


def scan(text: str) -> Iterator[tuple[Span, Reference]]:
    """Images in a text with lines, comments left out: whole names anywhere, any name after `…image:` or `…IMAGE=`."""
    if "/" not in text and "image" not in text.lower():
        return
    blank = rules.COMMENT.sub(lambda match: " " * len(match[0]), text) if "#" in text else text
    seen: set[int] = set()
    for match in rules.FULL.finditer(blank):
        found = match[0].rstrip(".-")
        if reference := image(found, Hint.NONE):
            seen.add(match.start())
            yield (match.start(), match.start() + len(found)), reference
    for match in rules.KEYED_LINE.finditer(blank) if "image" in blank.lower() else ():
        hint = hint_of(match["key"])
        if hint and match.start("value") not in seen and (reference := image(match["value"], hint)):
            yield match.span("value"), reference


def argument(text: str) -> Iterator[tuple[Span, Reference]]:
    """Images in one argument of a command: `--some-image=REF`, a list after commas, or a script."""
    match = rules.FLAG.fullmatch(text)
    if match is None or match["value"] is None:
        yield from whole_or_scan(text, Hint.NONE)
        return
    start = match.start("value")
    for (begin, end), reference in whole_or_scan(match["value"], hint_of(match["name"])):
        yield (start + begin, start + end), reference


def whole_or_scan(text: str, hint: Hint) -> Iterator[tuple[Span, Reference]]:
    """The one image that `text` is, or those between its commas, or those in its lines."""
    if reference := image(text, hint):
        yield (0, len(text)), reference
        return
    if hint >= Hint.NAMES and "," in text and "\n" not in text:
        position = 0
        for part in text.split(","):
            begin = position + len(part) - len(part.lstrip())
            if reference := image(part.strip(), hint):
                yield (begin, begin + len(part.strip())), reference
            position += len(part) + 1
        return
    yield from scan(text)
