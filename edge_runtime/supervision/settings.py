"""Sections `supervision` and `log` of the station file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_runtime.host_name import HostName
from latentline.base.strict_yaml import StrictModel


class SupervisionSection(StrictModel):
    """What watches the station, and where its state can be read."""

    http_host: HostName = Field(default="127.0.0.1", min_length=1)
    """Address on which `/metrics`, `/healthz` and `/readyz` answer. Anything but loopback opens them to the network,
    without a password."""

    http_port: int | None = Field(default=9464, ge=1, le=65535)
    """Their port; `null` switches them off."""

    http_names: tuple[str, ...] = ()
    """Names by which the pages may be asked, such as `station-3.plant.example`, besides addresses, `http_host`,
    `localhost` and the machine's name. A request for another name is refused, so that no web site that somebody opens
    on this machine or its network can read the pages."""

    health_seconds: float | None = Field(default=30.0, ge=1)
    """Interval of the MQTT message `health`; `null` switches it off. [s]"""

    inspector_seconds: float = Field(default=30.0, gt=0)
    """Longest time that the inspection of one frame may take before the station reports the fault
    `watchdog.inspector`. [s]"""

    failed_frames: int = Field(default=20, ge=1)
    """When the inspector fails at this many frames in a row, the station reports the fault `watchdog.inspector`. A
    frame that cannot be used does not count. [frames]"""

    sender_seconds: float = Field(default=60.0, gt=0)
    """Longest time that one step of the MQTT sender may take before the fault `watchdog.sender`. [s]"""

    spool_seconds: float = Field(default=15.0, gt=0)
    """Longest time that one write to the disk may take before the fault `watchdog.spool`. [s]"""

    disk_mib: int = Field(default=256, ge=0)
    """With less free space on the spool's disk than this, the station is degraded. 0 switches the check off. [MiB]"""

    memory_mib: int | None = Field(default=None, ge=0)
    """With more memory in use than this, the station is degraded; above 1.2 times as much it ends with exit code 75, so
    that systemd starts it afresh. Unset: three quarters of the memory of the machine or of its control group. 0
    switches the check off. [MiB]"""


class LogSection(StrictModel):
    """The log, on stderr."""

    format: Literal["text", "json"] = "text"
    """`text` for people and the journal; `json` for one object a line."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""

    repeat_seconds: float = Field(default=10.0, ge=0)
    """A statement in the code that has logged more than 20 messages in a row logs only one in this interval from then
    on, with the number of messages left out. 0 logs everything. [s]"""
