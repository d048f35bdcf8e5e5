"""What a transfer did or would do, image by image, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airgap.errors import AirgapError, IncompleteError
from airgap_cli import render
from airgap_cli.options import ReportFormat
from airgap_cli.words import plural

if TYPE_CHECKING:
    from airgap.references import Reference
    from airgap.transfer.engine import Outcome, Report
    from airgap.transfer.plan import Plan


def print_report(report: Report, output: ReportFormat) -> None:
    """A `TransferReport`: an item an image, and the sums."""
    sums = {"bytes": report.bytes, "copied": report.copied, "mounted": report.mounted, "present": report.present}
    render.document("TransferReport", map(_outcome, report.outcomes), output, **sums)


def print_plan(plan: Plan, output: ReportFormat) -> None:
    """A `TransferPlan`: an item an image, and what all of it costs."""
    sums = {"bytes": plan.bytes, "blobs": len(plan.copies), "requests": plan.requests, "present": plan.present}
    render.document("TransferPlan", _planned(plan), output, **sums)


def check_complete(failures: Iterable[tuple[Reference, AirgapError]], done: str) -> None:
    """Turn images that failed into an exit code, after everything else was said.

    Raises:
        IncompleteError: there are some, each with its reason.
    """
    listed = tuple(failures)
    if listed:
        raise IncompleteError(
            f"{plural(len(listed), 'image')} could not be {done}",
            tuple(f"{reference}: {failure.message}" for reference, failure in listed),
            hint="type the same command again: what is done is not done twice",
        )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "source": str(outcome.image.reference),
        "digest": outcome.image.root.digest,
        "target": str(outcome.target),
        "result": outcome.result.value,
        "bytes": outcome.bytes,
        "seconds": round(outcome.seconds, 3),
        **({"error": outcome.failure.message} if outcome.failure else {}),
    }


def _planned(plan: Plan) -> Iterator[dict[str, Any]]:
    for publish in plan.images:
        yield {
            "source": str(publish.image.reference),
            "digest": publish.image.root.digest,
            "target": str(publish.target),
            "present": publish.complete,
        }
