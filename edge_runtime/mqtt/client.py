"""paho, kept from ending its own loop: exceptions of callbacks, messages that it cannot read, and TLS files."""

from __future__ import annotations

import functools
import logging
import ssl
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from edge_runtime.mqtt.settings import TlsSection
from latentline.errors import BrokerError

_log = logging.getLogger(__name__)


class MqttClient(paho.Client):
    """paho, but a message that it cannot read is dropped, not the connection.

    It raises for text that MQTT allows (U+FEFF in a user property); one such message a minute would keep the station
    off the air.
    """

    def _handle_publish(self) -> MQTTErrorCode:
        try:
            return super()._handle_publish()
        except Exception as error:
            _log.warning("a message from the broker cannot be read (%s); it is ignored", type(error).__name__)
            return MQTTErrorCode.MQTT_ERR_SUCCESS


def log_exceptions(callback: Callable[..., None]) -> Callable[..., None]:
    """`callback`, whose exceptions are logged: one that escapes would end paho's loop."""

    @functools.wraps(callback)
    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            _log.exception("a callback of the MQTT connection failed")

    return call


def use_tls(client: paho.Client, tls: TlsSection) -> None:
    """Speak TLS with these files. Raises BrokerError when one cannot be used."""
    try:
        client.tls_set(
            ca_certs=str(tls.ca) if tls.ca else None,
            certfile=str(tls.certificate) if tls.certificate else None,
            keyfile=str(tls.key) if tls.key else None,
        )
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(file) for file in (tls.ca, tls.certificate, tls.key) if file)
        raise BrokerError(f"mqtt.tls: {files} cannot be used ({error.strerror or error})") from None
