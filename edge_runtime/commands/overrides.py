"""The threshold and the model that commands have set, kept on disk over a restart."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from edge_runtime.commands.request import CommandError
from edge_runtime.mqtt.events import now
from latentline.base import atomic
from latentline.base.strict_yaml import StrictModel
from latentline.errors import ConfigError


class ThresholdOverride(StrictModel):
    """A threshold that a command set, for one model.

    over  the YAML's threshold at that time; who: the requester; at: UTC
    """

    value: float
    model_sha256: str
    over: float | None
    who: str
    at: str


class ModelOverride(StrictModel):
    """The package that a command switched to. over: the YAML's model at that time; at: UTC."""

    name: str
    sha256: str
    over: str
    at: str


class PreviousModel(StrictModel):
    """The model that ran before the last switch.

    name  its package in commands.models; None: the YAML's model; over: the YAML's model at that time
    """

    name: str | None
    sha256: str
    over: str


class OverridesFile(StrictModel):
    """The content of the file."""

    schema_version: Literal[1] = 1
    threshold: ThresholdOverride | None = None
    model: ModelOverride | None = None
    before: PreviousModel | None = None


class Overrides:
    """The threshold and the model that commands have set, in a small JSON file. For one thread.

    path        e.g. spool.commands.json beside the spool
    threshold   the YAML's; model: the YAML's. When somebody edits one of them in the YAML, its override is void
    set_aside   a sentence when the file was broken and has been renamed, else None
    Raises ConfigError when the file cannot be read.
    """

    def __init__(self, path: Path, threshold: float | None, model: Path) -> None:
        self._path, self._threshold, self._model = path, threshold, str(model)
        self.set_aside: str | None = None
        self._content = self._read()

    def threshold(self, model_sha256: str) -> float | None:
        """The threshold that a command set for this model; None when there is none."""
        override = self._content.threshold
        if override is None or override.model_sha256 != model_sha256 or override.over != self._threshold:
            return None
        return override.value

    @property
    def model(self) -> ModelOverride | None:
        """The package that a command switched to; None when there is none."""
        override = self._content.model
        return override if override is not None and override.over == self._model else None

    def set_threshold(self, value: float, model_sha256: str, requester: str) -> None:
        """Save a threshold. Raises CommandError when it cannot be written."""
        override = ThresholdOverride(
            value=value, model_sha256=model_sha256, over=self._threshold, who=requester, at=now()
        )
        self._write(self._content.model_copy(update={"threshold": override}))

    @property
    def before(self) -> PreviousModel | None:
        """The model that ran before the last switch; None when there is none, or the station has gone back to it."""
        before = self._content.before
        return before if before is not None and before.over == self._model else None

    def set_model(self, name: str, sha256: str, old: str) -> None:
        """Save a package. old: sha256 of the model that it replaces. Raises CommandError when it cannot be written."""
        override = ModelOverride(name=name, sha256=sha256, over=self._model, at=now())
        running = self.model
        name_of_old = running.name if running is not None and running.sha256 == old else None
        before = PreviousModel(name=name_of_old, sha256=old, over=self._model)
        update = {"model": override} if sha256 == old else {"model": override, "before": before}
        self._write(self._content.model_copy(update=update))

    def revert(self, before: PreviousModel) -> None:
        """Save that the station has gone back to `before`. Raises CommandError when it cannot be written."""
        override = None
        if before.name is not None:
            override = ModelOverride(name=before.name, sha256=before.sha256, over=self._model, at=now())
        self._write(self._content.model_copy(update={"model": override, "before": None}))

    def _write(self, content: OverridesFile) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(self._path, content.model_dump_json(indent=2) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise CommandError(f"{self._path} cannot be written ({reason}), so nothing has changed") from None
        self._content = content

    def _read(self) -> OverridesFile:
        try:
            return OverridesFile.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return OverridesFile()
        except ValidationError:
            return self._rename_broken()
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read ({error.strerror}); check its permissions") from None

    def _rename_broken(self) -> OverridesFile:
        broken = self._path.with_name(f"{self._path.name}.broken-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}")
        try:
            self._path.rename(broken)
        except OSError as error:
            raise ConfigError(f"{self._path}: broken, and cannot be renamed ({error.strerror}); remove it") from None
        self.set_aside = (
            f"{self._path} was broken and is now {broken.name}; what commands had set is lost, "
            "and the station uses the threshold and the model of the YAML"
        )
        return OverridesFile()
