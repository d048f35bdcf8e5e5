"""Images of a chart: rendered as the user will render it, each with the values that make it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from airgap import limits
from airgap.adapters import helm
from airgap.adapters.rendering import Rendering
from airgap.discovery import literals, manifests
from airgap.discovery.chartvalues import Values, candidates, is_reference, parsed, path_text, values_of
from airgap.discovery.declared import declared
from airgap.discovery.findings import NOTHING, Certainty, Discovery, Finding, Place, Problem
from airgap.discovery.tracing import Composition, Trace, chunks, tokens, trace
from airgap.documents import charts, yaml
from airgap.documents.charts import Chart
from airgap.durable import explained
from airgap.errors import AirgapError
from airgap.references import Reference

# Annotations of Chart.yaml that list images: Bitnami's, the Helm community's (HIP-15), Artifact Hub's.
LISTS = ("images", "helm.sh/images", "artifacthub.io/images")


@dataclass(frozen=True)
class Examination:
    """Everything that is known about a chart's images.

    Attributes:
        title: how the user calls the chart.
        chart: its files.
        values: as its templates see them.
        output: what it renders to; None where it does not.
        rendered: the images found in `output`, and what could not be examined.
        trace: which values make them.
        declared: images in values that no render showed.
    """

    title: str
    chart: Chart
    values: Values
    output: bytes | None
    rendered: Discovery
    trace: Trace
    declared: tuple[Composition, ...]

    @property
    def compositions(self) -> tuple[Composition, ...]:
        """All images that follow values."""
        return self.trace.compositions + self.declared

    @property
    def discovery(self) -> Discovery:
        """The findings, each with its reason."""
        return Discovery(tuple(_findings(self)), self.rendered.problems)


def find(chart: str, rendering: Rendering, local: str | None = None) -> Discovery:
    """Every image that a chart needs, those behind features that are off included.

    A chart that does not render is a problem with helm's reason; what its values declare is found all the same.

    Args:
        chart: a directory, a .tgz, `oci://…`, `https://…` or `REPO/NAME`.
        rendering: what the user will give to helm.
        local: where it lies, if it was fetched before.

    Raises:
        InvalidInput: there is no such chart.
        DocumentError: it breaks the rules for charts.
    """
    with helm.fetched(local or chart, rendering) as place:
        return examine(place, chart, rendering).discovery


def examine(local: str, title: str, rendering: Rendering) -> Examination:
    """Render and trace a chart on this machine.

    Raises:
        DocumentError: it breaks the rules for charts.
    """
    chart = charts.read(Path(local))
    values = values_of(chart, title, _given(rendering))
    try:
        output = helm.template(local, rendering)
    except AirgapError as error:
        problem = Problem(Place(title, ""), f"the chart does not render: {error.message}")
        return _unrendered(title, chart, values, problem)
    rendered = manifests.find(output, title)
    texts = [finding.written for finding in rendered.findings]
    seen = trace(local, rendering, values, output, texts)
    return Examination(title, chart, values, output, rendered, seen, _declared(values, seen))


def _unrendered(title: str, chart: Chart, values: Values, problem: Problem) -> Examination:
    nothing = Trace(candidates(values), ())
    found = replace(NOTHING, problems=(problem,))
    # Without a render nobody knows what a helper puts before a bare name.
    whole = tuple(item for item in _declared(values, nothing) if "." in item.text.partition("/")[0])
    return Examination(title, chart, values, None, found, nothing, whole)


def _given(rendering: Rendering) -> list[tuple[str, bytes]]:
    """The user's values files that lie on this machine; helm itself fetches others and says what is wrong."""
    found = []
    for name in rendering.values:
        path = Path(name)
        if path.is_file():
            with explained(path), path.open("rb") as file:
                found.append((name, file.read(limits.YAML_FILE + 1)))
    return found


def _declared(values: Values, seen: Trace) -> tuple[Composition, ...]:
    known = {index for item in seen.compositions for index in item.variables}
    return tuple(declared(values, seen.candidates, known))


def _findings(examined: Examination) -> Iterator[Finding]:
    by_reference: dict[Reference, list[Composition]] = {}
    for item in examined.compositions:
        if reference := parsed(item.text):
            by_reference.setdefault(reference, []).append(item)
    templates = template_lines(examined.output)
    files = charts.files_of(examined.chart)
    shown: set[Reference] = set()
    for finding in examined.rendered.findings:
        shown.add(finding.reference)
        made = by_reference.get(finding.reference, [])
        if made:
            same = [item for item in made if item.place == finding.place.path]
            yield _traced(examined, finding, (same or made)[0])
        else:
            yield _hard_coded(finding, files, templates)
    for reference, items in by_reference.items():
        if reference not in shown:
            shown.add(reference)
            yield from (_from_values(examined, reference, item) for item in items)
    yield from (finding for finding in _listed(examined) if finding.reference not in shown)


def _traced(examined: Examination, finding: Finding, item: Composition) -> Finding:
    paths, shape = _names(examined, item)
    place = replace(finding.place, path=f"{finding.place.path} (values: {', '.join(paths)})", line=0)
    return replace(finding, place=place, certainty=Certainty.TRACED, shape=shape)


def _from_values(examined: Examination, reference: Reference, item: Composition) -> Finding:
    paths, shape = _names(examined, item)
    certainty = Certainty.TRACED if item.used else Certainty.VALUES
    where = f"{item.place} (values: {', '.join(paths)})" if item.template else f"values: {', '.join(paths)}"
    leaf = examined.trace.candidates[item.variables[-1]].leaf
    line = 0 if item.template or leaf.file != "values.yaml" else leaf.scalar.line
    return Finding(reference, item.text, Place(examined.title, where, line), certainty, shape)


def _names(examined: Examination, item: Composition) -> tuple[list[str], str]:
    """The paths of the values, and their keys joined as findings have them."""
    used = [examined.trace.candidates[index] for index in item.variables]
    return [path_text(candidate.paths[0]) for candidate in used], "+".join(candidate.key for candidate in used)


def _hard_coded(finding: Finding, files: dict[str, bytes], templates: list[tuple[int, str]]) -> Finding:
    template = next((name for line, name in reversed(templates) if line <= finding.place.line), "")
    found = literals.find(files, finding.written, template)
    if not found:
        return replace(finding, place=replace(finding.place, line=0))
    first = found[0]
    return replace(
        finding, place=replace(finding.place, path=f"{finding.place.path} ({first.file}:{first.line})", line=0)
    )


def template_lines(output: bytes | None) -> list[tuple[int, str]]:
    """From which line of the output on which template speaks."""
    if output is None:
        return []
    text = output.decode("utf-8", "replace")
    found, line, position = [], 1, 0
    for template, _ in chunks(text):
        start = text.index(f"# Source: {template}\n", position)
        line += text.count("\n", position, start)
        found.append((line, template))
        position = start
    return found


def _listed(examined: Examination) -> Iterator[Finding]:
    """Images that the chart's own annotations list."""
    for file, annotation, text in image_lists(examined.chart):
        for token in dict.fromkeys(_image_tokens(text)):
            if reference := parsed(token):
                place = Place(examined.title, f'{file} .annotations["{annotation}"]')
                yield Finding(reference, token, place, Certainty.LIKELY)


def image_lists(chart: Chart, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """File, name and text of every annotation that lists images, sub-charts included."""
    documents = yaml.read(chart.files["Chart.yaml"], f"{prefix}Chart.yaml", unique=False)
    root = documents[0].root if documents else None
    listed = root.get("annotations") if isinstance(root, yaml.Mapping) else None
    for name in LISTS:
        if isinstance(listed, yaml.Mapping) and (text := listed.text(name)):
            yield f"{prefix}Chart.yaml", name, text
    for inner in chart.charts:
        yield from image_lists(inner, f"{prefix}{inner.place}/")


def _image_tokens(text: str) -> Iterable[str]:
    return (token for token in tokens(text) if is_reference(token) and "://" not in token)
