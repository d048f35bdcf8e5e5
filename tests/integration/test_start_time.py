"""What makes a start slow is what is imported: `--version` and `--help` do without every SDK."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.cli import run

HEAVY = {"aiohttp", "boto3", "botocore", "cryptography", "kubernetes", "oras", "requests", "rich", "yaml"}
# Runs a console script in this process, then tells which modules are there, past whatever `--help` printed.
PROBE = """
import json, runpy, sys
program, flag = sys.argv[1:]
sys.argv = [program, flag]
try:
    runpy.run_path(program, run_name="__main__")
finally:
    print("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize("flag", ["--version", "--help"])
@pytest.mark.parametrize("program", ["kubectl-airgap", "helm-relocate"])
def test_no_sdk_is_imported_to_say_what_the_program_is(scripts: Path, program: str, flag: str) -> None:
    done = run(scripts / "python", "-c", PROBE, scripts / program, flag)

    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])) & HEAVY == set()


@pytest.mark.parametrize("program", ["kubectl-airgap", "helm-relocate"])
def test_the_version_is_said_before_the_parser_is_imported(scripts: Path, program: str) -> None:
    done = run(scripts / "python", "-c", PROBE, scripts / program, "--version")

    assert "typer" not in json.loads(done.stdout.splitlines()[-1])
