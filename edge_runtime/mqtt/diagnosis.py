"""Why a broker's port does not answer as expected: TLS or none where the other is spoken, websockets, certificates."""

from __future__ import annotations

import socket
import ssl

from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.settings import read_key_password
from latentline.errors import LatentlineError

_SECONDS = 2.0  # for each question to the port
_HTTP = (  # a broker may hang up on anything else at its port for websockets
    b"GET /mqtt HTTP/1.1\r\nHost: broker\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bGF0ZW50bGluZS1sYXRlbg==\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)


def diagnose(broker: Broker) -> str | None:
    """What the port speaks and what to set, as the end of a sentence; None: nothing that explains the failure.

    Asks the port once or twice more, and takes a few seconds at most.
    """
    if broker.tls is None:
        if _tls_answer(broker) is not None:
            return "speaks TLS; set mqtt.tls, or use its port without TLS"
        if _plain_answer(broker, _HTTP).startswith(b"HTTP/"):
            return "answers in HTTP: it is for websockets or web pages; set mqtt.port to its MQTT port"
        return None
    answer = _tls_answer(broker)
    if answer is None:
        if _plain_answer(broker, _connect()).startswith(b"\x20"):
            return "speaks MQTT without TLS; use its TLS port, or leave out mqtt.tls if nothing secret passes"
        return None
    if "CERTIFICATE" in answer or "HANDSHAKE_FAILURE" in answer or "UNKNOWN_CA" in answer:
        if broker.tls.certificate is None:
            return "wants a certificate of its clients; give mqtt.tls.certificate and mqtt.tls.key"
        return f"does not accept this station's certificate ({answer.replace('_', ' ').lower()})"
    return None


def _tls_answer(broker: Broker) -> str | None:
    """What a TLS port says to a client: a reason of OpenSSL, or "" when it says nothing. None: it speaks no TLS."""
    tls = broker.tls
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls is not None and tls.certificate is not None and tls.key is not None:
        try:
            context.load_cert_chain(tls.certificate, tls.key, lambda: read_key_password(tls) or "")
        except (OSError, ValueError, LatentlineError):
            return ""
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing secret is said
    greeted = False
    try:
        plain = socket.create_connection((broker.host, broker.port), _SECONDS)
        with plain, context.wrap_socket(plain, server_hostname=broker.host) as wire:
            greeted = True
            wire.recv(1)  # TLS 1.3 complains only after the handshake
    except ssl.SSLError as error:
        alert = "ALERT" in (error.reason or "")
        return (error.reason or "") if greeted or alert else None
    except (OSError, ValueError):
        pass
    return "" if greeted else None


def _plain_answer(broker: Broker, question: bytes) -> bytes:
    try:
        with socket.create_connection((broker.host, broker.port), _SECONDS) as wire:
            wire.sendall(question)
            return wire.recv(16)
    except (OSError, ValueError):
        return b""


def _connect() -> bytes:
    """A CONNECT of MQTT 5 without a client id."""
    body = b"\x00\x04MQTT\x05\x02\x00\x05\x00\x00\x00"
    return bytes([0x10, len(body)]) + body
