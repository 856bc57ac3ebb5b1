from __future__ import annotations

import gc
import queue
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.connection import Connected, Connection, ConnectionEvent, Disconnected
from edge_runtime.mqtt.settings import TlsSection
from latentline.errors import BrokerError
from tests.mosquitto import Mosquitto

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
    assert isinstance(_answer(mosquitto.port, None), Disconnected)
    gc.collect()


def test_missing_tls_file_is_named(tmp_path: Path) -> None:
    """A missing certificate file raises an error before anything connects."""
    with pytest.raises(BrokerError, match=r"mqtt\.tls: .*nowhere\.pem"):
        Connection(Broker("127.0.0.1", 1, "s", tls=TlsSection(ca=tmp_path / "nowhere.pem")), None, lambda _: None)
