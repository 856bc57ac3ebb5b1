"""The paho client as the station uses it: its network loop survives bad messages and failing callbacks."""

from __future__ import annotations

import functools
import logging
import ssl
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.packets import new_properties
from edge_runtime.mqtt.settings import TlsSection, read_key_password
from latentline.errors import BrokerError, ConfigError

_log = logging.getLogger(__name__)
# What OpenSSL says of a file, and what it means.
_TLS_REASONS = {
    "KEY_VALUES_MISMATCH": "certificate and key do not belong together",
    "NO_CERTIFICATE_OR_CRL_FOUND": "no certificate in PEM format is in it",
    "PEM lib": "one of them is not what it should be: a certificate, or its key, in PEM format",
}


class MqttClient(paho.Client):
    """A paho client that survives what paho itself cannot read, instead of dropping the connection.

    paho raises for text that MQTT allows (U+FEFF in a user property). One such message a minute would keep the station
    offline. And it raises for a PUBACK with a reason code that it does not know, such as 0x95, with which mosquitto
    answers a message above its `message_size_limit`: one such event would block all others.
    """

    on_pubrec: Callable[[int, int], None] | None = None
    """Called with message id and reason code of a PUBREC. No PUBREL follows, so a message of QoS 2 is never released:
    only probes have QoS 2 (see trial.py)."""

    def respect_receive_maximum(self, count: int) -> None:
        """Have at most `count` messages without an answer at a time: more, and the broker closes the connection."""
        with self._out_message_mutex:
            self._max_inflight_messages = min(self._max_inflight_messages, count)

    def _handle_pubrec(self) -> MQTTErrorCode:
        packet = bytes(self._in_packet["packet"])
        if self.on_pubrec is not None:
            self.on_pubrec(int.from_bytes(packet[:2], "big"), packet[2] if len(packet) > 2 else 0)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_publish(self) -> MQTTErrorCode:
        try:
            return super()._handle_publish()
        except Exception as error:
            _log.warning("a message from the broker cannot be read (%s); it is ignored", type(error).__name__)
            return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Any) -> MQTTErrorCode:
        packet = bytes(self._in_packet["packet"])
        try:
            return super()._handle_pubackcomp(cmd)
        except Exception:
            if len(packet) < 3:  # without a reason code it is something else
                raise
            return self._puback(int.from_bytes(packet[:2], "big"), packet[2])

    def _puback(self, mid: int, code: int) -> MQTTErrorCode:
        """What paho does with a PUBACK, for a reason code that it does not know."""
        reason = ReasonCode(PacketTypes.PUBACK, "Unspecified error")
        reason.value = code
        with self._out_message_mutex:
            if mid not in self._out_messages:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            return self._do_on_publish(mid, reason, new_properties(PacketTypes.PUBACK))


def make_client(broker: Broker, will: Will | None, connect_timeout: float, window: int) -> MqttClient:
    """A client for one connection, which does not reconnect by itself.

    connect_timeout  seconds to open the socket
    window           QoS 1 events without PUBACK at a time
    Raises BrokerError if a TLS file cannot be used.
    """
    client = MqttClient(
        CallbackAPIVersion.VERSION2,
        client_id=broker.client_id,
        protocol=MQTTProtocolVersion.MQTTv5,
        reconnect_on_failure=False,
    )
    client.connect_timeout = connect_timeout
    client.max_inflight_messages_set(2 * window)  # the events, and retained messages beside them
    client.max_queued_messages_set(4 * window)  # unbounded by default
    client.username_pw_set(broker.username, broker.password)
    if broker.tls is not None:
        use_tls(client, broker.tls)
    if will is not None:
        properties = new_properties(PacketTypes.WILLMESSAGE)
        properties.WillDelayInterval = will.delay
        client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)
    # With this callback set, publish() leaves the socket to the thread that runs the loop. Without it, and without
    # loop_start(), paho writes from both threads and can tear packets.
    client.on_socket_register_write = lambda *_: None
    return client


def log_exceptions(callback: Callable[..., None]) -> Callable[..., None]:
    """Wrap a callback of paho so that its exceptions are logged: one that escapes would end the network loop."""

    @functools.wraps(callback)
    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            _log.exception("a callback of the MQTT connection failed")

    return call


def use_tls(client: paho.Client, tls: TlsSection) -> None:
    """Encrypt the connection with these files. Raises BrokerError if one cannot be used. Never asks on a terminal."""
    try:
        password = read_key_password(tls)
    except ConfigError as error:
        raise BrokerError(str(error)) from None

    asked = False

    def key_password() -> str:  # called only for a key that is encrypted
        nonlocal asked
        asked = True
        if password is None:
            raise BrokerError(
                f"mqtt.tls.key: {tls.key} is encrypted; give its password in mqtt.tls.key_password_file or "
                "mqtt.tls.key_password_env"
            )
        return password

    try:
        client.tls_set(
            ca_certs=str(tls.ca) if tls.ca else None,
            certfile=str(tls.certificate) if tls.certificate else None,
            keyfile=str(tls.key) if tls.key else None,
            keyfile_password=key_password,  # type: ignore[arg-type]  # paho hands it to `ssl`, which calls it
        )
    except (OSError, ssl.SSLError, ValueError) as error:
        if asked:
            raise BrokerError(f"mqtt.tls.key: {tls.key} cannot be decrypted with its password") from None
        files = ", ".join(str(file) for file in (tls.ca, tls.certificate, tls.key) if file)
        raise BrokerError(f"mqtt.tls: {files} cannot be used ({_reason(error)})") from None


def _reason(error: OSError | ValueError) -> str:
    """Why a TLS file cannot be used, in words."""
    text = getattr(error, "strerror", None) or str(error)
    for name, meaning in _TLS_REASONS.items():
        if name in text:
            return meaning
    return text
