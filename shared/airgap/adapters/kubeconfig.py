"""Kubeconfig files as kubectl reads them: several merged, one context picked, credentials fetched.

The Kubernetes client's own reader logs and goes on where kubectl stops, gives a credential plugin for ever to answer
and writes into the user's file; here each fault has the name of its file and key.

Source of every rule: kubernetes.io "Organizing Cluster Access Using kubeconfig Files" and client-go tools/clientcmd.
"""

from __future__ import annotations

import base64
import binascii
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from airgap import limits
from airgap.adapters.credentials import credential_of
from airgap.errors import InvalidInput

_SECTIONS: Final = {"clusters": "cluster", "contexts": "context", "users": "user"}
_FILES: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_NAME: Final = "airgap"
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NOWHERE: Final = "http://localhost:8080"  # where kubectl knocks when nobody told it where


@dataclass(frozen=True)
class Access:
    """Which cluster, and as whom: what kubectl's flags of the same names say.

    Attributes:
        kubeconfigs: files in the order of KUBECONFIG; the first to say something wins, missing ones are passed over.
        required: whether a missing file is an error, as it is for `--kubeconfig`.
        timeout: seconds a request may take, 0 for the default.
        environment: the process's, for credential plugins and for the address of the cluster we may run in.
        service_account: where a pod finds its own credentials.
    """

    kubeconfigs: tuple[Path, ...] = ()
    required: bool = False
    context: str = ""
    cluster: str = ""
    user: str = ""
    server: str = ""
    impersonate: str = ""
    impersonate_groups: tuple[str, ...] = ()
    ca_file: Path | None = None
    insecure: bool = False
    timeout: float = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    service_account: Path = _SERVICE_ACCOUNT


@dataclass(frozen=True)
class Selected:
    """One context, whole: `config` is a kubeconfig document of one cluster and one user, paths absolute.

    Attributes:
        notes: what the user should know, such as that the server's certificate is not checked.
    """

    config: dict[str, Any]
    namespace: str
    notes: tuple[str, ...] = ()

    @property
    def cluster(self) -> dict[str, Any]:
        """The entry of the cluster."""
        entry: dict[str, Any] = self.config["clusters"][0]["cluster"]
        return entry


@dataclass(frozen=True)
class _Entry:
    value: dict[str, Any]
    file: Path


@dataclass(frozen=True)
class _Merged:
    current: str
    entries: dict[str, dict[str, _Entry]]
    notes: tuple[str, ...]


def select(access: Access) -> Selected:
    """Find the cluster and the credentials that `access` asks for.

    Raises:
        InvalidInput: a file is missing, cannot be read or means nothing, with its name and key.
        AccessDenied: the credential plugin gave none.
    """
    merged = _merge(access)
    context = _context(merged, access)
    if context is None and not access.server:
        return _in_cluster(access) or _selected({"server": _NOWHERE}, {}, "", merged.notes)
    chosen = context.value if context else {}
    cluster = _named(merged, "clusters", access.cluster or str(chosen.get("cluster") or ""), context)
    user = _named(merged, "users", access.user or str(chosen.get("user") or ""), context)
    notes = (*merged.notes, *_warnings(cluster, access))
    settings = _with_flags(_absolute(cluster, "clusters"), access)
    person = _credentials(_absolute(user, "users"), user, settings, access)
    if settings["server"].startswith("http://") and person:
        person, notes = {}, (*notes, f"credentials are not sent to {settings['server']}, as it is not https")
    return _selected(settings, person, str(chosen.get("namespace") or ""), notes)


def _merge(access: Access) -> _Merged:
    entries: dict[str, dict[str, _Entry]] = {section: {} for section in _SECTIONS}
    current, notes = "", []
    for path in access.kubeconfigs:
        document = _read(path, required=access.required)
        if not document:
            continue
        current = current or str(document.get("current-context") or "")
        for section in _SECTIONS:
            entries[section] = _entries(document, section, path) | entries[section]
        if stat.S_IMODE(path.stat().st_mode) & 0o077 and _has_secrets(document):
            notes.append(f"`{path}` holds credentials and others can read it; `chmod 600` mends that")
    return _Merged(current, entries, tuple(notes))


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    import yaml

    try:
        data = path.read_bytes()[: limits.YAML_FILE]
    except FileNotFoundError as error:
        if not required:
            return {}
        raise _unreadable(path, "no such file or directory", "check --kubeconfig, or leave it out") from error
    except OSError as error:
        raise _unreadable(path, str(error.strerror or error).lower()) from error
    try:
        document = yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 both are safe loaders
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(path, _yaml_words(error)) from error
    if document is not None and not isinstance(document, dict):
        raise _unreadable(path, "it is no kubeconfig: the document is not a mapping")
    return document or {}


def _yaml_words(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return f"yaml: {where}{problem or str(error).splitlines()[0]}"


def _entries(document: dict[str, Any], section: str, path: Path) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    listed = document.get(section) or []
    if not isinstance(listed, list):
        raise _unreadable(path, f"`{section}` is not a list")
    for position, item in enumerate(listed):
        name = item.get("name") if isinstance(item, dict) else None
        value = item.get(_SECTIONS[section]) or {} if isinstance(item, dict) else None
        if not isinstance(name, str) or not isinstance(value, dict):
            raise _unreadable(path, f"`{section}[{position}]` needs a `name` and a `{_SECTIONS[section]}`")
        if name in found:
            raise _unreadable(path, f'duplicate name "{name}" in `{section}`')
        found[name] = _Entry(value, path)
    return found


def _has_secrets(document: dict[str, Any]) -> bool:
    secret = {"token", "password", "client-key-data"}
    return any(secret & set(item.get("user") or {}) for item in document.get("users") or [])


def _context(merged: _Merged, access: Access) -> _Entry | None:
    name = access.context or merged.current
    contexts = merged.entries["contexts"]
    if name and name not in contexts:
        known = ", ".join(sorted(contexts)) or "there are none"
        raise InvalidInput(f"context was not found for specified context: {name}", hint=f"contexts: {known}")
    if not name and contexts and not access.server:
        files = ", ".join(f"`{path}`" for path in access.kubeconfigs)
        raise InvalidInput(
            f"no current-context in {files}", hint="name one with --context, or `kubectl config use-context NAME`"
        )
    return contexts.get(name)


def _named(merged: _Merged, section: str, name: str, context: _Entry | None) -> _Entry:
    entry = merged.entries[section].get(name)
    if entry is not None:
        return entry
    what = _SECTIONS[section]
    if not name and (what == "user" or context is None):
        return _Entry({}, Path())
    where = f"`{context.file}`" if context else "the kubeconfig"
    raise InvalidInput(f'{what} "{name}" does not exist', hint=f"a context in {where} names it; see `{section}` there")


def _absolute(entry: _Entry, section: str) -> dict[str, Any]:
    """A copy whose files are found from anywhere and can be read, and whose data is base64."""
    result = dict(entry.value)
    for key in _FILES:
        if result.get(key):
            result[key] = str(_readable(entry, section, key, str(result[key])))
    for key in (name for name in result if name.endswith("-data")):
        try:
            base64.b64decode(str(result[key]), validate=True)
        except (binascii.Error, ValueError) as error:
            raise _unreadable(entry.file, f"`{section}`: `{key}` is not base64") from error
    return result


def _readable(entry: _Entry, section: str, key: str, value: str) -> Path:
    path = entry.file.absolute().parent / Path(value).expanduser()
    try:
        with path.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        reason = f"`{section}`: unable to read {key} {path}: {str(error.strerror or error).lower()}"
        raise _unreadable(entry.file, reason) from error
    return path


def _warnings(cluster: _Entry, access: Access) -> tuple[str, ...]:
    if not (access.insecure or cluster.value.get("insecure-skip-tls-verify")):
        return ()
    return ("the server's certificate is not checked: anyone on the way can read and alter",)


def _with_flags(cluster: dict[str, Any], access: Access) -> dict[str, Any]:
    if access.server:
        cluster["server"] = access.server if "://" in access.server else f"http://{access.server}"
    if access.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if not str(cluster.get("server", "")).startswith(("http://", "https://")):
        raise InvalidInput(f"the cluster's `server` is no address: {cluster.get('server') or ''!r}")
    return cluster


def _credentials(user: dict[str, Any], entry: _Entry, cluster: dict[str, Any], access: Access) -> dict[str, Any]:
    if "tokenFile" in user:
        user["token"] = Path(user.pop("tokenFile")).read_text().strip()
    provider = user.pop("auth-provider", None)
    if isinstance(provider, dict) and not user.get("token"):
        user["token"] = _provider_token(provider, entry.file)
    plugin = user.pop("exec", None)
    if isinstance(plugin, dict) and not user.get("token"):
        where = f"`users` in `{entry.file}`"
        user |= credential_of(plugin, cluster, entry.file.absolute().parent, where, access.environment)
    return user


def _provider_token(provider: dict[str, Any], path: Path) -> str:
    name, settings = provider.get("name"), provider.get("config") or {}
    if name == "oidc" and isinstance(settings, dict) and settings.get("id-token"):
        return str(settings["id-token"])
    raise _unreadable(
        path,
        f"`users`: the auth-provider {name!r} is not supported",
        "kubectl took it out too; use an `exec` credential plugin",
    )


def _in_cluster(access: Access) -> Selected | None:
    """The cluster whose pod we run in (kubernetes.io "Accessing the Kubernetes API from a Pod")."""
    host, port = (access.environment.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    token, ca = access.service_account / "token", access.service_account / "ca.crt"
    if not (host and port and token.is_file()):
        return None
    cluster = {"server": f"https://{f'[{host}]' if ':' in host else host}:{port}"}
    if ca.is_file():
        cluster["certificate-authority"] = str(ca)
    namespace = access.service_account / "namespace"
    own = namespace.read_text().strip() if namespace.is_file() else ""
    return _selected(cluster, {"token": token.read_text().strip()}, own, ())


def _selected(cluster: dict[str, Any], user: dict[str, Any], namespace: str, notes: tuple[str, ...]) -> Selected:
    config = {
        "current-context": _NAME,
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": user}],
    }
    return Selected(config, namespace or "default", notes)


def _unreadable(path: Path, reason: str, hint: str = "") -> InvalidInput:
    return InvalidInput(f'error loading config file "{path}": {reason}', hint=hint)
