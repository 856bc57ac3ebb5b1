from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from edge_runtime.config import StationConfig, load_station
from latentline.base.strict_yaml import StrictModel, load_yaml, parse
from latentline.base.yaml_loader import read_yaml
from latentline.errors import ConfigError
from tests.edge_runtime.fakes import station_data


class _Inner(StrictModel):
    share: float = 0.5


class _Left(StrictModel):
    kind: Literal["left_hand"]


class _Right(StrictModel):
    kind: Literal["right_hand"]


class _Settings(StrictModel):
    number: float = 1.0
    count: int | None = None
    switch: bool = False
    maybe: bool | None = None
    text: str = ""
    rates: tuple[float, ...] = ()
    named: dict[str, float] | None = None
    channels: Literal[1, 3] = 1
    steps: int | Literal["auto"] = "auto"
    path: Path | None = None
    inner: _Inner | None = None
    choice: Annotated[_Left | _Right, Field(discriminator="kind")] | None = None


def _load(tmp_path: Path, text: str) -> _Settings:
    (tmp_path / "a.yaml").write_text(text)
    return load_yaml(tmp_path / "a.yaml", _Settings)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("number: 1\ntext: a\nnumber: 2\n", 3, "the key 'number' is there twice, first in line 1"),
        ("inner:\n  share: 0.1\n  share: 0.1\n", 3, "the key 'share' is there twice, first in line 2"),
        ("inner: {share: 0.1, 'share': 0.2}\n", 1, "the key 'share' is there twice, first in line 1"),
        ("inner: {}\ninner: null\n", 2, "the key 'inner' is there twice, first in line 1"),
        ("rates:\n- {a: 1,\n   a: 2}\n", 3, "the key 'a' is there twice, first in line 2"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x\n", 4, "the key '<<' is there twice, first in line 3"),
        ("1: a\n0x1: b\n", 2, "the key '1' is there twice, first in line 1"),
    ],
)
def test_a_key_that_is_there_twice_is_refused_by_its_lines(tmp_path: Path, text: str, line: int, said: str) -> None:
    """At any depth, in both notations, whatever the values are."""
    with pytest.raises(ConfigError, match=rf"a\.yaml, line {line}: .*{said}"):
        _load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inner:\n\tshare: 1\n", r"line 2: not valid YAML \(a tab, which YAML does not take; indent with spaces\)"),
        ('text: "C:\\Users"\n', r"line 1: not valid YAML \(a backslash within double quotes; use single quotes, or /"),
        ("", "a.yaml: expected keys and values at the top, found nothing"),
        ("inner: yes\n", r"'inner': expected a section, with keys and values of its own \(got 'yes'\)"),
        ("rates: 0.1\n", r"'rates': expected a list, such as \[a, b\] \(got 0\.1\)"),
        ("number: 25%\n", "'number': input should be a valid number, written without quotes, spaces, commas, _ or %"),
        ("count: '20_000'\n", "'count': input should be a valid integer, written without quotes"),
        ("number: many\n", r"'number': input should be a valid number \(got 'many'\)"),
        ("choice: {kind: Left-Hand}\n", "'choice': there is no 'kind' 'Left-Hand'; did you mean 'left_hand'\\?"),
        ("choice: {kind: up}\n", "'choice': there is no 'kind' 'up'; give one of left_hand, right_hand"),
        ("text: 12\n", r"'text': expected a text; write it in quotes \(got 12\)"),
        ("text: a\0\n", r"a\.yaml: not valid YAML \(zero bytes, as in UTF-16; save it as UTF-8\)"),
        ("text: a\7\n", r"a\.yaml: not valid YAML \(the control character 7; remove it\)"),
        ("choice: {}\n", "'choice': the key 'kind' is missing, which says what it is"),
    ],
)
def test_a_fault_is_said_in_plain_words(tmp_path: Path, text: str, said: str) -> None:
    """Nobody needs to know PyYAML or pydantic to put it right."""
    with pytest.raises(ConfigError, match=said):
        _load(tmp_path, text)


def test_a_file_in_another_encoding_is_said(tmp_path: Path) -> None:
    """As editors on Windows may save it."""
    (tmp_path / "a.yaml").write_bytes("text: Größe\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"a\.yaml: not text in UTF-8 \(byte 9\); save it as UTF-8"):
        load_yaml(tmp_path / "a.yaml", _Settings)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("inner:\n  # share: 0.1\nnumber: 1\n", 1, "the key 'inner' has no value; write null for none"),
        ("number: 1\ninner: {share: }\n", 2, "the key 'share' has no value"),
        ("inner: {share:0.1}\n", 1, "the colon behind 'share' needs a blank"),
        ("inner: {password:geheim}\n", 1, "the colon behind 'password' needs a blank"),
    ],
)
def test_a_key_without_a_value_is_refused(tmp_path: Path, text: str, line: int, said: str) -> None:
    """It would be null and switch its section off in silence; what stands behind a colon may be a password."""
    with pytest.raises(ConfigError, match=rf"a\.yaml, line {line}: .*{said}") as caught:
        _load(tmp_path, text)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("text", [r'text: "a\0b"', r'- "\x00"', r'"\0": 1', r'{text: "\u0000"}'])
def test_no_text_holds_a_zero_byte(tmp_path: Path, text: str) -> None:
    """No path, name or password can: it is refused by its line, and not where a file is opened."""
    with pytest.raises(ConfigError, match=r"a\.yaml, line 2: .*a character with the number zero"):
        _load(tmp_path, f"# a comment\n{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "text: [me:{}@host]", "inner: me:{}@host", "number: 'me:{}@host'", "'me:{}@host': 1",
        "{{'me:{}@h': 1, 'me:{}@h': 2}}", "text: [[a, 'me:{}@host/1']]", "text: !{} a", "text: *{}",
        "'rtsp://me:{}@host': 1", "number: me:{}@host:80/x@y",
    ],
)  # fmt: skip
def test_no_error_quotes_a_password(tmp_path: Path, text: str) -> None:
    """Wherever an address with a password stands by mistake, also one without a scheme, or a password alone."""
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text.format("Left4711", "Left4711") + "\n")
    assert "Left4711" not in str(caught.value)


def test_a_second_tls_section_does_not_undo_the_first(tmp_path: Path) -> None:
    """A station file that says `tls: {}` and then `tls: null` is refused, not run over a plain connection."""
    text = yaml.safe_dump(station_data(tmp_path, 1883))
    text = text.replace("mqtt:\n", "mqtt:\n  tls: {}\n  tls: null\n")
    (tmp_path / "station.yaml").write_text(text)
    with pytest.raises(ConfigError, match="the key 'tls' is there twice"):
        load_station(tmp_path / "station.yaml")


def test_a_merged_section_may_be_overridden(tmp_path: Path) -> None:
    """What stands beside `<<` replaces what it brings; that is no key given twice."""
    assert read_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")["b"] == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("+3.", 3.0),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("18:30", "18:30"),
        ("1_000", "1_000"),
        ("off", "off"),
        ("Yes", "Yes"),
        ("n", "n"),
        ("2026-11-05", "2026-11-05"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
    ],
)
def test_plain_values_are_what_people_mean(text: str, value: object) -> None:
    """Numbers are decimal, also with exponents; words, times and dates are texts; true and false alone are booleans."""
    got = read_yaml(f"a: {text}")["a"]
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *((key, word) for key in ("number", "count") for word in ("off", "no", "yes", "true", "'1'", "18:30")),
        *((key, word) for key in ("switch", "maybe") for word in ("yes", "off", "1", "0", "0.0", "'true'")),
        ("switch", "null"),
        *(("rates", f"[1, {word}]") for word in ("yes", "true", "'2'")),
        ("named", "{a: true}"),
        ("channels", "true"),
        ("channels", "'1'"),
        ("steps", "off"),
        ("inner", "{share: no}"),
        ("number", ".inf"),
        ("number", ".nan"),
    ],
)
def test_a_value_of_another_kind_is_refused(tmp_path: Path, key: str, text: str) -> None:
    """No word and no switch becomes a number, no number or text a switch, in sections and lists too."""
    with pytest.raises(ConfigError, match=f"'{key}"):
        _load(tmp_path, f"{key}: {text}")


def test_values_of_the_right_kind_are_taken(tmp_path: Path) -> None:
    """Whole numbers where any number may stand, words where a text may stand."""
    text = "{number: 3, count: 3, switch: true, maybe: null, text: off, rates: [1, 1e-3], channels: 3, steps: auto}"
    taken = _load(tmp_path, text)
    assert (taken.number, taken.count, taken.switch, taken.maybe, taken.text) == (3.0, 3, True, None, "off")
    assert (taken.rates, taken.channels, taken.steps) == ((1.0, 0.001), 3, "auto")


def test_a_threshold_is_never_a_word(tmp_path: Path) -> None:
    """`threshold: off` is one sentence, and no threshold of 0."""
    data: dict[str, Any] = station_data(tmp_path, 1883)
    for word in ("off", "no", "yes", "on", "false"):
        (tmp_path / "station.yaml").write_text(yaml.safe_dump(data) + f"threshold: {word}\n")
        with pytest.raises(ConfigError, match="'threshold': input should be a valid number"):
            load_yaml(tmp_path / "station.yaml", StationConfig)


_DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(_DATA)
def test_what_json_says_is_read_as_it_is(data: Any) -> None:
    """YAML in JSON's notation gives the same values."""
    import json

    assert read_yaml(json.dumps(data)) == data


def test_valid_keys_are_told_once() -> None:
    """Of many unknown keys at one place each is named, and the valid keys of the place stand there once."""
    with pytest.raises(ConfigError) as caught:
        parse({"qqq": 1, "xxx": 2}, _Settings, "file.yaml")
    assert str(caught.value).count("valid keys") == 1
    assert "'qqq'" in str(caught.value) and "'xxx'" in str(caught.value)
