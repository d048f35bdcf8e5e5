"""Runs a command line and turns what ends it into words and an exit code: the only place that exits."""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import traceback
from types import FrameType
from typing import Any, NoReturn

import typer

from airgap import state
from airgap.errors import AirgapError, IncompleteError
from airgap_cli.words import escape

# The parser's own errors; typer exports the leaves of that tree only.
_UsageError: Any = typer.BadParameter.__bases__[0]
_ParserError: Any = _UsageError.__bases__[0]

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
EXIT_NO_READER = 141  # as of every program that SIGPIPE ends: what it would have done is not done


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that what is open is closed and what is half done is left resumable."""


def run(app: typer.Typer, name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run `app` as the command `name` (as its user typed it: `kubectl airgap`), then exit."""
    signal.signal(signal.SIGTERM, _terminate)
    gc.set_threshold(
        50_000, 20, 50
    )  # a large manifest is a million objects: searching them for cycles doubled the time
    sys.exit(_status(app, name, arguments))


def _status(app: typer.Typer, name: str, arguments: list[str] | None) -> int:
    try:
        result = _invoke(app, name, sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Exit as done:
        return done.exit_code
    except AirgapError as error:
        return _say(error)
    except _ParserError as error:
        return _say_usage(error, name)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except _Terminated:
        return EXIT_TERMINATED
    except BrokenPipeError as error:
        return _reader_left() if _has_no_reader(sys.stdout.fileno()) else _unforeseen(error)
    except RecursionError:
        return _say(AirgapError("the input is nested too deep"))
    except MemoryError:
        return _say(AirgapError("out of memory", hint="use fewer workers: --concurrency 2"))
    except Exception as error:
        return _unforeseen(error)


def _invoke(app: typer.Typer, name: str, arguments: list[str]) -> Any:
    """What typer's own `main` does, without its habit of ending in silence when any pipe or socket breaks."""
    command = typer.main.get_command(app)
    with command.make_context(name, list(arguments)) as context:
        return command.invoke(context)


def _say(error: AirgapError) -> int:
    _words(f"{error.label}{error.message}")
    if isinstance(error, IncompleteError):
        for finding in error.findings:
            _words(f"  {finding}")
    if error.hint:
        _words(f"\nhint: {error.hint}")
    return error.exit_code


def _say_usage(error: Any, name: str) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.ctx.get_help())
        return 0
    message = (error.message if _suggestions(error) else error.format_message()).rstrip(".")
    message = message.replace("Value error, ", "")  # how typer's checker of values begins
    _words(f"error: {message[:1].lower()}{message[1:]}")
    _words(f"\nhint: {_usage_hint(error, name)}")
    return int(error.exit_code)


def _usage_hint(error: Any, name: str) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else name
    if near := _suggestions(error):
        return f"did you mean `{near[0]}`? `{command} --help` lists all"
    if hasattr(error, "option_name") and context and hasattr(context.command, "list_commands"):
        return f"flags stand after the command, as in `{command} COMMAND {error.option_name}`"
    return f"see `{command} --help`"


def _suggestions(error: Any) -> list[str]:
    return list(getattr(error, "possibilities", None) or ())


def _interrupted() -> int:
    _words("\nerror: stopped\n\nhint: what is done stays; type the same command to go on from there")
    return EXIT_INTERRUPTED


def _has_no_reader(descriptor: int) -> bool:
    """Whether the other end of a pipe is closed: a broken pipe may also be a server's, and then something failed."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _reader_left() -> int:
    """Whoever read our output has enough (`| head`): end quietly, and keep Python from complaining at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_NO_READER


def _unforeseen(error: Exception) -> int:
    """A defect of ours: one line for the user, the details in a file for whoever mends it."""
    if os.environ.get("AIRGAP_DEBUG"):
        traceback.print_exc()
        return 1
    directory = state.directory()
    path = directory / "last-error.txt"
    hint = "set AIRGAP_DEBUG=1 and type it again to see where, and tell us"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text("".join(traceback.format_exception(error)))
        path.chmod(0o600)
        hint = f"this is our mistake; the details are in `{path}`"
    except OSError:
        pass
    return _say(AirgapError(f"unforeseen {type(error).__name__}: {error}", hint=hint))


def _words(text: str) -> None:
    typer.echo("\n".join(escape(line) for line in text.split("\n")), err=True)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated
