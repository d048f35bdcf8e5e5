"""Assembles a plugin's verbs so that a verb's module is read only when it is typed (or listed)."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

# Styled help costs a third of the start and breaks NO_COLOR; ours is plain, as kubectl's is.
os.environ.setdefault("TYPER_USE_RICH", "0")

import typer
from typer.core import TyperGroup

from airgap.errors import InvalidInput

# Wider lines than this are hard to read, however wide the window is.
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def plugin(verbs: Mapping[str, str], said: str, help: str) -> typer.Typer:
    """The command line of a plugin that has verbs.

    Args:
        verbs: name → module that has a function of the same name.
        said: what `--version` prints.
        help: what `--help` says above the verbs.
    """
    app = typer.Typer(
        cls=_group_of(verbs),
        add_completion=False,
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )

    def callback(
        version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and stop.")] = False,
    ) -> None:
        if version:
            typer.echo(said)
            raise typer.Exit

    app.callback(help=help)(callback)
    return app


def typed_as(fallback: str) -> str:
    """The words our user typed: kubectl and helm start us by a file name that nobody types."""
    started = Path(sys.argv[0]).name.removesuffix(".exe")
    known = {"kubectl-airgap": "kubectl airgap", "helm-relocate": "helm relocate"}
    return known.get(started, fallback)


def _group_of(verbs: Mapping[str, str]) -> type[TyperGroup]:
    class Verbs(TyperGroup):
        def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
            return list(verbs)

        def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
            if cmd_name in verbs and cmd_name not in self.commands:
                self.commands[cmd_name] = _command(cmd_name, verbs[cmd_name])
            return self.commands.get(cmd_name)

        def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
            if args[0] not in verbs and not ctx.resilient_parsing:
                raise _unknown(args[0], verbs, ctx.command_path)
            return super().resolve_command(ctx, args)

    return Verbs


def _unknown(word: str, verbs: Mapping[str, str], command: str) -> InvalidInput:
    near = difflib.get_close_matches(word, verbs, n=1, cutoff=0.5)
    meant = f"did you mean `{command} {near[0]}`? " if near else ""
    return InvalidInput(f"no such command {word!r}", hint=f"{meant}`{command} --help` lists all")


def _command(name: str, module: str) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    function = getattr(importlib.import_module(module), name)
    app.command(name, no_args_is_help=False)(function)
    command = typer.main.get_command(app)
    command.name = name
    return command
