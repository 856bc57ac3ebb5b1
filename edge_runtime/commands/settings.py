"""`commands:` of a station's YAML: what may be asked of it over MQTT."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from latentline.base.strict_yaml import StrictModel

Verb = Literal["capture", "pause", "resume", "threshold", "model", "diagnostics"]


class ThresholdBounds(StrictModel):
    """Anomaly scores between which the threshold may be set."""

    minimum: float
    maximum: float

    @field_validator("maximum")
    @classmethod
    def _not_below_minimum(cls, maximum: float, info: ValidationInfo) -> float:
        if maximum < info.data.get("minimum", maximum):
            raise ValueError("must not be below commands.threshold.minimum")
        return maximum


class CommandsSection(StrictModel):
    """Commands over MQTT. Without this section the station subscribes to nothing.

    threshold          where the verb threshold may set it to
    models             the verb model only takes packages that lie directly in this folder
    verbs              what may be asked for, by name; none unless named
    max_payload_bytes  larger requests are refused
    max_per_minute     further requests are refused
    """

    threshold: ThresholdBounds | None = None
    models: Path | None = None
    verbs: tuple[Verb, ...] = ()
    max_payload_bytes: int = Field(default=16 * 1024, ge=64, le=128 * 1024)
    max_per_minute: int = Field(default=60, ge=1, le=6000)

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

    def at(self, base: Path) -> CommandsSection:
        """With `models` taken from `base` where it is relative."""
        if self.models is None:
            return self
        return self.model_copy(update={"models": base / self.models.expanduser()})
