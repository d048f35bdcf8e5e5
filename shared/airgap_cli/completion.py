"""Speaks kubectl's and helm's completion protocol: `value<TAB>description` lines, then `:N`."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer


def answer(app: typer.Typer, words: list[str]) -> NoReturn:
    """Print what could stand in place of the last of `words`, which may be empty, then exit."""
    from typer._click.shell_completion import ShellComplete

    *before, current = words or [""]
    shell = type("Protocol", (ShellComplete,), {"format_completion": None, "get_completion_args": None})
    found = shell(typer.main.get_command(app), {}, "", "").get_completions(before, current)
    for item in found:
        sys.stdout.write(f"{item.value}\t{(item.help or '').splitlines()[0] if item.help else ''}\n")
    files = any(item.type == "file" for item in found)
    sys.stdout.write(":0\n" if files or not found else ":4\n")
    sys.exit(0)
