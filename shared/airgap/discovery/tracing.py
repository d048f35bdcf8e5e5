"""Which values make which image: each value gets a mark of its own, and helm shows where the marks come out.

Key names are only used to choose what to mark. What a value does is never guessed from its name: an image that comes
out as `MARK3/MARK4:v1` is made of values 3 and 4, whatever they are called and however deep the helpers are. Tags are
not marked, because charts compare them as versions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from airgap.adapters import helm
from airgap.adapters.rendering import Rendering
from airgap.discovery import manifests
from airgap.discovery.chartvalues import (
    Candidate,
    Path,
    Values,
    candidates,
    is_reference,
    is_switched_off,
    overrides,
    path_text,
)
from airgap.documents import yaml
from airgap.errors import AirgapError, DocumentError

_BUDGET: Final = 28  # renders in all; eight are enough unless marks break the chart
_SECONDS: Final = 30.0  # for one marked render: a mark must not make a chart loop

_MARK = re.compile(r"zq\d{4}z")
_SOURCE = re.compile(r"^---\n# Source: (\S+)\n", re.MULTILINE)
_TOKEN = re.compile(r"[A-Za-z0-9._/:@+-]+", re.ASCII)
_EDGES: Final = "-.:/@+"
_SWITCHES: Final = ("enabled", "enable", "install", "deploy")
_HOST_KEY = re.compile(r"registry|hub|host|prefix|account", re.IGNORECASE)
_NAME_KEY = re.compile(r"repo|image|name$", re.IGNORECASE)

# Bitnami's charts refuse images that are not theirs unless this says yes (bitnami/charts#30850).
GUARD: Final = "allowInsecureImages"


@dataclass(frozen=True, slots=True)
class Composition:
    """An image and what it is made of.

    Attributes:
        text: as it is rendered without marks.
        parts: text that is fixed, and indexes into `Trace.candidates`; joined they make `text`.
        place: where it came out, such as `Deployment/web .spec.template.spec.containers[0].image`.
        template: the template that printed it, as helm names it.
        used: whether the chart's own rendering has it; if not, a switch was turned on to see it.
    """

    text: str
    parts: tuple[str | int, ...]
    place: str
    template: str
    used: bool = True

    @property
    def variables(self) -> tuple[int, ...]:
        """The values it is made of."""
        return tuple(part for part in self.parts if isinstance(part, int))


@dataclass(frozen=True)
class Trace:
    """What was seen.

    Attributes:
        candidates: every value that was marked, or might have been.
        compositions: the images that follow values.
        seen: indexes of the candidates whose mark came out anywhere.
        problems: values that could not be marked, and why.
    """

    candidates: tuple[Candidate, ...]
    compositions: tuple[Composition, ...]
    seen: frozenset[int] = frozenset()
    problems: tuple[str, ...] = ()


@dataclass
class _Session:
    """One chart being rendered again and again."""

    chart: str
    rendering: Rendering
    values: Values
    settings: dict[Path, Any] = field(default_factory=dict)  # of every render, such as the guard switched off
    left: int = _BUDGET

    def render(self, settings: Mapping[Path, Any]) -> bytes | None:
        """The output with `settings` on top, or None where helm refuses it or the budget is used up."""
        if self.left <= 0:
            return None
        self.left -= 1
        overlay = json.dumps(overrides(self.values, {**self.settings, **settings})).encode()
        try:
            return helm.template(self.chart, self.rendering, overlay, checked=False, seconds=_SECONDS)
        except AirgapError:
            return None


def trace(chart: str, rendering: Rendering, values: Values, baseline: bytes, images: Iterable[str]) -> Trace:
    """Find which values make the images of a chart.

    Args:
        chart: where it lies on this machine.
        rendering: as the user will render it.
        values: of the chart, the user's files included.
        baseline: what it renders to, unmarked.
        images: the texts that were found to be images in `baseline`.
    """
    marked = candidates(values)
    known = set(images)
    session = _Session(chart, rendering, values, _guards(values))
    filled = [index for index, candidate in enumerate(marked) if candidate.text]
    output, used = _marked(session, marked, filled, {})
    plain = baseline.decode("utf-8", "replace")
    found = [item for item in _compositions(output, marked, known) if item.text in known or item.text in plain]
    seen = _marks_in(output)
    found += _through_empty(session, marked, used, plain, known, found)
    more, also_seen = _switched_on(session, marked, used, seen, known)
    found += [item for item in more if item.text not in known and item.text not in plain]
    problems = tuple(_unmarked(marked[index]) for index in filled if index not in used) if output else ()
    return Trace(marked, _unique(found), seen | also_seen, problems)


def mark_of(index: int, candidate: Candidate) -> str:
    """A mark of the same kind as the value: as many path components, a host where it has one, the same tag.

    Names under `.invalid` exist nowhere (RFC 2606).
    """
    mark = f"zq{index:04d}z"
    if not candidate.text:
        return _mark_of_nothing(mark, candidate.key)
    lead = "/" if candidate.text.startswith("/") else ""
    name, suffix = split_suffix(candidate.text.removeprefix("/"))
    first, *rest = name.split("/")
    host = ".invalid" if "." in first or ":" in first or first == "localhost" else ""
    return lead + "/".join([mark + host, *("c" for _ in rest)]) + suffix


def split_suffix(text: str) -> tuple[str, str]:
    """An image's text as its name, and its tag and digest with `:` and `@` in front."""
    name, at, digest = text.partition("@")
    head, slash, last = name.rpartition("/")
    word, colon, tag = last.partition(":")
    return f"{head}{slash}{word}", f"{colon}{tag}{at}{digest}"


def chunks(output: str) -> Iterator[tuple[str, str]]:
    """What each template printed: its name as helm gives it, and the text of one document."""
    marks = list(_SOURCE.finditer(output))
    for index, match in enumerate(marks):
        end = marks[index + 1].start() if index + 1 < len(marks) else len(output)
        yield match[1], output[match.end() : end]


def tokens(text: str) -> list[str]:
    """The runs of characters that an image name can have."""
    return [stripped for token in _TOKEN.findall(text) if (stripped := token.lstrip(_EDGES).rstrip(_EDGES))]


def _mark_of_nothing(mark: str, key: str) -> str:
    if _HOST_KEY.search(key):
        return f"{mark}.invalid"
    return f"{mark}.invalid/c" if _NAME_KEY.search(key) else mark


def _guards(values: Values) -> dict[Path, Any]:
    """Switches that make a chart accept other images than its maker's."""
    return dict.fromkeys(guard_paths(values), True)


def guard_paths(values: Values) -> tuple[Path, ...]:
    """Where the chart has such a switch, and it is off."""
    found = []
    for start in values.owners:
        path = (*start, "global", "security", GUARD)
        if is_switched_off(values.at(path)):
            found.append(path)
    return tuple(found)


def _marked(
    session: _Session, marked: Sequence[Candidate], indexes: Sequence[int], settings: Mapping[Path, Any]
) -> tuple[str, list[int]]:
    """A render with as many of the candidates marked as the chart bears; empty where it bears none."""

    def attempt(some: Sequence[int]) -> bytes | None:
        marks = {path: mark_of(i, marked[i]) for i in some for path in marked[i].paths}
        return session.render({**settings, **marks})

    def borne(some: Sequence[int]) -> list[int]:
        if not some or attempt(some) is not None:
            return list(some)
        if len(some) == 1:
            return []
        middle = len(some) // 2
        return borne(some[:middle]) + borne(some[middle:])

    output = attempt(indexes)
    if output is not None:
        return output.decode("utf-8", "replace"), list(indexes)
    middle = len(indexes) // 2
    used = borne(indexes[:middle]) + borne(indexes[middle:]) if middle else []
    output = attempt(used) if used else None
    return (output.decode("utf-8", "replace"), used) if output is not None else ("", [])


def _compositions(output: str, marked: Sequence[Candidate], known: set[str]) -> Iterator[Composition]:
    """Every image with marks in it, its text as it is without them."""
    for template, title, path, scalar in _scalars(output, _MARK):
        for token in tokens(scalar):
            parts = _parts(token, marked)
            if not parts or not any(isinstance(part, int) for part in parts):
                continue
            text = _unmarked_text(parts, marked)
            if text in known or (is_reference(text) and _leads(parts, text)):
                yield Composition(text, parts, f"{title} {yaml.path_text(path)}", template)
    for finding in manifests.find(output.encode(), "").findings if output else ():
        parts = _parts(finding.written, marked)
        if any(isinstance(part, int) for part in parts):
            yield Composition(_unmarked_text(parts, marked), parts, finding.place.path, "")


def _unmarked_text(parts: tuple[str | int, ...], marked: Sequence[Candidate]) -> str:
    return "".join(part if isinstance(part, str) else marked[part].text for part in parts)


def _leads(parts: tuple[str | int, ...], text: str) -> bool:
    """Whether the name itself follows a value, and not only something behind it."""
    return isinstance(parts[0], int) and "//" not in text


def _through_empty(
    session: _Session,
    marked: Sequence[Candidate],
    used: Sequence[int],
    plain: str,
    known: set[str],
    found: Sequence[Composition],
) -> list[Composition]:
    """Images whose registry no value says, seen with the empty values marked as well.

    Marks come out where nothing stood, so the image is looked up at the same place of the unmarked output.
    """
    settled = {item.text for item in found if isinstance(item.parts[0], int)}
    empty = [index for index, candidate in enumerate(marked) if not candidate.text]
    if not empty or known <= settled:
        return []
    fixed = {path: mark_of(i, marked[i]) for i in used for path in marked[i].paths}
    output, _ = _marked(session, marked, empty, fixed)
    before = {(template, title, path): scalar for template, title, path, scalar in _scalars(plain, None)}
    result = []
    for template, title, path, scalar in _scalars(output, _MARK):
        was = tokens(before.get((template, title, path), ""))
        now = tokens(scalar)
        for token, text in zip(now, was, strict=False) if len(now) == len(was) else ():
            parts = _parts(token, marked)
            if parts and text not in settled and (text in known or is_reference(text)):
                result.append(Composition(text, parts, f"{title} {yaml.path_text(path)}", template))
    return result


def _switched_on(
    session: _Session, marked: Sequence[Candidate], used: Sequence[int], seen: frozenset[int], known: set[str]
) -> tuple[list[Composition], frozenset[int]]:
    """Images of what is switched off, seen with every switch on their way turned on."""
    hidden = [index for index in used if index not in seen]
    switches = dict.fromkeys(_switches(session.values, [marked[index] for index in hidden]), True)
    if not switches:
        return [], frozenset()
    marks = {path: mark_of(i, marked[i]) for i in used for path in marked[i].paths}
    output = session.render({**marks, **switches})
    outputs = [output] if output is not None else [session.render({**marks, switch: True}) for switch in switches]
    texts = [output.decode("utf-8", "replace") for output in outputs if output is not None]
    found = [
        Composition(item.text, item.parts, item.place, item.template, used=False)
        for text in texts
        for item in _compositions(text, marked, known)
    ]
    return found, frozenset().union(*(_marks_in(text) for text in texts))


def _switches(values: Values, wanted: Iterable[Candidate]) -> Iterator[Path]:
    for candidate in wanted:
        path = candidate.paths[0]
        for length in range(1, len(path)):
            start = path[:length]
            for switch in (*((*start, word) for word in _SWITCHES), *values.switches.get(start, ())):
                if is_switched_off(values.at(switch)):
                    yield switch


def _scalars(output: str, wanted: re.Pattern[str] | None) -> Iterator[tuple[str, str, Path, str]]:
    """Template, object, path and text of every scalar; with `wanted`, only of those that match."""
    for template, text in chunks(output):
        if wanted and not wanted.search(text):
            continue
        try:
            documents = yaml.read_text(text, template, unique=False)
        except DocumentError:
            continue
        for document in documents:
            title = _title(document.root)
            for path, scalar in yaml.walk(document.root) if document.root is not None else ():
                if wanted is None or wanted.search(scalar.value):
                    yield template, title, path, scalar.value


def _title(root: yaml.Node | None) -> str:
    if not isinstance(root, yaml.Mapping):
        return ""
    metadata = root.get("metadata")
    name = metadata.text("name") if isinstance(metadata, yaml.Mapping) else ""
    return f"{root.text('kind')}/{name}"


def _parts(token: str, marked: Sequence[Candidate]) -> tuple[str | int, ...]:
    """A token as fixed text and marks; empty where a mark came out changed, so that nothing can be said."""
    parts: list[str | int] = []
    position = 0
    for match in _MARK.finditer(token):
        index = int(match[0][2:-1])
        mark = mark_of(index, marked[index]) if index < len(marked) else ""
        start = match.start() - (1 if mark.startswith("/") else 0)
        if start < position or not mark or not token.startswith(mark, start):
            return ()
        if start > position:
            parts.append(token[position:start])
        parts.append(index)
        position = start + len(mark)
    if position < len(token):
        parts.append(token[position:])
    return tuple(parts)


def _marks_in(output: str) -> frozenset[int]:
    return frozenset(int(mark[2:-1]) for mark in _MARK.findall(output))


def _unique(found: Iterable[Composition]) -> tuple[Composition, ...]:
    """The same image from the same values once, at the first place where it came out."""
    first: dict[tuple[str, tuple[str | int, ...]], Composition] = {}
    for item in found:
        first.setdefault((item.text, item.parts), item)
    return tuple(first.values())


def _unmarked(candidate: Candidate) -> str:
    return f"{path_text(candidate.paths[0])}: the chart does not render with another value than {candidate.text!r}"
