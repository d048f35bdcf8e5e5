"""Point a chart at the registry inside, and prove by rendering that it does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from airgap import durable
from airgap.adapters import helm
from airgap.adapters.rendering import Rendering
from airgap.discovery import charts as discovery
from airgap.discovery import manifests
from airgap.discovery.charts import Examination
from airgap.discovery.chartvalues import path_text
from airgap.discovery.findings import Finding, Problem
from airgap.documents import charts as files
from airgap.documents.edits import diff
from airgap.errors import AirgapError, IncompleteError, InvalidInput
from airgap.operations.relocate import rule
from airgap.references import Reference
from airgap.relocation import charts as relocation_of_charts
from airgap.relocation.charts import RelocatedChart
from airgap.relocation.policy import Relocation

_ROUNDS = 4  # of edits where images are written: their template, any template, values, other files


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        chart: a directory, a .tgz, `oci://…` or `REPO/NAME`.
        to: the registry inside, with a path if there is one; may be empty with a lock.
        naming, max_depth: as `Relocation.to` takes them.
        lock: what `push` wrote; with it, every image of the result must be one of its targets.
        values_only: whether only values may be set, in a file beside the chart.
    """

    chart: str
    to: str = ""
    naming: str = "strip"
    lock: Path | None = None
    rendering: Rendering = field(default_factory=Rendering)
    values_only: bool = False
    max_depth: int = 0


@dataclass(frozen=True)
class ChartRelocation:
    """A relocation that is computed and proved, and not yet written.

    Attributes:
        chart: before, after, and what was changed.
        overlay: the settings as a values file.
        rendered: the images that the result renders to.
        outside: what still points elsewhere, and why.
    """

    request: Request
    chart: RelocatedChart
    overlay: str
    rendered: tuple[Reference, ...]
    outside: tuple[Problem, ...]

    @property
    def diff(self) -> str:
        """All changes, as `git apply` takes them."""
        return "".join(diff(before, after, path) for path, (before, after) in self.chart.changed.items())

    def check(self) -> None:
        """Say what is not done.

        Raises:
            IncompleteError: an image still points outside, or could not be examined; each is named.
        """
        if self.outside:
            lines = tuple(f"{problem.place}: {problem.reason}" for problem in self.outside)
            count = len(lines)
            raise IncompleteError(
                f"{count} image{'s' if count > 1 else ''} of `{self.request.chart}` would still come from outside:",
                lines,
                hint=_advice(self),
            )


def plan(request: Request) -> ChartRelocation:
    """Compute the relocated chart, and render it to see that no image points outside.

    Raises:
        InvalidInput: no such chart, no target, or two images would get one name.
        DocumentError: the chart or the lock breaks the rules.
        IncompleteError: the chart does not render as it is, so nothing can be proved.
    """
    relocation = rule(request.to, request.naming, request.lock, request.max_depth)
    with helm.fetched(request.chart, request.rendering) as local:
        examined = discovery.examine(local, request.chart, request.rendering)
        if examined.output is None:
            reasons = tuple(problem.reason for problem in examined.rendered.problems)
            raise IncompleteError(
                f"`{request.chart}` cannot be relocated:",
                reasons,
                hint="give it the values that it wants, with -f or --set",
            )
        return _proved(request, examined, relocation, local)


def write(done: ChartRelocation, out: Path) -> Path:
    """Write the relocated chart to a directory, or to an archive where `out` ends with .tgz.

    Raises:
        InvalidInput: there is something already.
        StoreError, NoSpace: it cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise InvalidInput(f"`{out}` is there already", hint="name another place with -o, or remove it")
    with durable.explained(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
    if out.name.endswith((".tgz", ".tar.gz")):
        durable.write_file(out, files.pack(done.chart.after, done.chart.before))
        return out
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        whole = Path(scratch, "chart")
        _spread(done.chart, whole)
        durable.publish(whole, out)
    return out


def write_in_place(done: ChartRelocation) -> Path:
    """Change the chart where it lies; the original stays beside it as `CHART.orig`.

    Raises:
        InvalidInput: it was fetched and lies nowhere, or there is a `.orig` already.
        StoreError, NoSpace: it cannot be written.
    """
    path = Path(done.request.chart)
    if not path.exists():
        raise InvalidInput(
            f"`{path}` is fetched each time and has no place to be changed in", hint="leave --in-place out"
        )
    original = path.with_name(f"{path.resolve().name if path.name in ('', '.', '..') else path.name}.orig")
    if not done.chart.changed:
        return path
    if original.exists():
        raise InvalidInput(f"`{original}` is there already", hint="remove it, or write elsewhere with -o")
    with durable.explained(original):
        if not path.is_dir():
            shutil.copy2(path, original)
            _replace(path, files.pack(done.chart.after, done.chart.before))
            return path
        copy = original.with_name(f".{original.name}.tmp")  # a half copy never has the name of a whole one
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy, symlinks=True)
        copy.rename(original)
    before = files.contents(done.chart.before)
    for name, data in files.contents(done.chart.after, done.chart.before).items():
        if before.get(name) != data:
            _replace(path / files.check_name(name), data)
    return path


def _replace(path: Path, data: bytes) -> None:
    """New bytes for a file that is there: through a link, so that it stays one, and with the mode it has."""
    real = path.resolve()
    durable.write_file(real, data, mode=real.stat().st_mode & 0o777 if real.exists() else 0o644)


def default_output(request: Request, done: ChartRelocation) -> Path:
    """Where the result goes when nobody says: beside us, named after the chart."""
    packed = done.chart.before.packed
    return Path(f"{done.chart.before.name}-relocated{'.tgz' if packed else ''}")


def _proved(request: Request, examined: Examination, relocation: Relocation, local: str) -> ChartRelocation:
    allowed = tuple(_targets(request.lock)) if request.lock else None
    relocated = relocation_of_charts.relocate(examined, relocation)
    output, relocated = _rendered_at_all(request, examined, relocated, local)
    for _ in range(0 if request.values_only else _ROUNDS):
        left, _problems = relocation_of_charts.outside(output, examined, relocated, allowed)
        better = relocation_of_charts.with_literals(relocated, left, output)
        if better.after == relocated.after:
            break
        relocated = better
        output = _render(request, examined, relocated, local)
    left, problems = relocation_of_charts.outside(output, examined, relocated, allowed)
    named = (*(_outside(finding, request, allowed) for finding in left), *problems)
    rendered = manifests.find(output, request.chart).references
    return ChartRelocation(request, relocated, relocation_of_charts.overlay(relocated, examined), rendered, named)


def _rendered_at_all(
    request: Request, examined: Examination, relocated: RelocatedChart, local: str
) -> tuple[bytes, RelocatedChart]:
    """The render of the result. A chart that refuses other registries gets its switch thrown, and only then."""
    try:
        return _render(request, examined, relocated, local), relocated
    except AirgapError as error:
        guarded = relocation_of_charts.with_guard_off(relocated, examined)
        if guarded is None:
            raise IncompleteError("the relocated chart does not render:", (error.message,)) from error
    try:
        return _render(request, examined, guarded, local), guarded
    except AirgapError as error:
        raise IncompleteError("the relocated chart does not render:", (error.message,)) from error


def _render(request: Request, examined: Examination, relocated: RelocatedChart, local: str) -> bytes:
    if request.values_only:
        settings = relocation_of_charts.overlay(relocated, examined)
        return helm.template(local, request.rendering, settings.encode())
    with tempfile.TemporaryDirectory(prefix="airgap-proof-") as scratch:
        place = Path(scratch, relocated.after.name)
        _spread(relocated, place)
        return helm.template(str(place), request.rendering)


def _spread(chart: RelocatedChart, root: Path) -> None:
    for name, data in files.contents(chart.after, chart.before).items():
        path = root / files.check_name(name)
        with durable.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _targets(lock: Path) -> Iterator[Reference]:
    from airgap.bundles.lock import read

    for entry in read(lock).entries:
        if entry.target is not None:
            yield entry.target
            yield entry.target.with_digest(entry.digest)


def _outside(finding: Finding, request: Request, allowed: tuple[Reference, ...] | None) -> Problem:
    if allowed is not None:
        return Problem(finding.place, f"`{finding.written}` is no target of the lock `{request.lock}`")
    return Problem(finding.place, f"`{finding.written}`")


def _advice(done: ChartRelocation) -> str:
    if done.chart.given:
        paths = ", ".join(path_text(path) for path in done.chart.given)
        return f"your own values say {paths}; get what to put after them with --values-only FILE"
    if done.request.values_only:
        return "no value reaches these; relocate the chart itself: leave --values-only out"
    if done.request.lock:
        return "pack and push what is missing, then use the lock of that push"
    return "edit these by hand, or relocate what is rendered: helm install --post-renderer relocate-images"
