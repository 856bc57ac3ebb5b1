"""Section `page` of the station file: the operator page."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field, model_validator

from edge_runtime.host_name import HostName
from latentline.base.strict_yaml import StrictModel


class PageTls(StrictModel):
    """Certificate and key of the page, both PEM."""

    certificate: Path
    """The certificate, followed by those that vouch for it."""

    key: Path
    """Its private key, without a password."""


class PageSection(StrictModel):
    """The operator page. Without this section there is none. It needs the extra `page`."""

    host: HostName = Field(default="127.0.0.1", min_length=1)
    """Address on which the page answers. Anything but loopback opens it to the network and needs `tls`."""

    port: int = Field(default=9465, ge=1, le=65535)
    """Its port."""

    names: tuple[str, ...] = ()
    """Names by which the page may be asked, such as `station-3.plant.example`, besides addresses, `host`, `localhost`
    and the machine's name. A request for another name is refused."""

    tls: PageTls | None = None
    """HTTPS with this certificate. Unset: HTTP."""

    insecure: bool = False
    """Allows the page on the network without `tls`: passwords and pictures can then be read on the way. Only for a
    network that nobody else can reach, or behind a proxy with TLS on the same machine."""

    users: Path | None = None
    """File of the users and their hashed passwords; `latentline-edge page add-user` writes it. Unset: beside the
    spool, with the ending `.users.json`."""

    audit: Path | None = None
    """File of the audit log: who changed what, one JSON object a line. It only grows. Unset: beside the spool, with the
    ending `.audit.jsonl`."""

    viewers: int = Field(default=8, ge=1, le=100)
    """How many browsers may watch live at the same time."""

    session_hours: float = Field(default=12.0, gt=0, le=720)
    """A user who has done nothing for so long has to log in again; to watch Live is to do something. [h]"""

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the page."""
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return self.host.lower().removesuffix(".") == "localhost"

    @model_validator(mode="after")
    def _safe(self) -> PageSection:
        if not (self.on_loopback or self.tls is not None or self.insecure):
            raise ValueError(
                f"host {self.host} opens the page to the network: give page.tls a certificate and a key, or write "
                "page.insecure: true"
            )
        return self
