"""Assembles `helm relocate`: one command for charts, and one that helm starts as a post-renderer."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from airgap import __version__

if TYPE_CHECKING:
    import typer

POST_RENDER = "post-render"


def main() -> NoReturn:
    """Entry point `helm-relocate`."""
    # `--version` alone asks for ours; with a chart it says which version of the chart, as it does to helm.
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"helm-relocate {__version__}\n")
        sys.exit(0)
    if os.environ.get("HELM_DEBUG", "").lower() in ("1", "true"):
        os.environ.setdefault("AIRGAP_DEBUG", "1")
    if sys.argv[1:2] == ["__complete"]:
        _complete(sys.argv[2:])

    from airgap_cli.assembly import typed_as
    from airgap_cli.runner import run

    name = typed_as("helm relocate")
    if sys.argv[1:2] == [POST_RENDER]:
        run(_post_render(), f"{name} {POST_RENDER}", sys.argv[2:])
    run(_relocate(), name, sys.argv[1:] or ["--help"])


def _complete(words: list[str]) -> NoReturn:
    from airgap_cli.completion import answer

    if words[:1] == [POST_RENDER] and len(words) > 1:
        answer(_post_render(), words[1:])
    answer(_relocate(), words)


def _relocate() -> typer.Typer:
    from helm_relocate.commands.relocate import relocate

    app = _app()
    app.command()(relocate)
    return app


def _post_render() -> typer.Typer:
    from helm_relocate.commands.post_render import post_render

    app = _app()
    app.command()(post_render)
    return app


def _app() -> typer.Typer:
    from airgap_cli import assembly  # noqa: F401, I001 - it sets how help looks, before typer is imported
    import typer

    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
