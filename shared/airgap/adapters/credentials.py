"""Credential plugins of a kubeconfig: a program of the user's that prints a token or a certificate.

Source of every rule: kubernetes.io "client-go credential plugins", client.authentication.k8s.io/v1.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from airgap import limits
from airgap.errors import AccessDenied, AirgapError, InvalidInput

_API: Final = "client.authentication.k8s.io/"


def credential_of(
    plugin: Mapping[str, Any], cluster: Mapping[str, Any], directory: Path, where: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Run the program of an `exec` entry, without a shell, and read what it prints.

    Args:
        plugin: the `exec` entry: command, args, env, apiVersion.
        cluster: the cluster's entry, told to programs that ask by `provideClusterInfo`.
        directory: of the kubeconfig; a command with a slash that is not absolute is looked for from there.
        where: how to name the entry in an error.
        environment: the process's.

    Returns:
        Keys of a kubeconfig's user: `token`, or `client-certificate-data` and `client-key-data`.

    Raises:
        InvalidInput: the entry names no program, or one that is not there.
        AccessDenied: the program failed, did not end, or printed no credential.
    """
    command = str(plugin.get("command") or "")
    if not command or not str(plugin.get("apiVersion") or "").startswith(_API):
        raise InvalidInput(f"{where}: `exec` needs a `command` and an `apiVersion` of {_API}…")
    if "/" in command:
        command = str(directory / command)
    arguments = [command, *(str(word) for word in plugin.get("args") or [])]
    answer = _run(arguments, _environment(plugin, cluster, environment), plugin, where)
    return _credential(answer, command, where)


def _environment(
    plugin: Mapping[str, Any], cluster: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, str]:
    result = dict(environment)
    original = result.pop("LD_LIBRARY_PATH_ORIG", None)  # a frozen build points the loader at its own libraries
    if original is not None:
        result["LD_LIBRARY_PATH"] = original
    result |= {str(item.get("name")): str(item.get("value", "")) for item in plugin.get("env") or []}
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = {key: cluster[key] for key in ("server", "certificate-authority-data") if key in cluster}
    info = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
    return result | {"KUBERNETES_EXEC_INFO": json.dumps(info)}


def _run(arguments: list[str], environment: dict[str, str], plugin: Mapping[str, Any], where: str) -> bytes:
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=0,  # so that what the program starts ends with it
        )
    except OSError as error:
        reason = str(error.strerror or error).lower()
        hint = str(plugin.get("installHint") or "install it, or put it on PATH").strip()
        raise InvalidInput(f"{where}: executable {arguments[0]} cannot be started: {reason}", hint=hint) from error
    late = threading.Event()
    answer = _read(process, late)
    if late.is_set():
        raise _refused(arguments[0], where, f"did not end in {limits.CREDENTIAL_SECONDS:.0f} s")
    if len(answer) > limits.TOKEN:
        raise _refused(arguments[0], where, "printed more than a credential")
    if process.returncode:
        raise _refused(arguments[0], where, f"failed with exit code {process.returncode}")
    return answer


def _read(process: subprocess.Popen[bytes], late: threading.Event) -> bytes:
    """What it prints, a little more than allowed at most; `late` is set where the time was up."""

    def stop() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(limits.CREDENTIAL_SECONDS, stop)
    timer.start()
    with process:
        assert process.stdout is not None
        try:
            answer = process.stdout.read(limits.TOKEN + 1)
        except BaseException:
            _kill(process)
            raise
        finally:
            timer.cancel()
        if len(answer) > limits.TOKEN:
            _kill(process)
    return answer


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _credential(answer: bytes, command: str, where: str) -> dict[str, Any]:
    try:
        status = json.loads(answer)["status"]
        if status.get("token"):
            return {"token": str(status["token"])}
        pair = (status["clientCertificateData"], status["clientKeyData"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refused(command, where, "printed no credential") from error
    names = ("client-certificate-data", "client-key-data")
    return {name: base64.b64encode(str(text).encode()).decode() for name, text in zip(names, pair, strict=True)}


def _refused(command: str, where: str, reason: str) -> AirgapError:
    return AccessDenied(
        f"getting credentials: exec: executable {command} {reason}",
        hint=f"it stands in {where}; run it by hand to see what it says",
    )
