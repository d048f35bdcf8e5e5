"""JSON as content-addressed systems need it: one meaning for one text.

Python's reader accepts NaN, duplicate keys, UTF-16 and a million brackets; two readers of such a text may see two
different documents, which is how a manifest passes one check and is used as another (CVE-2021-41190).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from airgap.errors import InvalidManifest


def loads(data: bytes, what: str) -> Any:
    """Read JSON from UTF-8 bytes.

    Args:
        data: the text; a byte-order mark is refused.
        what: how to name the document in an error, such as "the manifest of quay.io/a/b:1".

    Raises:
        InvalidManifest: not UTF-8, not JSON, duplicate keys, a number JSON does not have, or nested too deep.
    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise InvalidManifest(f"{what} is not valid JSON: nested too deep") from error
    except ValueError as error:
        raise InvalidManifest(f"{what} is not valid JSON: {error}") from error


def dumps(value: Any) -> bytes:
    """Write canonical JSON: keys sorted, no insignificant white space, UTF-8, one trailing newline."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # file names that are no UTF-8 stay valid JSON


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {double!r} stands twice in one object")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
