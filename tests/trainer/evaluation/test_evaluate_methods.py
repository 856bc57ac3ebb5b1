"""Every method goes from a configuration to a report by the commands alone."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save

from tests.trainer.folder import tiny_config, write_folder
from tests.trainer.pictures.viewers import read_cells
from trainer.checkpoint import read_tensors
from trainer.cli import main
from trainer.evaluation.report import read_results

pytestmark = pytest.mark.usefixtures("undrawn")

Section = dict[str, Any]

DISCRIMINATOR = {"d_frame", "d_reconstruction", "feature"}
NO_SEARCH = {"iterations": 0}
METHODS: dict[
    str, tuple[Section, Section, set[str]]
] = {  # method, search, components that must stand alone in the table
    "noisy_anogan": (
        {"kind": "noisy_anogan", "patch_head": 1.0, "synthetic_fraction": 0.5},
        {},
        {
            "loss",
            *DISCRIMINATOR,
        },  # the patch head's map only where it has a weight, which so short a training rarely earns
    ),
    "anogan, paper": ({"kind": "anogan"}, {"score": "paper"}, {"loss", *DISCRIMINATOR}),
    "f_anogan": ({"kind": "f_anogan"}, NO_SEARCH, {"loss", *DISCRIMINATOR}),
    "autoencoder": ({"kind": "autoencoder"}, {**NO_SEARCH, "map": "ssim"}, {"ssim_1px"}),
    "pca": ({"kind": "pca"}, {**NO_SEARCH, "map": "l2"}, {"l2_1px"}),
    "vae": ({"kind": "vae"}, {**NO_SEARCH, "map": "probability", "samples": 2}, {"kl"}),
    "anovaegan": ({"kind": "anovaegan"}, {**NO_SEARCH, "map": "l2"}, {"kl", *DISCRIMINATOR}),
}


def _fit(folder: Path, method: Section, search: Section, **schedule: object) -> Path:
    config = tiny_config(write_folder(folder / "data", train=48), fade_images=8, stable_images=0, **schedule)
    config |= {"method": method, "search": {"iterations": 2, **search}}
    config["schedule"] |= {"final_images": 16, "encoder_images": 16 if method["kind"] == "f_anogan" else 0}
    config["network"] |= {"autoencoder_width": 4}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", str(folder / "config.yaml"), str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_fitted_and_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Its own components stand alone in the table, and image and pixel figures are there, with intervals."""
    method, search, components = METHODS[name]
    run = _fit(tmp_path, method, search)
    capsys.readouterr()
    assert main(["evaluate", str(run / "checkpoint"), "--false-alarm-rate", "0.2"]) == 0
    report, scores = read_results(run)
    assert report.to_markdown() in capsys.readouterr().out
    assert report.method == method["kind"] and set(report.component_auroc) >= components
    assert ("loss" in report.component_auroc) == ("loss" in components)
    assert report.image_auroc is not None and report.image_auroc.low is not None
    assert report.coverage is not None and report.coverage.components == 8 and report.coverage.pca > 0.9
    assert f"{report.coverage.explained:.3f}; PCA (8 components): {report.coverage.pca:.3f}" in report.to_markdown()
    assert report.pixel_auroc is not None and report.aupro is not None and len(scores.images) == 12
    columns = {len(row) for row in read_cells(run / "evaluation" / "tiles.png")}
    assert columns == {4}  # tile, G(E(x)) or what the search found, difference, map
    if search.get("score") == "paper":
        assert report.image_auroc.value == pytest.approx(report.component_auroc["loss"].value)


@pytest.fixture(scope="module")
def anogan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _fit(tmp_path_factory.mktemp("anogan"), {"kind": "anogan"}, {})


def test_weights_that_are_not_numbers_end_in_one_sentence(
    anogan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint of NaN weights is not evaluated to a table of nonsense."""
    run = tmp_path / "run"
    shutil.copytree(anogan, run)
    tensors = read_tensors(run / "checkpoint", "networks.safetensors")
    broken = {k: torch.full_like(v, float("nan")) if k.startswith("average") else v for k, v in tensors.items()}
    (run / "checkpoint" / "networks.safetensors").write_bytes(save(broken))
    assert main(["evaluate", str(run), "--false-alarm-rate", "0.2"]) == 2
    error = capsys.readouterr().err
    assert "not finite" in error and "Traceback" not in error and not (run / "evaluation").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--iterations", "0"], "--iterations 0 needs an encoder, but this training has none; give 1 or more"),
        (["--false-alarm-rate", "0.001"], "a false-alarm rate of 0.001 needs at least 999"),
        (["--data", "nowhere"], "there is no such folder"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    anogan: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """Exit code 2 and one sentence."""
    assert main(["evaluate", str(anogan), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_file_in_the_place_of_a_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A training file or a package is no run; the sentence does not talk of where the results would go."""
    (tmp_path / "my.yaml").write_text("name: my\n")
    assert main(["evaluate", str(tmp_path / "my.yaml")]) == 2
    assert "my.yaml: this is a file; give a run folder that `latentline-train fit` wrote" in capsys.readouterr().err


def test_a_smooth_tail_promises_what_ranks_cannot(anogan: Path, tmp_path: Path) -> None:
    """With a rate that these few held-out images do not reach otherwise; the report says what it rests on."""
    arguments = ["evaluate", str(anogan), str(tmp_path / "out"), "--iterations", "1", "--limit", "2"]
    assert main([*arguments, "--false-alarm-rate", "0.02"]) == 2
    assert main([*arguments, "--false-alarm-rate", "0.02", "--threshold", "smooth"]) == 0
    table = read_results(tmp_path / "out")[0].to_markdown()
    assert "taken for exponential" in table and "what few images cost" in table


def test_an_autoencoder_takes_no_iterations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has nothing to iterate."""
    run = _fit(tmp_path, {"kind": "autoencoder"}, NO_SEARCH)
    assert main(["evaluate", str(run), "--iterations", "5"]) == 2
    assert "has no search, so leave out --iterations" in capsys.readouterr().err
