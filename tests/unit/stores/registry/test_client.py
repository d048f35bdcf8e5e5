from __future__ import annotations

import threading

from tests.support.stored import Stored

from airgap.errors import StoreError
from airgap.operations.environment import Access, Run
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.mirrors import Endpoint


def test_a_host_that_one_rule_allows_to_be_plain_is_not_plain_for_others() -> None:
    connections = Connections()
    plain, safe = (connections.client(Endpoint("reg.invalid", "a", plain_http=plain)) for plain in (True, False))
    assert plain is not safe
    assert plain.absolute("/v2/") == "http://reg.invalid/v2/"
    assert safe.absolute("/v2/") == "https://reg.invalid/v2/"
    assert plain.gate is safe.gate


def test_whoever_reads_and_whoever_writes_in_a_run_share_connections_and_the_rate() -> None:
    run = Run(Access(rate=5_000_000), workers=3)
    assert run.connections is run.connections
    assert run.connections.pace is run.pace
    assert run.connections.patience.stopped is run.stopped
    assert run.pace.rate == 5_000_000


def test_a_blob_has_its_turn_until_it_has_been_read_to_the_end(stored: Stored) -> None:
    store, name = RegistryStore(Connections(workers=1)), f"{stored.registry.host}/{stored.repository}"
    first = store.blob(name, stored.layer)
    next(first)
    done = threading.Event()
    failures: list[StoreError] = []

    def read_another() -> None:
        try:
            list(store.blob(name, stored.layer))
        except StoreError as error:
            failures.append(error)
        done.set()

    threading.Thread(target=read_another, daemon=True).start()
    assert not done.wait(0.5)
    for _ in first:
        pass
    assert done.wait(10)
    assert failures == []
