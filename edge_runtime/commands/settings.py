"""Section `commands` of the station file: what may be asked of the station over MQTT."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from latentline.base.strict_yaml import StrictModel

Verb = Literal["capture", "pause", "resume", "threshold", "model", "revert", "fetch", "diagnostics"]


class ThresholdBounds(StrictModel):
    """Range in which the command `threshold` may set the threshold."""

    minimum: float
    """Lowest anomaly score that may become the threshold."""

    maximum: float
    """Highest anomaly score that may become the threshold."""

    @field_validator("maximum")
    @classmethod
    def _not_below_minimum(cls, maximum: float, info: ValidationInfo) -> float:
        if maximum < info.data.get("minimum", maximum):
            raise ValueError("must not be below commands.threshold.minimum")
        return maximum


class FetchSection(StrictModel):
    """Where the command `fetch` gets packages from, and its limits."""

    source: str
    """A folder, such as that of a network share, with its whole path; or an address that begins with `https://` and
    ends with `/`. `http://` is for `localhost` only."""

    ca: Path | None = None
    """Certificate authorities for `https://`, a PEM file. Unset: those of the system."""

    max_mib: int = Field(default=512, ge=1, le=2048)
    """Largest package. `supervision.disk_mib` stays free on the disk besides. [MiB]"""

    max_seconds: float = Field(default=900.0, gt=0, le=3600)
    """Longest time for a package, all tries together. [s]"""

    @field_validator("source")
    @classmethod
    def _is_a_folder_or_an_address(cls, source: str) -> str:
        if source.startswith("/"):
            return source
        fault = _fault_of_address(source)
        if fault is not None:
            raise ValueError(fault)
        return source


def _fault_of_address(source: str) -> str | None:
    try:
        parts = urlsplit(source)
        host, user, _ = parts.hostname, parts.username, parts.port
    except ValueError as error:
        return f"is no address ({error})"
    if parts.scheme not in ("https", "http") or not host:
        return "is neither a folder with its whole path nor an address that begins with https://"
    if user is not None or parts.query or parts.fragment or not source.endswith("/"):
        return "is an address without user, password, ? and #, and ends with /"
    if not (source.isascii() and source.isprintable()) or " " in source:
        return "has characters that an address has as %20 and the like"
    if parts.scheme == "http" and not _is_loopback(host):
        return "begins with http://, which anybody on the network can change; use https://"
    return None


def _is_loopback(host: str | None) -> bool:
    """Whether a connection to this host stays on this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


class CommandsSection(StrictModel):
    """Commands over MQTT. Without this section the station subscribes to nothing."""

    threshold: ThresholdBounds | None = None
    """Range for the command `threshold`, which needs it."""

    models: Path | None = None
    """Folder of model packages for the command `model`, which needs it. The command takes only packages that lie
    directly in this folder."""

    fetch: FetchSection | None = None
    """Where the command `fetch` gets packages from; it needs this and `models`."""

    trusted_keys: tuple[Path, ...] = ()
    """Public keys, or folders of them (`*.pem`). Where there are any, the station runs only packages that one of them
    has signed, at its start and after a command, and no release older than one it has accepted. None: any package."""

    verbs: tuple[Verb, ...] = ()
    """Commands that the station accepts. It refuses all others."""

    max_per_minute: int = Field(default=60, ge=1, le=6000)
    """Most requests within a minute; further ones are refused. Raise it where commands trigger a camera faster than
    once a second."""

    @field_validator("verbs")
    @classmethod
    def _verbs_have_their_limits(cls, verbs: tuple[Verb, ...], info: ValidationInfo) -> tuple[Verb, ...]:
        if len(set(verbs)) < len(verbs):
            raise ValueError("each verb is named once")
        if "threshold" in verbs and info.data.get("threshold") is None:
            raise ValueError("the verb threshold needs commands.threshold with its minimum and maximum")
        for verb in ("model", "fetch", "revert"):
            if verb in verbs and info.data.get("models") is None:
                raise ValueError(f"the verb {verb} needs commands.models, the folder that packages lie in")
        if "fetch" in verbs and info.data.get("fetch") is None:
            raise ValueError("the verb fetch needs commands.fetch, which says where packages come from")
        return verbs
