"""Speaks kubectl's and helm's completion protocol: `value<TAB>description` lines, then `:N`.

Source: cobra's `__complete` command. N is a sum: 1 an error, 2 no space after the word, 4 no file names.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import typer

from airgap_cli.words import escape

_FILES, _NO_FILES = ":0", ":4"


def answer(app: typer.Typer, words: list[str]) -> NoReturn:
    """Print what could stand in place of the last of `words`, which may be empty, then exit.

    Whatever goes wrong, there are no completions: a shell has no place to show an error.
    """
    *before, current = words or [""]
    try:
        lines = _lines(_candidates(app, before, current), current)
    except Exception:
        lines = [_FILES]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(0)


def _candidates(app: typer.Typer, before: list[str], current: str) -> list[Any]:
    from typer._click.shell_completion import ShellComplete

    # The shells that typer knows write their own protocols; only the search for candidates is of use here.
    abstract = dict.fromkeys(ShellComplete.__abstractmethods__)
    shell: Any = type("Protocol", (ShellComplete,), {**abstract, "name": "", "source_template": ""})
    found: list[Any] = shell(typer.main.get_command(app), {}, "", "").get_completions(before, current)
    return found


def _lines(found: list[Any], current: str) -> list[str]:
    plain = [item for item in found if item.type == "plain"]
    wants_files = not found or len(plain) < len(found)
    return [*(_line(item) for item in plain), _FILES if wants_files and not current.startswith("-") else _NO_FILES]


def _line(item: Any) -> str:
    description = (item.help or "").strip().partition("\n")[0]
    return f"{item.value}\t{escape(description)}".rstrip("\t")
