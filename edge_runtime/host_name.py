"""Names and addresses of hosts in a station file."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator


def _host(value: str) -> str:
    if (fault := _fault(value)) is not None:
        raise ValueError(fault)
    return value


def _broker_host(value: str) -> str:
    if "://" in value:
        raise ValueError(
            "give the name or address alone, without a scheme; the port is mqtt.port, and TLS is mqtt.tls; websockets "
            "are not supported"
        )
    if value.startswith("["):
        raise ValueError("give an IPv6 address without brackets, and the port apart in mqtt.port")
    if re.fullmatch(r"[^:]+:\d+", value):
        name, _, port = value.partition(":")
        raise ValueError(f"give the name alone, and the port apart: mqtt.host: {name}, mqtt.port: {port}")
    return _host(value)


def _fault(value: str) -> str | None:
    """Why `value` is no name of a host and no address; None: it may be one."""
    try:
        ipaddress.ip_address(value.partition("%")[0])
        return None
    except ValueError:
        pass
    try:
        labels = value.removesuffix(".").encode("idna").decode().split(".")
    except UnicodeError:
        return "is no name of a host: a part between its dots is empty or too long"
    if not all(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?", label) for label in labels):
        return "is no name of a host and no address: letters, digits and dashes between dots"
    return None


HostName = Annotated[str, AfterValidator(_host)]
BrokerHost = Annotated[str, AfterValidator(_broker_host)]
