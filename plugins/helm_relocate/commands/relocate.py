"""`helm relocate CHART`: flags to the core, its answer to words."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airgap_cli import render
from airgap_cli.options import OutcomeFlags, TargetFlags, flag, grouped
from airgap_cli.words import plural

if TYPE_CHECKING:
    from airgap.adapters.rendering import Rendering
    from airgap.operations.relocate_chart import ChartRelocation, Request

STDOUT = "-"


@dataclass(frozen=True)
class RenderFlags:
    """How the chart is rendered, in helm's own words."""

    values: Annotated[
        list[str] | None,
        flag("-f", "--values", help="Values to render with, as helm takes them; repeatable.", metavar="FILE"),
    ] = None
    set_: Annotated[
        list[str] | None, flag("--set", help="Value to render with, as helm takes it; repeatable.", metavar="KEY=VALUE")
    ] = None
    version: Annotated[str, flag("--version", help="Version of a chart that is fetched.", metavar="VERSION")] = ""
    namespace: Annotated[str, flag("-n", "--namespace", help="Namespace to render for.", metavar="NAME")] = ""
    kube_version: Annotated[
        str, flag("--kube-version", help="Kubernetes version to render for.", metavar="VERSION")
    ] = ""
    api_versions: Annotated[
        list[str] | None,
        flag("--api-versions", help="Kubernetes API to count on; repeatable.", metavar="GROUP/VERSION"),
    ] = None


@dataclass(frozen=True)
class PlaceFlags:
    """Where the result goes: one place, or none that is named."""

    output: Annotated[
        Path | None,
        flag("-o", "--output", help="Directory or .tgz to write; ./NAME-relocated if not given.", metavar="OUT"),
    ] = None
    values_only: Annotated[
        str,
        flag(
            "--values-only",
            help="Leave the chart alone; write the values that move it, or - for stdout.",
            metavar="FILE",
        ),
    ] = ""
    in_place: Annotated[bool, flag("--in-place", help="Change the chart itself; the original stays as CHART.orig.")] = (
        False
    )

    @property
    def is_named(self) -> bool:
        """Whether the user said where."""
        return bool(self.output or self.values_only or self.in_place)


@grouped
def relocate(
    chart: Annotated[str, typer.Argument(help="A directory, a .tgz, oci://… or REPO/NAME.", metavar="CHART")],
    target: TargetFlags,
    place: PlaceFlags,
    rendering: RenderFlags,
    outcome: OutcomeFlags,
) -> None:
    """Point a chart at the registry inside, and prove it by rendering the result.

    Values are found by rendering too, so it does not matter what they are called. What no value reaches is edited where
    it is written. Everything else stays byte for byte.

    \b
    Examples:
      helm relocate ./web --to registry.local:5000/apps
      helm relocate oci://registry.example.org/charts/web --version 1.2.3 --lock images.lock -o web.tgz
      helm relocate ./web --to registry.local:5000/apps --values-only inside.yaml
    """
    from airgap.operations import relocate_chart as operation

    values_only = bool(place.values_only)
    request = operation.Request(
        chart,
        target.to,
        target.naming,
        target.lock,
        _rendering(rendering),
        values_only=values_only,
        max_depth=target.max_depth,
    )
    _refuse_two_places(place)
    done = operation.plan(request)
    if outcome.diff:
        render.foreign(done.diff)
    if outcome.check or outcome.dry_run:
        _say_plan(done, quiet=outcome.quiet or outcome.diff)
    if not outcome.allow_incomplete:
        done.check()
    _say_left(done)
    if not (outcome.check or outcome.dry_run or (outcome.diff and not place.is_named)):
        _say_written(done, _write(done, place), quiet=outcome.quiet)


def _rendering(flags: RenderFlags) -> Rendering:
    from airgap.adapters.rendering import Rendering

    return Rendering(
        version=flags.version,
        values=tuple(flags.values or ()),
        set=tuple(flags.set_ or ()),
        namespace=flags.namespace or os.environ.get("HELM_NAMESPACE", ""),
        kube_version=flags.kube_version,
        api_versions=tuple(flags.api_versions or ()),
    )


def _refuse_two_places(place: PlaceFlags) -> None:
    from airgap.errors import InvalidInput

    if sum((place.output is not None, bool(place.values_only), place.in_place)) > 1:
        raise InvalidInput("two places for one result", hint="choose one of -o, --values-only and --in-place")


def _write(done: ChartRelocation, place: PlaceFlags) -> str:
    """Write the result and return its name; empty where it went to standard output."""
    from airgap import durable
    from airgap.operations import relocate_chart as operation

    if place.values_only == STDOUT:
        sys.stdout.write(done.overlay)
        return ""
    if place.values_only:
        durable.write_file(Path(place.values_only), done.overlay.encode())
        return place.values_only
    if place.in_place:
        return str(operation.write_in_place(done))
    return str(operation.write(done, place.output or operation.default_output(done.request, done)))


def _say_plan(done: ChartRelocation, *, quiet: bool) -> None:
    if quiet:
        return
    moved = [(str(source), str(target)) for source, target in done.chart.mapping.items()]
    render.table(["IMAGE", "BECOMES"], moved)
    render.say(f"would change {', '.join(done.chart.changed) or 'nothing'}; nothing was written")


def _say_left(done: ChartRelocation) -> None:
    for problem in done.outside:
        render.say(f"left as it is: {problem.place}: {problem.reason}")


def _say_written(done: ChartRelocation, place: str, *, quiet: bool) -> None:
    if quiet:
        return
    count = len(done.rendered)
    proof = f"rendered again: {plural(count, 'image')}, {'all' if not done.outside else 'not all'} at the target"
    changes = ", ".join(_changes(done)) or "nothing: all images are there already"
    render.say(f"changed {changes}\n{proof}")
    for literal in done.chart.literals:
        render.say(f"no value reaches {literal.text}; edited in {literal.file}:{literal.line}")
    if place:
        render.say(f"\nnext: {_next(done.request, place)}")


def _changes(done: ChartRelocation) -> list[str]:
    settings = [plural(len(done.chart.settings), "value")] if done.chart.settings else []
    files = (
        [] if done.request.values_only else [name for name in done.chart.changed if not name.endswith("values.yaml")]
    )
    return [*settings, *files]


def _next(request: Request, place: str) -> str:
    """What to type to install the result, with the flags that were given here."""
    rendering = request.rendering
    given = [word for name in rendering.values for word in ("-f", name)]
    given += [word for name in rendering.set for word in ("--set", name)]
    if rendering.namespace and rendering.namespace != "default":
        given += ["-n", rendering.namespace]
    if request.values_only:
        version = ["--version", rendering.version] if rendering.version else []
        words = ["helm", "install", "NAME", request.chart, *version, *given, "-f", place]
    else:
        words = ["helm", "install", "NAME", place if place.startswith(("/", ".")) else f"./{place}", *given]
    return shlex.join(words)
