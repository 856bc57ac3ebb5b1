from __future__ import annotations

from pathlib import Path

from latentline.evidence.changed_pictures import DrawnChange
from latentline.evidence.comparison import SHOWN, ScoredSide, compare_scores
from latentline.evidence.html_report import html_report
from latentline.evidence.labelled_folder import labelled_folder
from latentline.evidence.labelled_picture import LabelledPicture
from latentline.evidence.text_table import lines_of
from latentline.rescoring.pictures import PictureFile
from latentline.rescoring.scored_picture import ScoredPicture
from tests.latentline.rescoring.pictures import write_pictures


def _picture(name: str, label: str | None = None, kind: str | None = None) -> LabelledPicture:
    return LabelledPicture(PictureFile(name, Path()), label, kind)  # type: ignore[arg-type]


def _side(scores: list[float | None], training: set[str] | None = None, name: str = "model") -> ScoredSide:
    rows = [ScoredPicture(str(i), f"file{i}", 9.9, score, pixels=f"{i}") for i, score in enumerate(scores)]
    return ScoredSide(name, "0" * 64, 1.0, rows, training)


def test_verdicts_are_counted_by_label_and_kind() -> None:
    """False alarms, catches and misses of each model, by its own threshold; unreadable pictures are left out."""
    pictures = [
        _picture("a", "good"),
        _picture("b", "defect", "scratch"),
        _picture("c", "defect", "hole"),
        _picture("d"),
        _picture("e"),
    ]
    comparison = compare_scores(pictures, _side([2, 2, 0, 0, 0]), _side([0, 2, 2, 2, None]))
    table = comparison.fresh
    assert (table.good.old, table.good.new) == (1, 0)
    assert (table.defects.old, table.defects.new) == (1, 2)
    assert table.kinds["hole"].only_new == 1
    assert (table.unlabelled.only_new, comparison.unreadable) == (1, 1)
    assert comparison.changes == {"caught, new": 1, "false alarm, gone": 1, "now abnormal": 1}


def test_what_a_model_was_trained_on_is_counted_apart() -> None:
    """A picture in the training set of either model is not among those that decide."""
    pictures = [_picture(str(i), "good") for i in range(4)]
    comparison = compare_scores(pictures, _side([0] * 4, {"0"}), _side([0] * 4, {"1", "other"}))
    assert (comparison.fresh.count, comparison.trained.count) == (2, 2)
    assert (comparison.old.trained_on, comparison.new.trained_on) == (1, 1)
    assert "was trained on 1 of these pictures" in "\n".join(lines_of(comparison))


def test_a_package_that_does_not_say_what_it_was_trained_on_is_a_caveat() -> None:
    """Nobody reads the table without being told."""
    comparison = compare_scores([_picture("a", "good")], _side([0]), _side([0], set()))
    assert "the old model does not say what it was trained on" in "\n".join(lines_of(comparison))


def test_the_greatest_changes_are_shown_and_labelled_ones_first() -> None:
    """Of many changes some are drawn: what people labelled, then by size."""
    count = 2 * SHOWN
    pictures = [_picture(str(i), "good" if i == 3 else None) for i in range(count)]
    comparison = compare_scores(pictures, _side([0.0] * count), _side([1.1 + i for i in range(count)]))
    shown = [int(changed.picture.file.name) for changed in comparison.changed]
    assert shown == [3, *range(count - 1, count - SHOWN, -1)]
    assert comparison.changes["now abnormal"] == count - 1


def test_no_text_from_outside_becomes_part_of_the_page() -> None:
    """Names of files, kinds and models are shown as text, whatever is in them."""
    hostile = '"><script>alert(1)</script>\n\x1b[2J'
    comparison = compare_scores([_picture(hostile, "defect", hostile)], _side([2], name=hostile), _side([0]))
    page = html_report(comparison, [DrawnChange(comparison.changed[0], f"pictures/{hostile}.jpg", None)])
    assert "<script" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;") >= 4  # two names, twice the kind


def test_labels_come_from_the_names_of_folders(tmp_path: Path) -> None:
    """good, ok and normal are good; folders of test and known_abnormal are kinds; others have no label."""
    for place in ("train/good", "test/OK", "test/hole", "known_abnormal/oil stain", "inbox"):
        write_pictures(tmp_path / place, 1)
    found = {picture.file.name: (picture.label, picture.kind) for picture in labelled_folder(tmp_path)}
    assert found == {
        "train/good/000.png": ("good", None),
        "test/OK/000.png": ("good", None),
        "test/hole/000.png": ("defect", "hole"),
        "known_abnormal/oil stain/000.png": ("defect", "oil stain"),
        "inbox/000.png": (None, None),
    }
