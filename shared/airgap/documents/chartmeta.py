"""Chart.yaml as the JSON that Helm keeps beside a chart in a registry.

Source: helm/helm pkg/chart Metadata, whose fields stand here in the order in which Go writes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from airgap.documents import yaml
from airgap.documents.charts import Chart
from airgap.errors import DocumentError

_TRUE: Final = frozenset({"true", "yes", "on"})
_GO_ESCAPES: Final = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def config_of(chart: Chart, name: str) -> bytes:
    """What Helm would make of the chart's description. Versions stay as written: `1.10` does not become `1.1`.

    Raises:
        DocumentError: Chart.yaml is no mapping.
    """
    documents = yaml.read(chart.files["Chart.yaml"], f"{name}/Chart.yaml", unique=False)
    value = yaml.plain(documents[0].root) if documents else None
    if not isinstance(value, dict):
        raise DocumentError(f"{name}/Chart.yaml", "it is no mapping of keys to values")
    return json.dumps(_chosen(value, _CHART), ensure_ascii=False, separators=(",", ":")).translate(_GO_ESCAPES).encode()


_Reader = Callable[[Any], Any]


def _chosen(value: Any, fields: Mapping[str, _Reader]) -> dict[str, Any]:
    """The known fields, in their order, without those that say nothing."""
    given = value if isinstance(value, dict) else {}
    read = {key: reader(given.get(key)) for key, reader in fields.items()}
    return {key: found for key, found in read.items() if found is not None}


def _kept(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _text(value: Any) -> str | None:
    return _kept(value) or None


def _truth(value: Any) -> bool | None:
    return _kept(value).lower() in _TRUE or None


def _texts(value: Any) -> list[str] | None:
    return [_kept(item) for item in value] if isinstance(value, list) and value else None


def _pairs(value: Any) -> dict[str, str] | None:
    return {key: _kept(value[key]) for key in sorted(value)} if isinstance(value, dict) and value else None


def _either(value: Any) -> list[Any] | None:
    return [_pairs(item) or _kept(item) for item in value] if isinstance(value, list) and value else None


def _each(fields: Mapping[str, _Reader]) -> _Reader:
    return lambda value: [_chosen(item, fields) for item in value] if isinstance(value, list) and value else None


_MAINTAINER: Final[Mapping[str, _Reader]] = {"name": _text, "email": _text, "url": _text}
_DEPENDENCY: Final[Mapping[str, _Reader]] = {
    "name": _kept,
    "version": _text,
    "repository": _kept,
    "condition": _text,
    "tags": _texts,
    "enabled": _truth,
    "import-values": _either,
    "alias": _text,
}
_CHART: Final[Mapping[str, _Reader]] = {
    "name": _text,
    "home": _text,
    "sources": _texts,
    "version": _text,
    "description": _text,
    "keywords": _texts,
    "maintainers": _each(_MAINTAINER),
    "icon": _text,
    "apiVersion": _text,
    "condition": _text,
    "tags": _text,
    "appVersion": _text,
    "deprecated": _truth,
    "annotations": _pairs,
    "kubeVersion": _text,
    "dependencies": _each(_DEPENDENCY),
    "type": _text,
}
