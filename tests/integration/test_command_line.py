"""The command line of both plugins, on a small plugin with one verb, run as a process of its own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.support import cli

PLUGIN = """
import sys
from airgap_cli.assembly import plugin, typed_as
from airgap_cli.completion import answer
from airgap_cli.runner import run

app = plugin({"greet": "greet", "part": "part"}, "kubectl-airgap 1.2.3", "Greets.")
if sys.argv[1:2] == ["__complete"]:
    answer(app, sys.argv[2:])
run(app, typed_as("kubectl airgap"))
"""
GREET = '''
import os, socket, sys, time
from enum import Enum
from typing import Annotated
import typer
from airgap.errors import AirgapError, ContentMismatch, IncompleteError, NotFound
from airgap_cli.options import flag

class Tone(str, Enum):
    warm = "warm"
    cold = "cold"

def greet(
    name: Annotated[str, typer.Argument(help="Whom.")] = "",
    namespace: Annotated[str, flag("-n", "--namespace", help="Where.")] = "",
    tone: Annotated[Tone, flag("--tone", help="How.")] = Tone.warm,
    times: Annotated[int, flag("--times", help="How often.")] = 1,
) -> int | None:
    """Greet somebody.

    At length.
    """
    for _ in range(times):
        print("hello", name, namespace, flush=times == 1)
    if name == "damaged":
        raise ContentMismatch("a.tar", "sha256:aa", "sha256:bb")
    if name == "refused":
        raise NotFound("no \\x1b[31mred", hint="look elsewhere")
    if name == "partly":
        raise IncompleteError("2 of 3 failed", ("first", "second"))
    if name == "plain":
        raise AirgapError("it is so")
    if name == "deep":
        def down(): down()
        down()
    if name == "broken":
        raise ValueError("nobody thought of it")
    if name == "socket":
        ours, theirs = socket.socketpair()
        theirs.close()
        while True:
            ours.send(b"x" * 65536)
    if name == "slow":
        time.sleep(30)
    if name == "seven":
        return 7
'''
Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kubectl-airgap").write_text(PLUGIN)
    (tmp_path / "greet.py").write_text(GREET)
    (tmp_path / "part.py").write_text('def part() -> None:\n    """Say farewell."""\n')
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    def call(*arguments: str, **environment: str) -> CompletedProcess[str]:
        return cli.run(sys.executable, folder / "kubectl-airgap", *arguments, env=environment, seconds=20)

    return call


def test_help_lists_the_verbs_in_the_order_they_have(run: Run) -> None:
    done = run()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: kubectl airgap [OPTIONS] COMMAND")
    assert done.stdout.rstrip().endswith("Commands:\n  greet  Greet somebody.\n  part   Say farewell.")


@pytest.mark.parametrize("words", [["-h"], ["--help"]])
def test_help_by_flag_is_help_without_words(run: Run, words: list[str]) -> None:
    assert run(*words).stdout == run().stdout


def test_a_verb_that_is_not_typed_is_not_imported(run: Run, folder: Path) -> None:
    (folder / "part.py").write_text("raise SystemExit('imported')")

    assert run("greet", "Ada").stdout == "hello Ada \n"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["gret"], "no such command 'gret'", "did you mean `kubectl airgap greet`? `kubectl airgap --help` lists all"),
        (["xyz"], "no such command 'xyz'", "`kubectl airgap --help` lists all"),
        (
            ["greet", "--namespac", "x"],
            "no such option: --namespac",
            "did you mean `--namespace`? `kubectl airgap greet --help` lists all",
        ),
        (["greet", "-z"], "no such option: -z", "see `kubectl airgap greet --help`"),
        (
            ["-n", "x", "greet"],
            "no such option: -n",
            "flags stand after the command, as in `kubectl airgap COMMAND -n`",
        ),
        (["greet", "a", "b"], "got unexpected extra argument(s) (b)", "see `kubectl airgap greet --help`"),
        (["greet", "-n"], "option '-n' requires an argument", "see `kubectl airgap --help`"),
        (
            ["greet", "--tone", "hot"],
            "invalid value for '--tone': 'hot' is not one of 'warm', 'cold'",
            "see `kubectl airgap greet --help`",
        ),
    ],
)
def test_what_cannot_be_meant_ends_with_2_and_a_hint(run: Run, words: list[str], error: str, hint: str) -> None:
    done = run(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {error}\n\nhint: {hint}\n"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("plain", 1, "error: it is so\n"),
        ("damaged", 3, "error: content named `sha256:aa` in `a.tar` is `sha256:bb`\n\nhint: fetch or carry it over"),
        ("refused", 4, "error: no \\x1b[31mred\n\nhint: look elsewhere\n"),
        ("partly", 5, "error: 2 of 3 failed\n  first\n  second\n"),
        ("deep", 1, "error: the input is nested too deep\n"),
    ],
)
def test_a_failure_is_told_in_words_with_its_own_code(run: Run, name: str, code: int, words: str) -> None:
    done = run("greet", name)

    assert done.returncode == code
    assert done.stderr.startswith(words)


def test_a_number_that_a_verb_returns_is_its_exit_code(run: Run) -> None:
    assert run("greet", "seven").returncode == 7


def test_a_defect_of_ours_is_one_line_and_a_file(run: Run, tmp_path: Path) -> None:
    done = run("greet", "broken", XDG_STATE_HOME=str(tmp_path / "state"))

    report = tmp_path / "state" / "airgap" / "last-error.txt"
    assert done.returncode == 1
    assert done.stderr == (
        "error: unforeseen ValueError: nobody thought of it\n\n"
        f"hint: this is our mistake; the details are in `{report}`\n"
    )
    assert "in greet" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0


def test_a_defect_is_shown_whole_to_whoever_asks(run: Run) -> None:
    assert "Traceback (most recent call last)" in run("greet", "broken", AIRGAP_DEBUG="1").stderr


def test_a_server_that_hangs_up_is_not_taken_for_a_reader_that_left(run: Run) -> None:
    done = run("greet", "socket")

    assert done.returncode == 1
    assert "unforeseen BrokenPipeError" in done.stderr


def test_every_flag_has_an_environment_twin(run: Run) -> None:
    assert run("greet", "Ada", AIRGAP_NAMESPACE="here").stdout == "hello Ada here\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_the_code_of_that_signal(folder: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, str(folder / "kubectl-airgap"), "greet", "slow"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(number)
    _, words = process.communicate(timeout=10)

    assert process.returncode == code
    assert "Traceback" not in words
    assert words == (
        ""
        if code == 143
        else "\nerror: stopped\n\nhint: what is done stays; type the same command to go on from there\n"
    )


def test_a_reader_that_has_enough_ends_it_quietly(folder: Path) -> None:
    command = f'"{sys.executable}" "{folder}/kubectl-airgap" greet --times 99999 | head -n 1; echo "${{PIPESTATUS[0]}}"'

    done = cli.run("bash", "-c", command)

    assert (done.stdout, done.stderr) == ("hello  \n141\n", "")


def test_on_a_terminal_nothing_is_coloured(folder: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, str(folder / "kubectl-airgap")]
    for words in (["--help"], ["greet", "--help"], ["gret"]):
        subprocess.run([*command, *words], stdout=theirs, stderr=theirs, check=False)
    time.sleep(0.1)

    seen = os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)

    assert b"Greet somebody." in seen
    assert b"\x1b" not in seen


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([""], "greet\tGreet somebody.\npart\tSay farewell.\n:4\n"),
        (["gr"], "greet\tGreet somebody.\n:4\n"),
        (["greet", "--n"], "--namespace\tWhere.\n:4\n"),
        (["greet", "-n", ""], ":0\n"),
        (["greet", "--tone", "c"], "cold\n:4\n"),
        (["greet", ""], ":0\n"),
        (["part", "--nothing"], ":4\n"),
        ([], "greet\tGreet somebody.\npart\tSay farewell.\n:4\n"),
    ],
)
def test_completion_speaks_the_protocol_of_kubectl_and_helm(run: Run, words: list[str], answer: str) -> None:
    done = run("__complete", *words)

    assert (done.returncode, done.stdout, done.stderr) == (0, answer, "")


def test_completion_of_a_broken_plugin_offers_files(run: Run, folder: Path) -> None:
    (folder / "part.py").write_text("raise RuntimeError")

    done = run("__complete", "")

    assert (done.returncode, done.stdout, done.stderr) == (0, ":0\n", "")
