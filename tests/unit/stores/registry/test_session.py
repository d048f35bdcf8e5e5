from __future__ import annotations

import pytest
import urllib3.connection
from tests.support.registry import Registry, store_for

from airgap.descriptors import OCI_LAYER, Descriptor
from airgap.references import Reference


def test_requests_in_a_row_share_one_connection(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    connect = urllib3.connection.HTTPConnection.connect

    def counted(self: urllib3.connection.HTTPConnection) -> None:
        opened.append(self)
        connect(self)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "connect", counted)
    store, name = store_for(registry), registry.repository()
    for number in range(5):
        data = bytes([number])
        blob = Descriptor.of(data, OCI_LAYER)
        assert not store.has(name, blob)
        store.put_blob(name, blob, lambda _, data=data: iter([data]))  # type: ignore[misc]
        assert store.has(name, blob)
        assert store.find(Reference.parse(f"{name}:none")) is None
        assert b"".join(bytes(chunk) for chunk in store.blob(name, blob)) == data
    assert len(opened) == 1
