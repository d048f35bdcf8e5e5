"""`helm-relocate post-render`: what helm has rendered on stdin, pointed at the registry inside on stdout."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

from airgap import state
from airgap.errors import AirgapError
from airgap_cli.options import TargetFlags, flag, grouped
from airgap_cli.words import escape

LOG = "post-render.log"


@grouped
def post_render(
    target: TargetFlags,
    allow_incomplete: Annotated[
        bool, flag("--allow-incomplete", help="Go on although an image stays outside.")
    ] = False,
) -> None:
    """Point rendered manifests at the registry inside, for helm's --post-renderer.

    Helm 4 does not show what a post-renderer has to say. The reason of a failure is therefore also written to the
    terminal, and to post-render.log in $XDG_STATE_HOME/airgap (~/.local/state/airgap).

    \b
    Examples:
      helm install web ./web --post-renderer relocate-images --post-renderer-args --to=registry.local:5000/apps
    """
    from airgap.errors import IncompleteError
    from airgap.operations.relocate import rule
    from airgap.relocation.manifests import relocate

    try:
        wanted = rule(target.to, target.naming, target.lock, target.max_depth)
        done = relocate(sys.stdin.buffer.read(), "rendered", wanted)
        if done.outside and not allow_incomplete:
            lines = tuple(f"{problem.place}: {problem.reason}" for problem in done.outside)
            raise IncompleteError("images would still come from outside:", lines)
    except AirgapError as error:
        _tell(error)
        raise
    sys.stdout.flush()
    sys.stdout.buffer.write(done.after)
    sys.stdout.buffer.flush()


def _tell(error: AirgapError) -> None:
    """Say why where it can be seen: on the terminal, unless standard error is one, and in the log."""
    lines = [f"error: {error.message}", *(f"  {line}" for line in getattr(error, "findings", ()))]
    text = "\n".join(escape(line) for line in (*lines, *([f"hint: {error.hint}"] if error.hint else []))) + "\n"
    if not sys.stderr.isatty():
        with contextlib.suppress(OSError), Path("/dev/tty").open("w") as terminal:
            terminal.write(text)
    directory = state.directory()
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / LOG).write_text(text)
