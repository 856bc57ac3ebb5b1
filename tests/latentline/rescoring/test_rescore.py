from __future__ import annotations

import os
import signal
from dataclasses import asdict
from pathlib import Path

import pytest

from latentline.errors import DatasetError
from latentline.package.model_package import ModelPackage, load_package
from latentline.rescoring.crew import BATCH, Batch
from latentline.rescoring.local_crew import LocalCrew
from latentline.rescoring.pictures import list_pictures
from latentline.rescoring.rescore import RescoreReport, rescore
from latentline.rescoring.score_table import PART, read_scores
from latentline.rescoring.scorer import PictureScorer
from tests.latentline.rescoring.pictures import write_pictures
from tests.packages import write_tiny_package

pytest.importorskip("pyarrow", reason="PYARROW IS MISSING: no table of scores was tested; install the extra `rescore`")


class _KilledCrew(LocalCrew):
    """Loses a process, with a batch that it has just been given."""

    killed = False

    def give(self, batch: Batch) -> None:
        if not self.killed and batch.start >= BATCH:
            self.killed = True
            for pid in self.pids:
                os.kill(pid, signal.SIGKILL)
        super().give(batch)


class _StoppedCrew(LocalCrew):
    """Ctrl-C comes after the first part."""

    def give(self, batch: Batch) -> None:
        if batch.start > PART:
            raise KeyboardInterrupt
        super().give(batch)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return load_package(write_tiny_package(tmp_path_factory.mktemp("model") / "tiny.zip"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PART + 40 pictures; one is no picture, and one is cut short."""
    folder = write_pictures(tmp_path_factory.mktemp("pictures"), PART + 40)
    (folder / "005.png").write_text("no picture")
    (folder / "006.png").write_bytes((folder / "007.png").read_bytes()[:-20])
    write_pictures(folder / "ground_truth", 1)  # a mask, which is no picture of a part
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path, package: ModelPackage, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RescoreReport]:
    """The table by one process that nothing happens to."""
    out = tmp_path_factory.mktemp("out") / "scores.parquet"
    return out, rescore(list_pictures(folder), package, out, lambda opened: LocalCrew(opened, 1))


def test_each_picture_has_a_row_with_what_the_model_says(
    whole: tuple[Path, RescoreReport], folder: Path, package: ModelPackage
) -> None:
    """Score, components, defects and verdict are those of an inspection; a bad picture has a reason instead."""
    rows = {row.name: row for row in read_scores(whole[0])}
    assert list(rows) == [f"{i:03d}.png" for i in range(PART + 40)]
    assert {name for name, row in rows.items() if row.score is None} == {"005.png", "006.png"}
    assert "cut short" in (rows["006.png"].error or "")
    scorer = PictureScorer(package)
    result = scorer.inspect(folder / "000.png")
    scorer.close()
    assert (rows["000.png"].score, rows["000.png"].components) == (result.score, result.components)
    assert [asdict(d)["area"] for d in rows["000.png"].defects] == [d.area for d in result.defects]
    assert rows["000.png"].verdict == ("abnormal" if result.is_abnormal else "normal")
    assert whole[1].unreadable == 2


def test_a_killed_process_changes_nothing_in_the_table(
    whole: tuple[Path, RescoreReport], folder: Path, package: ModelPackage, tmp_path: Path
) -> None:
    """Its batch is tried again and counted, and the file of two processes is that of one, to the bit."""
    out = tmp_path / "scores.parquet"
    report = rescore(list_pictures(folder), package, out, lambda opened: _KilledCrew(opened, 2))
    assert report.retried >= 1
    assert out.read_bytes() == whole[0].read_bytes()


def test_an_interrupted_run_goes_on_where_it_was(
    whole: tuple[Path, RescoreReport], folder: Path, package: ModelPackage, tmp_path: Path
) -> None:
    """There is no table before it is whole; then it is the same, to the bit, and nothing is left beside it."""
    out, pictures = tmp_path / "scores.parquet", list_pictures(folder)
    with pytest.raises(KeyboardInterrupt):
        rescore(pictures, package, out, lambda opened: _StoppedCrew(opened, 1))
    assert not out.exists()
    report = rescore(pictures, package, out, lambda opened: LocalCrew(opened, 1))
    assert report.kept == PART
    assert out.read_bytes() == whole[0].read_bytes()
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    """A wrong folder is a sentence, not an empty table."""
    with pytest.raises(DatasetError, match="no pictures"):
        list_pictures(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        list_pictures(tmp_path / "nowhere")
