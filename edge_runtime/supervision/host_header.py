"""The Host header of a request: a web site must not read the station under a name of its own (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable


def own_names(configured: Iterable[str]) -> frozenset[str]:
    """The names under which the pages may be asked: `configured` ones, localhost, and the machine's."""
    return frozenset({_plain(name) for name in (*configured, "localhost", socket.gethostname())} - {""})


def is_own(head: bytes, names: frozenset[str]) -> bool:
    """Whether each Host header in a request's head is an address or one of `names`. A browser always sends one."""
    hosts = [
        value.decode("latin-1").strip()
        for name, separator, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        if separator and name.strip().lower() == b"host"
    ]
    return all(is_own_host(host, names) for host in hosts)


def is_own_host(host: str, names: frozenset[str]) -> bool:
    """Whether `host`, the value of a Host header, is an address or one of `names`, with or without a port."""
    name = _without_port(host)
    return _is_address(name) or name in names


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return _plain(name if name and port.isdecimal() else host)


def _plain(name: str) -> str:
    return name.strip().removesuffix(".").lower()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
