"""What the values must say so that the images made of them get their new names.

An image is fixed texts and values, one after the other (`discovery.tracing.Composition`); its new name is known.
Several images may share a value, such as a registry, so they are solved together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_STEPS: Final = 20_000  # tries for one group of images; real charts need as many as they have images
_OPTIONS: Final = 200  # ways to cut one name into values

Settings = dict[int, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image's parts, as in `Composition.parts`, and the text they shall make."""

    parts: tuple[str | int, ...]
    target: str


@dataclass(frozen=True, slots=True)
class Solution:
    """What each value must say, and the images that no setting of the values turns into what is wanted."""

    settings: Mapping[int, str]
    unsolved: tuple[Wanted, ...]


@dataclass
class _Steps:
    left: int = _STEPS


def solve(wanted: Sequence[Wanted], cost: Callable[[int, str], int]) -> Solution:
    """Find settings for all values that occur in `wanted`.

    Args:
        wanted: the images.
        cost: how far a text is from what a person would write for a value; the least total is tried first.
    """
    settings: Settings = {}
    unsolved: list[Wanted] = []
    for group in _groups(wanted):
        found = _search(group, {}, cost, _Steps())
        if found is None:
            found, left = _greedy(group, cost)
            unsolved += left
        settings |= found
    return Solution(settings, tuple(unsolved))


def _groups(wanted: Sequence[Wanted]) -> list[list[Wanted]]:
    """Images that share values, directly or through others; in each group those with the fewest values first."""
    groups: list[tuple[set[int], list[Wanted]]] = []
    for item in dict.fromkeys(wanted):
        variables = {part for part in item.parts if isinstance(part, int)}
        items = [item]
        for group in [group for group in groups if group[0] & variables]:
            groups.remove(group)
            variables |= group[0]
            items = group[1] + items
        groups.append((variables, items))
    return [sorted(items, key=lambda item: (len(item.parts), item.target)) for _, items in groups]


def _search(
    items: Sequence[Wanted], settings: Settings, cost: Callable[[int, str], int], steps: _Steps
) -> Settings | None:
    if not items:
        return settings
    for option in _options(items[0], settings, cost):
        steps.left -= 1
        if steps.left <= 0:
            return None
        found = _search(items[1:], settings | option, cost, steps)
        if found is not None:
            return found
    return None


def _greedy(items: Sequence[Wanted], cost: Callable[[int, str], int]) -> tuple[Settings, list[Wanted]]:
    """As many as go together, in order; the rest is told."""
    settings: Settings = {}
    left: list[Wanted] = []
    for item in items:
        options = _options(item, settings, cost)
        if options:
            settings |= options[0]
        else:
            left.append(item)
    return settings, left


def _options(item: Wanted, settings: Settings, cost: Callable[[int, str], int]) -> list[Settings]:
    found: list[Settings] = []
    for option in _cuts(item.parts, item.target, settings):
        found.append(option)
        if len(found) >= _OPTIONS:
            break
    return sorted(found, key=lambda option: sum(cost(index, text) for index, text in option.items()))


def _cuts(parts: Sequence[str | int], text: str, settings: Mapping[int, str]) -> Iterator[Settings]:
    """Every way to cut `text` so that it has the fixed parts, and the values that are settled, in their places."""
    if not parts:
        if not text:
            yield {}
        return
    first, rest = parts[0], parts[1:]
    known = first if isinstance(first, str) else settings.get(first)
    if known is not None:
        if text.startswith(known):
            yield from _cuts(rest, text[len(known) :], settings)
        return
    assert isinstance(first, int)
    for end in _ends(rest, text):
        value = text[:end]
        for option in _cuts(rest, text[end:], {**settings, first: value}):
            yield {**option, first: value}


def _ends(rest: Sequence[str | int], text: str) -> Iterator[int]:
    """Where a value may end: at the end, where the next fixed text begins, or where a component does."""
    if not rest:
        yield len(text)
        return
    following = rest[0]
    for end in range(len(text), 0, -1):
        if text.startswith(following, end) if isinstance(following, str) else text[end : end + 1] == "/":
            yield end
