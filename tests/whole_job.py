"""A trained run that the tests of whole jobs share: one process of a test run trains it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import yaml

from tests.sharing import FOLDER, made_once
from tests.trainer.folder import tiny_config, write_folder
from trainer.cli import main


def whole_job() -> Path:
    """A folder with `images`, `train.yaml` and `run`, by the command of the README: a GAN whose discriminator and
    encoder are trained after it. Tests read it; a command that writes into a run gets a copy of `run`."""
    return Path(made_once("whole-job", _trained))


def _trained() -> str:
    folder = Path(tempfile.mkdtemp(prefix="whole-job-", dir=os.environ.get(FOLDER)))
    images = write_folder(folder / "images", train=72, good=8, defects=16)
    config = tiny_config(images, final_images=240, encoder_images=240, discriminator_images=64)
    config["data"]["held_out_fraction"] = 0.4
    (folder / "train.yaml").write_text(yaml.safe_dump(config))
    arguments = ["--threads", "1", "fit", str(folder / "train.yaml"), str(folder / "run"), "--device", "cpu"]
    assert main(arguments) == 0
    return str(folder)
