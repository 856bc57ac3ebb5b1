from __future__ import annotations

from pathlib import Path

import pytest

from latentline.base.strict_yaml import load_yaml, parse
from latentline.errors import ConfigError
from tests.paths import ROOT
from trainer.config import TrainConfig

FILES = sorted((ROOT / "configs" / "train").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_ready_configuration_loads(path: Path) -> None:
    """Every training file that a user is told to copy is valid."""
    assert load_yaml(path, TrainConfig).name != "model"


def _parsed(**sections: object) -> TrainConfig:
    return parse({"data": {"root": "images", "known_abnormal_fraction": 0.1}, **sections}, TrainConfig, "my.yaml")


@pytest.mark.parametrize("value", ["sometimes", -1, 10_001, 2.5, True, None])
def test_iterations_are_a_number_or_auto(value: object) -> None:
    """Anything else gives one sentence."""
    with pytest.raises(ConfigError) as refused:
        _parsed(search={"iterations": value})
    assert str(refused.value) == (
        f"my.yaml: 'search.iterations': give a whole number from 0 to 10000, or auto (got {value!r})"
    )


@pytest.mark.parametrize("kind", ["autoencoder", "pca", "vae", "anovaegan", "anogan", "noisy_anogan"])
def test_every_method_may_leave_the_iterations_to_auto(kind: str) -> None:
    """It is the default, and where nothing can be measured it is 0, or 100 from a random z."""
    config = _parsed(method={"kind": kind})
    assert config.search.iterations == "auto"
    assert config.unmeasured_iterations == (100 if config.method.is_gan else 0)
    assert _parsed(method={"kind": "f_anogan"}, schedule={"encoder_images": 8}).unmeasured_iterations == 0


@pytest.mark.parametrize("tiles", [0, -3, "many", 2.5])
def test_searched_tiles_are_a_number_or_all(tiles: object) -> None:
    """Anything else gives a sentence that names the setting."""
    with pytest.raises(ConfigError, match=r"my\.yaml: 'search\.tiles"):
        _parsed(search={"tiles": tiles})


def test_some_tiles_need_a_discriminator_that_chooses_them() -> None:
    """Every tile is searched unless a number is given, which a method without a discriminator refuses."""
    assert _parsed().search.most_tiles is None and _parsed(search={"tiles": 8}).search.most_tiles == 8
    with pytest.raises(ConfigError, match=r"method pca has no discriminator .*: set search\.tiles to all"):
        _parsed(method={"kind": "pca"}, search={"tiles": 8})


def test_iterations_must_fit_the_method() -> None:
    """An autoencoder has no search, and a search from a random z needs steps."""
    with pytest.raises(ConfigError, match=r"set search\.iterations to 0 or auto"):
        _parsed(method={"kind": "pca"}, search={"iterations": 5})
    with pytest.raises(ConfigError, match=r"search\.iterations 0 needs an encoder"):
        _parsed(method={"kind": "anogan"}, search={"iterations": 0})
