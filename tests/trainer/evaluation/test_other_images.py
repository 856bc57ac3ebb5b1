"""A data root with other images under the same names is noticed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from latentline.vision.content import pixel_hash
from tests.trainer.folder import tiny_config, write_folder
from trainer.config import TrainConfig
from trainer.evaluation.other_images import warn_of_other_images
from trainer.run.training_data import open_training_source


def test_other_images_under_the_same_names_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where one image is as it was nothing is said, nor where the model does not know its images."""
    root = write_folder(tmp_path, train=16, good=1, defects=2)
    source, split = open_training_source(TrainConfig.model_validate(tiny_config(root)))
    known = pixel_hash(source.read(split.train[2]))
    for trained_on, said in (({known}, False), (set[str](), False), ({"another"}, True)):
        caplog.clear()
        checkpoint = SimpleNamespace(split=split, trained_on=frozenset(trained_on))
        warn_of_other_images(source, cast(Any, checkpoint))
        assert ("are not those that trained this model" in caplog.text) == said
    (root / split.train[0]).unlink()
    (root / split.train[1]).write_bytes(b"broken")
    caplog.clear()
    warn_of_other_images(source, cast(Any, SimpleNamespace(split=split, trained_on=frozenset({known}))))
    assert not caplog.messages
