"""The methods and scales that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from latentline.base.strict_yaml import parse
from latentline.vision.preprocessing import Preprocessing
from latentline.vision.tiles import TilePlan
from trainer.config import TrainConfig
from trainer.data.settings import FolderData
from trainer.search_cost import MANY_TILES

SCALING = "pca"  # computed in seconds, so it tries the scales
METHODS = (SCALING, "autoencoder_l2", "autoencoder_ssim", "noisy_anogan")
MOST_SCALES = 3
SMALLEST_SIDE = 64  # px; a smaller image would be one tile with a mirrored edge


@dataclass(frozen=True)
class Candidate:
    """A method at a scale. `height` is that of the prepared image, px."""

    method: str
    height: int
    config: TrainConfig

    @property
    def name(self) -> str:
        """Names it in tables and folders."""
        return f"{self.method}-{self.height}px"


def recipe(method: str) -> dict[str, Any]:
    """The sections method, network, schedule and search that ship for a method."""
    text = (files("trainer.choose") / "recipes" / f"{method}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def candidate(method: str, height: int, user: TrainConfig, data: FolderData) -> Candidate:
    """A method with the user's preprocessing and augmentation at this height, on the images `data`.

    These are cut to the user's region already.
    Without known-abnormal images Noisy-AnoGAN trains on synthetic defects alone. Nothing is searched: how many search
    steps pay is measured when the model is evaluated or exported.
    """
    sections = recipe(method)
    if method == "noisy_anogan" and not data.has_known_abnormal:
        sections["method"]["synthetic_fraction"] = 1.0
    sections["schedule"]["seed"] = user.schedule.seed
    sections["search"]["iterations"] = 0
    given = {
        "name": method,
        "data": data.model_dump(),
        "augment": user.augment.model_dump(),
        "preprocessing": scaled(user.preprocessing, height).model_copy(update={"region": None}).model_dump(),
    }
    return Candidate(method, height, parse({**sections, **given}, TrainConfig, f"recipe {method}"))


def scaled(preprocessing: Preprocessing, height: int) -> Preprocessing:
    """The same preprocessing at another height."""
    return preprocessing.model_copy(update={"height": height})


def heights(shape: tuple[int, int], tile_size: int, overlap: float) -> list[int]:
    """The heights to try for images of `shape` (height, width), the largest first: each half of the one before.

    None gives more than MANY_TILES tiles, and none a side below 64 px, but the last one that is left.
    """
    tried: list[int] = []
    height = shape[0]
    while len(tried) < MOST_SCALES:
        width = max(1, round(shape[1] * height / shape[0]))
        tiles = len(TilePlan.cover(height, width, tile_size, overlap).corners)
        smallest = min(height, width) // 2 < SMALLEST_SIDE
        if tiles <= MANY_TILES or smallest:
            tried.append(height)
        if smallest:
            break
        height //= 2
    return tried
