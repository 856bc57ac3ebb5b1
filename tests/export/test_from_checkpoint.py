"""`latentline-export package`: from a checkpoint of any method and its images to a calibrated, verified package."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import trainer.cli
from export.cli import main
from latentline.model import open_model
from latentline.package.model_package import SEARCH_STEP, load_package
from tests.checkpoints import random_checkpoint
from tests.trainer.folder import write_folder
from trainer.checkpoint import Checkpoint, save_checkpoint
from trainer.evaluation import choose_search
from trainer.evaluation.evaluate_checkpoint import evaluate_checkpoint
from trainer.loops.training import TrainingState
from trainer.run.training_data import open_training_source

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images"), train=72, good=1, defects=12, side=40)


def save(checkpoint: Checkpoint, images: Path, run: Path) -> Path:
    """The checkpoint as `fit` would write it after a training on `images`."""
    data = checkpoint.config.data.model_copy(update={"root": images, "held_out_fraction": 0.4})
    config = checkpoint.config.model_copy(update={"data": data})
    generator = "average" if config.method.is_gan else "generator"
    parts = {generator: checkpoint.generator, "discriminator": checkpoint.discriminator, "encoder": checkpoint.encoder}
    networks = {
        f"{part}.{name}": tensor.contiguous()
        for part, network in parts.items()
        if network is not None
        for name, tensor in network.state_dict().items()
    }
    _, split = open_training_source(config)
    save_checkpoint(run / "checkpoint", config, TrainingState(networks, {}, {"images": 0}), split)
    return run


@pytest.mark.parametrize(
    ("name", "kind", "components"),
    [
        ("noisy_anogan", "residual", {"residual_1px", "d_patch", "feature", "d_frame", "d_reconstruction"}),
        ("vae", "probability", {"probability_1px", "kl"}),
        ("autoencoder", "ssim", {"ssim_1px"}),
        ("pca", "l2", {"l2_1px"}),
    ],
)
def test_checkpoint_becomes_a_package(
    name: str, kind: str, components: set[str], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Package, verification and an inspection work; map and components are the method's, coverage is evaluate's."""
    checkpoint = random_checkpoint(name)
    search = checkpoint.config.search.model_copy(update={"map": kind})
    checkpoint = replace(checkpoint, config=checkpoint.config.model_copy(update={"search": search}))
    run, out = save(checkpoint, images, tmp_path / "run"), tmp_path / "package.zip"
    assert main(["package", str(run), str(out), "--false-alarm-rate", "0.1", "--threads", "1"]) == 0
    assert "threshold" in capsys.readouterr().out
    assert main(["verify", str(out), "--checkpoint", str(run)]) == 0
    assert "and the checkpoint" in capsys.readouterr().out
    other = save(random_checkpoint("autoencoder" if name == "vae" else "vae"), images, tmp_path / "other")
    assert main(["verify", str(out), "--checkpoint", str(other)]) == 2
    assert "was exported from another run: this one has method" in capsys.readouterr().err
    manifest = load_package(out).manifest
    assert (manifest.map, manifest.method) == (kind, name)
    assert manifest.calibration.validation is not None
    measured = evaluate_checkpoint(run, tmp_path / "evaluation", false_alarm_rate=0.1).coverage
    assert manifest.coverage is not None and measured is not None
    assert manifest.coverage.explained == pytest.approx(measured.explained, abs=1e-3)
    assert manifest.coverage.model_copy(update={"explained": 0.0}) == measured.model_copy(update={"explained": 0.0})
    assert components <= {*manifest.calibration.validation.component_auroc}
    with open_model(out, "openvino", threads=1) as inspector:
        seen = inspector.inspect(np.full((40, 48), 90, np.uint8))
    assert set(seen.components) == {c.name for c in manifest.calibration.components}


def test_paper_score_is_the_loss_alone(images: Path, tmp_path: Path) -> None:
    """`search.score: paper` of a GAN packages L' as the one component, unscaled."""
    checkpoint = random_checkpoint("noisy_anogan")
    search = checkpoint.config.search.model_copy(update={"score": "paper", "iterations": 1})
    paper = replace(checkpoint, config=checkpoint.config.model_copy(update={"search": search}))
    run = save(paper, images, tmp_path / "run")
    assert main(["package", str(run), str(tmp_path / "out"), "--false-alarm-rate", "0.1", "--threads", "1"]) == 0
    (component,) = load_package(tmp_path / "out").manifest.calibration.components
    assert (component.name, component.mean, component.std, component.weight) == ("loss", 0.0, 1.0, 1.0)


def test_iterations_that_do_not_fit_the_method_are_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 2, and no package."""
    run = save(random_checkpoint("autoencoder"), images, tmp_path / "run")
    assert main(["package", str(run), str(tmp_path / "out"), "--iterations", "5"]) == 2
    assert capsys.readouterr().err == "error: method autoencoder has no search, so leave out --iterations\n"
    without_encoder = save(random_checkpoint("noisy_anogan"), images, tmp_path / "gan")
    assert main(["package", str(without_encoder), str(tmp_path / "out"), "--iterations", "0"]) == 2
    assert capsys.readouterr().err.endswith("but this training has none; give 1 or more\n")
    assert not (tmp_path / "out").exists()


def test_auto_chooses_the_search_of_the_package(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The manifest has the table, the station's iterations are the chosen ones, and it may be told to search anyway."""
    monkeypatch.setattr(choose_search, "MAX_STEPS", 600)
    run = save(random_checkpoint("f_anogan"), images, tmp_path / "run")
    arguments = ["package", str(run), str(tmp_path / "out"), "--false-alarm-rate", "0.1", "--threads", "1"]
    with caplog.at_level(logging.INFO):
        assert main([*arguments, "--iterations", "auto"]) == 0
    package = load_package(tmp_path / "out")
    choice = package.manifest.search_choice
    assert choice is not None and choice.chosen.iterations == package.manifest.search.iterations
    assert [trial.candidate.iterations for trial in choice.trials] == [0, 3, 10, 30]
    assert f"search: {choice.sentence} ({choice.frames})" in caplog.messages
    assert SEARCH_STEP in package.graphs and main(["verify", str(tmp_path / "out")]) == 0
    fixed = [*arguments[:2], str(tmp_path / "fixed"), *arguments[3:], "--iterations", "2"]
    assert main(fixed) == 0
    manifest = load_package(tmp_path / "fixed").manifest
    assert (manifest.search.iterations, manifest.search_choice) == (2, None)


def test_a_hundred_normal_images_are_enough_from_end_to_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a word about how many are held out, fit, evaluate and package work at the default false-alarm rate.

    The package takes over what evaluate measured, with a threshold as good as one of its own.
    """
    root = write_folder(tmp_path / "data", train=100, good=3, defects=3)
    path, run = tmp_path / "config.yaml", tmp_path / "run"
    sections = {"method": {"kind": "pca"}, "network": {"resolution": 32, "latent_size": 4}, "data": {"root": str(root)}}
    path.write_text(yaml.safe_dump({**sections, "schedule": {"final_images": 200}}))
    with caplog.at_level(logging.INFO):
        assert trainer.cli.main(["fit", str(path), str(run)]) == 0
    assert "70 normal images train and 30 are held out" in caplog.text
    assert "rests on 20 held-out normal images" in caplog.text and "0.1% to 16.8% of normal images" in caplog.text
    assert trainer.cli.main(["evaluate", str(run)]) == 0
    caplog.clear()
    thresholds = []
    for options in ([], ["--fresh"]):  # what evaluate measured by PyTorch holds in OpenVINO
        assert main(["package", str(run), str(tmp_path / "package"), "--threads", "1", *options]) == 0
        calibration = load_package(tmp_path / "package").manifest.calibration
        assert calibration.scored_normals == 20
        thresholds.append((calibration.threshold, calibration.map_threshold))
    assert caplog.text.count("of an earlier calibration") == 1
    assert thresholds[0] == pytest.approx(thresholds[1], rel=1e-3)
