"""The reference page of the settings, written from the settings classes themselves.

python -m docs.settings_reference PAGE edge_runtime.config:StationConfig trainer.config:TrainConfig

Each key's sentence is the docstring under its attribute; a unit stands at its end in square brackets.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from latentline.base.strict_yaml import models_in

Model = type[BaseModel]
_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
_PLURALS = {
    "whole number": "whole numbers",
    "number": "numbers",
    "text": "texts",
    "path": "paths",
    "section": "sections",
}
_UNIT = re.compile(r"(?P<sentence>.*?)(?: \[(?P<unit>[^\[\]]+)\])?", re.DOTALL)
_HEAD = """# Settings

Every key of the two YAML files; ready files are in `configs/station/` and `configs/train/`. A file that lacks a
required key, or has an unknown one, is refused with a sentence that says so. `cameras[].id` is the key `id` of an item
in the list `cameras`.

`make settings-reference` writes this page from the code; edit the sentences there.
"""


@dataclass(frozen=True)
class Sentence:
    """What the docstring under a field says, and its unit, "" without one."""

    text: str
    unit: str


def sentences(model: Model) -> dict[str, Sentence]:
    """The docstring of each field of `model`, those of its base classes included; fields without one are missing."""
    found: dict[str, Sentence] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            found |= {name: text for name, text in _docstrings(owner) if name in model.model_fields}
    return found


def sections(model: Model) -> list[Model]:
    """`model` and every settings class that is reached from it, in the order of the file, each once."""
    found = [model]
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            found += [section for section in sections(inner) if section not in found]
    return found


def reference(models: Sequence[Model]) -> str:
    """The page about the files that `models` describe, as Markdown."""
    blocks = [_HEAD]
    for model in models:
        about = inspect.getdoc(model) or ""
        title, _, rest = about.partition(". ")
        blocks.append(f"## {title.rstrip('.')}\n\n{_one_line(rest)}\n")
        blocks += _tables(model, "")
    return "\n".join(blocks)


def main(page: str, *places: str) -> None:
    """Write `page` about the classes at `places`, each `module:Class`."""
    named = [place.partition(":") for place in places]
    models = [getattr(importlib.import_module(module), name) for module, _, name in named]
    Path(page).write_text(reference(models), encoding="utf-8")


def _docstrings(owner: type) -> Iterator[tuple[str, Sentence]]:
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, after in zip(body.body, body.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            matched = _UNIT.fullmatch(_one_line(after.value.value))
            assert matched is not None
            yield field.target.id, Sentence(matched["sentence"], matched["unit"] or "")


def _tables(model: Model, path: str) -> Iterator[str]:
    """The table of `model`, whose keys stand under `path`, then those of the sections in it."""
    yield _table(model, path, list(model.model_fields))
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        place = f"{path}{name}" + ("[]" if _is_list(field.annotation) else "")
        if len(inner) == 1:
            yield f"### `{place}`\n\n{_about(inner[0])}\n"
            yield from _tables(inner[0], f"{place}.")
        elif inner:
            yield from _kinds(inner, place)


def _kinds(kinds: list[Model], place: str) -> Iterator[str]:
    """The tables of a section that `kind` chooses among `kinds`."""
    common = [name for name in kinds[0].model_fields if len({_owner(kind, name) for kind in kinds}) == 1]
    names = ", ".join(f"`{_kind(kind)}`" for kind in kinds)
    yield f"### `{place}`\n\n`kind` is one of {names}.\n"
    if common:
        yield f"Keys of every kind:\n\n{_table(kinds[0], f'{place}.', common)}"
    for kind in kinds:
        own = [name for name in kind.model_fields if name not in (*common, "kind")]
        yield f"#### `{place}`, `kind: {_kind(kind)}`\n\n{_about(kind)}\n"
        if own:
            yield _table(kind, f"{place}.", own)


def _table(model: Model, path: str, names: list[str]) -> str:
    known = sentences(model)
    rows = ["| key | type | default | unit | meaning |", "|---|---|---|---|---|"]
    for name in names:
        field, said = model.model_fields[name], known.get(name, Sentence("", ""))
        cells = (f"`{path}{name}`", _type(field, f"{path}{name}"), _default(field), said.unit, said.text)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _type(field: FieldInfo, place: str) -> str:
    words = _words(field.annotation) + _range(field.metadata)
    return f"[{words}](#{_anchor(place)})" if models_in(field.annotation) else words


def _anchor(place: str) -> str:
    """Of a heading, as GitHub and MkDocs make it."""
    return re.sub(r"[^a-z0-9_-]", "", place.lower())


def _words(annotation: Any) -> str:
    """A type as a user says it; "null" is left to the default and the sentence."""
    if get_origin(annotation) is Literal:
        return _alternatives([f"`{value}`" for value in get_args(annotation)])
    if models_in(annotation) and not _is_list(annotation):
        return "section"
    if isinstance(annotation, type) and annotation in _WORDS:
        return _WORDS[annotation]
    arguments = [part for part in get_args(annotation) if part not in (NoneType, Ellipsis)]
    if get_origin(annotation) is dict:
        return f"map of {_plural(_words(arguments[0]))} to {_plural(_words(arguments[1]))}"
    if _is_list(annotation):
        return f"list of {_plural(_words(arguments[0]))}"
    if hasattr(annotation, "__metadata__"):  # Annotated[type, Field(…)]
        limits = [m for given in annotation.__metadata__ for m in getattr(given, "metadata", ())]
        return _words(arguments[0]) + _range(limits)
    return _alternatives([_words(part) for part in arguments])


def _range(metadata: Sequence[Any]) -> str:
    limits = {name: getattr(m, name) for m in metadata for name in ("ge", "gt", "le", "lt") if hasattr(m, name)}
    signs = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
    if {"ge", "le"} <= limits.keys():
        return f", {limits['ge']:g} to {limits['le']:g}"
    shown = " and ".join(f"{sign} {limits[name]:g}" for name, sign in signs if name in limits)
    return f" {shown}" if shown else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return "unset"
    if isinstance(default, BaseModel):
        return "as below"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, (tuple, dict)):
        return "empty"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _kind(model: Model) -> str:
    (name,) = get_args(model.model_fields["kind"].annotation)
    return str(name)


def _owner(model: Model, name: str) -> type | None:
    """The class that declares field `name`; None where `model` has no such field."""
    owners = (owner for owner in model.__mro__ if name in inspect.get_annotations(owner))
    return next(owners, None)


def _about(model: Model) -> str:
    return _one_line(inspect.getdoc(model) or "")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple


def _plural(words: str) -> str:
    return _PLURALS.get(words, words)


def _alternatives(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


if __name__ == "__main__":
    main(*sys.argv[1:])
