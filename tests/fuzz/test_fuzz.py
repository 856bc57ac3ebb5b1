"""Whatever a file contains, the user gets a result or one sentence: no traceback, no hang."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.config import StationConfig, load_station
from latentline.errors import ConfigError, ImageError, PackageError
from latentline.package.model_package import CALIBRATION, MANIFEST, SELFTEST, ModelPackage, load_package
from latentline.vision.images import read_image
from tests.packages import rewrite, write_tiny_package

EXAMPLES = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])

_SECRET = "-".join(["never", "shown"])  # assembled here, so that Hypothesis does not find it in this file
_STATION: dict[str, Any] = {
    "station": {"id": "line-1"},
    "model": "model.zip",
    "threshold": 2.0,
    "cameras": [
        {"id": "top", "kind": "device", "source": 0, "stall_seconds": 2.0},
        {"id": "side", "kind": "folder", "source": "pictures", "watch": True},
        {"id": "far", "kind": "stream", "source": f"rtsp://user:{_SECRET}@camera/1"},
    ],
    "mqtt": {"host": "broker", "username": "u", "password_env": "P", "tls": {"ca": "ca.pem"}, "keep_alive": 30},
    "spool": {"path": "spool.sqlite", "max_events": 100},
}

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.binary(max_size=8)
    | st.sampled_from(
        ["", "~", "/", "..", "\0", f"rtsp://a:{_SECRET}@b", "NaN", "1e999", "device", "folder", -1, 10**400]
    )
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_SCALARS, inner, max_size=3), max_leaves=8
)


def _places(data: Any) -> list[tuple[Any, ...]]:
    """Every path into `data`."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [(), *((key, *rest) for key, value in inside for rest in _places(value))]


@st.composite
def _changed(draw: st.DrawFn, original: dict[str, Any], values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """`original` with a few of its values replaced, removed or added."""
    data = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from([place for place in _places(data) if place]))
        inside = data
        for step in way:
            inside = inside[step]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            inside[last] = draw(values)
        elif action == "remove":
            del inside[last]
        elif isinstance(inside, dict):
            inside[draw(st.text(max_size=8))] = draw(values)
        else:
            inside.append(draw(values))
    return data


@st.composite
def _damaged(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of `originals` with bytes replaced, cut out, repeated or inserted."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        # Parsers fail most often on headers, so half of the damage is done there.
        begin = draw(st.integers(0, min(64, len(content))) | st.integers(0, len(content)))
        end = min(len(content), begin + draw(st.integers(0, 16)))
        piece = draw(st.binary(max_size=16) | st.just(bytes(content[begin:end]) * 2))
        content[begin:end] = piece
    return bytes(content)


def _load(path: Path) -> StationConfig | str:
    try:
        return load_station(path)
    except ConfigError as error:
        return _sentence(error)


def _sentence(error: Exception) -> str:
    """The message of an error, checked to be fit for a user."""
    text = str(error)
    assert text and len(text) < 2000 and "Traceback" not in text
    return text


@EXAMPLES
@given(_changed(_STATION, _VALUES))
def test_station_yaml_with_other_values(tmp_path: Path, data: dict[str, Any]) -> None:
    """Changed values give a station, or one sentence that does not show the password in a URL."""
    path = tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=False), encoding="utf-8")
    loaded = _load(path)
    assert isinstance(loaded, StationConfig) or _SECRET not in loaded


@EXAMPLES
@given(st.binary(max_size=200) | _damaged([yaml.safe_dump(_STATION).encode()]) | st.text(max_size=200).map(str.encode))
def test_station_yaml_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    """Damaged and random text gives a station or one sentence."""
    path = tmp_path / "station.yaml"
    path.write_bytes(content)
    _load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"a: 2001-99-99",
        b"a: 1:99:99e3",
        b"[" * 5000,
        b"a: &a [*a, *a]",
        b"a: &a {b: *a}\nstation: *a",
        b"<<: [1]",
        b"? {a: b}\n: c",
        b"? [a]\n: c",
        b"a: !!python/object/apply:os.system [id]",
        b"a: !!int x",
        b"a: !!float 1.2.3",
        b"a: !!timestamp x",
        b"a: !!binary \xc3\xa9",
        b"a: " + b"9" * 5000,
        b"\xff\xfe\x00\xd8",
        b"---\na: 1\n---\nb: 2",
        b"\0",
        b"",
        b"a: 0x",
        b"a: 0b",
        b"a: =",
        b"a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + b"".join(b"%c: &%c [%b]\n" % (x, x, b", ".join([b"*%c" % (x - 1)] * 9)) for x in range(98, 110))
        + b"station: *m",
    ],
)
def test_yaml_that_parsers_trip_over(tmp_path: Path, content: bytes) -> None:
    """Impossible dates, deep nesting, loops, tags and numbers of the wrong kind each give one sentence."""
    path = tmp_path / "station.yaml"
    path.write_bytes(content)
    assert isinstance(_load(path), str)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete package, which no test changes."""
    return write_tiny_package(tmp_path_factory.mktemp("fuzz") / "package")


@pytest.fixture
def package(tiny: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the package for this test's examples."""
    yield Path(shutil.copytree(tiny, tmp_path / "package"))


def _open(path: Path) -> ModelPackage | str:
    try:
        return load_package(path)
    except PackageError as error:
        return _sentence(error)


@EXAMPLES
@given(st.data())
def test_manifest_with_other_values(package: Path, tiny: Path, data: st.DataObject) -> None:
    """A manifest with changed values gives a package or one sentence."""
    original = json.loads((tiny / MANIFEST).read_text())
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
    (package / MANIFEST).write_text(json.dumps(data.draw(_changed(original, json_values))))
    _open(package)


@EXAMPLES
@given(st.data())
def test_damaged_file_of_a_package(package: Path, tiny: Path, data: st.DataObject) -> None:
    """A change to any file but the manifest is detected."""
    name = data.draw(st.sampled_from(sorted(path.name for path in tiny.iterdir())))
    original = (tiny / name).read_bytes()
    content = data.draw(_damaged([original]))
    (package / name).write_bytes(content)
    opened = _open(package)
    (package / name).write_bytes(original)
    assert isinstance(opened, str) or content == original or name == MANIFEST


@EXAMPLES
@given(st.data())
def test_damaged_arrays_with_the_right_hash(package: Path, tiny: Path, data: st.DataObject) -> None:
    """Damaged arrays with the manifest's hash give a package or one sentence."""
    name = data.draw(st.sampled_from([CALIBRATION, SELFTEST]))
    rewrite(package, name, data.draw(_damaged([(tiny / name).read_bytes()])))
    _open(package)
    rewrite(package, name, (tiny / name).read_bytes())


@EXAMPLES
@given(st.data())
def test_damaged_zip(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    """A damaged archive gives a package or one sentence."""
    archive = tmp_path / "package.zip"
    if not (tmp_path / "whole.zip").exists():
        shutil.make_archive(str(tmp_path / "whole"), "zip", tiny)
    whole = (tmp_path / "whole.zip").read_bytes()
    # The directory of a zip is at its end.
    content = bytearray(data.draw(_damaged([whole[:-2000] + whole[-2000:]])))
    place = len(content) - 1 - data.draw(st.integers(0, min(1000, len(content) - 1)))
    content[place] = data.draw(st.integers(0, 255))
    archive.write_bytes(content)
    _open(archive)


def _pictures() -> list[bytes]:
    surface = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    return [cv2.imencode(suffix, surface)[1].tobytes() for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp")]


@EXAMPLES
@given(_damaged(_pictures()) | st.binary(max_size=64))
def test_damaged_pictures(tmp_path: Path, content: bytes) -> None:
    """A damaged picture gives an image that can be inspected, or one sentence."""
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    try:
        image = read_image(path)
    except ImageError as error:
        assert str(path) in _sentence(error)
    else:
        assert image.dtype == np.uint8 and image.ndim in (2, 3) and image.size
        assert image.ndim == 2 or image.shape[2] in (1, 3)
