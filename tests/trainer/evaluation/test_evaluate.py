"""An evaluation finds what it should, says what it cannot find, and stops at what is wrong."""

import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from latentline.errors import DatasetError, ImageError
from latentline.inspection.inspector import Inspector
from latentline.scoring.thresholds import promise
from latentline.vision.content import pixel_hash
from tests.trainer.folder import write_folder
from tests.trainer.inspectors import BrightnessReconstructor, brightness_inspector
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData
from trainer.data.split import Split
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.evaluate import check_test_images, evaluate, limited
from trainer.evaluation.report import EvaluationReport, Scores, read_results

SUBJECT = Subject("brightness", "none", "brightness")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", good=8, defects=8)


def _source(root: Path) -> FolderSource:
    return FolderSource(FolderData(root=root, held_out_fraction=0.5))


def _evaluate(root: Path, out: Path, **inspector: Any) -> EvaluationReport:
    source = _source(root)
    return evaluate(brightness_inspector(**inspector), SUBJECT, source, source.split(0), out)


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    picture: np.ndarray = image
    return picture


def test_figures_equal_those_computed_from_the_images(root: Path, tmp_path: Path) -> None:
    """Image and pixel AUROC, the rows of each component and the confusion, against scikit-learn on the same files."""
    report = _evaluate(root, tmp_path / "out")
    good = [_read(p).astype(float) for p in sorted((root / "test" / "good").iterdir())]
    bad = [_read(p).astype(float) for p in sorted((root / "test" / "square").iterdir())]
    masks = [_read(p) > 127 for p in sorted((root / "ground_truth" / "square").iterdir())]
    labels = np.repeat([0, 1], 8)
    assert report.image_auroc is not None and report.pixel_auroc is not None and report.aupro is not None
    assert report.image_auroc.value == pytest.approx(roc_auc_score(labels, [i.max() for i in good + bad]))
    measures: dict[str, Callable[[np.ndarray], float]] = {
        "loss": lambda i: -i.mean(),
        "d_frame": np.std,
        "peak": np.max,
    }
    for name, measure in measures.items():
        expected = roc_auc_score(labels, [np.float32(measure(i)) for i in good + bad])
        assert report.component_auroc[name].value == pytest.approx(expected, abs=0.02)
    truth = np.concatenate([np.zeros(8 * 48 * 48), *(m.ravel() for m in masks)])
    assert report.pixel_auroc.value == pytest.approx(
        roc_auc_score(truth, np.concatenate([i.ravel() for i in good + bad])), abs=1e-3
    )
    assert report.confusion is not None
    seen = report.confusion
    assert (seen.detected, seen.missed) == (sum(i.max() > 200 for i in bad), sum(i.max() <= 200 for i in bad))
    assert (seen.false_alarms, seen.accepted) == (0, 8)
    assert report.pixel_images == 8 and 0.9 < report.aupro.value <= 1


def test_a_broken_promise_is_in_the_report_and_the_log(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where every normal test image is an alarm, both say so; where none is, the report has the promise alone."""
    source, promised = _source(root), promise(40, 40, 0.05)
    for threshold, broken in ((0.0, True), (200.0, False)):
        caplog.clear()
        inspector = brightness_inspector(threshold)
        calibration = inspector.calibration.model_copy(update={"promise": promised})
        inspector = Inspector(inspector.reconstructor, calibration)
        report = evaluate(inspector, SUBJECT, source, source.split(0), tmp_path / str(broken))
        sentence = "1.00 observed, 0.05 promised: these images do not resemble the calibration's"
        assert (sentence in report.to_markdown(), sentence in caplog.text) == (broken, broken)
        assert f"| what the threshold promises | {promised.sentence} |" in report.to_markdown()


def test_everything_is_written_and_can_be_read_again(root: Path, tmp_path: Path) -> None:
    """Report, scores by image with kind, part and digest, plots and pictures."""
    out = tmp_path / "out"
    report = _evaluate(root, out)
    again, scores = read_results(out)
    assert again == report and EvaluationReport.model_validate_json((out / "report.json").read_text()) == report
    page = (out / "report.md").read_text()
    assert page.startswith("# brightness: evaluation\n\nAt the threshold ") and report.to_markdown() in page
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert pictures[0] == "scores.png" and all((out / picture).is_file() for picture in pictures)
    assert sorted(scores.images) == [f"test/{k}/{i:03}.png" for k in ("good", "square") for i in range(8)]
    one = scores.images["test/square/003.png"]
    assert (
        one.kind == "square"
        and one.group == "test/square/003.png"
        and set(one.components)
        == {
            "peak",
            "loss",
            "d_frame",
        }
    )
    assert len({image.content for image in scores.images.values()}) == 16
    plots = {"scores.png", "roc.png", "precision_recall.png", "maps.png"}
    assert plots < {p.name for p in out.glob("*.png")}
    assert len(list(out.glob("good-*.png"))) == len(list(out.glob("square-*.png"))) == 2


def test_the_table_prints_what_a_method_has_alone(root: Path, tmp_path: Path) -> None:
    """The literal L', 1 − D(x) and every component stand in every table, with interval."""
    lines = _evaluate(root, tmp_path / "out").to_markdown().splitlines()
    for row in ("L' of the paper", "1 − D(x) alone", "component peak alone", "AUPRO", "F1-max"):
        line = next(line for line in lines if row in line)
        assert "[" in line and "]" in line


def test_the_worst_misses_and_false_alarms_are_shown(root: Path, tmp_path: Path) -> None:
    """Errors become pictures, as many as there are, and vanish when the next evaluation has none."""
    out = tmp_path / "out"
    _evaluate(root, out, threshold=300.0)  # misses everything
    assert (out / "misses.png").is_file() and not (out / "false_alarms.png").exists()
    six = cv2.imread(str(out / "misses.png"))
    assert six is not None and six.shape[0] % 6 == 0
    _evaluate(root, out, threshold=0.0)  # alarms at everything
    assert (out / "false_alarms.png").is_file() and not (out / "misses.png").exists()


def test_frames_are_begun_ahead_and_finished_in_order(root: Path, tmp_path: Path) -> None:
    """As many as the reconstructor takes; the scores stay with their images."""
    inspector = brightness_inspector(ahead=3)
    source = _source(root)
    report = evaluate(inspector, SUBJECT, source, source.split(0), tmp_path / "ahead")
    assert isinstance(inspector.reconstructor, BrightnessReconstructor)
    order = inspector.reconstructor.order
    assert order[:4] == [("begin", 0), ("begin", 1), ("begin", 2), ("finish", 0)]
    assert [n for step, n in order if step == "finish"] == list(range(16))
    assert report == _evaluate(root, tmp_path / "one").model_copy(
        update={"seconds_per_image": report.seconds_per_image}
    )


def test_without_normal_test_images_only_pixels_are_judged(root: Path, tmp_path: Path) -> None:
    """As of NanoTWICE: image figures are None and the table says why; ROC is not drawn."""
    source = _source(root)
    parts = replace(source.split(0), test_good=())
    report = evaluate(brightness_inspector(), SUBJECT, source, parts, tmp_path / "out")
    assert report.image_auroc is None and report.f1_max is None and report.image_auroc_by_defect == {}
    assert report.pixel_auroc is not None and report.aupro is not None and report.aupro.low is not None
    assert report.confusion is not None and report.confusion.false_alarm_rate is None
    assert "no normal images" in report.to_markdown() and not (tmp_path / "out" / "roc.png").exists()


def test_without_masks_only_images_are_judged(root: Path, tmp_path: Path) -> None:
    """Pixel figures are None; some masks give figures of those, and the table says of how many."""
    masks = sorted((root / "ground_truth" / "square").iterdir())
    for path in masks[3:]:
        path.unlink()
    some = _evaluate(root, tmp_path / "some")
    assert some.pixel_images == 3 and "| abnormal images with a mask | 3 |" in some.to_markdown()
    for path in masks[:3]:
        path.unlink()
    report = _evaluate(root, tmp_path / "out")
    assert report.pixel_auroc is None and report.aupro is None and report.image_auroc is not None
    assert "| AUPRO (FPR ≤ 0.3) | no masks |" in report.to_markdown()


def test_masks_are_counted_before_anything_is_searched(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files found and matched, images with a mask, masks used; and a set of which none matches is said."""
    folder = root / "ground_truth" / "square"
    cv2.imwrite(str(folder / "000_mask.png"), np.zeros_like(_read(folder / "000_mask.png")))
    (folder / "001_mask.png").rename(folder / "x_mask.png")
    caplog.set_level(logging.INFO)
    check_test_images(_source(root), replace(_source(root).split(0), test_good=()))
    assert (
        "masks: 8 files found, 7 matched to images; of 8 abnormal test images 7 have a mask, and 6 of these are used, "
        "for 1 is empty"
    ) in caplog.messages
    for path in folder.iterdir():
        path.rename(folder / f"other-{path.name}")
    assert _evaluate(root, tmp_path / "out").pixel_auroc is None
    assert "none of 8 masks, such as ground_truth/square/other-000_mask.png, belongs to an image" in caplog.text


def test_an_empty_mask_marks_nothing(root: Path, tmp_path: Path) -> None:
    """Of an abnormal image it says nothing about where: the image has no part in the pixel figures."""
    path = root / "ground_truth" / "square" / "000_mask.png"
    cv2.imwrite(str(path), np.zeros_like(_read(path)))
    assert _evaluate(root, tmp_path / "out").pixel_images == 7


def test_a_mask_of_another_size_is_named_before_anything_is_searched(root: Path, tmp_path: Path) -> None:
    """The last mask is wrong, and no image was inspected for it."""
    path = root / "ground_truth" / "square" / "007_mask.png"
    cv2.imwrite(str(path), np.zeros((10, 10), np.uint8))
    inspector, source = brightness_inspector(), _source(root)
    with pytest.raises(DatasetError, match=r"007_mask\.png"):
        evaluate(inspector, SUBJECT, source, source.split(0), tmp_path / "out")
    assert isinstance(inspector.reconstructor, BrightnessReconstructor) and not inspector.reconstructor.order
    assert not (tmp_path / "out").exists()


def test_a_score_that_is_not_a_number_names_its_image(root: Path, tmp_path: Path) -> None:
    """The twelfth image, test/square/003.png."""
    with pytest.raises(ImageError, match=r"test/square/003\.png: its score is not finite"):
        _evaluate(root, tmp_path / "out", broken=11)


def test_copies_of_what_the_model_has_seen_are_counted(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A test image whose pixels also trained or calibrated the model flatters it: report and log say how many."""
    shutil.copy(root / "train" / "good" / "003.png", root / "test" / "good" / "copy.png")
    source = _source(root)
    seen = frozenset({pixel_hash(source.read("train/good/003.png"))})
    subject, out = replace(SUBJECT, seen=seen), tmp_path / "out"
    report = evaluate(brightness_inspector(), subject, source, source.split(0), out)
    assert report.seen == ("test/good/copy.png",)
    assert "| test images that the model has seen | 1, such as test/good/copy.png: copies" in report.to_markdown()
    assert "1 test image is a copy of images that trained" in caplog.text and "test/good/copy.png" in caplog.text


def test_a_broken_image_is_skipped_and_named(tmp_path: Path) -> None:
    """One of twelve; of the broken one nothing is counted."""
    root = write_folder(tmp_path / "data", good=12, defects=4)
    (root / "test" / "good" / "005.png").write_bytes(b"no image")
    report = _evaluate(root, tmp_path / "out")
    assert report.normal_images == 11 and len(report.skipped) == 1 and "005.png" in report.skipped[0]
    assert "| unreadable images, skipped | 1 |" in report.to_markdown()


@pytest.mark.parametrize("missing", ["abnormal", "both"])
def test_nothing_to_measure_is_said(root: Path, tmp_path: Path, missing: str) -> None:
    """No abnormal images; no normal ones, and no masks either."""
    source = _source(root)
    parts: Split = source.split(0)
    if missing == "abnormal":
        parts, sentence = replace(parts, test_abnormal={}), "needs abnormal test images"
    else:
        for path in (root / "ground_truth" / "square").iterdir():
            path.unlink()
        parts, sentence = replace(parts, test_good=()), "or masks of abnormal ones"
    with pytest.raises(DatasetError, match=sentence):
        evaluate(brightness_inspector(), SUBJECT, source, parts, tmp_path / "out")


def test_a_limit_takes_the_same_images_for_the_same_seed(root: Path) -> None:
    """No more of each kind than the limit; the rest of the split stays."""
    parts = _source(root).split(0)
    few = limited(parts, 3, seed=1)
    assert len(few.test_good) == len(few.test_abnormal["square"]) == 3 and few == limited(parts, 3, seed=1)
    assert replace(few, test_good=parts.test_good, test_abnormal=parts.test_abnormal) == parts
    assert limited(parts, None, seed=1) == parts


def test_a_class_of_one_image_has_no_interval(root: Path, tmp_path: Path) -> None:
    """One abnormal image gives a figure, and no word on how sure it is."""
    source = _source(root)
    parts = limited(source.split(0), 1, 0)
    report = evaluate(brightness_inspector(), SUBJECT, source, parts, tmp_path / "out")
    assert report.image_auroc is not None and report.image_auroc.low is None
    assert isinstance(read_results(tmp_path / "out")[1], Scores)
