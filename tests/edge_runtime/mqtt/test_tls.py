from __future__ import annotations

import errno
import gc
import os
import queue
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.connection import Connected, Connection, ConnectionEvent, Disconnected
from edge_runtime.mqtt.settings import TlsSection
from latentline.errors import BrokerError
from tests.mosquitto import Mosquitto
from tests.sharing import free_port

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="OPENSSL IS MISSING: no TLS test ran")


def _certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key beside it."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(
        [*command.split(), *files, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
    )
    return folder / "certificate.pem"


def _answer(port: int, tls: TlsSection | None) -> ConnectionEvent:
    answers: queue.SimpleQueue[ConnectionEvent] = queue.SimpleQueue()
    connection = Connection(Broker("127.0.0.1", port, "station", tls=tls, clean_start=True), None, answers.put)
    connection.start()
    answer = answers.get(timeout=20)
    connection.disconnect()
    connection.join(10)
    return answer


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_certificate_decides(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """TLS connects with the right authority; with another one it is refused for good, and without TLS it fails."""
    certificate = _certificate(tmp_path)
    (tmp_path / "other").mkdir()
    mosquitto.use_tls(certificate, tmp_path / "key.pem")
    mosquitto.start()
    assert isinstance(_answer(mosquitto.port, TlsSection(ca=certificate)), Connected)
    wrong = _answer(mosquitto.port, TlsSection(ca=_certificate(tmp_path / "other")))
    assert isinstance(wrong, Disconnected) and wrong.refused and "certificate is not accepted" in wrong.sentence
    assert "give the authority that signed it as `ca`" in wrong.sentence
    assert isinstance(_answer(mosquitto.port, None), Disconnected)
    gc.collect()


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate and its key, encrypted with the password `open sesame`, in both formats."""
    folder = tmp_path_factory.mktemp("encrypted")
    _certificate(folder)
    for name, command in (("pkcs8", "pkcs8 -topk8 -v2 aes256"), ("traditional", "ec -aes256")):
        files = ["-in", str(folder / "key.pem"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(
            ["openssl", *command.split(), *files, "-passout", "pass:open sesame"], check=True, capture_output=True
        )
    (folder / "password").write_bytes(b"\xef\xbb\xbfopen sesame\r\n")
    (folder / "wrong").write_text("wrong")
    return folder


@pytest.mark.parametrize("name", ["pkcs8", "traditional"])
def test_the_password_of_a_key_comes_from_file_or_environment(
    encrypted: Path, name: str, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it an encrypted client key connects; without it, or with a wrong one, there is one sentence."""
    mosquitto.use_tls(encrypted / "certificate.pem", encrypted / "key.pem")
    mosquitto.configure(f"cafile {encrypted / 'certificate.pem'}")
    mosquitto.configure("require_certificate true")
    mosquitto.start()
    files: dict[str, Any] = {
        "ca": encrypted / "certificate.pem",
        "certificate": encrypted / "certificate.pem",
        "key": encrypted / f"{name}.pem",
    }
    monkeypatch.setenv("KEY_PASSWORD", "open sesame")
    for password in ({"key_password_file": encrypted / "password"}, {"key_password_env": "KEY_PASSWORD"}):
        assert isinstance(_answer(mosquitto.port, TlsSection(**files, **password)), Connected)
    for password, said in (
        ({}, r"is encrypted; give its password in mqtt\.tls\.key_password_file"),
        ({"key_password_file": encrypted / "wrong"}, "cannot be decrypted with its password"),
        ({"key_password_file": encrypted / "nowhere"}, r"mqtt\.tls\.key_password_file: .* cannot be read"),
        ({"key_password_env": "NOT_SET_ANYWHERE"}, r"mqtt\.tls\.key_password_env: .* is not set"),
    ):
        with pytest.raises(BrokerError, match=said):
            _answer(mosquitto.port, TlsSection(**files, **password))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_sentence_names_what_the_port_speaks(encrypted: Path, mosquitto: Mosquitto) -> None:
    """A plain connection to a TLS port says so; so does TLS without the client certificate that the broker wants."""
    certificate = encrypted / "certificate.pem"
    mosquitto.use_tls(certificate, encrypted / "key.pem")
    mosquitto.configure(f"cafile {certificate}")
    mosquitto.configure("require_certificate true")
    mosquitto.start()
    assert "speaks TLS; set mqtt.tls" in _sentence(mosquitto.port, None)
    assert "wants a certificate of its clients" in _sentence(mosquitto.port, TlsSection(ca=certificate))
    (encrypted / "other").mkdir(exist_ok=True)
    other = _certificate(encrypted / "other")
    foreign = TlsSection(ca=certificate, certificate=other, key=other.with_name("key.pem"))
    assert "does not accept this station's certificate" in _sentence(mosquitto.port, foreign)
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_sentence_names_a_port_without_tls(encrypted: Path, mosquitto: Mosquitto) -> None:
    """TLS to a port that speaks plain MQTT."""
    mosquitto.start()
    tls = TlsSection(ca=encrypted / "certificate.pem")
    assert "speaks MQTT without TLS" in _sentence(mosquitto.port, tls)
    gc.collect()


def test_the_sentence_names_a_websockets_port(mosquitto: Mosquitto) -> None:
    """mosquitto hangs up there on all that asks for no websocket."""
    mosquitto.configure("protocol websockets")
    mosquitto.configure(f"listener {free_port()} 127.0.0.1")  # without another one it does not start
    mosquitto.start()
    assert "its port answers in HTTP: it is for websockets" in _sentence(mosquitto.port, None)


def test_the_sentence_names_a_port_of_web_pages() -> None:
    """A server that answers everything in HTTP and hangs up."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        sentence = _sentence(server.server_address[1], None)
        server.shutdown()
    assert "its port answers in HTTP: it is for websockets or web pages" in sentence


def _sentence(port: int, tls: TlsSection | None) -> str:
    answer = _answer(port, tls)
    assert isinstance(answer, Disconnected)
    return answer.sentence


def test_nobody_is_asked_for_a_password_on_a_terminal(encrypted: Path) -> None:
    """With a terminal as its input, the station says its sentence and reads nothing."""
    code = (
        "import sys; from pathlib import Path; from edge_runtime.mqtt.broker import Broker\n"
        "from edge_runtime.mqtt.client import make_client; from edge_runtime.mqtt.settings import TlsSection\n"
        "folder = Path(sys.argv[1])\n"
        "tls = TlsSection(certificate=folder / 'certificate.pem', key=folder / 'pkcs8.pem')\n"
        "try: make_client(Broker('h', 1, 'c', tls=tls), None, 1.0, 1)\n"
        "except Exception as error: print(error)\n"
    )
    master, terminal = os.openpty()
    with os.fdopen(master), os.fdopen(terminal) as stdin:
        done = subprocess.run(
            [sys.executable, "-c", code, str(encrypted)],
            stdin=stdin, capture_output=True, text=True, timeout=60, start_new_session=True,
        )  # fmt: skip
    assert "is encrypted" in done.stdout and "pass phrase" not in done.stdout + done.stderr


def test_no_descriptors_for_a_connection_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's limit is named, as a fault of the connection."""

    def exhausted(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", exhausted)
    answer = _answer(1, None)
    assert isinstance(answer, Disconnected) and not answer.refused
    assert answer.sentence == "broker 127.0.0.1:1 cannot be reached (Too many open files)"


def test_missing_tls_file_is_named(tmp_path: Path) -> None:
    """A missing certificate file raises an error before anything connects."""
    with pytest.raises(BrokerError, match=r"mqtt\.tls: .*nowhere\.pem"):
        Connection(Broker("127.0.0.1", 1, "s", tls=TlsSection(ca=tmp_path / "nowhere.pem")), None, lambda _: None)


def test_a_file_of_another_kind_is_named_in_words(encrypted: Path) -> None:
    """A key of another certificate, files the wrong way round, and a key in place of the authorities."""
    (encrypted / "second").mkdir()
    other = _certificate(encrypted / "second").with_name("key.pem")
    certificate, key = encrypted / "certificate.pem", encrypted / "key.pem"
    for tls, said in (
        (TlsSection(certificate=certificate, key=other), "certificate and key do not belong together"),
        (TlsSection(certificate=key, key=certificate), "one of them is not what it should be"),
        (TlsSection(ca=key), "no certificate in PEM format is in it"),
    ):
        with pytest.raises(BrokerError, match=rf"^mqtt\.tls: .* cannot be used \({said}"):
            Connection(Broker("127.0.0.1", 1, "s", tls=tls), None, lambda _: None)
