"""What a client tells the broker when it connects: address and credentials, its will, its subscription."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.settings import TlsSection
from latentline.errors import BrokerError, ConfigError


@dataclass(frozen=True)
class Broker:
    """How to reach the broker. The password is left out of the repr.

    keep_alive    seconds
    clean_start   False: the broker keeps the session when the connection drops
    new_password  reads it again, and may raise ConfigError; None: it never changes
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsSection | None = None
    keep_alive: int = 30
    clean_start: bool = False
    new_password: Callable[[], str | None] | None = field(default=None, repr=False, compare=False)

    @property
    def address(self) -> str:
        """host:port, for messages."""
        return f"{self.host}:{self.port}"

    def renewed(self) -> Broker:
        """With the password as its file has it now. Raises BrokerError when it cannot be read."""
        try:
            return self if self.new_password is None else replace(self, password=self.new_password())
        except ConfigError as error:
            raise BrokerError(str(error)) from None


@dataclass(frozen=True)
class Will:
    """The retained message that the broker publishes for a client that vanished, `delay` seconds later."""

    topic: str
    payload: bytes = field(repr=False)
    delay: int


@dataclass(frozen=True)
class Subscription:
    """A topic filter and its callback. The network thread calls `receive`, which must not block.

    no_local  do not receive what this client itself publishes
    kept      also receive what the broker keeps as retained
    """

    topic_filter: str
    receive: Callable[[Received], None]
    no_local: bool = True
    kept: bool = False
