"""The only module that runs helm.

Fixed argument lists, no shell, bounded in time and output. Nobody's helm plugins take part: a plugin that changes what
is rendered, or a broken one, would make the answer depend on the machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from airgap import limits
from airgap.adapters.rendering import Rendering
from airgap.errors import AirgapError, InvalidInput
from airgap.references import is_loopback

RELEASE: Final = "release-name"  # what helm itself says when no name is given

# What helm may see of the environment: where it finds its settings, logins and proxies.
_KEPT = re.compile(
    r"PATH|HOME|USER|TMPDIR|LANG|LC_\w+|SSL_CERT_(FILE|DIR)|(HTTPS?|NO)_PROXY|(https?|no)_proxy|XDG_\w+|DOCKER_CONFIG|"
    r"HELM_((CACHE|CONFIG|DATA)_HOME|REGISTRY_CONFIG|REPOSITORY_(CONFIG|CACHE)|CONTENT_CACHE)"
)
_PLAIN_SERVER: Final = "server gave HTTP response to HTTPS client"  # what Go says
_MESSAGE: Final = 600  # characters of helm's own words that we repeat
_NO_HELM_HINT: Final = "install Helm 3.17 or newer, or set HELM_BIN to where it is"


def find_helm(environment: Mapping[str, str] | None = None) -> str:
    """The helm to use: `HELM_BIN`, which helm sets for its plugins, else the first on PATH.

    Raises:
        AirgapError: there is none.
    """
    known = os.environ if environment is None else environment
    wanted = known.get("HELM_BIN") or "helm"
    found = shutil.which(wanted, path=known.get("PATH", os.defpath))
    if found is None:
        raise AirgapError(f"`{wanted}` was not found: charts are rendered by helm", hint=_NO_HELM_HINT)
    return found


def template(
    chart: str, rendering: Rendering, overlay: bytes = b"", *, checked: bool = True, seconds: float = 0
) -> bytes:
    """Render a chart as `helm template` does, with CRDs, hooks and tests.

    Args:
        chart: a directory or an archive on this machine.
        rendering: what the user would give to helm; `version` is not looked at.
        overlay: a values file that comes after the user's own.
        checked: whether values must satisfy `values.schema.json`.
        seconds: how long it may take, instead of `limits.RENDER_SECONDS`.

    Raises:
        AirgapError: helm refuses, with its own words; or it takes too long or prints too much.
    """
    with tempfile.TemporaryDirectory(prefix="airgap-helm-") as scratch:
        arguments = ["template", RELEASE, _plain(chart), "--include-crds", *_options(rendering)]
        if overlay:
            path = Path(scratch, "overlay.yaml")
            path.write_bytes(overlay)
            arguments += ["--values", str(path)]
        if not checked:
            arguments.append("--skip-schema-validation")
        return _manifests(_run(arguments, Path(scratch), seconds or limits.RENDER_SECONDS))


@contextlib.contextmanager
def fetched(chart: str, rendering: Rendering) -> Iterator[str]:
    """Where `chart` lies on this machine; `oci://…`, `https://…` and `REPO/NAME` are pulled for as long as needed.

    Raises:
        InvalidInput: it is neither there nor a name that helm could pull.
        AirgapError: helm cannot pull it.
    """
    if Path(chart).exists():
        yield chart
        return
    if not re.match(r"(oci|https?)://|[\w.-]+/[\w.-]+$", chart):
        raise InvalidInput(f"`{chart}`: no such chart", hint="name a directory, a .tgz, oci://… or REPO/NAME")
    with tempfile.TemporaryDirectory(prefix="airgap-chart-") as scratch:
        target = Path(scratch, "chart")
        target.mkdir()
        version = ["--version", rendering.version] if rendering.version else []
        flags = ["--destination", str(target), *version, "--prov"]  # a chart without provenance is fine by helm
        _pull(chart, flags, Path(scratch))
        archives = sorted(target.glob("*.tgz"))
        if len(archives) != 1:
            raise AirgapError(f"helm pulled {len(archives)} archives for `{chart}`, not one")
        yield str(archives[0])


def _pull(chart: str, flags: list[str], scratch: Path) -> None:
    """A registry on loopback that has no TLS is spoken to plainly, as we do ourselves; helm wants to be told."""
    pull = ["pull", _plain(chart), *flags]
    try:
        _run(pull, scratch, limits.RENDER_SECONDS)
    except AirgapError as error:
        host = chart.removeprefix("oci://").partition("/")[0]
        if _PLAIN_SERVER not in error.message or not is_loopback(host):
            raise
        _run([*pull, "--plain-http"], scratch, limits.RENDER_SECONDS)


def _manifests(output: bytes) -> bytes:
    """The output from its first manifest on; each begins with a line that names its template.

    Raises:
        AirgapError: there is something else instead, though helm says that all is well.
    """
    start = re.search(rb"^---\n# Source: ", output, re.MULTILINE)
    if start is None and output.strip():
        words = output.decode("utf-8", "replace").split()
        raise AirgapError(f"helm template printed no manifests: {' '.join(words)[:_MESSAGE]}", hint=_NO_HELM_HINT)
    return output[start.start() :] if start else b""


def _plain(chart: str) -> str:
    """A path that cannot be taken for a flag."""
    return f"./{chart}" if chart.startswith("-") else chart


def _options(rendering: Rendering) -> list[str]:
    options = ["--namespace", rendering.namespace or "default"]
    for flag, values in (
        ("--values", rendering.values),
        ("--set", rendering.set),
        ("--api-versions", rendering.api_versions),
    ):
        for value in values:
            options += [flag, value]
    if rendering.kube_version:
        options += ["--kube-version", rendering.kube_version]
    return options


def _environment(scratch: Path) -> dict[str, str]:
    """Only what helm needs. A frozen build of ours puts its own libraries first; helm must not get those."""
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    libraries = os.environ.get("LD_LIBRARY_PATH_ORIG")
    plugins = scratch / "no-plugins"
    plugins.mkdir(exist_ok=True)
    return kept | {"HELM_PLUGINS": str(plugins)} | ({"LD_LIBRARY_PATH": libraries} if libraries else {})


def _run(arguments: list[str], scratch: Path, seconds: float) -> bytes:
    """Helm's standard output.

    Raises:
        AirgapError: as in `template`.
    """
    with (scratch / "stderr").open("w+b") as words:
        process = subprocess.Popen(
            [find_helm(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            env=_environment(scratch),
            start_new_session=True,
        )
        expired = threading.Event()
        clock = threading.Timer(seconds, _expire, (process, expired))
        clock.start()
        try:
            output = _read(process)
            status = process.wait()
        finally:
            clock.cancel()
            _kill(process)
            process.wait()
        if expired.is_set():
            raise AirgapError(f"helm {arguments[0]} did not end within {seconds:g} seconds and was stopped")
        if status:
            raise _refusal(arguments[0], words)
        return output


def _read(process: subprocess.Popen[bytes]) -> bytes:
    pieces: list[bytes] = []
    total = 0
    assert process.stdout is not None
    with process.stdout as stream:
        while piece := stream.read(limits.CHUNK):
            total += len(piece)
            if total > limits.RENDER_OUTPUT:
                _kill(process)
                raise AirgapError(f"helm printed more than {limits.RENDER_OUTPUT} bytes and was stopped")
            pieces.append(piece)
    return b"".join(pieces)


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _refusal(verb: str, words: IO[bytes]) -> AirgapError:
    words.seek(0)
    text = words.read(limits.ERROR_BODY).decode("utf-8", "replace")
    message = " ".join(text.rpartition("Error: ")[2].split()) or "it gave no reason"
    if "unknown flag" in message:
        return AirgapError(f"this helm is too old: {message[:_MESSAGE]}", hint=_NO_HELM_HINT)
    if len(message) > _MESSAGE:
        message = message[:_MESSAGE] + "…"
    return AirgapError(f"helm {verb} failed: {message.removesuffix(' Use --debug flag to render out invalid YAML')}")
