"""Strict YAML: unknown keys are refused, and each fault is reported with its place and the nearest valid key."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from latentline.base.fault_words import fault_in_words, yaml_in_words
from latentline.base.home import at
from latentline.base.scalars import scalar
from latentline.base.secrets import MASK, SECRET_NAME, mask_credentials, mask_url
from latentline.base.yaml_loader import read_yaml
from latentline.errors import ConfigError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HIDDEN = "a hidden value"


class StrictModel(BaseModel):
    """A section of a configuration: frozen, without unknown keys, NaN or infinity, or numbers that are texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _kinds_of_scalars(cls, data: Any) -> Any:
        fields = cls.model_fields
        if not isinstance(data, Mapping):
            return data
        return {key: scalar(fields[key].annotation, value) if key in fields else value for key, value in data.items()}

    def resolve_paths(self: Section, base: Path) -> Section:
        """This section, and those in it, with each relative path taken from the folder `base`; `~` is the home."""
        resolved = {name: _resolve(value, base) for name, value in self}
        return self.model_copy(update={name: new for name, new in resolved.items() if new is not getattr(self, name)})


Section = TypeVar("Section", bound=StrictModel)
Model = TypeVar("Model", bound=BaseModel)


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Read `path` as `model`. Raises ConfigError that names the file, the key and what was expected there."""
    return parse(read_mapping(path), model, str(path))


def read_mapping(path: Path) -> Mapping[str, Any]:
    """The keys and values at the top of `path`. Raises ConfigError that names the file and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text in UTF-8 (byte {error.start + 1}); save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({_reason(error)}); give the path of a YAML file") from None
    try:
        data = read_yaml(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise ConfigError(f"{path}{where}: not valid YAML ({_problem(error)})") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid YAML (nested too deeply)") from None
    except (ValueError, AttributeError) as error:  # a date that does not exist, a tag on what it does not fit
        raise ConfigError(f"{path}: not valid YAML (a value cannot be read: {error!s:.100})") from None
    if not isinstance(data, Mapping):
        found = "nothing" if data is None else type(data).__name__
        raise ConfigError(f"{path}: expected keys and values at the top, found {found}")
    return data


def parse(data: Mapping[str, Any], model: type[Model], source: str) -> Model:
    """Validate `data`, the content of `source`, as `model`. Raises ConfigError with a sentence for each fault."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # Leave out a list that is too short only because its items are wrong.
        within = {fault["loc"][:-1] for fault in faults}
        own = [
            f for f in faults if f["type"] != "too_short" or not any(loc[: len(f["loc"])] == f["loc"] for loc in within)
        ]
        sentences = dict.fromkeys(mask_credentials(said) for fault in own for said in _sentences(fault, model, data))
        raise ConfigError(f"{source}: " + "; ".join(sentences)) from None


def _resolve(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return at(base, value)
    if isinstance(value, StrictModel):
        return value.resolve_paths(base)
    return tuple(_resolve(item, base) for item in value) if isinstance(value, tuple) else value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _problem(error: yaml.YAMLError) -> str:
    """What is wrong, without a word that begins with ! or *: it may be a password without quotes."""
    problem = " ".join(mask_credentials(str(getattr(error, "problem", error))).split())
    word = re.search(r"(?:tag|alias) '", problem)
    return yaml_in_words(problem) if word is None else "a text that begins with ! or * needs quotes"


def _sentences(fault: Any, model: type[BaseModel], data: Any) -> tuple[str, ...]:
    """What is wrong. The valid keys are a sentence of their own, which several faults share."""
    path = ".".join(_place(fault["loc"], data)) or "the file"
    if fault["type"] == "extra_forbidden":
        valid = sorted(_keys_at(model, fault["loc"][:-1]))
        near = difflib.get_close_matches(str(fault["loc"][-1]), valid, n=1, cutoff=0.6)
        if near:
            return (f"unknown key '{path}'; did you mean '{near[0]}'?",)
        return f"unknown key '{path}'", f"valid keys are {', '.join(valid)}"
    if fault["type"] == "missing":
        return (f"'{path}' is missing; it has no default",)
    shown = _Shown(_hidden_names(model)).item(path.rpartition(".")[2], fault["input"])
    got = "" if shown == _HIDDEN else f" (got {shown:.80})"
    return (f"'{path}': {fault_in_words(fault)}{got}",)


def _place(loc: tuple[Any, ...], data: Any) -> list[str]:
    """`loc` as a user wrote it, without the tags and branches of unions that pydantic adds."""
    place: list[str] = []
    for index, part in enumerate(loc):
        within = (
            part in data if isinstance(data, Mapping) else isinstance(part, int) and isinstance(data, (list, tuple))
        )
        last = index == len(loc) - 1  # only the last can be a key that is missing
        if within and (isinstance(data, Mapping) or part < len(data)):
            data = data[part]
        elif not last or not isinstance(data, Mapping) or part in data.values():
            continue  # a branch of a union; a tag, which stands as a value beside the other keys
        place.append(str(part))
    return place


class _Shown(reprlib.Repr):
    """A short repr, since a few aliases make a huge value of a short file, without secrets.

    hidden  names of the settings that may hold one; of these, only what is left of an address is shown
    """

    def __init__(self, hidden: set[str]) -> None:
        super().__init__()
        self.maxstring = self.maxother = 1000  # and credentials are masked before anything is cut off
        self._hidden = hidden

    def item(self, name: str, value: Any, level: int | None = None) -> str:
        """The repr of the value of a setting, down to `level` sections in it."""
        if "password" in name or SECRET_NAME.search(name):
            return _HIDDEN
        if name in self._hidden and not (isinstance(value, str) and _ADDRESS.match(value)):
            return _HIDDEN
        return mask_credentials(self.repr1(value, self.maxlevel if level is None else level))

    def repr_str(self, text: str, level: int) -> str:
        """A text, masked before it is quoted."""
        if not _ADDRESS.match(text):
            place = text.rpartition("@")[2] if ":" in text.partition("@")[0] else text
            return super().repr_str(mask_credentials(text if place == text else f"{MASK}@{place}"), level)
        return super().repr_str(mask_url(text), level)

    def repr_dict(self, values: dict[Any, Any], level: int) -> str:
        """A section, with each of its values as `item` shows it."""
        if level <= 0:
            return "{...}"
        shown = [
            f"{key!s:.40}: {self.item(str(key), value, level - 1)}" for key, value in [*values.items()][: self.maxdict]
        ]
        return "{" + ", ".join(shown + ["..."] * (len(values) > self.maxdict)) + "}"


def _hidden_names(model: type[BaseModel]) -> set[str]:
    """The settings in `model`, and in the sections in it, that its repr leaves out."""
    seen: list[type[BaseModel]] = [model]
    for section in seen:
        fields = section.model_fields.values()
        seen += [found for field in fields for found in models_in(field.annotation) if found not in seen]
    return {name for section in seen for name, field in section.model_fields.items() if not field.repr}


def _keys_at(model: type[BaseModel], loc: tuple[Any, ...]) -> set[str]:
    """The valid field names at `loc`, through nested models, lists, dicts and unions."""
    models: list[type[BaseModel]] = [model]
    for part in loc:
        inner: list[type[BaseModel]] = []
        for candidate in models:
            if part in candidate.model_fields:
                inner += models_in(candidate.model_fields[part].annotation)
        tagged = [candidate for candidate in models if part in _tags(candidate)]
        models = inner or tagged or models  # an index or a dict key stays where it is
    return {name for candidate in models for name in candidate.model_fields}


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """Values of `kind` that choose this model among others."""
    field = model.model_fields.get("kind")
    return () if field is None else get_args(field.annotation)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes in a type: of a union all of them, of a list that of its items."""
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in models_in(argument)]
