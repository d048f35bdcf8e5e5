"""`helm relocate CHART`: flags to the core, its answer to words."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airgap_cli import render
from airgap_cli.options import DryRun, Quiet, flag
from airgap_cli.words import plural

if TYPE_CHECKING:
    from airgap.operations.relocate_chart import ChartRelocation, Request

STDOUT = "-"


def relocate(
    chart: Annotated[str, typer.Argument(help="A directory, a .tgz, oci://… or REPO/NAME.", metavar="CHART")],
    to: Annotated[
        str, flag("--to", help="The registry inside, with a path if there is one.", metavar="HOST[:PORT][/PREFIX]")
    ] = "",
    output: Annotated[
        Path | None,
        flag("-o", "--output", help="Directory or .tgz to write; ./NAME-relocated if not given.", metavar="OUT"),
    ] = None,
    values_only: Annotated[
        str,
        flag(
            "--values-only",
            help="Leave the chart alone; write the values that move it, or - for stdout.",
            metavar="FILE",
        ),
    ] = "",
    lock: Annotated[
        Path | None, flag("--lock", help="What `push` wrote; every image must be one of its targets.", metavar="FILE")
    ] = None,
    naming: Annotated[
        str, flag("--naming", help="Names at the target: strip, keep, flat or group=NAME.", metavar="NAMING")
    ] = "strip",
    values: Annotated[
        list[str] | None,
        flag("-f", "--values", help="Values to render with, as helm takes them; repeatable.", metavar="FILE"),
    ] = None,
    set_: Annotated[
        list[str] | None, flag("--set", help="Value to render with, as helm takes it; repeatable.", metavar="KEY=VALUE")
    ] = None,
    version: Annotated[str, flag("--version", help="Version of a chart that is fetched.", metavar="VERSION")] = "",
    namespace: Annotated[str, flag("-n", "--namespace", help="Namespace to render for.", metavar="NAME")] = "",
    kube_version: Annotated[
        str, flag("--kube-version", help="Kubernetes version to render for.", metavar="VERSION")
    ] = "",
    api_versions: Annotated[
        list[str] | None,
        flag("--api-versions", help="Kubernetes API to count on; repeatable.", metavar="GROUP/VERSION"),
    ] = None,
    in_place: Annotated[
        bool, flag("--in-place", help="Change the chart itself; the original stays as CHART.orig.")
    ] = False,
    check: Annotated[bool, flag("--check", help="Write nothing; exit with 5 if an image would stay outside.")] = False,
    diff: Annotated[bool, flag("--diff", help="Print the changes.")] = False,
    allow_incomplete: Annotated[
        bool, flag("--allow-incomplete", help="Write the chart although an image stays outside.")
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
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
    from airgap.adapters.rendering import Rendering
    from airgap.operations import relocate_chart as operation

    rendering = Rendering(
        version=version,
        values=tuple(values or ()),
        set=tuple(set_ or ()),
        namespace=namespace or os.environ.get("HELM_NAMESPACE", ""),
        kube_version=kube_version,
        api_versions=tuple(api_versions or ()),
    )
    request = operation.Request(chart, to, naming, lock, rendering, values_only=bool(values_only))
    _refuse_two_places(output, values_only, in_place=in_place)
    done = operation.plan(request)
    if diff:
        sys.stdout.write(done.diff)
    if check or dry_run:
        _say_plan(done, quiet=quiet or diff)
    if not allow_incomplete:
        done.check()
    _say_left(done)
    if not (check or dry_run or (diff and not (output or in_place or values_only))):
        _say_written(done, _write(done, output, values_only, in_place=in_place), quiet=quiet)


def _refuse_two_places(output: Path | None, values_only: str, *, in_place: bool) -> None:
    from airgap.errors import InvalidInput

    if sum((output is not None, bool(values_only), in_place)) > 1:
        raise InvalidInput("two places for one result", hint="choose one of -o, --values-only and --in-place")


def _write(done: ChartRelocation, output: Path | None, values_only: str, *, in_place: bool) -> str:
    """Write the result and return its name; empty where it went to standard output."""
    from airgap import durable
    from airgap.operations import relocate_chart as operation

    if values_only == STDOUT:
        sys.stdout.write(done.overlay)
        return ""
    if values_only:
        durable.write_file(Path(values_only), done.overlay.encode())
        return values_only
    if in_place:
        return str(operation.write_in_place(done))
    return str(operation.write(done, output or operation.default_output(done.request, done)))


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
