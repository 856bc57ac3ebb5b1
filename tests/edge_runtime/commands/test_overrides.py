from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.commands.overrides import Overrides
from edge_runtime.commands.request import CommandError
from latentline.errors import ConfigError

MODEL, OTHER = "ab" * 32, "cd" * 32
YAML_MODEL = Path("/models/brick")


def _open(path: Path, threshold: float | None = None, model: Path = YAML_MODEL) -> Overrides:
    return Overrides(path, threshold, model)


def test_what_was_set_survives_a_restart(tmp_path: Path) -> None:
    """Threshold and model are there after the file is opened again; saving one keeps the other."""
    path = tmp_path / "state" / "commands.json"
    overrides = _open(path)
    assert overrides.threshold(MODEL) is None and overrides.model is None and not path.exists()
    overrides.set_threshold(4.25, MODEL, "maria")
    overrides.set_model("brick-2.zip", OTHER, MODEL)
    again = _open(path)
    assert again.threshold(MODEL) == 4.25
    assert again.model is not None and (again.model.name, again.model.sha256) == ("brick-2.zip", OTHER)
    assert again.set_aside is None


def test_a_threshold_belongs_to_its_model(tmp_path: Path) -> None:
    """It does not apply to another model."""
    overrides = _open(tmp_path / "c.json")
    overrides.set_threshold(4.25, MODEL, "maria")
    assert overrides.threshold(OTHER) is None


def test_the_model_before_is_known(tmp_path: Path) -> None:
    """Of each switch the one before it, the YAML's or that of a command; going back is possible once."""
    path = tmp_path / "c.json"
    overrides = _open(path)
    assert overrides.before is None
    overrides.set_model("brick-2.zip", OTHER, MODEL)
    first = _open(path).before
    assert first is not None and (first.name, first.sha256) == (None, MODEL)
    overrides.set_model("brick-3.zip", "ef" * 32, OTHER)
    second = overrides.before
    assert second is not None and (second.name, second.sha256) == ("brick-2.zip", OTHER)
    overrides.revert(second)
    again = _open(path)
    assert again.before is None and again.model is not None and again.model.name == "brick-2.zip"
    overrides.revert(first)
    assert _open(path).model is None
    overrides.set_model("brick-2.zip", OTHER, MODEL)
    assert _open(path, model=Path("/models/tile")).before is None


def test_a_switch_to_the_same_model_is_none(tmp_path: Path) -> None:
    """A request that comes twice does not hide the model to which the station can go back."""
    overrides = _open(tmp_path / "c.json")
    overrides.set_model("brick-2.zip", OTHER, MODEL)
    overrides.set_model("brick-2.zip", OTHER, OTHER)
    assert overrides.before is not None and overrides.before.sha256 == MODEL


def test_an_edited_yaml_wins(tmp_path: Path) -> None:
    """An override is void once the YAML's threshold or model has changed."""
    path = tmp_path / "c.json"
    overrides = _open(path, threshold=3.0)
    overrides.set_threshold(4.25, MODEL, "maria")
    overrides.set_model("brick-2.zip", OTHER, MODEL)
    edited = _open(path, threshold=3.5, model=Path("/models/tile"))
    assert edited.threshold(MODEL) is None and edited.model is None
    assert _open(path, threshold=3.0).threshold(MODEL) == 4.25


@given(content=st.binary(max_size=200) | st.sampled_from([b"{}x", b"[]", b'{"schema_version": 2}', b'{"more": 1}']))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    """Whatever the file holds, a station starts; it renames a file that it cannot parse, and says so."""
    for old in tmp_path.iterdir():
        old.unlink()
    path = tmp_path / "c.json"
    path.write_bytes(content)
    overrides = _open(path)
    assert overrides.threshold(MODEL) is None
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == content
    assert (overrides.set_aside is None) == (kept == path)
    if overrides.set_aside is not None:
        assert kept.name in overrides.set_aside


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    """When the file cannot be written, the error says so and the old threshold stays."""
    (tmp_path / "file").write_text("no folder")
    overrides = _open(tmp_path / "c.json")
    overrides.set_threshold(4.25, MODEL, "maria")
    overrides._path = tmp_path / "file" / "c.json"
    with pytest.raises(CommandError, match="cannot be written"):
        overrides.set_threshold(5.0, MODEL, "maria")
    assert overrides.threshold(MODEL) == 4.25


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    """A folder in its place is an error and stays."""
    (tmp_path / "c.json").mkdir()
    with pytest.raises(ConfigError, match=r"c\.json: cannot be read"):
        _open(tmp_path / "c.json")
