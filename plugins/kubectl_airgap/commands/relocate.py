from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from airgap_cli import render
from airgap_cli.options import OutcomeFlags, TargetFlags, flag, grouped
from airgap_cli.words import plural

if TYPE_CHECKING:
    from airgap.operations.relocate import RelocationPlan


@grouped
def relocate(
    target: TargetFlags,
    outcome: OutcomeFlags,
    filename: Annotated[
        list[str] | None,
        flag("-f", "--filename", help="Manifest file, directory, or - for standard input; repeatable.", metavar="FILE"),
    ] = None,
    recursive: Annotated[bool, flag("-R", "--recursive", help="Go into the directories below -f as well.")] = False,
    output: Annotated[
        Path | None, flag("-o", "--output", help="Directory to write all files to.", metavar="DIR")
    ] = None,
    in_place: Annotated[
        bool, flag("--in-place", help="Change the files themselves; the first version stays as FILE.orig.")
    ] = False,
) -> None:
    """Point manifests at the registry inside.

    Not a byte besides the images' names changes. One file goes to standard output; several go to a directory
    with -o, or are changed with --in-place.

    \b
    Examples:
      kubectl airgap relocate -f app.yaml --to registry.local:5000/apps | kubectl apply -f -
      kubectl airgap relocate -f deploy/ -R --lock images.lock --in-place
      kubectl airgap relocate -f deploy/ --to registry.local/apps --diff
    """
    from airgap.operations import relocate as operation
    from airgap.operations.sources import Sources

    sources = Sources(manifests=tuple(filename or ()), recursive=recursive)
    plan = operation.plan(sources, operation.rule(target.to, target.naming, target.lock, target.max_depth))
    only_looking = outcome.check or outcome.dry_run
    _refuse_many(plan, output, silent=outcome.diff or only_looking or in_place)
    if outcome.diff:
        _print_diff(plan)
    if only_looking:
        _say_plan(plan, quiet=outcome.quiet or outcome.diff)
    _judge(plan, outcome.allow_incomplete)
    if only_looking:
        return
    if in_place:
        _say_written(operation.write_in_place(plan), "", outcome.quiet)
    elif output is not None:
        _say_written(operation.write(plan, output), str(output), outcome.quiet)
    elif not outcome.diff:
        sys.stdout.flush()
        sys.stdout.buffer.write(plan.files[0].text.after)


def _refuse_many(plan: RelocationPlan, output: Path | None, *, silent: bool) -> None:
    from airgap.errors import InvalidInput

    if len(plan.files) > 1 and output is None and not silent:
        raise InvalidInput(
            f"{len(plan.files)} files do not fit into one output",
            hint="write them to a directory with -o DIR, or change them with --in-place",
        )


def _print_diff(plan: RelocationPlan) -> None:
    from airgap.documents.edits import diff

    sys.stdout.flush()
    for planned in plan.changed:
        text = diff(planned.text.before, planned.text.after, planned.file.name.lstrip("/"))
        if sys.stdout.isatty():
            render.foreign(text)
            continue
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))  # for `patch`, whatever the locale


def _say_plan(plan: RelocationPlan, *, quiet: bool) -> None:
    if quiet:
        return
    render.table(["IMAGE", "BECOMES"], ([str(source), str(target)] for source, target in plan.mapping.items()))
    render.say(f"would change {plural(len(plan.changed), 'file')} of {len(plan.files)}; nothing was written")


def _say_written(paths: tuple[Path, ...], directory: str, quiet: bool) -> None:
    if quiet:
        return
    if not paths:
        render.say("nothing to change: all images are there already")
        return
    where = f" to {directory}" if directory else ""
    render.say(f"wrote {plural(len(paths), 'file')}{where}")
    named = [directory] if directory else [str(path) for path in paths[:3]]
    render.say(f"\nnext: kubectl apply {shlex.join(word for name in named for word in ('-f', name))}")


def _judge(plan: RelocationPlan, allow_incomplete: bool) -> None:
    from airgap.errors import IncompleteError

    lines = tuple(f"{problem.place}: {problem.reason}" for problem in plan.outside)
    if lines and not allow_incomplete:
        raise IncompleteError(
            f"{plural(len(lines), 'place')} would still point elsewhere or could not be examined; nothing was written:",
            lines,
            hint="pack and push what is missing, or take the rest with --allow-incomplete",
        )
    for line in lines:
        render.say(f"left as it is: {line}")
