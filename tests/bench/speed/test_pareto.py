"""bench.speed.pareto: settings of the search on networks that are there."""

import argparse
from pathlib import Path

import pytest

from bench.detection.protocol.tables import Table
from bench.speed import pareto
from latentline.errors import ConfigError
from tests.trainer.folder import tiny_config, write_folder
from trainer.config import TrainConfig
from trainer.evaluation.intervals import Estimate
from trainer.run.fit import fit


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PCA on images of several tiles."""
    data = write_folder(tmp_path_factory.mktemp("data"), train=96, good=6, defects=12, side=64)
    given = {**tiny_config(data), "method": {"kind": "pca"}, "schedule": {"final_images": 64, "batch": 8}}
    folder = tmp_path_factory.mktemp("runs") / "pca-0"
    fit(TrainConfig.model_validate({**given, "search": {"iterations": 0}}), folder, device="cpu")
    return folder


def test_each_setting_is_calibrated_and_compared_with_the_first(run: Path, tmp_path: Path) -> None:
    """The same networks with fewer tiles: a row with the paired difference, and a point in the plot."""
    options = argparse.Namespace(out=tmp_path, runs=[run], overlaps=[0.5, 0.0], iterations=[0], tiles=["all"])
    jobs = pareto.setting_jobs(options)
    for (job,) in jobs.values():
        job.finish()
        assert job.finished
    table = pareto.pareto_table(jobs)
    assert list(table.rows) == ["overlap 0.5, n = 0, all tiles", "overlap 0, n = 0, all tiles"]
    first, second = table.rows.values()
    assert first["difference"] is None and isinstance(second["difference"], Estimate)
    pareto.draw(table, tmp_path / "plot" / "pareto.png")
    assert (tmp_path / "plot" / "pareto.png").stat().st_size > 10_000


def test_a_method_without_a_search_takes_no_iterations(run: Path, tmp_path: Path) -> None:
    """One sentence says so before anything is evaluated."""
    options = argparse.Namespace(out=tmp_path, runs=[run], overlaps=[0.5], iterations=[0, 10], tiles=["all"])
    with pytest.raises(ConfigError, match="pca has no search, so leave out --iterations"):
        pareto.setting_jobs(options)


def test_a_method_without_a_discriminator_searches_all_tiles(run: Path, tmp_path: Path) -> None:
    """One sentence says so before anything is evaluated."""
    options = argparse.Namespace(out=tmp_path, runs=[run], overlaps=[0.5], iterations=[0], tiles=["all", 8])
    with pytest.raises(ConfigError, match="pca has no discriminator to look first, so leave out --tiles"):
        pareto.setting_jobs(options)


def test_the_plot_needs_no_interval(tmp_path: Path) -> None:
    """A figure of a single test image has none; without normal test images pixel AUROC takes its place."""
    for figure in ("image AUROC", "pixel AUROC"):
        table = Table("settings", {"overlap 0, n = 0": {figure: Estimate(value=0.5), "ms an image": 3.0}})
        pareto.draw(table, tmp_path / figure / "pareto.png")
        assert (tmp_path / figure / "pareto.png").is_file()
