from __future__ import annotations

import asyncio
import errno
import gc
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.supervision.host_header import is_own, own_names
from edge_runtime.supervision.http import HttpEndpoint, Limits
from edge_runtime.supervision.page_maker import Page
from edge_runtime.supervision.pages import health_pages
from edge_runtime.supervision.state import Health
from tests.edge_runtime.supervision.snapshots import snapshot
from tests.waiting import wait_until

_HELLO = {"/hello": lambda: Page(200, "text/plain", b"hello")}


@contextmanager
def _serving(
    pages: Mapping[str, Callable[[], Page]], limits: Limits | None = None
) -> Iterator[tuple[HttpEndpoint, tuple[str, int]]]:
    endpoint = HttpEndpoint("127.0.0.1", 0, pages, lambda code, sentence: None, limits)
    endpoint.start()
    try:
        wait_until(lambda: endpoint.address, "the endpoint to listen")
        assert endpoint.address is not None
        yield endpoint, endpoint.address
    finally:
        endpoint.close()


def _ask(address: tuple[str, int], path: str, method: str = "GET") -> tuple[int, bytes, Mapping[str, str]]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def _raw(address: tuple[str, int], sent: bytes) -> bytes:
    """The whole answer to `sent`; empty when the connection is cut."""
    received = b""
    with socket.create_connection(address, timeout=10) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                received += chunk
        except ConnectionError:
            pass
    return received


def test_probes_follow_the_station() -> None:
    """/readyz is 200 while online or degraded, /healthz until stopped; neither when a stage is late; both are JSON."""
    health, late = Health(lambda state, faults: None), set[str]()
    with _serving(health_pages("line-1", health, lambda: frozenset(late), snapshot)) as (_, address):

        def codes() -> tuple[int, int]:
            return _ask(address, "/healthz")[0], _ask(address, "/readyz")[0]

        assert codes() == (200, 503)
        health.ready()
        assert codes() == (200, 200)
        health.fault("broker", "no answer")
        assert codes() == (200, 200)
        assert json.loads(_ask(address, "/healthz")[1]) == {
            "station": "line-1",
            "state": "degraded",
            "faults": {"broker": "no answer"},
        }
        late.add("watchdog.inspector")
        assert codes() == (503, 503)
        late.clear()
        health.stopping()
        assert codes() == (503, 503)


def test_prometheus_can_scrape() -> None:
    """Prometheus's own parser reads /metrics, which has the current numbers and the right content type."""
    counts = iter([38, 39])
    pages = health_pages(
        "line-1", Health(lambda *_: None), frozenset, lambda: snapshot(inspected=next(counts), abnormal=0)
    )
    with _serving(pages) as (_, address):
        for expected in (38, 39):
            status, body, headers = _ask(address, "/metrics")
            families = {family.name: family for family in text_string_to_metric_families(body.decode())}
            assert status == 200
            assert headers["Content-Type"].startswith("text/plain; version=")
            assert families["latentline_frames"].samples[0].value == expected


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/hello/..", 404),
        ("GET", "/hello?x=1", 200),
        ("POST", "/hello", 405),
        ("HEAD", "/hello", 405),
        ("DELETE", "/", 404),
    ],
)
def test_only_get_of_known_paths(method: str, path: str, status: int) -> None:
    """Another method or path gets an error."""
    with _serving(_HELLO) as (_, address):
        assert _ask(address, path, method)[0] == status


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /hello\r\n\r\n", b"400"),
        (b"GET /hello HTTP/2.0\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET /hello HTTP/1.1\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_malformed_requests_are_refused(sent: bytes, status: bytes) -> None:
    """What is not a short HTTP/1 request gets an error, or is cut when it is too long."""
    with _serving(_HELLO) as (_, address):
        answer = _raw(address, sent)
        assert not answer or answer.startswith(b"HTTP/1.1 " + status)
        assert _ask(address, "/hello")[0] == 200


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[str, int]]:
    with _serving(_HELLO) as (_, address):
        yield address


_LINE = st.binary(max_size=200)
_REQUESTS = st.one_of(
    st.binary(max_size=3000),
    st.tuples(st.sampled_from([b"GET", b"get", b"PUT", b""]), _LINE, st.sampled_from([b"HTTP/1.1", b"HTTP/0.9"])).map(
        lambda words: b" ".join(words) + b"\r\n\r\n"
    ),
    st.lists(_LINE, max_size=20).map(lambda lines: b"GET /hello HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"),
)


@settings(max_examples=150)
@given(_REQUESTS)
def test_fuzzed_requests_get_an_answer_or_none(standing: tuple[str, int], sent: bytes) -> None:
    """Any bytes get one complete answer or a cut connection, never a 500, and the next client gets its page."""
    answer = _raw(standing, sent)
    if answer:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split(b" ")[1] in (b"200", b"400", b"404", b"405", b"431")
        assert f"Content-Length: {len(body)}".encode() in head
    assert _ask(standing, "/hello")[:2] == (200, b"hello")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9464", 200),
        ("192.0.2.7:9464", 200),
        ("[::1]:9464", 200),
        ("[2001:db8::1]", 200),
        ("localhost:9464", 200),
        ("LOCALHOST.", 200),
        (socket.gethostname(), 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:9464", 421),
        ("localhost.evil.example", 421),
        ("evil.example:80:9464", 421),
        ("", 421),
        ("[::1].evil.example\r\nHost: evil.example", 421),
        ("localhost\r\nhOST : evil.example", 421),
    ],
)
def test_a_web_site_cannot_ask_under_its_own_name(host: str, status: int) -> None:
    """An address, localhost or the machine's name may be asked for; another name is refused, so rebinding fails."""
    with _serving(_HELLO) as (_, address):
        answer = _raw(address, f"GET /hello HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()) and (b"hello" in answer) == (status == 200)


def test_a_configured_name_may_be_asked_for() -> None:
    """`supervision.http_names` and `http_host` are names of the station, whatever their case."""
    names = own_names(("Station-3.plant.example", "0.0.0.0"))
    assert is_own(b"GET / HTTP/1.1\r\nHost: station-3.PLANT.example:9464\r\n\r\n", names)
    assert is_own(b"GET / HTTP/1.0\r\n\r\n", names) and not is_own(b"GET / HTTP/1.1\r\nHost: other\r\n\r\n", names)


# asyncio leaves what it had opened for a loop that it cannot make to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("what", ["an event loop", "a socket"])
def test_without_descriptors_the_pages_wait_for_some(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Where not even an event loop or a socket can be made, that is a fault, and the pages come when it can."""
    faults: dict[str, str | None] = {}

    def exhausted(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def no_sockets(*_: object, **__: object) -> object:
        return SimpleNamespace(sockets=())

    endpoint = HttpEndpoint("127.0.0.1", 0, _HELLO, faults.__setitem__, Limits(retry=0.02))
    with monkeypatch.context() as patch:
        if what == "a socket":
            patch.setattr(asyncio, "start_server", no_sockets)
        else:
            patch.setattr(socket, "socketpair", exhausted)
        endpoint.start()
        wait_until(lambda: faults.get("http"), "the fault")
        assert "metrics and health pages are off" in str(faults["http"])
    try:
        wait_until(lambda: endpoint.address, "the endpoint to listen")
        assert faults["http"] is None and endpoint.address is not None
        assert _ask(endpoint.address, "/hello")[0] == 200
    finally:
        endpoint.close()
        gc.collect()


def test_no_descriptor_for_a_client_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What asyncio reports of its own, such as an accept that fails, is a sentence without a traceback."""
    with _serving(_HELLO) as (endpoint, address):
        error = OSError(errno.EMFILE, "Too many open files")
        context = {"message": "socket.accept() out of system resource", "exception": error}
        assert endpoint._loop is not None
        endpoint._loop.call_soon_threadsafe(endpoint._loop.call_exception_handler, context)
        wait_until(lambda: "Too many open files" in caplog.text, "the line")
        assert "Traceback" not in caplog.text and _ask(address, "/hello")[0] == 200


def test_silent_clients_are_cut() -> None:
    """Clients that send nothing, or too little, are cut; they cost no thread and block nobody for long."""
    with _serving(_HELLO, Limits(client=0.3)) as (_, address), ExitStack() as stack:
        threads = threading.active_count()
        silent = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(40)]
        for number, client in enumerate(silent):
            if number % 2:
                with suppress(ConnectionError):  # a client above the limit is cut at once
                    client.sendall(b"GET /hello HT")
        for client in silent:
            with suppress(ConnectionError):
                assert client.recv(1) == b""
        assert threading.active_count() == threads
        assert _ask(address, "/hello")[0] == 200


def test_client_that_does_not_listen_is_cut() -> None:
    """A client that never reads its answer is cut."""
    big = b"x" * (32 << 20)  # more than the socket buffers of both ends
    pages = {"/big": lambda: Page(200, "text/plain", big)}
    with _serving(pages, Limits(client=0.3)) as (endpoint, address):
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(b"GET /big HTTP/1.1\r\n\r\n")
            wait_until(lambda: endpoint._clients == 1, "the client to be served")
            wait_until(lambda: endpoint._clients == 0, "the client to be cut")
            received = 0
            with suppress(ConnectionError):
                while chunk := client.recv(1 << 16):
                    received += len(chunk)
        assert received < len(big)


def test_page_that_hangs_is_503_and_costs_no_more_threads() -> None:
    """While a page hangs, each request for it gets 503 and only its own thread waits; afterwards the page works."""
    going = threading.Event()

    def hangs() -> Page:
        going.wait()
        return Page(200, "text/plain", b"done")

    with _serving({"/metrics": hangs, **_HELLO}, Limits(page=0.1)) as (_, address):
        threads = threading.active_count()
        for _ in range(5):
            assert _ask(address, "/metrics")[0] == 503
        assert threading.active_count() == threads
        assert _ask(address, "/hello")[0] == 200
        going.set()
        wait_until(lambda: _ask(address, "/metrics")[0] == 200, "the page to be made")


def test_page_that_fails_is_500() -> None:
    """A page that raises is a 500, and the endpoint goes on."""

    def fails() -> Page:
        raise ZeroDivisionError

    with _serving({"/fails": fails}) as (_, address):
        assert [_ask(address, "/fails")[0] for _ in range(2)] == [500, 500]


def test_port_in_use_is_a_fault_until_it_is_free() -> None:
    """A port that another program uses is a fault that names the setting; the endpoint uses it once it is free."""
    faults: dict[str, str | None] = {}
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        endpoint = HttpEndpoint("127.0.0.1", port, _HELLO, faults.__setitem__, Limits(retry=0.02))
        endpoint.start()
        wait_until(lambda: faults.get("http"), "the fault")
        assert str(faults["http"]).startswith(
            f"supervision.http_port: 127.0.0.1:{port} cannot be used (Address already"
        )
    try:
        wait_until(lambda: endpoint.address, "the endpoint to listen")
        assert faults["http"] is None
        assert _ask(("127.0.0.1", port), "/hello")[0] == 200
    finally:
        endpoint.close()


def test_unknown_host_is_a_fault() -> None:
    """An address of another machine is a fault, and `close` does not wait for the next try."""
    faults: dict[str, str | None] = {}
    endpoint = HttpEndpoint("192.0.2.1", 0, _HELLO, faults.__setitem__)
    endpoint.start()
    wait_until(lambda: faults.get("http"), "the fault")
    endpoint.close()
    assert not endpoint._thread.alive
