"""`subPathExpr`: the variables of a container, as far as the API tells them.

Source: kubernetes.io "Using subPath with expanded environment variables"; third_party/forked/golang/expansion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_REFERENCE: Final = re.compile(r"\$(?:\$|\((?P<name>[^()]*)\))")
_KEYED: Final = re.compile(r"metadata\.(?P<map>labels|annotations)\['(?P<key>[^']+)'\]")


def expand(text: str, values: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Replace `$(NAME)`; `$$(NAME)` stands for `$(NAME)` itself.

    Returns:
        The text, and the names that have no value here; these stand in the text as they were.
    """
    missing: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        if name not in values:
            missing.append(name)
        return values.get(name, match[0])

    return _REFERENCE.sub(replacement, text), tuple(missing)


def variables_of(container: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, str]:
    """The variables whose values stand in the pod; those from ConfigMaps and Secrets are not looked up.

    A value that refers to a variable we do not know is left out: it is not known either.
    """
    found: dict[str, str] = {}
    for item in container.get("env") or []:
        name = str(item.get("name") or "")
        reference = (item.get("valueFrom") or {}).get("fieldRef")
        value = _field(str(reference.get("fieldPath") or ""), pod) if reference else item.get("value", "")
        if value is None or (item.get("valueFrom") and not reference):
            found.pop(name, None)
            continue
        text, missing = expand(str(value), found)
        if missing:
            found.pop(name, None)
        else:
            found[name] = text
    return found


def _field(path: str, pod: Mapping[str, Any]) -> str | None:
    keyed = _KEYED.fullmatch(path)
    if keyed:
        path = f"metadata.{keyed['map']}"
    value: Any = pod
    for key in (*path.split("."), *([keyed["key"]] if keyed else [])):
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
