"""What commands have changed, on disk, so that a restart comes up with it."""

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


class SetThreshold(StrictModel):
    """A threshold that was set: for one model, over what the YAML said then."""

    value: float
    model_sha256: str
    over: float | None
    who: str
    at: str


class SetModel(StrictModel):
    """The package that was switched to, over what the YAML said then."""

    name: str
    sha256: str
    over: str
    at: str


class State(StrictModel):
    """The file."""

    schema_version: Literal[1] = 1
    threshold: SetThreshold | None = None
    model: SetModel | None = None


class Persisted:
    """The threshold and the model that commands have set, in a small JSON file; used by one thread.

    path        e.g. commands.json beside the spool
    threshold   the YAML's; model: the YAML's. Whoever edits one of them decides anew: what was set over another value
                is not given back
    set_aside   the sentence about a broken file that was renamed and begun anew, or None
    Raises ConfigError when the file cannot be read.
    """

    def __init__(self, path: Path, threshold: float | None, model: Path) -> None:
        self._path, self._threshold, self._model = path, threshold, str(model)
        self.set_aside: str | None = None
        self._state = self._read()

    def threshold(self, model_sha256: str) -> float | None:
        """The threshold that was set for this model; None when there is none."""
        kept = self._state.threshold
        valid = kept is not None and kept.model_sha256 == model_sha256 and kept.over == self._threshold
        return kept.value if kept is not None and valid else None

    @property
    def model(self) -> SetModel | None:
        """The package that was switched to; None when there is none."""
        kept = self._state.model
        return kept if kept is not None and kept.over == self._model else None

    def set_threshold(self, value: float, model_sha256: str, who: str) -> None:
        """Remember a threshold. Raises CommandError when the disk does not take it."""
        kept = SetThreshold(value=value, model_sha256=model_sha256, over=self._threshold, who=who, at=now())
        self._write(self._state.model_copy(update={"threshold": kept}))

    def set_model(self, name: str, sha256: str) -> None:
        """Remember a package. Raises CommandError when the disk does not take it."""
        kept = SetModel(name=name, sha256=sha256, over=self._model, at=now())
        self._write(self._state.model_copy(update={"model": kept}))

    def _write(self, state: State) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(self._path, state.model_dump_json(indent=2) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise CommandError(f"it cannot be remembered in {self._path} ({reason}), so nothing is changed") from None
        self._state = state

    def _read(self) -> State:
        try:
            return State.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return State()
        except ValidationError:
            return self._begun_anew()
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read ({error.strerror}); check its permissions") from None

    def _begun_anew(self) -> State:
        broken = self._path.with_name(f"{self._path.name}.broken-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}")
        try:
            self._path.rename(broken)
        except OSError as error:
            raise ConfigError(f"{self._path}: broken, and cannot be renamed ({error.strerror}); remove it") from None
        self.set_aside = (
            f"{self._path} was broken; it is kept as {broken.name}, and what commands had set is forgotten: "
            "the YAML's threshold and model are used"
        )
        return State()
