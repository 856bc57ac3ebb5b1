"""Labelled pictures as a data set, and the command lines of an archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from edge_runtime.archive.label import FrameLabel, LabelMask, parse_label
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.archive.retention import ArchiveLimits
from edge_runtime.archive.settings import ArchiveSection, ArchiveShares
from edge_runtime.archive.store import ArchiveStore
from edge_runtime.archive.training_set import export_labels
from edge_runtime.archive.writer import ArchiveWriter
from edge_runtime.cli import main
from latentline.errors import ArchiveError
from latentline.vision.content import pixel_hash
from latentline.vision.images import read_image
from tests.edge_runtime.archive.frames import IDENTITY, frame, inspected, picture
from tests.edge_runtime.fakes import station_data
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData

GOOD = FrameLabel(verdict="good")
SCRATCH = FrameLabel(verdict="defect", kind="scratch", mask=LabelMask(boxes=((10, 5, 20, 8),)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures 0 … 39, one every 20 s; 0, 10, 20 and 30 with an alarm. 39 shows what 38 shows."""
    settings = ArchiveSection(path=tmp_path / "a", min_free_mib=0, shares=ArchiveShares(normal=1.0))
    writer = ArchiveWriter(settings, lambda *_: None)
    for number in range(40):
        made = frame(20 * number, picture(min(number, 38)))
        alarm = number % 10 == 0
        writer.offer(made, inspected(made.picture, 200.0 if alarm else 50.0), IDENTITY, f"e{number}" if alarm else None)
    writer.thread.start()
    writer.close(20)
    return tmp_path / "a"


def ids(folder: Path) -> list[str]:
    """The pictures in the order of time."""
    page = ArchiveReader(folder).frames(FrameQuery(), "newest", 100)
    return [found.verdict.id for found in reversed(page.frames)]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """The JSON that a command prints."""
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_trainer_reads_an_export(tmp_path: Path, folder: Path) -> None:
    """Good pictures are normal images, defects known-abnormal ones with masks, and a minute stays on one side."""
    labels, names = ArchiveLabels(folder), ids(folder)
    labels.set(names[:30], GOOD, "ann")
    labels.set(names[30:33], SCRATCH, "ann")
    labels.set(names[33:35], parse_label({"verdict": "defect"}), "bob")
    labels.set(names[35:36], FrameLabel(verdict="skip"), "ann")
    done = export_labels(folder, tmp_path / "out")
    assert (done.good, done.defects, done.masks, done.false_alarms, done.missed) == (30, 5, 3, 3, 4)
    out = tmp_path / "out"
    source = FolderSource(FolderData(root=out, known_abnormal=out / "test", groups="groups.csv"))
    split = source.split(0)
    assert len(split.train) + len(split.held_out) == 30
    assert split.train and split.held_out
    assert len(split.known_abnormal) + len(split.validation_abnormal) == 5
    groups = source.groups()
    assert {groups[name] for name in split.train}.isdisjoint(groups[name] for name in split.held_out)
    assert len({groups[name] for name in (*split.train, *split.held_out)}) == 10
    scratched = f"test/scratch/{names[30]}.png"
    np.testing.assert_array_equal(source.read(scratched), picture(30)[:, :, 0])
    mask = source.mask(scratched, (48, 64))
    assert mask is not None
    assert mask.sum() == 160
    assert mask[5:13, 10:30].all()
    assert source.mask(f"test/defect/{names[33]}.png", (48, 64)) is None


def test_copies_count_once_with_the_newest_label(tmp_path: Path, folder: Path) -> None:
    """Two pictures of the same pixels are one image, by the label that was given last."""
    labels, names = ArchiveLabels(folder), ids(folder)
    labels.set([names[38]], SCRATCH, "ann")
    labels.set([names[39]], GOOD, "ann")
    done = export_labels(folder, tmp_path / "out")
    assert (done.good, done.defects, done.copies) == (1, 0, 1)
    image = json.loads((tmp_path / "out" / "provenance.json").read_text())["images"][0]
    assert image["file"] == f"train/good/{names[39]}.png"
    assert (image["who"], image["label"], image["model"]["sha256"]) == ("ann", "good", IDENTITY.sha256)


def test_an_export_is_whole_or_not_there(tmp_path: Path, folder: Path) -> None:
    """An earlier export is replaced, any other folder is refused; damaged pictures are left out and counted."""
    labels, names, out = ArchiveLabels(folder), ids(folder), tmp_path / "out"
    with pytest.raises(ArchiveError, match="label some first"):
        export_labels(folder, out)
    labels.set(names[:3], GOOD, "ann")
    export_labels(folder, out)
    reader = ArchiveReader(folder)
    reader.picture_path(reader.frame(names[0])).unlink()
    reader.picture_path(reader.frame(names[1])).write_bytes(b"rubbish")
    assert export_labels(folder, out).missing == 2
    assert [file.stem for file in (out / "train" / "good").iterdir()] == [names[2]]
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    with pytest.raises(ArchiveError, match="something else"):
        export_labels(folder, tmp_path / "theirs")


def test_commands_list_export_and_prune(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands work on a folder or a station's file, and what they export is an archive with its labels."""
    names = ids(folder)
    ArchiveLabels(folder).set([names[0]], GOOD, "ann")
    listed = run(capsys, "archive", "list", folder, "--verdict", "abnormal", "--order", "newest", "--limit", 2)
    assert listed["total"] == 4
    assert [found["id"] for found in listed["frames"]] == [names[30], names[20]]
    assert run(capsys, "archive", "export", folder, tmp_path / "part", "--verdict", "abnormal")["pictures"] == 4
    copied = ArchiveReader(tmp_path / "part").frame(names[0])
    assert copied == ArchiveReader(folder).frame(names[0])
    assert cv2.imread(str(ArchiveReader(tmp_path / "part").picture_path(copied))) is not None
    assert run(capsys, "archive", "repair", tmp_path / "part")["added"] == 0
    station = tmp_path / "station.yaml"
    data = station_data(tmp_path, 1883)
    station.write_text(yaml.safe_dump({**data, "archive": {"path": str(folder), "max_pictures": 5}}))
    assert run(capsys, "archive", "prune", station)["removed"] == 35
    assert set(ids(folder)) == {names[0], *names[36:]}
    pruned = run(capsys, "archive", "prune", folder, "--max-pictures", 0)
    assert (pruned["removed"], pruned["pictures"], pruned["above"]) == (4, 1, "max_pictures")
    assert run(capsys, "archive", "prune", folder, "--max-pictures", 0, "--labelled")["pictures"] == 0
    assert run(capsys, "labels", "export", tmp_path / "part", tmp_path / "out")["false_alarms"] == 1


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["archive", "list", "nowhere"], "no such file"),
        (["archive", "list", "."], "there is no archive"),
        (["archive", "prune", "a"], "no limit"),
        (["archive", "export", "a", "a"], "something already"),
        (["archive", "export", "a", "out", "--camera", "none"], "no picture is like that"),
        (["archive", "list", "station.yaml"], "has no archive"),
        (["labels", "export", "a", "out"], "label some first"),
    ],
)
def test_mistakes_get_a_sentence(
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    """A user's mistake is one sentence and exit code 2."""
    (tmp_path / "station.yaml").write_text(yaml.safe_dump(station_data(tmp_path, 1883)))
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


def test_a_day_is_said_how_to_write(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A day in another notation is refused, and does not look like a day without pictures."""
    for text in ("28.11.2026", "2026-11-31", "20261128"):
        with pytest.raises(SystemExit, match="2"):
            main(["archive", "list", str(folder), "--day", text])
        assert f"'{text}' is not a day such as 2026-11-28" in capsys.readouterr().err


def test_a_repair_waits_for_no_running_station(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While a station has the archive open, a repair says so."""
    store = ArchiveStore(folder, ArchiveLimits(None, None, None))
    assert main(["archive", "repair", str(folder)]) == 2
    assert "another station writes" in capsys.readouterr().err
    store.close()


def test_read_image_agrees_with_the_hash(folder: Path) -> None:
    """The hash in the index is that of the pixels in the file."""
    reader = ArchiveReader(folder)
    found = reader.frame(ids(folder)[0])
    assert pixel_hash(read_image(reader.picture_path(found))) == found.verdict.pixels
