"""An MQTT 5 broker for the demo: rumqttd, from the package iotcore, on the loopback interface only."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from latentline.errors import BrokerError

# rumqttd's own schema: only a configuration file can open an MQTT 5 listener
_CONFIG = """
id = 0
[router]
id = 0
max_connections = 32
max_outgoing_packet_count = 2000
max_segment_size = 10485760
max_segment_count = 4
[v5.1]
name = "demo"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


@contextmanager
def embedded_broker() -> Iterator[int]:
    """Run a broker inside the block; yields its port. Raises BrokerError when it is not installed or does not start."""
    try:
        from iotcore import Broker
    except ImportError:
        raise BrokerError(
            "the demo's broker is not installed; install the extra (in a clone: pip install '.[demo]') or name a "
            "running one with --broker HOST"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "broker.toml"
        port = _free_port()
        config.write_text(_CONFIG.format(port=port), encoding="utf-8")
        try:
            broker = Broker(config_path=str(config)).start()
        except (OSError, RuntimeError) as error:
            raise BrokerError(f"the demo's broker does not start ({error}); name one with --broker HOST") from None
        try:
            yield port
        finally:
            broker.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
