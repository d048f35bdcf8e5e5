"""Charts that point at the registry inside: values first, then what no value reaches, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from airgap.discovery import literals, manifests
from airgap.discovery.charts import Examination, image_lists, template_lines
from airgap.discovery.chartvalues import USER, Path, is_reference, overrides, parsed
from airgap.discovery.findings import Finding, Problem
from airgap.discovery.literals import Literal
from airgap.discovery.tracing import Composition, guard_paths, split_suffix, tokens
from airgap.documents import charts, edits, yaml
from airgap.documents.charts import Chart
from airgap.documents.edits import Edit, apply
from airgap.references import DOCKER_HUB, Reference
from airgap.relocation.policy import Naming, Relocation
from airgap.relocation.solving import Wanted, solve
from airgap.relocation.valuesfile import dump, set_values

_STRANGE: Final = 3  # for a registry that is not simply replaced by the target
_ODD: Final = 2  # for a name that changes though it need not


@dataclass(frozen=True)
class RelocatedChart:
    """A chart before and after.

    Attributes:
        before: as it was.
        after: with the edits.
        mapping: every image that was found, and its name at the target.
        settings: what each value is set to, by its path.
        literals: what was edited in templates and other files, because no value reaches it.
        given: paths of values that the user's own files say, which no edit of the chart changes.
    """

    before: Chart = field(repr=False)
    after: Chart = field(repr=False)
    mapping: Mapping[Reference, Reference]
    settings: Mapping[Path, str | bool]
    literals: tuple[Literal, ...] = ()
    given: tuple[Path, ...] = ()

    @property
    def changed(self) -> dict[str, tuple[bytes, bytes]]:
        """Files that differ, before and after, named as `charts.files_of` names them."""
        old, new = charts.files_of(self.before), charts.files_of(self.after)
        return {path: (old.get(path, b""), data) for path, data in new.items() if old.get(path) != data}


def relocate(examined: Examination, relocation: Relocation) -> RelocatedChart:
    """Point a chart's values, and its lists of images, at the target.

    Raises:
        InvalidInput: two images would get one name.
    """
    found = {finding.reference for finding in examined.discovery.findings}
    mapping = relocation.mapping(found)
    settings = _settings(examined, relocation)
    given = tuple(path for path, file in settings.files.items() if file == USER)
    after = _with_values(examined, settings)
    return RelocatedChart(examined.chart, _with_lists(after, mapping), mapping, settings.values, given=given)


def with_guard_off(relocated: RelocatedChart, examined: Examination) -> RelocatedChart | None:
    """The same with the switch thrown that lets the chart accept other registries; None where it has none."""
    paths = [path for path in guard_paths(examined.values) if path not in relocated.settings]
    if not paths:
        return None
    switches: dict[Path, str | bool] = dict.fromkeys(paths, True)
    after = _set(relocated.after, "values.yaml", switches)
    return replace(relocated, after=after, settings={**relocated.settings, **switches})


def with_literals(relocated: RelocatedChart, outside: Iterable[Finding], output: bytes) -> RelocatedChart:
    """The same with images edited where they are written; unchanged where none of them is found in a file."""
    files = charts.files_of(relocated.after)
    templates = template_lines(output)
    edits: dict[str, dict[Edit, Literal]] = {}
    for finding in outside:
        target = relocated.mapping.get(finding.reference)
        if target is None:
            continue
        template = next((name for line, name in reversed(templates) if line <= finding.place.line), "")
        for literal, text in _replacements(files, finding.written, target, template):
            edits.setdefault(literal.file, {})[Edit(literal.start, literal.end, text)] = literal
    changed = {file: apply(files[file], some) for file, some in edits.items()}
    used = tuple(literal for some in edits.values() for literal in some.values())
    return replace(
        relocated,
        after=charts.with_files(relocated.after, changed),
        literals=tuple(dict.fromkeys(relocated.literals + used)),
    )


def overlay(relocated: RelocatedChart, examined: Examination) -> str:
    """The settings as a values file of their own, which repeats nothing else (but lists, which helm replaces)."""
    return dump(overrides(examined.values, dict(relocated.settings)))


def outside(
    output: bytes, examined: Examination, relocated: RelocatedChart, allowed: Iterable[Reference] | None = None
) -> tuple[tuple[Finding, ...], tuple[Problem, ...]]:
    """The images in a rendered chart that do not have the name that images get, and what could not be examined.

    Args:
        output: what the relocated chart renders to.
        examined: the original; its traced images are looked for in `output` as well.
        relocated: with the names that the original's images get.
        allowed: targets of a lock; with it, each image must be one of these.
    """
    names = {
        (item.name, item.tag, item.digest) for item in (relocated.mapping.values() if allowed is None else allowed)
    }
    found = manifests.find(output, examined.title)
    left = {
        (finding.reference, finding.written): finding
        for finding in found.findings
        if not _is_named(finding.reference, names)
    }
    still = set(tokens(output.decode("utf-8", "replace")))
    for finding in examined.discovery.findings:
        if finding.written in still and relocated.mapping.get(finding.reference) != finding.reference:
            left.setdefault((finding.reference, finding.written), finding)
    return tuple(left.values()), found.problems


def _is_named(reference: Reference, names: set[tuple[str, str | None, str | None]]) -> bool:
    """Whether it is one of `names`; a tag beside a digest is a comment."""
    if reference.digest:
        return any(name == reference.name and digest == reference.digest for name, _, digest in names)
    return any(name == reference.name and tag == reference.tag for name, tag, _ in names)


@dataclass(frozen=True)
class _Settings:
    values: dict[Path, str | bool]
    files: dict[Path, str]
    edits: dict[str, list[tuple[yaml.Scalar, str]]]  # lists of sub-charts, changed where they are written


def _settings(examined: Examination, relocation: Relocation) -> _Settings:
    """What each value must say, and where it is said now."""
    marked = examined.trace.candidates
    wanted = [Wanted(item.parts, _target_text(item.text, relocation)) for item in _solvable(examined, relocation)]

    def cost(index: int, text: str) -> int:
        original = marked[index].text
        natural = _natural(original, relocation)
        if text == natural:
            return 0
        return _STRANGE if _has_host(original) or not original else _ODD

    solution = solve(wanted, cost)
    values: dict[Path, str | bool] = {}
    files: dict[Path, str] = {}
    edits: dict[str, list[tuple[yaml.Scalar, str]]] = {}
    for index, text in sorted(solution.settings.items()):
        candidate = marked[index]
        if text == candidate.text:
            continue
        for path in candidate.paths:
            values[path] = text
            files[path] = candidate.leaf.file
            if candidate.leaf.file not in ("values.yaml", USER) and not all(isinstance(part, str) for part in path):
                edits.setdefault(candidate.leaf.file, []).append((candidate.leaf.scalar, text))
    return _Settings(values, files, edits)


def _solvable(examined: Examination, relocation: Relocation) -> Iterator[Composition]:
    """The images whose beginning a value makes; one that begins with a fixed host cannot be moved by values."""
    for item in examined.compositions:
        reference = parsed(item.text)
        if reference is None or relocation.covers(reference):
            continue
        first = item.parts[0]
        if isinstance(first, int) or relocation.registry.startswith(first.rstrip("/")):
            yield item


def _target_text(text: str, relocation: Relocation) -> str:
    """An image's new name, its tag and digest written as they were."""
    target = relocation.target_of(Reference.parse(text))
    return target.name + split_suffix(text)[1]


def _natural(original: str, relocation: Relocation) -> str:
    """What a person would write for a value that holds a registry, or a registry and a path."""
    if original and not _has_host(original):
        return original
    host, _, path = original.partition("/")
    base = _base(relocation)
    if relocation.naming is Naming.KEEP and host:
        base = f"{base}/{'docker.io' if host == 'index.docker.io' else host}"
    return f"{base}/{path}" if path else base


def _base(relocation: Relocation) -> str:
    """What stands before the images' own paths; where only a lock says it, as most of its targets have it."""
    if relocation.registry:
        return "/".join(part for part in (relocation.registry, relocation.prefix) if part)
    bases = [
        target.name.removesuffix(f"/{Reference.parse(source).repository}")
        for source, target in relocation.explicit.items()
    ]
    return max(bases, key=bases.count, default="")


def _has_host(text: str) -> bool:
    first = text.partition("/")[0]
    return "." in first or ":" in first or first == "localhost"


def _with_values(examined: Examination, settings: _Settings) -> Chart:
    """The chart with its values set: in its own values.yaml, sub-charts' through it."""
    through = {
        path: value
        for path, value in settings.values.items()
        if settings.files[path] == "values.yaml"
        or (settings.files[path] != USER and all(isinstance(part, str) for part in path))
    }
    chart = _set(examined.chart, "values.yaml", through)
    files = charts.files_of(chart)
    for file, changes in settings.edits.items():
        chart = charts.with_files(chart, {file: apply(files[file], [edits.replace(*change) for change in changes])})
    return chart


def _set(chart: Chart, file: str, settings: Mapping[Path, Any]) -> Chart:
    if not settings:
        return chart
    data = chart.files.get(file, b"")
    return charts.with_files(chart, {file: set_values(data, settings, f"{chart.name}/{file}")})


def _with_lists(chart: Chart, mapping: Mapping[Reference, Reference]) -> Chart:
    """The chart with the images renamed that its Chart.yaml and its sub-charts' list."""
    files = charts.files_of(chart)
    changed: dict[str, bytes] = {}
    for file, annotation, text in image_lists(chart):
        new = changed.get(file, files[file])
        for token in dict.fromkeys(tokens(text)):
            reference = parsed(token) if is_reference(token) else None
            target = mapping.get(reference) if reference else None
            if target is not None and target != reference:
                new = _in_annotation(new, annotation, token, target.name + split_suffix(token)[1])
        changed[file] = new
    return charts.with_files(chart, {file: data for file, data in changed.items() if data != files[file]})


def _in_annotation(data: bytes, annotation: str, old: str, new: str) -> bytes:
    documents = yaml.read(data, "Chart.yaml", unique=False)
    root = documents[0].root if documents else None
    node = root.at("annotations", annotation) if isinstance(root, yaml.Mapping) else None
    if not isinstance(node, yaml.Scalar):
        return data
    pattern = re.compile(rf"(?<![A-Za-z0-9._/:@-]){re.escape(old)}(?![A-Za-z0-9_/:@.-])")
    found = pattern.finditer(node.raw)
    return apply(data, [Edit(node.start + match.start(), node.start + match.end(), new) for match in found])


def _replacements(
    files: Mapping[str, bytes], written: str, target: Reference, template: str
) -> Iterator[tuple[Literal, str]]:
    suffix = split_suffix(written)[1]
    found = literals.find(files, written, template)
    for literal in found:
        yield literal, target.name + (suffix if literal.text == written else "")
    if found:
        return
    # The template has the host alone, and puts a name behind it.
    reference = Reference.parse(written)
    base = target.name.removesuffix(f"/{reference.repository}")
    if base != target.name and (written.startswith(f"{reference.registry}/") or reference.registry != DOCKER_HUB):
        for literal in literals.find_host(files, reference.registry, template):
            yield literal, base
