from __future__ import annotations

import threading

from tests.support.stored import Stored

from airgap.descriptors import Descriptor
from airgap.errors import StoreError
from airgap.operations.environment import Access, Run
from airgap.stores import Content
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import Connections, RegistryStore
from airgap.stores.registry.mirrors import Endpoint
from airgap.stores.registry.retry import Patience
from airgap.transfer import engine, plan
from airgap.transfer.engine import Conduct, Result
from airgap.transfer.graph import walk


class Full(MemoryStore):
    """Takes the first bytes of a blob, and then no more."""

    def put_blob(self, name: str, descriptor: Descriptor, content: Content) -> None:
        chunks = content(0)
        next(chunks)
        raise StoreError("it is full")


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


def test_a_copy_that_fails_leaves_its_turn_to_others_while_its_error_is_kept(stored: Stored) -> None:
    patience, name = Patience(), stored.reference(stored.registry.host)
    source = RegistryStore(Connections(workers=1, patience=patience))
    todo = plan.plan(walk(source, [name]), Full(), {name: name})
    report = engine.run(todo, source, Full(), Conduct(workers=1, keep_going=True))
    assert report.outcomes[0].result is Result.FAILED
    late = threading.Timer(10, patience.stopped.set)
    late.start()
    assert sum(map(len, source.blob(name.name, stored.layer))) == stored.layer.size
    late.cancel()
