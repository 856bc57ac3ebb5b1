"""Section `commands` of the station file: what may be asked of the station over MQTT."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from latentline.base.strict_yaml import StrictModel

Verb = Literal["capture", "pause", "resume", "threshold", "model", "diagnostics"]


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


class CommandsSection(StrictModel):
    """Commands over MQTT. Without this section the station subscribes to nothing."""

    threshold: ThresholdBounds | None = None
    """Range for the command `threshold`, which needs it."""

    models: Path | None = None
    """Folder of model packages for the command `model`, which needs it. The command takes only packages that lie
    directly in this folder."""

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
        if "model" in verbs and info.data.get("models") is None:
            raise ValueError("the verb model needs commands.models, the folder that packages lie in")
        return verbs
