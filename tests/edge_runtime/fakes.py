"""An inspector without a model, and a station configuration for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import ImageError
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity
from latentline.scoring.defects import Defect
from tests.paths import ROOT

BRIGHT, DARK, UNUSABLE, FATAL, NOT_A_NUMBER = 200, 20, 1, 2, 3  # grey levels


class FakeInspector:
    """Bright frames are abnormal, and some grey levels make it fail: see the constants above."""

    identity = ModelIdentity("fake", "ab" * 32, "none", 100.0, 3.0, 1, 8)
    reason = "it is a fake"
    ahead = 2
    baseline = None

    def begin(self, image: npt.NDArray[np.uint8]) -> Callable[[], InspectionResult]:
        """What is returned inspects."""
        return lambda: self.inspect(image)

    def inspect(self, image: npt.NDArray[np.uint8]) -> InspectionResult:
        """Score is the mean grey level; one defect, the whole frame."""
        level = int(image.mean())
        if level == UNUSABLE:
            raise ImageError("too dark to judge")
        if level == FATAL:
            raise RuntimeError("backend lost")
        height, width = image.shape[:2]
        defect = Defect((0, 0, width, height), width * height, 9.0, 4.0, ((0, 0), (width, 0), (width, height)), "map")
        score = float("nan") if level == NOT_A_NUMBER else float(level)
        anomaly_map = np.full((height, width), level / 10, np.float32)
        times = {"preprocess": 0.1, "search": 1.0, "score": 0.1}
        defects = (defect,) if score > 100 else ()
        return InspectionResult(score, 100.0, {"mean": score}, defects, anomaly_map, image, image, 1, times)

    def close(self) -> None:
        """Nothing to release."""


def write_picture(path: Path, level: int, size: tuple[int, int] = (8, 6), channels: int = 1) -> None:
    """A flat picture of `size` (width, height) that appears under its name only when it is whole."""
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], channels)
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(cv2.imencode(".png", np.full(shape, level, np.uint8))[1].tobytes())
    temporary.rename(path)


def station_data(folder: Path, port: int, **mqtt: Any) -> dict[str, Any]:
    """A station over the folder of pictures `folder`/pictures, as the YAML would say it."""
    (folder / "pictures").mkdir(exist_ok=True)
    return {
        "station": {"id": "line-1"},
        "model": str(folder / "model.zip"),
        "cameras": [{"id": "top", "kind": "folder", "source": str(folder / "pictures"), "settle_seconds": 0.0}],
        "mqtt": {"host": "127.0.0.1", "port": port, "reconnect_max_seconds": 0.1, **mqtt},
        "spool": {"path": str(folder / "spool.sqlite")},
        "supervision": {"http_port": None},
    }


def validate(topic: str, body: dict[str, Any]) -> None:
    """Check a message against the schema that its topic calls for."""
    name = topic.rsplit("/", 1)[1]
    if name == "status" and "/cam/" in topic:
        name = "camera-status"
    _validator(name).validate(body)


@cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator  # a tenth of the start of a station, which needs no schema

    schema = json.loads((ROOT / "docs" / "mqtt" / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
