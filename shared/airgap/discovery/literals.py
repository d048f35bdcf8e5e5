"""Where a chart's own files say an image that no value makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from airgap.discovery.tracing import split_suffix

_LEFT = r"(?<![A-Za-z0-9._/:@-])"
_RIGHT = r"(?![A-Za-z0-9_/-]|[.:@][A-Za-z0-9_])"
_RIGHT_OF_NAME = r"(?![A-Za-z0-9_/-]|\.[A-Za-z0-9_])"
_NEVER = re.compile(r"(.*/)?(README[^/]*|CHANGELOG[^/]*|.*\.md|Chart\.lock|.*\.tgz|values\.schema\.json|LICENSE)")


@dataclass(frozen=True, slots=True)
class Literal:
    """A text in a file of the chart.

    Attributes:
        file: as `documents.charts.files_of` names it.
        start: offset in its characters.
        text: what stands there: the whole reference, or its name alone.
    """

    file: str
    start: int
    text: str
    line: int

    @property
    def end(self) -> int:
        """Offset after it."""
        return self.start + len(self.text)


def find(files: Mapping[str, bytes], text: str, template: str = "") -> tuple[Literal, ...]:
    """Where `text` is written: in the template that printed it, else in any template, else in other files.

    The whole reference is looked for first, then its name without tag and digest, which a template may put behind it.

    Args:
        files: of the chart, as `files_of` gives them.
        text: an image as it was rendered.
        template: what printed it, as helm names it: `CHART/templates/x.yaml`.
    """
    name, _ = split_suffix(text)
    for wanted, right in ((text, _RIGHT), (name, _RIGHT_OF_NAME)):
        pattern = re.compile(_LEFT + re.escape(wanted) + right)
        if "/" not in wanted and ":" not in wanted:
            continue
        for group in _groups(files, template):
            if found := tuple(_in(files, group, pattern)):
                return found
    return ()


def _groups(files: Mapping[str, bytes], template: str) -> Iterator[list[str]]:
    inner = template.partition("/")[2]
    candidates = [path for path in files if not _NEVER.fullmatch(path)]
    if inner:
        yield [path for path in candidates if path == inner or _same_template(path, inner)]
    yield [path for path in candidates if path.startswith("templates/") or "/templates/" in path]
    yield [path for path in candidates if path.rpartition("/")[2] == "values.yaml"]
    yield [path for path in candidates if path.rpartition("/")[2] not in ("values.yaml", "Chart.yaml")]


def _same_template(path: str, inner: str) -> bool:
    """`charts/redis-1.2.tgz/templates/a.yaml` is what helm calls `charts/redis/templates/a.yaml`."""
    return "/" in inner and re.sub(r"-[0-9][^/]*\.tgz/", "/", path) == inner


def _in(files: Mapping[str, bytes], paths: Iterable[str], pattern: re.Pattern[str]) -> Iterator[Literal]:
    for path in paths:
        try:
            text = files[path].decode("utf-8")
        except UnicodeDecodeError:
            continue
        for match in pattern.finditer(text):
            yield Literal(path, match.start(), match[0], text.count("\n", 0, match.start()) + 1)


def find_host(files: Mapping[str, bytes], host: str, template: str = "") -> tuple[Literal, ...]:
    """Where a template has a registry alone, to put a name behind it: `docker.io/{{ … }}`, `default "docker.io"`."""
    pattern = re.compile(_LEFT + re.escape(host) + r"(?=[\"'`]|/(?:\{\{|%s))")
    for group in list(_groups(files, template))[:-2]:
        if found := tuple(_in(files, group, pattern)):
            return found
    return ()
