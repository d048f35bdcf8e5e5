"""Assembles a plugin's verbs so that a verb's module is read only when it is typed (or listed)."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Styled help costs a third of the start and breaks NO_COLOR; ours is plain, as kubectl's is.
os.environ.setdefault("TYPER_USE_RICH", "0")

import typer
from typer.core import TyperGroup


def group_of(verbs: Mapping[str, str]) -> type[TyperGroup]:
    """A command group whose members are `verbs`: name → module that has a function of the same name as the verb."""

    class Verbs(TyperGroup):
        def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
            return list(verbs)

        def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
            if cmd_name not in verbs:
                return super().get_command(ctx, cmd_name)
            if cmd_name not in self.commands:
                self.commands[cmd_name] = _command(cmd_name, verbs[cmd_name])
            return self.commands[cmd_name]

        def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
            if args[0] not in verbs and not args[0].startswith("-"):
                for name in verbs:
                    self.get_command(ctx, name)
            return super().resolve_command(ctx, args)

    return Verbs


def _command(name: str, module: str) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    function = getattr(importlib.import_module(module), name)
    app.command(name, no_args_is_help=False)(function)
    command = typer.main.get_command(app)
    command.name = name
    return command


def typed_as(fallback: str) -> str:
    """The words our user typed: kubectl and helm start us by a file name that nobody types."""
    started = Path(sys.argv[0]).name.removesuffix(".exe")
    known = {"kubectl-airgap": "kubectl airgap", "helm-relocate": "helm relocate"}
    return known.get(started, fallback)
