from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from airgap_cli import render
from airgap_cli.options import Format, Output, SourceFlags, flag, grouped, sources_of
from airgap_cli.words import plural

if TYPE_CHECKING:
    from airgap.discovery.findings import Discovery, Finding


@grouped
def images(
    sources: SourceFlags,
    output: Output = Format.TABLE,
    allow_incomplete: Annotated[
        bool, flag("--allow-incomplete", help="Exit with 0 although not everything could be examined.")
    ] = False,
) -> None:
    """List every image that manifests and charts need.

    Each with where it was found, and how it is known to be one.

    certain: a field that Kubernetes defines as an image. traced: followed through a chart's values. likely: a full
    name where people write images: arguments, variables, ConfigMaps, custom resources. values: behind a feature that
    is off.

    \b
    Examples:
      kubectl airgap images -f deploy/ -R
      kubectl airgap images --chart ./shop -o wide
      kustomize build overlay | kubectl airgap images -f - -o name
    """
    from airgap.errors import IncompleteError
    from airgap.operations.images import find_images

    found = find_images(sources_of(sources))
    if output is Format.NAME:
        render.names(str(reference) for reference in found.references)
    elif output in (Format.JSON, Format.YAML):
        items = [_to_json(finding) for finding in _ordered(found)]
        problems = [{"place": str(problem.place), "reason": problem.reason} for problem in found.problems]
        render.document("ImageList", items, output, problems=problems)
    else:
        _table(found, wide=output is Format.WIDE)
    lines = tuple(f"{problem.place}: {problem.reason}" for problem in found.problems)
    if not lines:
        _say_next(found, output)
        return
    if not allow_incomplete:
        raise IncompleteError(
            f"{plural(len(lines), 'place')} could not be examined:",
            lines,
            hint="mend that, or take what was found with --allow-incomplete",
        )
    for line in lines:
        render.say(f"not examined: {line}")


def _say_next(found: Discovery, output: Format) -> None:
    if found.findings and output in (Format.TABLE, Format.WIDE) and sys.stderr.isatty():
        render.say("\nnext: the same sources into one file\n  kubectl airgap pack … -o BUNDLE.tar")


def _ordered(found: Discovery) -> list[Finding]:
    return sorted(found.findings, key=lambda finding: (str(finding.reference), str(finding.place)))


def _table(found: Discovery, *, wide: bool) -> None:
    from airgap.discovery.findings import Certainty

    if not found.findings:
        render.say("no images found")
        return
    if wide:
        rows = [[str(f.reference), f.certainty, f.written, str(f.place), f.shape] for f in _ordered(found)]
        render.table(["IMAGE", "CERTAINTY", "WRITTEN", "PLACE", "SHAPE"], rows)
        return
    surest = list(Certainty)
    by_image: dict[str, list[Finding]] = {}
    for finding in _ordered(found):
        by_image.setdefault(str(finding.reference), []).append(finding)
    rows = []
    for name, findings in by_image.items():
        best = min(findings, key=lambda finding: surest.index(finding.certainty))
        rows.append([name, best.certainty, str(len(findings)), str(best.place)])
    render.table(["IMAGE", "CERTAINTY", "PLACES", "FIRST"], rows)


def _to_json(finding: Finding) -> dict[str, Any]:
    return {
        "image": str(finding.reference),
        "written": finding.written,
        "certainty": str(finding.certainty),
        "source": finding.place.source,
        "path": finding.place.path,
        "line": finding.place.line,
        "shape": finding.shape,
    }
