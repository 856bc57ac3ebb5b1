"""Settings of supervision and of the log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from latentline.base.strict_yaml import StrictModel


class SupervisionSection(StrictModel):
    """What watches the station, and where one can look at it.

    http_host          address of /metrics, /healthz and /readyz; anything but loopback opens them to the network
    http_port          their port; null: off
    health_seconds     a `health` message over MQTT so often; null: none
    inspector_seconds  the inspector may work so long on one frame before it is called late
    sender_seconds     likewise one step of the MQTT sender
    spool_seconds      likewise one write to the disk
    disk_mib           with less free space under the spool, MiB, the station is degraded; 0: not watched
    memory_mib         with more memory in use than this, MiB, it is degraded, and above 1.2 times as much it ends with
                       exit code 75 to be started afresh; unset: three quarters of what the machine or its control group
                       has; 0: not watched
    """

    http_host: str = Field(default="127.0.0.1", min_length=1)
    http_port: int | None = Field(default=9464, ge=1, le=65535)
    health_seconds: float | None = Field(default=30.0, ge=1)
    inspector_seconds: float = Field(default=30.0, gt=0)
    sender_seconds: float = Field(default=60.0, gt=0)
    spool_seconds: float = Field(default=15.0, gt=0)
    disk_mib: int = Field(default=256, ge=0)
    memory_mib: int | None = Field(default=None, ge=0)


class LogSection(StrictModel):
    """The log, on stderr.

    format          text: for people and the journal; json: one object a line
    level           the least that is written
    repeat_seconds  a line of code that says more than 20 things in a row says one in so many seconds from then on; what
                    was left out is counted and the count said; 0: everything is written
    """

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"
    repeat_seconds: float = Field(default=10.0, ge=0)
