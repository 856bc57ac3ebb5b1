"""Which methods and scales are compared, and how long a training may last."""

from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench.configs import CONFIGS
from latentline.vision.tiles import TilePlan
from trainer.choose.budget import total_images, within_budget
from trainer.choose.candidates import METHODS, MOST_SCALES, SMALLEST_SIDE, candidate, heights, recipe
from trainer.config import TrainConfig
from trainer.data.settings import FolderData
from trainer.search_cost import MANY_TILES

OF_THE_USER = ("name", "data", "preprocessing")  # what a recipe leaves to the training file


@pytest.mark.parametrize("method", METHODS)
def test_a_recipe_is_the_configuration_that_ships(method: str) -> None:
    """So `choose` compares what a user would train."""
    shipped = yaml.safe_load((CONFIGS / "methods" / f"{method}.yaml").read_text(encoding="utf-8"))
    assert recipe(method) == {key: value for key, value in shipped.items() if key not in OF_THE_USER}


@given(st.integers(16, 4000), st.integers(16, 4000))
def test_scales_halve_and_keep_the_tiles_in_bounds(height: int, width: int) -> None:
    """At least one scale is tried; only the smallest possible one may have more tiles than the limit."""
    tried = heights((height, width), 64, 0.5)
    assert 1 <= len(tried) <= MOST_SCALES and tried == sorted(set(tried), reverse=True) and tried[0] <= height
    for one in tried:
        across = max(1, round(width * one / height))
        tiles = len(TilePlan.cover(one, across, 64, 0.5).corners)
        assert tiles <= MANY_TILES or min(one, across) // 2 < SMALLEST_SIDE
    assert all(larger // 2 == smaller for larger, smaller in pairwise(tried))


def _user(tmp_path: object) -> TrainConfig:
    preprocessing = {"channels": 3, "region": {"width": 0.5}}
    content = {"method": {"kind": "pca"}, "preprocessing": preprocessing, "augment": {"flip": ["vertical"]}}
    return TrainConfig.model_validate({"data": {"root": str(tmp_path)}, **content})


@pytest.mark.parametrize("method", METHODS)
def test_a_candidate_keeps_what_the_user_knows_of_the_product(method: str, tmp_path: object) -> None:
    """Channels and augmentation are the user's; without known defects Noisy-AnoGAN makes its own.

    The images that are compared on are cut to the user's region already.
    """
    config = candidate(method, 200, _user(tmp_path), FolderData.model_validate({"root": tmp_path})).config
    assert (config.preprocessing.channels, config.preprocessing.height, config.augment.flip) == (3, 200, ("vertical",))
    assert config.unmeasured_iterations == 0 and config.preprocessing.region is None
    if method == "noisy_anogan":
        assert config.method.model_dump()["synthetic_fraction"] == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_scales_every_phase_alike(method: str, tmp_path: object) -> None:
    """A phase that is on stays on, and the sum is the budget, to a few images of rounding."""
    config = candidate(method, 200, _user(tmp_path), FolderData.model_validate({"root": tmp_path})).config
    small = within_budget(config, 5000)
    assert abs(total_images(small) - 5000) < 20
    assert bool(small.schedule.encoder_images) == bool(config.schedule.encoder_images)
