"""A configuration becomes a run folder and a checkpoint, for every method."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from latentline.base.only_writer import only_writer
from latentline.errors import CheckpointError
from tests.trainer.folder import tiny_config, write_folder
from tests.trainer.pictures.viewers import read_cells
from tests.trainer.runs import write_config
from trainer.checkpoint import load_checkpoint
from trainer.cli import load_config, main
from trainer.run.fit import fit


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    return fit(load_config(write_config(folder, fade_images=1, stable_images=0, final_images=8), None), folder / "run")


def test_a_run_folder_holds_all_that_a_user_looks_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Curves, samples, tiles, log, TensorBoard events and a report that says what is wrong."""
    config, run = write_config(tmp_path, final_images=160), tmp_path / "run"
    assert main(["fit", str(config), str(run), "--device", "cpu"]) == 0
    assert {p.name for p in run.iterdir()} == {
        *("config.yaml", "checkpoint", "log.txt", "metrics.jsonl", "tensorboard", "report.md"),
        *("curves.png", "samples.png", "tiles.png"),
    }
    assert capsys.readouterr().out.count("\n") == 1
    report = (run / "report.md").read_text()
    assert "| normal, for training | 12 |" in report and "would refuse this one" in report
    assert "256 of 256 images shown, finished" in report
    assert "G(E(x)) explains | without an encoder only a search finds z: `evaluate` measures it |" in report
    for picture, sentence in (
        ("![losses and mean D(x)](curves.png)", "The losses should settle"),
        ("![real tiles and samples of the generator](samples.png)", "It should be hard to say which side is real"),
        ("difference](tiles.png)", "The second column should show the same product as the first"),
    ):
        assert report.index("## Next") < report.index(picture) < report.index(sentence)
    log = (run / "log.txt").read_text()
    assert "256 images in" in log
    for text in (log, report):
        assert "12 normal images are held out (data.held_out_fraction), too few for evaluate and export" in text
        assert "at least 19" in text
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [160, 256]  # every 20 steps of 8, and the last
    assert lines[-1]["coverage"] is None and "`evaluate` measures what G explains" in log
    assert lines[-1]["diversity"] > 0 and lines[-1]["health"] == []
    (events,) = (run / "tensorboard").iterdir()
    assert b"loss/generator" in events.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"method": {"kind": "anogan"}, "data": {"root": "data"}},
        {"method": {"kind": "f_anogan"}, "search": {"iterations": 0}, "schedule": {"encoder_images": 16}},
        {
            "method": {"kind": "noisy_anogan", "synthetic_fraction": 0.5, "patch_head": 0.5},
            "schedule": {"precision": "bfloat16"},
        },
        {"method": {"kind": "autoencoder"}, "search": {"iterations": 0}},
        {"method": {"kind": "pca"}, "search": {"iterations": 0}},
        {"method": {"kind": "vae"}, "search": {"iterations": 0, "map": "probability", "samples": 2}},
        {"method": {"kind": "anovaegan"}, "search": {"iterations": 0}},
    ],
    ids=lambda change: str(next(iter(change.values()))),
)
def test_every_method_is_fitted_and_loaded(tmp_path: Path, change: dict[str, Any]) -> None:
    """A configuration is all that a method needs; its checkpoint loads with the networks that it has."""
    content = tiny_config(write_folder(tmp_path / "data"), fade_images=8, stable_images=8, final_images=16)
    path = tmp_path / "config.yaml"
    schedule = {**content["schedule"], **change.get("schedule", {})}
    path.write_text(yaml.safe_dump({**content, **change, "schedule": schedule}))
    config = load_config(path, None)
    checkpoint = load_checkpoint(fit(config, tmp_path / "run"))
    method = config.method
    assert (checkpoint.discriminator is not None) == method.has_discriminator
    told, known = method.kind == "noisy_anogan", 0 if "data" in change else 4  # of eight defects
    sides = checkpoint.split.known_abnormal, checkpoint.split.validation_abnormal
    assert [len(side) for side in sides] == ([known, 0] if told else [0, known])
    assert (checkpoint.encoder is not None) == (not method.is_gan or method.kind == "f_anogan")
    assert not any(p.isnan().any() for p in checkpoint.generator.parameters())
    columns = {len(row) for row in read_cells(tmp_path / "run" / "tiles.png")}
    assert columns == {3}  # tile, G(E(x)) or a search, difference
    report = (tmp_path / "run" / "report.md").read_text()
    draws = method.is_gan or method.kind == "pca"
    assert ("samples of the generator" in report) == draws and ("and their reconstructions" in report) != draws


def test_a_run_folder_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second `fit` into the same folder is refused with exit code 2 and says how to continue."""
    config = write_config(tmp_path, fade_images=1, stable_images=0, final_images=8)
    assert main(["fit", str(config), str(tmp_path / "run")]) == 0
    assert main(["fit", str(config), str(tmp_path / "run")]) == 2
    assert "--resume" in capsys.readouterr().err


def test_two_trainings_never_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever comes second is told so, also with --resume, and touches no remains of the first's checkpoint."""
    config, run = write_config(tmp_path), tmp_path / "run"
    (run / ".checkpoint.4711.tmp").mkdir(parents=True)
    with only_writer(run / "log.txt", "trains"):
        assert main(["fit", str(config), "--resume", str(run)]) == 2
    assert f"error: {run}: another process trains into this folder" in capsys.readouterr().err
    assert {path.name for path in run.iterdir()} == {".checkpoint.4711.tmp", "log.txt"}


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_run_folder_that_cannot_be_is_one_sentence(
    tmp_path: Path, trained: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file, or a file above, is named; every command that writes a folder asks before its work."""
    config, run = write_config(tmp_path), tmp_path / place
    (tmp_path / "file").touch()
    for verb, what in (("fit", config), ("evaluate", trained), ("choose", config)):
        assert main([verb, str(what), str(run)]) == 2
        assert f"error: {run}: cannot be a folder to write into" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["networks.safetensors", "state.json", "config.yaml"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_broken_checkpoint_is_one_sentence(tmp_path: Path, trained: Path, file: str, damage: str) -> None:
    """Cut or missing files are named; nothing is loaded in part."""
    checkpoint = shutil.copytree(trained, tmp_path / "checkpoint")
    path = checkpoint / file
    path.write_bytes(path.read_bytes()[:40]) if damage == "cut" else path.unlink()
    with pytest.raises(CheckpointError):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": {"kind": "noisy_anogan", "gama": 0.1}}, "unknown key 'method.gama'; did you mean 'gamma'?"),
        ({"method": {"kind": "noisy_anogan", "gamma": 0}}, "'method.gamma'"),
        ({"method": {"kind": "noisy_anogan", "gamma": 1.5}}, "'method.gamma'"),
        ({"network": {"resolution": 48}}, "power of two"),
        ({"network": {"resolution": 2048}}, "'network.resolution'"),
        ({"network": {"resolution": 1024, "fmap_base": 1024}}, "fewer than 4 feature maps at 1024 px"),
        ({"method": {"kind": "f_anogan"}}, "set schedule.encoder_images"),
        ({"data": {"root": "x"}}, "method noisy_anogan needs known-abnormal images"),
        ({"data": {}}, "'data.root' is missing"),
    ],
)
def test_a_wrong_configuration_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], sentence: str
) -> None:
    """Exit code 2, the file, the key and what was expected; no traceback."""
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**tiny_config(tmp_path), **change}))
    assert main(["fit", str(path), str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert sentence in error and str(path) in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()
